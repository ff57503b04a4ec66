"""Energy conditions of a stress-energy tensor, by its principal values; textbook definitions, own algorithm.

T^a_b is not a symmetric matrix, and its eigenvectors are ill defined where energy density and a pressure cancel, as
for a cosmological constant or an electric field. Here the space part is diagonalised first, which is a symmetric
problem; what remains is one equation for the energy density, between whose poles every root is bracketed.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import fori_loop

from nnthermo._checks import check, finite, is_concrete, real_array, refuse
from nnthermo._typing import Array
from nnthermo.gravity._arguments import square_matrix
from nnthermo.gravity.inverse import regular, signature
from nnthermo.linalg.dense import matmul

SWEEPS = 10
"""Rounds of Jacobi's rotations over all pairs; they converge quadratically."""

BISECTIONS = 80
"""Halvings of a bracket of some units: more than the bits of a float64."""


class EnergyConditions(NamedTuple):
    """Principal values of T_ab and how far each energy condition is from being violated.

    The margins are not negative where the condition holds, in the units of T. All but `type` are NaN where T is not of
    type I: no observer then sees it diagonal.

    Attributes:
        type: of Hawking and Ellis, (): 1 where T has a time-like eigenvector; 2 where it is null to rounding, which is
            type II or III; 4 where the eigenvalues are complex; 0 where g has not the signature (-, +, ..., +) or T is
            not finite.
        density: ρ, the energy density in the rest frame, ().
        pressures: p_i along the principal axes, increasing, (n-1,).
        velocity: u^a of the rest frame, unit, towards growing x⁰ where it can be told, (n,).
        null: min(ρ + p_i): T_ab k^a k^b ≥ 0 for null k.
        weak: min(ρ, ρ + p_i): T_ab v^a v^b ≥ 0 for time-like v.
        dominant: ρ - max |p_i|: no observer sees energy flow faster than light.
        strong: min(ρ + p_i, ((n-3)ρ + Σp_i)/(n-2)): (T_ab - T g_ab/(n-2)) v^a v^b ≥ 0, with (12.12) and Λ = 0 that
            gravity attracts. NaN for n = 2.
    """

    type: Array
    density: Array
    pressures: Array
    velocity: Array
    null: Array
    weak: Array
    dominant: Array
    strong: Array

    def hold(self, tolerance: float = 0.0) -> dict[str, Array]:
        """Whether each condition holds, margins down to -tolerance allowed; none does where T is not of type I."""
        return {name: getattr(self, name) >= -tolerance for name in ("null", "weak", "dominant", "strong")}


def energy_conditions(T: Any, g: Any) -> EnergyConditions:
    """The null, weak, dominant and strong energy conditions of T_ab, from its principal values.

    Types are told apart with a resolution: type I is found if a change of T by ε^(2/3) of its largest entry in a frame
    of g (4e-11 in float64) makes it so, and rest frames with γ beyond ε^(-1/4) (8000) count as null. Derivatives hold
    for ρ, for pressures that differ, and for margins; `velocity` has none. Rotations of Jacobi in place of LAPACK: the
    function may be mapped over many points.

    Args:
        T: T_ab, lower indices, symmetric, (n, n), as from `effective_stress`.
        g: g_ab, (n, n), signature (-, +, ..., +), n ≥ 2.

    Raises:
        ValueError: shapes that do not fit, n < 2; where known, also values that are not finite, T not symmetric, a
            signature that is not that of a space-time.
    """
    g = square_matrix("g", g)
    n = g.shape[0]
    check("g", "have two or more dimensions", n > 1, n)
    T = real_array("T", T, shape=(n, n)).astype(g.dtype)
    _refuse_bad_values(T, g)
    T = (T + T.T) / 2
    axes, kind, is_spacetime = _principal_axes(jax.lax.stop_gradient(T), jax.lax.stop_gradient(g))
    # with the axes held fixed the quotients have the derivatives of the principal values
    values = _diagonal(axes, T) / _diagonal(axes, g)
    density, pressures, u = -values[0], jnp.sort(values[1:]), axes[:, 0]
    kind = jnp.where(is_spacetime & jnp.isfinite(jnp.sum(T)), kind, 0)
    smallest, total = density + pressures[0], jnp.sum(pressures)
    attraction = ((n - 3) * density + total) / (n - 2) if n > 2 else jnp.full_like(density, jnp.nan)
    found = EnergyConditions(
        kind,
        density,
        pressures,
        jnp.where(u[0] < 0, -u, u),
        smallest,
        jnp.minimum(density, smallest),
        density - jnp.max(jnp.abs(pressures)),
        jnp.minimum(smallest, attraction) if n > 2 else attraction,
    )
    return EnergyConditions(kind, *(jnp.where(kind == 1, value, jnp.nan) for value in found[1:]))


def _refuse_bad_values(T: Array, g: Array) -> None:
    if not is_concrete(T, g):
        return
    finite("T", T)
    known = np.asarray(T)
    gap = float(np.abs(known - known.T).max())
    allowed = 1e3 * float(jnp.finfo(T.dtype).eps) * float(np.abs(known).max())  # products with g⁻¹ on either side
    check("T", "be symmetric", gap <= allowed, f"a difference of {gap:.2g}")
    regular("g", g)
    if signature(g)[0] != 1:
        refuse("g", "have signature (-, +, ..., +)", f"{signature(g)[0]} negative eigenvalues of {g.shape[0]}")


def _diagonal(axes: Array, form: Array) -> Array:
    return jnp.sum(axes * matmul(form, axes), axis=0)


def _principal_axes(T: Array, g: Array) -> tuple[Array, Array, Array]:
    """Orthonormal axes, columns, in which T is diagonal, time first; the type; whether g is a space-time."""
    frame, is_spacetime = _frame(g)
    A = matmul(matmul(frame.T, T), frame)
    scale = jnp.max(jnp.abs(A))
    A = A / jnp.where(scale > 0, scale, 1)
    velocity, kind = _rest_frame(A)
    boost = _boost(velocity)
    space = _jacobi(matmul(matmul(boost.T, A), boost)[1:, 1:])[1]
    axes = jnp.concatenate([velocity[:, None], matmul(boost[:, 1:], space)], axis=1)
    return matmul(frame, axes), kind, is_spacetime


def _frame(g: Array) -> tuple[Array, Array]:
    """An orthonormal frame, columns (time, space...), and whether g has one negative eigenvalue."""
    scale = 1 / jnp.sqrt(jnp.linalg.norm(g, axis=1))
    values, vectors = _jacobi(g * scale[:, None] * scale[None, :])
    order = jnp.argsort(values)
    values, vectors = values[order], vectors[:, order]
    return scale[:, None] * vectors / jnp.sqrt(jnp.abs(values))[None, :], (values[0] < 0) & (values[1] > 0)


def _jacobi(A: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors (columns) of a small symmetric matrix, unsorted, by cyclic rotations."""
    n = A.shape[0]
    pairs = [(p, q) for p in range(n) for q in range(p + 1, n)]
    if not pairs:
        return jnp.diagonal(A), jnp.ones_like(A)
    first, second = (jnp.asarray(index) for index in zip(*pairs, strict=True))

    def rotate(k: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        A, V = state
        p, q = first[k % len(pairs)], second[k % len(pairs)]
        angle = jnp.arctan2(2 * A[p, q], A[p, p] - A[q, q]) / 2
        angle = jnp.where(jnp.abs(angle) > jnp.pi / 4, angle - jnp.sign(angle) * jnp.pi / 2, angle)
        c, s = jnp.cos(angle), jnp.sin(angle)
        R = jnp.eye(n, dtype=A.dtype).at[p, p].set(c).at[q, q].set(c).at[p, q].set(-s).at[q, p].set(s)
        A = matmul(matmul(R.T, A), R)
        return (A + A.T) / 2, matmul(V, R)

    with jax.named_scope("jacobi"):
        A, V = fori_loop(0, SWEEPS * len(pairs), rotate, (A, jnp.eye(n, dtype=A.dtype)))
    return jnp.diagonal(A), V


def _rest_frame(A: Array) -> tuple[Array, Array]:
    """The unit time-like eigenvector of A in an orthonormal frame, and the type; entries of A are of order one.

    With the space part diagonal, A = [[a, q], [q, diag p]], the density solves f(ρ) = a - ρ - Σ q²/(p + ρ) = 0 with
    f' < 0; there u ∝ (1, -q/(p + ρ)). Between two poles f' is convex, so that f falls on one stretch at most.
    """
    eps = jnp.finfo(A.dtype).eps
    p, V = _jacobi(A[1:, 1:])
    order = jnp.argsort(p)
    p, V = p[order], V[:, order]
    a, q = A[0, 0], matmul(V.T, A[1:, 0])
    q = jnp.where(jnp.abs(q) > eps ** (2 / 3), q, 0)  # noise, with which ρ + p = 0 would turn null or complex

    def weighted(rho: Array, power: int) -> Array:
        gap = p + rho
        tiny = jnp.where(gap == 0, eps**2, gap)
        return jnp.sum(jnp.where(q == 0, 0, q**2 / tiny**power))

    def f(rho: Array) -> Array:
        return a - rho - weighted(rho, 1)

    def slope(rho: Array) -> Array:
        return weighted(rho, 2) - 1

    poles = jnp.sort(-p)
    far = jnp.full(1, 2 + 2 * jnp.sum(jnp.abs(q)) + jnp.abs(a) + jnp.max(jnp.abs(p)), A.dtype)
    lefts, rights = jnp.concatenate([-far, poles]), jnp.concatenate([poles, far])

    def stretch(left: Array, right: Array) -> tuple[Array, Array]:
        steepest = _bisect(lambda x: weighted(x, 3) >= 0, left, right)  # up to there f' decreases
        top = _bisect(lambda x: slope(x) >= 0, left, steepest)
        bottom = _bisect(lambda x: slope(x) < 0, steepest, right)
        root = _bisect(lambda x: f(x) >= 0, top, bottom)
        missed = jnp.maximum(jnp.maximum(-f(top), f(bottom)), 0)
        return root, jnp.where(slope(root) < jnp.sqrt(eps), missed, jnp.inf)

    roots, missed = jax.vmap(stretch)(lefts, rights)
    best = jnp.argmin(missed)
    rho = roots[best]
    gap = p + rho
    space = jnp.where(q == 0, 0, -q / jnp.where(gap == 0, eps**2, gap))
    square = 1 - jnp.sum(space**2)
    found = missed[best] <= 64 * eps
    kind = jnp.where(found & (square > jnp.sqrt(eps)), 1, jnp.where(missed[best] <= jnp.sqrt(eps), 2, 4)).astype(
        jnp.int32
    )
    safe = jnp.where(kind == 1, square, 1)
    u = jnp.concatenate([jnp.ones(1, A.dtype), matmul(V, space)]) / jnp.sqrt(safe)
    return jnp.where(kind == 1, u, jnp.eye(A.shape[0], dtype=A.dtype)[0]), kind


def _bisect(goes_right: Any, left: Array, right: Array) -> Array:
    """The last point of [left, right] up to which `goes_right` holds."""

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        left, right = ends
        middle = left + (right - left) / 2
        keep = goes_right(middle)
        return jnp.where(keep, middle, left), jnp.where(keep, right, middle)

    left, right = fori_loop(0, BISECTIONS, halve, (left, right))
    return left + (right - left) / 2


def _boost(u: Array) -> Array:
    """The frame (u, boosted space axes) in components of the old one, columns."""
    gamma, v = u[0], u[1:]
    space = jnp.eye(len(v), dtype=u.dtype) + v[:, None] * v[None, :] / (1 + gamma)
    return jnp.block([[gamma[None, None], v[None, :]], [v[:, None], space]])
