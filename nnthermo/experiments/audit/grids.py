"""Ensembles of a few neurons summed over a grid: partition functions, averages and entropies without approximation."""

import math
from functools import cached_property
from typing import Any

import numpy as np

from nnthermo.experiments.audit import forms
from nnthermo.experiments.audit.forms import LOG_2PI, Twin


class Grid:
    """A probability distribution p ∝ exp(-βH) on nodes x with the measure dμ, and sums over it.

    Args:
        x: nodes, (n, N).
        log_measure: log dμ at each: the log of its weight, plus that of a window.
        window: log of the window at each node, 0 without one; the density p is with respect to dx.
        energy: H at each.
        beta: β.
    """

    def __init__(self, x: Any, log_measure: Any, window: Any, energy: Any, beta: float) -> None:
        self.x, self.log_measure, self.window, self.energy, self.beta = x, log_measure, window, energy, beta

    @cached_property
    def log_z(self) -> float:
        """log ∫ dμ exp(-βH)."""
        exponent = self.log_measure + self.window - self.beta * self.energy
        top = exponent.max()
        return float(top + math.log(np.exp(exponent - top).sum()))

    @cached_property
    def p(self) -> np.ndarray:
        """Probability of each node."""
        return np.exp(self.log_measure + self.window - self.beta * self.energy - self.log_z)

    @cached_property
    def log_density(self) -> np.ndarray:
        """log p(x) with respect to dx at each node."""
        return self.window - self.beta * self.energy - self.log_z

    def mean(self, values: Any) -> Any:
        """⟨values⟩, over the leading axis."""
        return np.tensordot(self.p, values, axes=1)

    @property
    def average_loss(self) -> float:
        """U = ⟨H⟩."""
        return float(self.mean(self.energy))

    @property
    def entropy(self) -> float:
        """-⟨log p⟩ (4.5)."""
        return -float(self.mean(self.log_density))


def line(net: Twin, beta: float, *, c: float, m: float = 0.0, points: int = 141) -> Grid:
    """All of R^N for an acyclic network whose neurons come in order: window c = 1 (5.8), none c = 0 (4.10).

    Nodes are even in z, where neuron i is βf_i/κ + z/√κ, κ = β + c, given those before it: there the trapezoidal rule
    converges geometrically, and the change of variables has a constant Jacobian. Two or three neurons.
    """
    kappa = beta + c
    z, h = np.linspace(-9, 9, points, retstep=True)
    x = np.stack(np.meshgrid(*[z] * net.size, indexing="ij"), axis=-1).reshape(-1, net.size) / math.sqrt(kappa)
    for i in range(net.size):
        x[:, i] += beta / kappa * net.f(x @ net.weight[i] + net.bias[i])
    cell = net.size * math.log(h / math.sqrt(kappa))
    return Grid(x, np.full(len(x), cell), -0.5 * c * np.sum(x**2, axis=1), forms.bulk_loss(net, x, m), beta)


def box(net: Twin, beta: float, *, m: float = 0.0, points: int = 120) -> Grid:
    """The box (-1, 1)^N of (5.7), by Gauss and Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    x = np.stack(np.meshgrid(*[nodes] * net.size, indexing="ij"), axis=-1).reshape(-1, net.size)
    w = np.stack(np.meshgrid(*[weights] * net.size, indexing="ij"), axis=-1).reshape(-1, net.size)
    return Grid(x, np.log(w).sum(axis=1), np.zeros(len(x)), forms.bulk_loss(net, x, m), beta)


def plane(net: Twin, beta: float, *, m: float = 0.0, half: float = 9.0, points: int = 241) -> Grid:
    """All of R^N without a window, on an even grid that knows nothing of the network; for β of order 1 and small N."""
    nodes, h = np.linspace(-half, half, points, retstep=True)
    x = np.stack(np.meshgrid(*[nodes] * net.size, indexing="ij"), axis=-1).reshape(-1, net.size)
    return Grid(x, np.full(len(x), net.size * math.log(h)), np.zeros(len(x)), forms.bulk_loss(net, x, m), beta)


def flat_log_partition(size: int, beta: float) -> float:
    """(N/2) log(2π/β): log Z over R^N of any acyclic network, whatever its weights and biases."""
    return 0.5 * size * (LOG_2PI - math.log(beta))
