"""Schrödinger dynamics by noise (Nelson, Phys. Rev. 150, 1079, 1966): an ensemble that diffuses and has density |Ψ|².

    dq = (ħ/M) (Re + Im) ∇log Ψ dt + √(ħ/M) dW.

The drift is that of a given Ψ: the imaginary part is the velocity of its fluid, the real part is (ħ/2M) ∇log|Ψ|², a
rule of learning that feels |Ψ|². That is from a public source, the one named; nothing says that an actual rule of
learning does so.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from nnthermo._checks import (
    check,
    function,
    increasing,
    integer,
    is_concrete,
    positive_numbers,
    random_key,
    real_array,
    real_numbers,
)
from nnthermo._pytree import function_argument
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics._arguments import increasing_times
from nnthermo.mechanics.fourier import spectral_gradient
from nnthermo.mechanics.grid import Grid
from nnthermo.mechanics.hamiltonian import walls, wave_function

Drift = Callable[[Array, Array], Array]
"""Drift b(q, t) of one replica: (d,) and () to (d,)."""


def nelson_drift(log_psi: Callable[[Array, Array], Array], *, hbar: Scalar, mass: Scalar) -> Drift:
    """The drift b(q, t) = (ħ/M) (Re + Im) ∇log Ψ(q, t) of a wave function given as a formula.

    Args:
        log_psi: log Ψ(q, t), complex, of q (d,) and t (); any branch of the logarithm.
        hbar: ħ.
        mass: M.
    """
    function("log_psi", log_psi)
    real_numbers(hbar=hbar, mass=mass)

    return Partial(_formula_drift, function_argument(log_psi), hbar, mass)


def _formula_drift(log_psi: Partial, hbar: Scalar, mass: Scalar, q: Array, t: Array) -> Array:
    def sum_of_parts(q: Array) -> Array:
        value = log_psi(q, t)
        return value.real + value.imag

    return jnp.asarray(hbar, q.dtype) / jnp.asarray(mass, q.dtype) * jax.grad(sum_of_parts)(q)


def nelson_drift_on_grid(psi: Any, times: Any, grid: Grid, *, hbar: Scalar, mass: Scalar) -> Drift:
    """The drift of a recorded run of `schrodinger_evolve`; Ψ and ∇Ψ are interpolated linearly in place and time.

    The error is of second order in the spacings of both. The phase of Ψ must turn slowly on both. Near a node the drift
    is large and a finite step of time jumps over it.

    Args:
        psi: Ψ, (T, *points).
        times: (T,), increasing, or decreasing for a run backwards, T at least 2; even steps are not needed. Before the
            first and after the last the nearest record holds. Traced times out of order give NaN.
        grid: rings, or hard walls.
        hbar: ħ.
        mass: M.

    Raises:
        ValueError: wrong shapes, or times that neither increase nor decrease throughout.
    """
    psi, t = wave_function(psi, grid), real_array("times", times, ndim=1)
    shape = (len(t), *grid.points)
    check("psi", f"have shape {shape}, times and grid", psi.shape == shape, f"shape {psi.shape}")
    check("times", "be at least 2", len(t) >= 2, len(t))
    positive_numbers(hbar=hbar, mass=mass)
    ahead = jnp.where(t[-1] > t[0], 1, -1).astype(t.dtype) * t
    ordered = jnp.all(jnp.diff(ahead) > 0)
    increasing("times", t, or_decreasing=True)
    numbers = jnp.where(ordered, jnp.arange(len(t), dtype=t.dtype), jnp.nan)
    slope = spectral_gradient(psi, grid, odd=walls(grid))
    return Partial(_recorded_drift, _Record(psi, slope, ahead, numbers, t[-1] < t[0], grid), hbar, mass)


class _Record(NamedTuple):
    """Ψ and ∇Ψ at times that increase (`ahead`, those of a run backwards times -1) and are numbered."""

    psi: Array
    slope: Array
    ahead: Array
    numbers: Array
    backward: Array
    grid: Grid


def _recorded_drift(record: _Record, hbar: Scalar, mass: Scalar, q: Array, now: Array) -> Array:
    ahead, grid, h = record.ahead, record.grid, record.grid.spacing
    origin = jnp.stack([axis[0] for axis in grid.axes])
    now = jnp.asarray(now).astype(ahead.dtype)
    when = jnp.interp(jnp.where(record.backward, -now, now), ahead, record.numbers)
    index = jnp.concatenate([when[None].astype(h.dtype), (q.astype(h.dtype) - origin) / h])
    ratio = _sample(record.slope, index, grid) / _sample(record.psi, index, grid)[None]
    scale = jnp.asarray(hbar, q.dtype) / jnp.asarray(mass, q.dtype)
    return scale * (ratio.real + ratio.imag).astype(q.dtype)


def _sample(values: Array, index: Array, grid: Grid) -> Array:
    """Multilinear interpolation of records at `index` (1 + d,) in units of the spacings."""
    d = grid.dimensions
    low = jnp.floor(index).astype(int)
    share = (index - jnp.floor(index)).astype(values.real.dtype)
    total = jnp.zeros(values.shape[1 + d :], values.dtype)
    for corner in range(2 ** (1 + d)):
        bits = [(corner >> k) & 1 for k in range(1 + d)]
        weight = jnp.prod(jnp.stack([share[k] if b else 1 - share[k] for k, b in enumerate(bits)]))
        place = [jnp.clip(low[0] + bits[0], 0, len(values) - 1)]
        for k, n in enumerate(grid.points):
            i = low[1 + k] + bits[1 + k]
            place.append(i % n if grid.periodic[k] else jnp.clip(i, 0, n - 1))
        total = total + weight.astype(values.dtype) * values[tuple(place)]
    return total


def born_samples(key: Array, psi: Any, grid: Grid, count: int) -> Array:
    """`count` places drawn from |Ψ|²: a cell by its probability, then anywhere in it, (count, d).

    Args:
        key: of the draw.
        psi: Ψ, (*points), of any norm.
        grid: rings, or walls.
        count: how many.
    """
    random_key("key", key)
    psi = wave_function(psi, grid, leading=False)
    choose, spread = jax.random.split(key)
    weight = jnp.sum(jnp.abs(psi) ** 2)
    if is_concrete(weight):
        check("psi", "be finite and not zero everywhere", 0 < float(weight) < float("inf"), f"∑|Ψ|² = {weight}")
    some = integer("count", count, least=0)
    cells = jax.random.categorical(choose, jnp.log(jnp.abs(psi) ** 2).ravel(), shape=(some,))
    inside = jax.random.uniform(spread, (some, grid.dimensions), grid.lower.dtype, -0.5, 0.5)
    return grid.coordinates.reshape(-1, grid.dimensions)[cells] + inside * grid.spacing[None]


def nelson_ensemble(
    key: Array, drift: Drift, q0: Any, times: Any, *, hbar: Scalar, mass: Scalar, steps: int = 1
) -> Array:
    """Replicas that follow dq = b dt + √(ħ/M) dW, (T, R, d); for b = `nelson_drift` their density is |Ψ|².

    Heun's method, of weak order 2 for noise that does not depend on q. Ensemble means carry an error 1/√R besides.

    Args:
        key: of the noise.
        drift: b(q, t). The ensemble is compiled once a function object; a drift of this module is new numbers to it.
        q0: replicas at the first time, (R, d), drawn from |Ψ|² there.
        times: increasing, (T,).
        hbar: ħ; with the mass it sets the noise, ħ/M a unit of time.
        mass: M.
        steps: equal steps from each time to the next.
    """
    random_key("key", key)
    function("drift", drift)
    positive_numbers(hbar=hbar, mass=mass)
    q = real_array("q0", q0, ndim=2)
    t = increasing_times(times, least=2, dtype=q.dtype)
    n = integer("steps", steps, least=1)
    inputs = jax.ShapeDtypeStruct(q.shape[1:], q.dtype), jax.ShapeDtypeStruct((), q.dtype)
    found = getattr(jax.eval_shape(drift, *inputs), "shape", None)
    check("drift", f"return shape {q.shape[1:]}", found == q.shape[1:], f"shape {found}")
    noise = jnp.sqrt(jnp.asarray(hbar, q.dtype) / jnp.asarray(mass, q.dtype))
    return _ensemble(key, function_argument(drift), q, t, noise, n)


@partial(jax.jit, static_argnums=5)
def _ensemble(key: Array, drift: Partial, q: Array, t: Array, noise: Array, n: int) -> Array:
    many = jax.vmap(drift, in_axes=(0, None))

    def interval(q: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        key, begin, end = now
        h = (end - begin) / n

        def step(k: Array, q: Array) -> Array:
            kick = noise * jnp.sqrt(h) * jax.random.normal(jax.random.fold_in(key, k), q.shape, q.dtype)
            at = begin + jnp.asarray(k, q.dtype) * h
            first = many(q, at)
            second = many(q + h * first + kick, at + h)
            return q + h * (first + second) / 2 + kick

        q = jax.lax.fori_loop(0, n, step, q)
        return q, q

    _, later = jax.lax.scan(interval, q, (jax.random.split(key, len(t) - 1), t[:-1], t[1:]))
    return jnp.concatenate([q[None], later])
