"""An ensemble that diffuses over one parameter Q of a network while a constraint holds on average: (11.4) to (11.9).

Q is that of `flow`, the free energy has its maxima at ±π/2, and all is NumPy on the same ring; no word of the library.
"""

from typing import Any, NamedTuple

import numpy as np

from nnthermo.experiments.audit import flow
from nnthermo.experiments.audit.flow import CELL, POINTS, Q
from nnthermo.experiments.audit.systems import Systems

D = 0.1
"""Of (11.5): twice the `diffusion` of the library."""

END = 1.5
WAVES = np.fft.fftfreq(POINTS, 1 / POINTS)


class Path(NamedTuple):
    """p, its phase φ = ΣΘΦ/4 and their rates at Gauss's nodes in time; each (nodes, POINTS)."""

    p: np.ndarray
    p_rate: np.ndarray
    phase: np.ndarray
    phase_rate: np.ndarray


def _times() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(40)
    return (nodes + 1) * END / 2, weights * END / 2


TIMES, WEIGHTS = _times()


def slope(values: Any) -> Any:
    """∂/∂Q of each row, by Fourier series."""
    result = np.fft.ifft(1j * WAVES * np.fft.fft(values))
    return result if np.iscomplexobj(values) else result.real


def laplacian(values: Any) -> Any:
    """∂²/∂Q² of each row."""
    result = np.fft.ifft(-(WAVES**2) * np.fft.fft(values))
    return result if np.iscomplexobj(values) else result.real


def integral(values: Any) -> Any:
    """∫ dQ of each row."""
    return CELL * np.sum(values, axis=-1)


def over_time(rates: Any) -> float:
    """∫ dt of a number at each of `TIMES`."""
    return float(WEIGHTS @ rates)


def constraint(q: Any = Q) -> Any:
    """Θ(Q): zero at both maxima of the free energy, ±π/2, and nowhere else."""
    return np.cos(q) * (1 + 0.8 * np.sin(q))


def balanced(s: Systems) -> np.ndarray:
    """A smooth density p(Q) that is not symmetric, with ∫pΘ = 0."""
    p, theta = flow.start(s) * np.exp(0.9 * np.cos(2 * Q - s.random("11").uniform(1.0, 1.6))), constraint()
    tilt = 0.0
    for _ in range(50):
        q = p * np.exp(-tilt * theta)
        q = q / integral(q)
        mean = integral(q * theta)
        tilt += mean / (integral(q * theta**2) - mean**2)
    return q


def multiplier(t: Any) -> tuple[Any, Any]:
    """Φ(t) and dΦ/dt."""
    return 0.8 + 0.5 * np.sin(2 * t), np.cos(2 * t)


def diffused(p: Any, t: Any) -> Any:
    """The solution of (11.5) at times t."""
    decay = np.exp(-D / 2 * np.multiply.outer(t, WAVES**2))
    return np.fft.ifft(decay * np.fft.fft(p)).real


def diffusing(p: Any, times: Any = TIMES, *, scale: float = 1.0, shift: float = 0.0) -> Path:
    """(11.5) from p, with the phase of (11.8) for the multiplier scale · (Φ + shift)."""
    later, theta = diffused(p, times), constraint()
    value, rate = multiplier(times)
    phases = (np.multiply.outer(scale * f, theta) / 4 for f in (value + shift, rate))
    return Path(later, D / 2 * laplacian(later), *phases)


def wave(psi: Any, times: Any = TIMES) -> tuple[np.ndarray, np.ndarray]:
    """The solution of (11.9) from Ψ at the times, and its rate of change."""
    turned = np.exp(-0.5j * D * np.multiply.outer(times, WAVES**2)) * np.fft.fft(psi)
    later = np.fft.ifft(turned)
    return later, 0.5j * D * laplacian(later)


def fluid(psi: Any, rate: Any) -> Path:
    """p = |Ψ|² and the phase of Ψ, which must wind nowhere."""
    return Path(np.abs(psi) ** 2, 2 * (psi.conj() * rate).real, np.unwrap(np.angle(psi)), (rate / psi).imag)


def entropy_rate(path: Path) -> Any:
    """-d/dt ∫ p log p at each time."""
    return -integral((np.log(path.p) + 1) * path.p_rate)


def diffusive_rate(p: Any) -> Any:
    """-∫ log p (D/2) Δp, the first term of the second line of (11.6)."""
    return -integral(np.log(p) * D / 2 * laplacian(p))


def constraint_rate(path: Path) -> Any:
    """∫ Σ (dΦ/dt) Θ p = 4 ∫ p ∂φ/∂t, the second term of every line."""
    return 4 * integral(path.p * path.phase_rate)


def by_roots(path: Path) -> float:
    """The first line of (11.7)."""
    return over_time(integral(2 * D * slope(np.sqrt(path.p)) ** 2) + constraint_rate(path))


def by_parts(path: Path) -> float:
    """Its second line."""
    r = np.sqrt(path.p)
    return over_time(integral(-2 * D * r * laplacian(r)) + constraint_rate(path))


def by_waves(psi: Any, rate: Any) -> complex:
    """Its third line, from Ψ and ∂Ψ/∂t at `TIMES`."""
    inside = psi.conj() * (D / 2 * laplacian(psi) + 1j * rate)
    return -4 * complex(WEIGHTS @ integral(inside))


def wave_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ψ = √p exp(iφ) of (11.8) and ∂Ψ/∂t."""
    psi = np.sqrt(path.p) * np.exp(1j * path.phase)
    return psi, (path.p_rate / (2 * path.p) + 1j * path.phase_rate) * psi


def resting(p: Any) -> Path:
    """What makes the first two lines of (11.7) stationary: p stays, ∂φ/∂t = (D/2) Δ√p / √p."""
    rate = D / 2 * laplacian(np.sqrt(p)) / np.sqrt(p)
    none = np.zeros((len(TIMES), POINTS))
    return Path(none + p, none, np.multiply.outer(TIMES, rate), none + rate)


def kinetic(path: Path) -> float:
    """2D ∫dt ∫ p (∂φ/∂Q)²: what the third line of (11.7) has and the others have not."""
    return over_time(integral(2 * D * path.p * slope(path.phase) ** 2))


def bump(step: float) -> tuple[np.ndarray, np.ndarray]:
    """A displacement in time that vanishes at both ends, and its rate; (nodes, 1)."""
    t = TIMES[:, None]
    return step * t * (END - t), step * (END - 2 * t)


def displaced(path: Path, p: Any, phase: Any, step: float) -> Path:
    """The path with `step` times a bump in time of p and of φ added; p with ∫p = 0, both (POINTS,)."""
    value, rate = bump(step)
    return Path(path.p + value * p, path.p_rate + rate * p, path.phase + value * phase, path.phase_rate + rate * phase)
