"""A probability distribution over one parameter Q of a network, moved by its free energy: (8.1) to (8.7) in full."""

from typing import Any

import numpy as np

from nnthermo.experiments.audit.forms import LOG_2PI
from nnthermo.experiments.audit.systems import Systems

POINTS = 128
Q = 2 * np.pi * np.arange(POINTS) / POINTS
CELL = 2 * np.pi / POINTS
ALPHA = 2.0
START, END = 0.5, 1.5


def link(q: Any) -> Any:
    """The one link of a two-neuron network, s = f'w, as a function of Q."""
    return 0.5 + 1.2 * np.sin(q)


def free_energy(beta: float, q: Any = Q) -> Any:
    """(5.14) of that network: det M = (1 + β)² + βs²."""
    return (0.5 * np.log((1 + beta) ** 2 + beta * link(q) ** 2) - LOG_2PI) / beta


def derivative(values: Any) -> Any:
    """d/dQ of a periodic function on the grid, by its Fourier series."""
    return np.fft.ifft(1j * np.fft.fftfreq(POINTS, 1 / POINTS) * np.fft.fft(values)).real


def integral(values: Any) -> float:
    """∫ dQ, exact for a Fourier series."""
    return float(np.sum(values) * CELL)


def start(s: Systems) -> Any:
    """A smooth positive p(Q) with ∫p = 1."""
    p = np.exp(1.5 * np.cos(Q - s.random("8").uniform(0.5, 2.5)))
    return p / integral(p)


def velocity(beta: float) -> Any:
    """dQ/dβ = α ∂F/∂Q (8.2)."""
    return ALPHA * derivative(free_energy(beta))


def laplacian(beta: float) -> Any:
    """ΔF = ∂²F/∂Q²."""
    return derivative(derivative(free_energy(beta)))


def printed(beta: float, p: Any) -> Any:
    """∂p/∂β as (8.1) has it: -v ∂p."""
    return -velocity(beta) * derivative(p)


def liouville(beta: float, p: Any) -> Any:
    """∂p/∂β = -∂(vp)."""
    return -derivative(velocity(beta) * p)


def evolve(rate: Any, p: Any, beta: float, end: float, steps: int = 400) -> Any:
    """p at `end` by Runge and Kutta's fourth order."""
    h = (end - beta) / steps
    for k in range(steps):
        b = beta + k * h
        first = rate(b, p)
        second = rate(b + h / 2, p + h / 2 * first)
        third = rate(b + h / 2, p + h / 2 * second)
        p = p + h / 6 * (first + 2 * second + 2 * third + rate(b + h, p + h * third))
    return p


def density(p: Any, M: float = 1.0) -> Any:
    """σ = -p log(Mp) (8.7)."""
    return -p * np.log(M * p)


def entropy(p: Any, M: float = 1.0) -> float:
    """(8.3)."""
    return -integral(p * np.log(M * p))


def entropy_rate(rate: Any, p: Any, beta: float, M: float = 1.0, h: float = 1e-3) -> float:
    """dS/dβ along a flow: a central difference of evolved distributions."""
    ahead, behind = (evolve(rate, p, beta, beta + sign * h, 4) for sign in (1, -1))
    return (entropy(ahead, M) - entropy(behind, M)) / (2 * h)
