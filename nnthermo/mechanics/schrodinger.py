"""The Schrödinger equation iħ ∂Ψ/∂t = -(ħ²/2M) ∇²Ψ + V Ψ, split into kinetic and potential steps.

The equation of arXiv:2012.05082 (recalled; M = 1/(2γ) re-derived), for wave functions Ψ = √p exp(iF/ħ) of the trainable
variables. The form (11.9) of arXiv:2004.09280, -i ∂Ψ/∂t = (D_seed/2) ∇²Ψ, is this one with ħ/M = D_seed = 2D and V = 0.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, positive_numbers, real_array
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics._arguments import potential_like, records
from nnthermo.mechanics.fourier import amplitudes, multiply_waves, share_of_cutoff, squared_by_axis
from nnthermo.mechanics.grid import Grid
from nnthermo.mechanics.hamiltonian import flux_shift, walls, wave_function


class SchrodingerFlow(NamedTuple):
    """A run of the Schrödinger equation.

    Attributes:
        times: (S,), the first is the start.
        psi: Ψ, (S, *points), complex.
        tail: share of |Ψ|² in waves of the fastest third along any variable, (S,). Below 1e-6 the grid holds Ψ; above
            1e-3 what is faster has come back as something slower, and the run is wrong from there on. NaN with Ψ.
        phase: the most by which a step turns parts of Ψ against each other, (S,): |dt|/ħ times the larger of the ranges
            of V and of ħ²k²/2M over where |Ψ|², in place and in wave numbers, exceeds 1e-6 of its largest value. Above
            π it wraps, the order of the method is lost and levels 2πħ/dt apart mix: take shorter steps.
    """

    times: Array
    psi: Array
    tail: Array
    phase: Array


# Fractions of the step, potential and kinetic in turn, potential first and last. Order 4: the six-stage method of
# Blanes & Moan (J. Comput. Appl. Math. 142, 313, 2002), whose error is hundreds of times less than Yoshida's triple
# jump at equal cost; its conditions of order 3 and 4 are tested.
_A = (0.0792036964311957, 0.353172906049774, -0.0420650803577195)
_B = (0.209515106613362, -0.143851773179818)
_HALF = (*_A, 1 - 2 * sum(_A), *_A[::-1])
SPLITTINGS = {2: ((0.5, 0.5), (1.0,)), 4: (_HALF, (*_B, 0.5 - sum(_B), 0.5 - sum(_B), *_B[::-1]))}


def schrodinger_evolve(
    psi: Any,
    potential: Any,
    grid: Grid,
    *,
    hbar: Scalar,
    mass: Scalar,
    dt: Scalar,
    steps: int,
    order: int = 4,
    save_every: int | None = None,
    flux: Any = None,
    start: Scalar = 0.0,
) -> SchrodingerFlow:
    """Run the Schrödinger equation from Ψ: split steps of order 2 or 4, exact in space for waves the grid resolves.

    Unitary: the norm is kept to rounding (float32: about 1e-7 √steps), also where the run is wrong. What tells is
    `tail`, whether the grid holds Ψ, and `phase`, whether the steps are short enough; look at both. Free motion is
    exact for any step, whatever `phase` says.

    Args:
        psi: Ψ at the start, (*points), real or complex.
        potential: V, (*points), or a function of the time that returns it (traced once a function object).
        grid: rings; between walls, which are hard, Ψ vanishes at the walls.
        hbar: ħ > 0.
        mass: M > 0.
        dt: step of time; negative runs backwards.
        steps: how many.
        order: 2 (one Fourier pair a step) or 4 (six).
        save_every: steps between records, a divisor of `steps`; default: the end alone, besides the start.
        flux: ν through each ring in quanta, a number or (d,): ∇ becomes ∇ + 2πiν/L.
        start: time at the start, of use with a potential that depends on time.
    """
    psi = wave_function(psi, grid, leading=False)
    positive_numbers(hbar=hbar, mass=mass)
    check("order", "be 2 or 4", order in SPLITTINGS, order)
    steps, every = records(steps, save_every)
    real = psi.real.dtype
    moving = potential if callable(potential) else None
    V = jnp.zeros((), real) if moving else potential_like(psi, potential, grid)
    given = {"hbar": hbar, "mass": mass, "dt": dt, "start": start}
    numbers = [real_array(name, n, shape=()).astype(real) for name, n in given.items()]
    return _evolve(psi, V, grid, flux_shift(flux, grid), *numbers, moving, order, steps, every)


@partial(jax.jit, static_argnums=(8, 9, 10, 11))
def _evolve(
    psi: Array,
    V: Array,
    grid: Grid,
    shift: Array | None,
    h: Array,
    M: Array,
    dt: Array,
    start: Array,
    moving: Callable[[Array], Any] | None,
    order: int,
    steps: int,
    every: int,
) -> SchrodingerFlow:
    kicks, drifts = SPLITTINGS[order]
    energies = [h * k2.astype(h.dtype) / (2 * M) for k2 in squared_by_axis(grid, shift)]
    energy = sum(energies[1:], energies[0])

    def turn(angle: Array) -> Array:
        return jax.lax.complex(jnp.cos(angle), -jnp.sin(angle))

    # by axis: the array of all waves would be one more to read in each stage, and the loop waits for memory
    factors = {b: [turn(b * dt * e) for e in energies] for b in set(drifts)}
    still = {a: turn(a * dt * V / h) for a in set(kicks)}

    ends = turn(2 * kicks[0] * dt * V / h)  # the last kick of a step and the first of the next

    def kick(psi: Array, a: float, t: Array) -> Array:
        if moving is None:
            return psi * still[a]
        now = real_array("potential", moving(t)).astype(h.dtype)
        check("potential", f"return shape {grid.points}", now.shape == grid.points, f"shape {now.shape}")
        return psi * turn(a * dt * now / h)

    def inner(k: Array, psi: Array) -> Array:
        """A step without the kicks at its ends where V is static: those of neighbouring steps are one."""
        t = start + k.astype(h.dtype) * dt
        passed = np.cumsum((0.0, *drifts))
        for stage, b in enumerate(drifts):
            if stage or moving is not None:
                psi = kick(psi, kicks[stage], t + float(passed[stage]) * dt)
            psi = multiply_waves(psi, grid, *factors[b], odd=walls(grid))
        return psi if moving is None else kick(psi, kicks[-1], t + dt)

    fast = jnp.asarray(share_of_cutoff(grid) > 1)

    def measured(psi: Array, k: Array) -> tuple[Array, Array, Array]:
        waves = jnp.abs(amplitudes(psi, grid, odd=walls(grid))) ** 2
        now = V if moving is None else real_array("potential", moving(start + k.astype(h.dtype) * dt)).astype(h.dtype)
        ranges = jnp.stack([_range(now, jnp.abs(psi) ** 2), _range(energy, waves)])
        return psi, jnp.sum(jnp.where(fast, waves, 0)) / jnp.sum(waves), jnp.abs(dt) / h * jnp.max(ranges)

    def run(psi: Array, first: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        if moving is not None:
            psi = jax.lax.fori_loop(0, every, lambda k, psi: inner(first + k, psi), psi)
            return psi, measured(psi, first + every)
        psi = inner(first, psi * still[kicks[0]])
        psi = jax.lax.fori_loop(1, every, lambda k, psi: inner(first + k, psi * ends), psi)
        psi = psi * still[kicks[-1]]
        return psi, measured(psi, first + every)

    _, later = jax.lax.scan(run, psi, jnp.arange(steps // every, dtype=jnp.int32) * every)
    times = start + jnp.arange(steps // every + 1, dtype=h.dtype) * every * dt
    first = measured(psi, jnp.zeros((), jnp.int32))
    return SchrodingerFlow(times, *(jnp.concatenate([a[None], b]) for a, b in zip(first, later, strict=True)))


def _range(values: Array, weights: Array) -> Array:
    """Largest less smallest of the values where the weights count; NaN with the weights."""
    counts = weights >= 1e-6 * jnp.max(weights)  # never true for NaN: infinite less infinite
    most = jnp.max(jnp.where(counts, values, -jnp.inf)) - jnp.min(jnp.where(counts, values, jnp.inf))
    return jnp.where(most >= 0, most, jnp.nan)
