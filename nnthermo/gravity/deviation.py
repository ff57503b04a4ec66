"""The spreading of neighbouring geodesics: curvature as it is felt."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, real_array
from nnthermo._typing import Array
from nnthermo.gravity.derivatives import Metric
from nnthermo.gravity.flow import integrate, relative_tolerance, shares
from nnthermo.gravity.geodesics import Geodesic, acceleration, finish, orientation, start
from nnthermo.gravity.transport import connection_along, unit_rows
from nnthermo.linalg.dense import matmul


class GeodesicDeviation(NamedTuple):
    """Separations of neighbouring geodesics from one between them.

    Attributes:
        geodesic: the one between, at T parameters.
        separations: ξ^a, upper indices, (T, ..., n).
        rates: Dξ^a/ds, the covariant derivative along the geodesic, (T, ..., n).
    """

    geodesic: Geodesic
    separations: Array
    rates: Array


def geodesic_deviation(
    metric: Metric,
    point: Any,
    velocity: Any,
    separations: Any,
    rates: Any,
    parameters: Any,
    *,
    tolerance: float | None = None,
    absolute: Any = None,
    domain: Callable[[Array], Any] | None = None,
    max_steps: int = 4096,
    solver: Any = None,
    adjoint: Any = None,
) -> GeodesicDeviation:
    """Jacobi fields D²ξ^a/ds² = -R^a_bcd v^b ξ^c v^d along a geodesic, as derivatives of its equation.

    The linearised equation of geodesics in coordinates, which needs second derivatives of g along ξ alone and no
    Riemann tensor. ξ = 0 with rates e_b at the start gives ∂(point)/∂(velocity) at every parameter.

    Args:
        metric, point, velocity, parameters: as for `geodesic`.
        separations: ξ^a at the start, upper indices, (..., n).
        rates: Dξ^a/ds at the start, covariant, of the same shape. Zero for geodesics that start parallel.
        tolerance, absolute, domain, max_steps, solver, adjoint: as for `geodesic`.

    Returns:
        The geodesic and its neighbours, NaN from where it failed.

    Raises:
        ImportError, TypeError, ValueError: as for `geodesic`; `separations` and `rates` of different shapes.
    """
    x, v, g = start(metric, point, velocity, domain)
    dtype, n = x.dtype, x.shape[0]
    s, first, length, ordered = shares(parameters, dtype)
    V = real_array("separations", separations).astype(dtype)
    check("separations", f"have {n} components", V.ndim > 0 and V.shape[-1] == n, f"shape {V.shape}")
    W = real_array("rates", rates, shape=V.shape).astype(dtype) * length
    finite("separations", V)
    finite("rates", W)
    bound = relative_tolerance(tolerance, dtype)
    sign, u = orientation(g), v * length
    rows, size = unit_rows(V, W)
    slopes = unit_rows(W, V)[0]
    m = len(rows)

    def turned(x: Array, u: Array, rows: Array) -> Array:
        return matmul(rows, connection_along(metric, x, u).T)

    def field(_: Array, y: Array) -> Array:
        x, u = y[0], y[1]

        def pushed(a: Array, b: Array) -> tuple[Array, Array]:
            return jax.jvp(lambda x, u: acceleration(metric, x, u, sign), (x, u), (a, b))

        own, others = jax.vmap(pushed, out_axes=(None, 0))(y[2 : 2 + m], y[2 + m :])
        return jnp.concatenate([jnp.stack([u, own]), y[2 + m :], others])

    scale = jnp.broadcast_to(jnp.asarray(bound if absolute is None else absolute, dtype), (1, n))
    y, cause = integrate(
        field,
        jnp.concatenate([jnp.stack([x, u]), rows, slopes - turned(x, u, rows)]),
        s,
        tolerance=bound,
        absolute=jnp.where(np.arange(2 + 2 * m)[:, None] < 2, scale, bound),
        max_steps=max_steps,
        solver=solver,
        adjoint=adjoint,
        outside=None if domain is None else lambda y: ~jnp.asarray(domain(y[0]), bool),
    )
    sound = ordered & jnp.isfinite(x).all() & jnp.isfinite(v).all()
    line = finish(metric, first + length * s, y[:, 0], y[:, 1] / length, cause, sound, bound)
    carried = y[:, 2 : 2 + m]
    changes = (y[:, 2 + m :] + jax.vmap(turned)(y[:, 0], y[:, 1], carried)) / length
    good = jnp.isfinite(line.norm)[:, None, None]
    both = (jnp.where(good, a * size[None], jnp.nan).reshape(len(s), *V.shape) for a in (carried, changes))
    return GeodesicDeviation(line, *both)
