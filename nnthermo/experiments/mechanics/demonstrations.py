"""Two systems with known answers, to be watched: a packet in a double well, and two vortices in a harmonic one.

The first runs two ways, by the Schrödinger equation and as an ensemble of diffusing particles whose drift feels |Ψ|²
(Nelson). Each demonstration returns frames and the numbers that are conserved.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo import mechanics

HBAR, MASS = 1.0, 1.0


class DoubleWell(NamedTuple):
    """Frames of a packet that tunnels.

    Attributes:
        times: (frames,).
        places: (points,).
        potential: V, (points,).
        density: |Ψ|², (frames, points).
        velocity: (ħ/M) Im ∂Ψ/Ψ, (frames, points).
        particles: Nelson's, (frames, particles).
        norm_error: largest |∫|Ψ|² - 1|.
        energy_error: largest relative change of the energy.
        sampling: largest √R times the distance of the particles' distribution from |Ψ|².
    """

    times: np.ndarray
    places: np.ndarray
    potential: np.ndarray
    density: np.ndarray
    velocity: np.ndarray
    particles: np.ndarray
    norm_error: float
    energy_error: float
    sampling: float


class Vortices(NamedTuple):
    """Frames of two vortices in a harmonic well.

    Attributes:
        times: (frames,).
        edges: lower and upper end of the square.
        density: (frames, n, n).
        phase: (frames, n, n), radians.
        winding: turns of the phase along a circle around both, (frames,).
        momentum: ⟨L_z⟩/ħ, (frames,).
        norm_error: largest |∫|Ψ|² - 1|.
    """

    times: np.ndarray
    edges: tuple[float, float]
    density: np.ndarray
    phase: np.ndarray
    winding: np.ndarray
    momentum: np.ndarray
    norm_error: float


def conserved(well: DoubleWell, pair: Vortices) -> dict[str, float]:
    """What should not change, or is known, of both by name."""
    return {
        "packet: largest error of the norm": well.norm_error,
        "packet: largest relative change of the energy": well.energy_error,
        "packet: √R times the largest distance of Nelson's particles from |Ψ|², over all frames": well.sampling,
        "vortices: largest error of the norm": pair.norm_error,
        "vortices: least winding around both": float(pair.winding.min()),
        "vortices: largest winding around both": float(pair.winding.max()),
        "vortices: largest change of ⟨L⟩/ħ": float(abs(pair.momentum - pair.momentum[0]).max()),
    }


def double_well(*, frames: int = 60, particles: int = 4000, points: int = 192, seed: int = 0) -> DoubleWell:
    """A packet that starts in the left of two wells and tunnels; call it in float64."""
    grid = mechanics.Grid([-6.0], [6.0], points, periodic=True)
    q = grid.axes[0]
    V = 0.05 * (q**2 - 4.0) ** 2
    psi = mechanics.gaussian_wave_packet(grid, -2.0, 0.75, hbar=HBAR)
    steps, dt = 14, 0.025
    flow = mechanics.schrodinger_evolve(
        psi, V, grid, hbar=HBAR, mass=MASS, dt=dt, steps=(frames - 1) * steps, save_every=steps
    )
    psis, times = _of(flow)
    drift = mechanics.nelson_drift_on_grid(psis, times, grid, hbar=HBAR, mass=MASS)
    keys = jax.random.split(jax.random.key(seed))
    start = mechanics.born_samples(keys[0], psi, grid, particles)
    walk = mechanics.nelson_ensemble(keys[1], drift, start, times, hbar=HBAR, mass=MASS, steps=4)
    density = np.abs(np.asarray(psis)) ** 2
    current = jax.vmap(lambda wave: mechanics.probability_current(wave, grid, hbar=HBAR, mass=MASS))(psis)[..., 0]
    norms = np.asarray(grid.integrate(jnp.asarray(density)))
    energies = np.asarray(
        [mechanics.schrodinger_energy(wave, V, grid, hbar=HBAR, mass=MASS) for wave in (psis[0], psis[-1])]
    )
    walkers = np.asarray(walk)[..., 0]
    spacing = float(grid.spacing[0])
    return DoubleWell(
        np.asarray(times), np.asarray(q), np.asarray(V), density, np.asarray(current) / np.maximum(density, 1e-6),
        walkers, float(np.abs(norms - 1).max()), float(abs(energies[1] / energies[0] - 1)),
        max(_distance(w, np.asarray(q), p * spacing) for w, p in zip(walkers, density, strict=True)),
    )  # fmt: skip


def vortices(*, frames: int = 40, points: int = 64) -> Vortices:
    """Two vortices of charge one in a harmonic well: the phase turns twice around both, whatever they do."""
    grid = mechanics.Grid([-6.0, -6.0], [6.0, 6.0], points, periodic=True)
    x, y = grid.coordinates[..., 0], grid.coordinates[..., 1]
    z = jax.lax.complex(x, y)
    psi = (z - 1.2) * (z + 0.8) * jnp.exp(-((x - 0.3) ** 2 + y**2) / 2).astype(z.dtype)
    psi = psi / jnp.sqrt(grid.integrate(jnp.abs(psi) ** 2)).astype(z.dtype)
    V = 0.5 * (x**2 + y**2)
    steps = 9
    dt = 2 * np.pi / ((frames - 1) * steps)  # one period of the well
    flow = mechanics.schrodinger_evolve(
        psi, V, grid, hbar=HBAR, mass=MASS, dt=dt, steps=(frames - 1) * steps, save_every=steps
    )
    psis, times = _of(flow)
    angle = 2 * np.pi * np.arange(256) / 256
    circle = jnp.asarray(2.6 * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    winding = jax.lax.map(lambda wave: mechanics.winding_number(wave, circle, grid), psis)
    turning = jax.lax.map(lambda wave: mechanics.angular_momentum(wave, grid, hbar=HBAR), psis)
    density = np.abs(np.asarray(psis)) ** 2
    return Vortices(
        np.asarray(times), (-6.0, 6.0), density, np.angle(np.asarray(psis)), np.asarray(winding), np.asarray(turning),
        float(np.abs(np.asarray(grid.integrate(jnp.asarray(density))) - 1).max()),
    )  # fmt: skip


def _of(flow: Any) -> tuple[jax.Array, jax.Array]:
    """Wave functions and times of an evolution."""
    return flow.psi, flow.times


def _distance(walkers: np.ndarray, q: np.ndarray, shares: np.ndarray) -> float:
    """√R times the largest difference of the distribution functions."""
    ordered = np.sort(walkers)
    # to the middle of the cell of each point lies half of its share
    predicted = np.interp(ordered, q, np.cumsum(shares) - shares / 2)
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(np.sqrt(len(ordered)) * max((steps[1:] - predicted).max(), (predicted - steps[:-1]).max()))
