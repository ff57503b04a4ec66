"""Derivatives of tensor fields that do not depend on the chart: covariant, Lie, and the wave operator.

A field is a function of one point, (n,) -> (n, ..., n), of JAX operations; `indices` has one sign for each index in
their order, "^" upper and "_" lower: "" a scalar, "^" a vector, "_" a covector, "^_" T^a_b. `jax.vmap` over points.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.lax import Precision

from nnthermo._checks import check, finite, function, instance, is_concrete, real_array
from nnthermo._typing import Array
from nnthermo.gravity._algebra import value_and_slopes
from nnthermo.gravity._arguments import returns, square_matrix
from nnthermo.gravity.curvature import christoffel
from nnthermo.gravity.derivatives import Metric
from nnthermo.gravity.inverse import inverse_and_determinant, regular

TensorField = Callable[[Array], Array]
"""A tensor (n, ..., n) at one point (n,), of JAX operations."""


def covariant_derivative(metric: Metric, field: TensorField, point: Any, indices: str) -> Array:
    """∇_c T^a.._b.. = ∂_c T + Γ^a_cd T^d.. + ... - Γ^d_cb T.._d.. - ..., the derivative's index first.

    Args:
        metric: g_ab (n, n) of one point.
        field: T of one point, (n, ..., n), one axis for each of `indices`.
        point: coordinates, (n,).
        indices: "^" or "_" for each index of T.

    Returns:
        (n, n, ..., n), one axis more than T.

    Raises:
        TypeError: a field that is no function or not real; `indices` no text.
        ValueError: a field of another shape, other signs; outside transformations also values that are not finite and
            what `christoffel` refuses.
    """
    value, slopes = _slopes(field, point, indices)
    connection = christoffel(metric, point)
    for axis, sign in enumerate(indices):
        # Γ^a_cd with c first and the index of T that it replaces last
        turn = jnp.transpose(connection, (1, 0, 2)) if sign == "^" else -jnp.transpose(connection, (1, 2, 0))
        term = jnp.tensordot(turn, value, axes=((2,), (axis,)), precision=Precision.HIGHEST)
        slopes = slopes + jnp.moveaxis(term, 1, axis + 1)
    return slopes


def covariant_divergence(metric: Metric, field: TensorField, point: Any, indices: str = "^") -> Array:
    """∇_a T^a.. over the first index, ∇^a T_a.. where that is lower: (n, ..., n), one axis less than T.

    Arguments and errors as in `covariant_derivative`.
    """
    check("indices", "name an index to sum over", indices != "", repr(indices))
    slopes = covariant_derivative(metric, field, point, indices)
    if indices[0] == "^":
        return jnp.trace(slopes)
    g = jnp.asarray(metric(real_array("point", point, ndim=1)))
    return jnp.tensordot(inverse_and_determinant(g)[0], slopes, axes=2, precision=Precision.HIGHEST)


def lie_derivative(vector_field: TensorField, field: TensorField, point: Any, indices: str) -> Array:
    """L_v T = v^c ∂_c T - ∂_c v^a T^c.. - ... + ∂_b v^c T.._c + ..., change of T along v: no metric needed.

    Args:
        vector_field: v^a (n,) of one point.
        field: T of one point, (n, ..., n), one axis for each of `indices`.
        point: coordinates, (n,).
        indices: "^" or "_" for each index of T.

    Returns:
        The shape of T. Errors as in `covariant_derivative`.
    """
    v, dv = _slopes(vector_field, point, "^", "vector_field")
    value, slopes = _slopes(field, point, indices)
    change = jnp.tensordot(v, slopes, axes=1, precision=Precision.HIGHEST)
    for axis, sign in enumerate(indices):
        turn = -dv.T if sign == "^" else dv
        term = jnp.tensordot(turn, value, axes=((1,), (axis,)), precision=Precision.HIGHEST)
        change = change + jnp.moveaxis(term, 0, axis)
    return change


def killing_residual(metric: Metric, vector_field: TensorField, point: Any) -> Array:
    """∇_a ξ_b + ∇_b ξ_a = (L_ξ g)_ab, (n, n): 0 where ξ^a generates an isometry; arguments as in `lie_derivative`."""
    return lie_derivative(vector_field, metric, point, "__")


def laplace_beltrami(metric: Metric, scalar_field: TensorField, point: Any) -> Array:
    """∇^a ∇_a φ = g^ab (∂_a ∂_b φ - Γ^c_ab ∂_c φ), (): the wave operator where the signature is (-, +, ..., +).

    Arguments and errors as in `covariant_derivative`, φ a scalar of one point.
    """

    def slope(y: Array) -> Array:
        return _slopes(scalar_field, y, "", "scalar_field")[1]

    return covariant_divergence(metric, slope, point, "_")


def raise_index(g: Any, tensor: Any, axis: int = 0) -> Array:
    """The index of a tensor (..., n, ...) on one axis made upper by g^ab, of one g_ab (n, n)."""
    return _moved(inverse_and_determinant(_regular(g))[0], tensor, axis)


def lower_index(g: Any, tensor: Any, axis: int = 0) -> Array:
    """The index of a tensor (..., n, ...) on one axis made lower by g_ab, (n, n)."""
    return _moved(_regular(g), tensor, axis)


def _regular(g: Any) -> Array:
    g = square_matrix("g", g)
    regular("g", g)
    return g


def _moved(matrix: Array, tensor: Any, axis: int) -> Array:
    T, n = real_array("tensor", tensor), matrix.shape[0]
    fits = -T.ndim <= axis < T.ndim and T.shape[axis] == n
    check("tensor", f"have an axis {axis} of length {n}", fits, f"shape {T.shape}")
    turned = jnp.tensordot(matrix, T, axes=((1,), (axis,)), precision=Precision.HIGHEST)
    return jnp.moveaxis(turned, 0, axis)


def _slopes(field: TensorField, point: Any, indices: str, name: str = "field") -> tuple[Array, Array]:
    """T and ∂_c T, derivatives first, after all checks."""
    instance("indices", indices, str, "text of ^ and _")
    check("indices", "have ^ or _ for each index", set(indices) <= set("^_"), repr(indices))
    function(name, field, "a function of one point")
    x = real_array("point", point, ndim=1)
    returns(name, field, x, x.shape * len(indices), f", as indices {indices!r} say")
    value, slopes = value_and_slopes(field, x)
    if is_concrete(value):
        finite(name, value)
    return value, slopes
