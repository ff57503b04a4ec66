"""Fixed states x̄ = f(ŵx̄ + b) (2.9) of any map, with a report and an implicit derivative."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import full_precision
from nnthermo._typing import Array, Scalar, State

Map = Callable[[Array], Array]


class FixedPoint(NamedTuple):
    """What a fixed-point solver found.

    Attributes:
        state: x̄ in the structure of the network.
        residual: largest |x̄ - f(ŵx̄ + b)|, shape ().
        steps: iterations taken, shape ().
        converged: whether the residual is within the tolerance, shape ().
    """

    state: Any
    residual: Array
    steps: Array
    converged: Array


Solver = Callable[[Map, Array, Scalar, int], tuple[Array, Array]]
"""(f, start (N,), tolerance on the largest |x - f(x)|, max_steps) -> x, steps."""


def exact_fixed_point(state: State, steps: int, dtype: Any) -> FixedPoint:
    """The report of a network without cycles, which needs no solver; converged unless the state is not finite."""
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(s)) for s in jax.tree.leaves(state)]))
    return FixedPoint(state, jnp.where(finite, 0.0, jnp.nan).astype(dtype), jnp.asarray(steps, jnp.int32), finite)


def _distance(f: Map, x: Array) -> Array:
    return jnp.max(jnp.abs(x - f(x)), initial=0.0)


def iterate(f: Map, x: Array, tolerance: Scalar, max_steps: int) -> tuple[Array, Array]:
    """Solver: the network's own dynamics (2.5), which finds stable fixed points only.

    Args:
        f: x ↦ f(ŵx + b), (N,) to (N,).
        x: start, (N,).
        tolerance: on the largest |x - f(x)|.
        max_steps: bound on the iterations.

    Returns:
        (x, steps), as every solver; whether it converged its caller finds out.
    """

    def unfinished(carry: tuple[Array, Array]) -> Array:
        return (carry[1] < max_steps) & (_distance(f, carry[0]) > tolerance)

    return jax.lax.while_loop(unfinished, lambda carry: (f(carry[0]), carry[1] + 1), (x, jnp.zeros((), jnp.int32)))


def newton(f: Map, x: Array, tolerance: Scalar, max_steps: int) -> tuple[Array, Array]:
    """Solver: Newton steps on r(x) = x - f(x), halved until |r| falls; finds unstable fixed points too.

    Dense Jacobian: O(N³) a step. Stops early when 30 halvings do not reduce the residual. Arguments and what is
    returned as `iterate`.

    Raises:
        ValueError: half precision.
    """
    full_precision("x", x.dtype)

    def residual(x: Array) -> Array:
        return x - f(x)

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        x, steps, _ = carry
        r = residual(x)
        dx = jnp.linalg.solve(jax.jacfwd(residual)(x), r)
        size = jnp.linalg.norm(r)

        def worse(trial: tuple[Array, Array]) -> Array:
            return ~(jnp.linalg.norm(residual(x - trial[0] * dx)) < size) & (trial[1] < 30)

        damping, halvings = jax.lax.while_loop(
            worse, lambda trial: (trial[0] / 2, trial[1] + 1), (jnp.ones((), x.dtype), jnp.zeros((), jnp.int32))
        )
        stuck = halvings >= 30
        return jnp.where(stuck, x, x - damping * dx), steps + 1, stuck

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] < max_steps) & ~carry[2] & (_distance(f, carry[0]) > tolerance)

    x, steps, _ = jax.lax.while_loop(unfinished, step, (x, jnp.zeros((), jnp.int32), jnp.zeros((), bool)))
    return x, steps


def solve_fixed_point(
    f: Map, initial: Array, *, tolerance: Scalar | None, max_steps: int, solver: Solver
) -> FixedPoint:
    """x̄ = f(x̄) from `initial`, shape (N,), differentiable in whatever f closes over.

    The derivative is that of the implicit function, dx̄ = (I - ∂f/∂x)⁻¹ (∂f/∂θ) dθ, by a dense solve: exact where
    the solver converged, meaningless where it did not, NaN or infinite where I - ∂f/∂x is singular (a bifurcation).
    It does not depend on the start or the path. Default tolerance: 16 units in the last place of numbers near 1.
    """
    bound: Scalar = float(16 * jnp.finfo(initial.dtype).eps) if tolerance is None else tolerance

    def solve(residual: Map, x: Array) -> tuple[Array, tuple[Array, Array]]:
        # f itself and not x - residual(x), which is f(x) but for rounding: layered networks are exact to the last bit
        x, steps = solver(f, x, bound, max_steps)
        # steps as a float: `custom_root` gives auxiliary output a tangent of its own dtype, which integers cannot have
        return x, (steps.astype(x.dtype), jnp.max(jnp.abs(residual(x)), initial=0.0))

    def tangent_solve(linear: Map, y: Array) -> Array:
        return jnp.linalg.solve(jax.jacfwd(linear)(jnp.zeros_like(y)), y)

    state, (steps, residual) = jax.lax.custom_root(lambda x: x - f(x), initial, solve, tangent_solve, has_aux=True)
    residual, steps = jax.lax.stop_gradient((residual, steps))
    return FixedPoint(state, residual, steps.astype(jnp.int32), residual <= bound)
