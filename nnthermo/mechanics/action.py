"""The principle of stationary entropy production: an action for the density and the free energy of an ensemble.

The terms are those listed in arXiv:2008.01540 (read in its published summary); the constants, ħ² of either sign and the
caveats are own derivations. Near the stationary point the action is that of a Madelung fluid (`madelung`).
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import nonzero, positive, real_array, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics._arguments import increasing_times, potential_like
from nnthermo.mechanics.fourier import spectral_gradient, spectral_laplacian
from nnthermo.mechanics.grid import Grid, require_grid

Kept = Literal["stochastic", "learning", "all"]


def learning_coefficient(diffusion: Any, gamma: Any, multiplier: Any, *, keep: Kept) -> Array:
    """c of the term c p ∇²F: 0 ("stochastic"), γ ("learning"), or γ + λD ("all").

    Args:
        diffusion: D, of any shape that broadcasts with the others.
        gamma: γ > 0.
        multiplier: λ, of either sign, not 0.
        keep: "stochastic", "learning" or "all".
    """
    return _numbers(diffusion, gamma, multiplier, keep)[3]


def _numbers(diffusion: Any, gamma: Any, multiplier: Any, keep: Kept) -> tuple[Array, Array, Array, Array]:
    """D, γ, λ and c, of one shape."""
    if not isinstance(keep, str) or keep not in ("stochastic", "learning", "all"):
        refuse("keep", "be 'stochastic', 'learning' or 'all'", repr(keep))
    positive("gamma", gamma)
    given = (("diffusion", diffusion), ("gamma", gamma), ("multiplier", multiplier))
    D, g, lam = jnp.broadcast_arrays(*(real_array(name, number) for name, number in given))
    nonzero("multiplier", lam)
    return D, g, lam, {"stochastic": jnp.zeros_like(g), "learning": g, "all": g + lam * D}[keep]


def stationary_entropy_production_action(
    p: Any,
    F: Any,
    times: Any,
    grid: Grid,
    *,
    potential: Any,
    diffusion: Scalar,
    gamma: Scalar,
    multiplier: Scalar,
    keep: Kept = "stochastic",
    mean_gradient: Any = None,
) -> Array:
    """The action A[p, F] = ∫dt d^Kq { 4D |∇√p|² + c p ∇²F + λ p (∂F/∂t + γ |∇F|² + V) }, a number in nats.

    The first term is the stochastic production of entropy, the second what learning adds to it, and λ is the multiplier
    that holds the average production of free energy at -⟨V⟩. Kept terms (`keep`):

    - "stochastic", c = 0: near equilibrium the learning term is dropped. Stationary points are the Madelung equations
      with M = 1/(2γ) and ħ = 2 √(D/(γλ)): wave functions √p exp(iF/ħ) that solve the Schrödinger equation.
    - "learning", c = γ: the learning entropy is kept. The same equations for the shifted phase (`shifted_phase`), with
      ħ² = 4D/(γλ) - 1/λ².
    - "all", c = γ + λD: the diffusive part λ D p ∇²F of the free-energy production is kept as well, which the papers
      leave out. Then ħ² = -(1 - λD/γ)²/λ² is never positive: what is kept decides between waves and diffusion.

    The drift at the stationary point is ∇F/M = 2γ ∇F, twice the γ ∇F of the Fokker-Planck equation from which the terms
    come: the action is a new principle and not a rewriting of that equation. Signs are those of the paper, drift
    +γ∇F; F → -F is gradient descent.

    Time is discretised to second order: ∂F/∂t between records, the other terms at the records with trapezoidal weights,
    so that interior gradients are central differences for equal steps. Space is spectral.

    Args:
        p: densities, (T, *points), positive.
        F: phases (Hamilton's function, a free energy), (T, *points).
        times: (T,), increasing.
        grid: rings, or walls that nothing crosses (p and F even about them).
        potential: V, (*points) or (T, *points).
        diffusion: D.
        gamma: γ > 0.
        multiplier: λ, of either sign, not 0.
        keep: which terms are kept.
        mean_gradient: for a phase that winds around rings, F + mean_gradient·q in place of F, (d,).

    Raises:
        ValueError: shapes that do not fit; an unknown `keep`.
    """
    require_grid(grid)
    t = increasing_times(times)
    p, F = (real_array(name, values, shape=(len(t), *grid.points)) for name, values in (("p", p), ("F", F)))
    V = potential_like(p, potential, grid)
    D, g, lam, c = (number.astype(p.dtype) for number in _numbers(diffusion, gamma, multiplier, keep))
    mean = None
    if mean_gradient is not None:
        mean = real_array("mean_gradient", mean_gradient, shape=(grid.dimensions,)).astype(p.dtype)
    return _action(p, F.astype(p.dtype), grid, t.astype(p.dtype), V, (D, g, lam, c), mean)


@partial(jax.jit, inline=True)
def _action(
    p: Array, F: Array, grid: Grid, t: Array, V: Array, numbers: tuple[Array, ...], mean: Array | None
) -> Array:
    D, g, lam, c = numbers
    slope = spectral_gradient(F, grid)
    if mean is not None:
        slope = slope + mean.reshape((1,) * (slope.ndim - 1) + mean.shape)
    fisher = jnp.sum(spectral_gradient(jnp.sqrt(p), grid) ** 2, axis=-1)
    static = 4 * D * fisher + c * p * spectral_laplacian(F, grid) + lam * p * (g * jnp.sum(slope**2, axis=-1) + V)
    moving = lam * (p[1:] + p[:-1]) / 2 * (F[1:] - F[:-1])
    return jnp.sum(_weights(t) * grid.integrate(static)) + jnp.sum(grid.integrate(moving))


def _weights(t: Array) -> Array:
    step = jnp.diff(t)
    zero = jnp.zeros((1,), t.dtype)
    return (jnp.concatenate([step, zero]) + jnp.concatenate([zero, step])) / 2


class ActionGradient(NamedTuple):
    """Functional derivatives of the action at the interior times; both vanish at a stationary point.

    Attributes:
        density: δA/δp, λ times the Hamilton-Jacobi equation, (T - 2, *points).
        phase: δA/δF, -λ times the continuity equation with the velocity 2γ∇F, (T - 2, *points).
    """

    density: Array
    phase: Array


def action_gradient(p: Any, F: Any, times: Any, grid: Grid, **terms: Any) -> ActionGradient:
    """δA/δp and δA/δF by automatic differentiation, per unit of time and volume; ends are held fixed.

    Arguments as in `stationary_entropy_production_action`. The error is of second order in the step of time.
    """
    require_grid(grid)
    p, F = real_array("p", p), real_array("F", F)
    both = jax.grad(lambda p, F: stationary_entropy_production_action(p, F, times, grid, **terms), argnums=(0, 1))
    weights = _weights(real_array("times", times, ndim=1).astype(p.dtype)) * grid.cell.astype(p.dtype)
    weights = weights.reshape((-1,) + (1,) * grid.dimensions)
    by_p, by_F = (g[1:-1] / weights[1:-1].astype(g.dtype) for g in both(p, F))
    return ActionGradient(by_p, by_F)


def effective_planck_squared(diffusion: Any, gamma: Any, multiplier: Any, *, keep: Kept = "stochastic") -> Array:
    """ħ² = 4D/(γλ) - (c/(γλ))² of the action with the kept terms, of either sign.

    Own derivation: p ∇²F is absorbed by F~ = F - (c/(2λγ)) log p up to total derivatives, and takes c²/(4λγ) away from
    D. With r = λD/γ, (λħ)² is 4r ("stochastic"), 4r - 1 ("learning": positive for r > 1/4 only), -(1 - r)² ("all").

    What the sign means: ħ² > 0, waves, Ψ = √p exp(iF/ħ) solves the Schrödinger equation. ħ² = 0, particles: the
    Hamilton-Jacobi equation, without a quantum potential. ħ² < 0, diffusion: φ± = √p exp(±F/|ħ|) solve a pair of heat
    equations, one backward and one forward in time (`schrodinger_bridge`).

    Args:
        diffusion: D.
        gamma: γ > 0.
        multiplier: λ, not 0: refused, or NaN or infinite where traced.
        keep: "stochastic", "learning" or "all".
    """
    D, g, lam, c = _numbers(diffusion, gamma, multiplier, keep)
    return 4 * D / (g * lam) - (c / (g * lam)) ** 2


def planck_constant(diffusion: Any, gamma: Any, multiplier: Any) -> Array:
    """ħ = 2 √(D/(γλ)) of the action without the learning term; NaN where D/λ is negative.

    Recalled from arXiv:2008.01540 and re-derived. The mass is M = 1/(2γ). Arguments as in `effective_planck_squared`.
    """
    return jnp.sqrt(effective_planck_squared(diffusion, gamma, multiplier))


def shifted_phase(p: Any, F: Any, *, diffusion: Scalar, gamma: Scalar, multiplier: Scalar, keep: Kept) -> Array:
    """F~ = F - (c/(2λγ)) log p, the phase whose equations are Madelung's; of the shape of p and F.

    Args:
        p: densities, positive, of any shape.
        F: phases, of the shape of p.
        diffusion, gamma, multiplier, keep: D, γ, λ and the kept terms, as in `effective_planck_squared`.
    """
    return _shift(p, F, diffusion, gamma, multiplier, keep, -1)


def unshifted_phase(p: Any, F: Any, *, diffusion: Scalar, gamma: Scalar, multiplier: Scalar, keep: Kept) -> Array:
    """F = F~ + (c/(2λγ)) log p: the inverse of `shifted_phase`; arguments as there."""
    return _shift(p, F, diffusion, gamma, multiplier, keep, 1)


def _shift(p: Any, F: Any, diffusion: Any, gamma: Any, multiplier: Any, keep: Kept, sign: int) -> Array:
    p = real_array("p", p)
    F = real_array("F", F, shape=p.shape)
    _, g, lam, c = _numbers(diffusion, gamma, multiplier, keep)
    return _shifted(p, F, sign * c / (2 * lam * g))


@partial(jax.jit, inline=True)
def _shifted(p: Array, F: Array, share: Array) -> Array:
    return F + share.astype(F.dtype) * jnp.log(p).astype(F.dtype)
