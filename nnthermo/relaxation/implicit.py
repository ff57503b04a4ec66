r"""Derivatives of a relaxed state by the implicit function theorem.

At a minimum over the free neurons ∂H/∂x_free = 0, so that a change of network, potential or clamped data moves it by

    dx_free = -H_xx⁻¹ d(∂H/∂x_free),   dH = ∂H explicitly,

H_xx being positive definite at a minimum that is isolated. The system is solved by conjugate gradients, matrix-free.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import cg

from nnthermo._typing import Array, State
from nnthermo.network import Network

Solve = Callable[[Network, list, Array, Array, State], tuple[State, Array, Array, Array]]


def implicit_derivative(
    solve: Solve, loss: Callable[[Network, list, State], Array], clamped: Sequence[np.ndarray]
) -> Solve:
    """`solve` with derivatives.

    Args:
        solve: (network, arrays of the potential, tolerance, max_steps, start) to (state, loss, largest gradient, steps)
            of one sample. Clamped neurons keep their value in the start.
        loss: (network, arrays, state) to H.
        clamped: one mask a leaf of a state.

    Returns:
        The same function. Its state has the derivative above, NaN where the largest gradient is above the tolerance;
        its loss the explicit one; the rest has none.
    """
    solve_with_derivative = jax.custom_jvp(solve)
    fixed = np.concatenate(clamped)
    free = np.flatnonzero(~fixed)

    def slope(net: Network, arrays: list, x: State) -> Array:
        """∂H/∂x of the free neurons, as one vector."""
        return net.ravel(jax.grad(loss, argnums=2)(net, arrays, x))[free]

    @solve_with_derivative.defjvp
    def _derivative(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        net, arrays, *_ = primals
        d_net, d_arrays, _, _, d_start = tangents
        found = solve_with_derivative(*primals)
        x, value, norm, steps = found
        d_data = jnp.where(fixed, net.ravel(d_start), 0)
        change = d_net, d_arrays, net.unravel(d_data)
        d_value = jax.jvp(loss, (net, arrays, x), change)[1]
        known = jnp.where(norm <= primals[2], 1.0, jnp.nan).astype(value.dtype)
        d_slope = known * jax.jvp(slope, (net, arrays, x), change)[1]

        def curvature(v: Array) -> Array:
            along = net.unravel(jnp.zeros_like(d_data).at[free].set(v))
            return jax.jvp(lambda s: slope(net, arrays, s), (x,), (along,))[1]

        accuracy = float(jnp.finfo(value.dtype).eps) ** 0.75
        moved = jax.lax.custom_linear_solve(
            curvature,
            -d_slope,
            lambda product, right: cg(product, right, tol=accuracy, maxiter=10 * max(len(free), 1))[0],
            symmetric=True,
        )
        d_x = net.unravel(d_data.at[free].add(known * moved))  # on both sides: a solver may return 0 for NaN
        return found, (d_x, d_value, jnp.zeros_like(norm), np.zeros(steps.shape, jax.dtypes.float0))

    return solve_with_derivative
