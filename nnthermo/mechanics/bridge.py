"""Negative ħ²: a pair of heat equations, and the Schrödinger bridge between two densities.

For ħ² = -h² the real functions φ± = √p exp(±F/h) solve (own derivation from the Madelung equations)

    ∂φ+/∂t = -(h/2M) ∇²φ+ - (V/h) φ+,        ∂φ-/∂t = +(h/2M) ∇²φ- + (V/h) φ-,        p = φ+ φ-.

φ- is a heat equation, φ+ one backward in time: neither p nor F can be run from data at one end. The problem that has a
solution gives p at both ends (Schrödinger 1931): φ- runs forward from the first, φ+ backward from the second. The
bridge is the diffusion dq = (h/M) ∇log φ+ dt + √(h/M) dW, the likeliest that joins both densities. A plain
Fokker-Planck flow is one of them, with M = 1, h = 2D, F of the fluid = γF - D log p, and φ+ = exp(γF/2D) at rest.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import check, integer, is_concrete, positive, positive_numbers, real_array, real_numbers
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics._arguments import potential_like
from nnthermo.mechanics.fourier import multiply_waves, squared_wave_numbers
from nnthermo.mechanics.grid import Grid, require_grid


def heat_pair(p: Any, F: Any, *, planck_squared: Scalar) -> tuple[Array, Array]:
    """φ+ and φ- = √p exp(±F/h), h = √(-ħ²), of the shape of p and F.

    Args:
        p: densities, of any shape.
        F: phases, of the shape of p, in units of action.
        planck_squared: ħ² = -h² < 0; NaN where it is traced and not negative.
    """
    p = real_array("p", p)
    F = real_array("F", F, shape=p.shape).astype(p.dtype)
    h = _action_unit(planck_squared, p.dtype)
    return jnp.sqrt(p) * jnp.exp(F / h), jnp.sqrt(p) * jnp.exp(-F / h)


def density_and_phase(plus: Any, minus: Any, *, planck_squared: Scalar) -> tuple[Array, Array]:
    """p = φ+ φ- and F = (h/2) log(φ+/φ-), the inverse of `heat_pair`.

    Args:
        plus: φ+ > 0, the function that runs backward in time.
        minus: φ- > 0, the one that runs forward; of the shape of φ+.
        planck_squared: ħ² = -h² < 0; NaN for F where it is traced and not negative.
    """
    up = real_array("plus", plus)
    down = real_array("minus", minus, shape=up.shape).astype(up.dtype)
    h = _action_unit(planck_squared, up.dtype)
    up, down = (jnp.where(f < 0, jnp.nan, f) for f in (up, down))
    return up * down, h / 2 * jnp.log(up / down)


def _action_unit(planck_squared: Scalar, dtype: Any) -> Array:
    """h = √(-ħ²); NaN where ħ² is traced and not negative."""
    real_numbers(planck_squared=planck_squared)
    if is_concrete(planck_squared):
        check("planck_squared", "be negative", bool(planck_squared < 0), planck_squared)
    h2 = jnp.asarray(planck_squared, dtype)
    return jnp.sqrt(jnp.where(h2 < 0, -h2, jnp.nan))


class SchrodingerBridge(NamedTuple):
    """The likeliest diffusion between two densities.

    Attributes:
        times: (T,), from 0 to the duration.
        densities: p, (T, *points).
        phases: F, a Madelung phase with ħ² = -h², (T, *points); the velocity is ∇F/M.
        residual: largest of ∫|p - p0| and ∫|p - p1| at the ends.
        converged: whether the residual is below the tolerance and φ± are positive.
    """

    times: Array
    densities: Array
    phases: Array
    residual: Array
    converged: Array


def schrodinger_bridge(
    p0: Any,
    p1: Any,
    grid: Grid,
    *,
    planck_squared: Scalar,
    mass: Scalar,
    duration: Scalar,
    records: int = 21,
    potential: Any = None,
    iterations: int = 200,
    tolerance: float = 1e-8,
    steps: int = 4,
) -> SchrodingerBridge:
    """The bridge from p0 to p1 in a given time, by the iteration of Fortet and Sinkhorn on the grid.

    The heat kernel is spectral, so that densities narrower than a few spacings or kernels narrower than that,
    (h/M) duration ≲ 4 spacing², ring below zero; and functions that span more than the precision holds lose their tails
    (p0, p1 below about 1e-14 of their largest value in float64, 1e-6 in float32). `converged` is False then.

    Args:
        p0: density at the start, (*points), positive; normalised here.
        p1: density at the end, (*points), positive; normalised here.
        grid: rings, or walls that reflect.
        planck_squared: ħ² < 0; the noise of the diffusion has variance √(-ħ²)/M a unit of time.
        mass: M.
        duration: time from p0 to p1.
        records: T, evenly spaced, at least 2.
        potential: V, (*points): weight exp(∫V dt/h) of a path; None: zero.
        iterations: of Sinkhorn's method; the slower the weaker the noise.
        tolerance: of `residual`.
        steps: of Strang's splitting from each record to the next, if there is a potential.
    """
    require_grid(grid)
    positive_numbers(mass=mass, duration=duration)
    real_numbers(tolerance=tolerance)
    p0, p1 = (real_array(name, p, shape=grid.points) for name, p in (("p0", p0), ("p1", p1)))
    positive("p0", p0)
    positive("p1", p1)
    V = None if potential is None else potential_like(p0, potential, grid)
    numbers = [_action_unit(planck_squared, p0.dtype), *(jnp.asarray(n, p0.dtype) for n in (mass, duration, tolerance))]
    counts = [integer("records", records, least=2)]
    counts += [integer(name, n, least=1) for name, n in (("iterations", iterations), ("steps", steps))]
    return _bridge(p0, p1.astype(p0.dtype), V, grid, *numbers, *counts)


@partial(jax.jit, static_argnums=(8, 9, 10))
def _bridge(
    p0: Array,
    p1: Array,
    V: Array | None,
    grid: Grid,
    h: Array,
    M: Array,
    duration: Array,
    tolerance: Array,
    T: int,
    iterations: int,
    steps: int,
) -> SchrodingerBridge:
    p0, p1 = grid.normalise(p0), grid.normalise(p1)
    between = duration / (T - 1)
    k2 = squared_wave_numbers(grid).astype(p0.dtype)

    def heat(f: Array, _: None) -> tuple[Array, Array]:
        """One interval between records; the operator is symmetric, so that it serves both directions."""
        if V is None:
            f = multiply_waves(f, grid, jnp.exp(-h / (2 * M) * k2 * between))
        else:
            s = between / steps
            kick, spread = jnp.exp(V * s / (2 * h)), jnp.exp(-h / (2 * M) * k2 * s)
            f = jax.lax.fori_loop(0, steps, lambda _, f: kick * multiply_waves(kick * f, grid, spread), f)
        return f, f

    def whole(f: Array) -> Array:
        if V is None:
            return multiply_waves(f, grid, jnp.exp(-h / (2 * M) * k2 * duration))
        return jax.lax.fori_loop(0, T - 1, lambda _, f: heat(f, None)[0], f)

    def sinkhorn(_: int, up: Array) -> Array:
        down = p0 / whole(up)  # φ- at the start
        up = p1 / whole(down)  # φ+ at the end
        return up / jnp.max(up)

    up = jax.lax.fori_loop(0, iterations, sinkhorn, jnp.ones_like(p0))
    down = p0 / whole(up)
    scale = grid.integrate(up * whole(down))
    up = up / scale
    down = down * scale
    ups = jnp.concatenate([up[None], jax.lax.scan(heat, up, None, length=T - 1)[1]])[::-1]
    downs = jnp.concatenate([down[None], jax.lax.scan(heat, down, None, length=T - 1)[1]])
    p, F = density_and_phase(ups, downs, planck_squared=-(h**2))
    total = grid.integrate(p[0])
    p = p / total
    ends = jnp.stack([grid.integrate(jnp.abs(p[0] - p0)), grid.integrate(jnp.abs(p[-1] - p1))])
    residual = jnp.max(ends)
    converged = (residual < tolerance) & jnp.all(ups > 0) & jnp.all(downs > 0)
    return SchrodingerBridge(jnp.linspace(0, 1, T, dtype=p0.dtype) * duration, p, F, residual, converged)
