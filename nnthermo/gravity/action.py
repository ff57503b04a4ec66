"""The action of (12.10) on a periodic lattice of metrics, and its gradient: Einstein's equations by differentiation.

The lattice, the difference quotients and the identification of the gradient are own design; the continuum statement is
that of (12.12).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, function, positive, real_array, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.gravity._arguments import EINSTEIN_KAPPA, Variant, coupling, known_variant, one_number
from nnthermo.gravity.inverse import volume_density
from nnthermo.gravity.onsager import onsager_contraction

Derivative = Callable[[Array, int, Array], Array]
"""∂ along one axis of a periodic array: (values, axis, spacing) -> an array of the same shape; linear in the values."""


def spectral_derivative(values: Array, axis: int, spacing: Array) -> Array:
    """∂ by Fourier series: exact for the waves that the lattice resolves, without the fastest one if the count is even.

    The error of a smooth field falls faster than any power of the spacing. Arguments as in `central_derivative`.
    """
    count = values.shape[axis]
    waves = np.fft.rfftfreq(count, 1 / count) * 2 * np.pi / count
    if count % 2 == 0:
        waves[-1] = 0
    shape = [1] * values.ndim
    shape[axis] = len(waves)
    transform = jnp.fft.rfft(values, axis=axis)
    factor = jax.lax.complex(jnp.zeros(len(waves), values.dtype), jnp.asarray(waves, values.dtype)).reshape(shape)
    return jnp.fft.irfft(transform * factor, n=count, axis=axis).astype(values.dtype) / spacing


_STENCILS = {2: (1 / 2,), 4: (2 / 3, -1 / 12), 6: (3 / 4, -3 / 20, 1 / 60)}


def central_derivative(values: Array, axis: int, spacing: Array, *, order: int = 2) -> Array:
    """∂ by central differences of order 2, 4 or 6 in the spacing; `functools.partial` to choose the order.

    Args:
        values: periodic along the axis.
        axis: along which.
        spacing: between its points, ().
        order: 2, 4 or 6.
    """
    if order not in _STENCILS:
        refuse("order", "be 2, 4 or 6", order)
    quotients = [
        c * (jnp.roll(values, -k, axis) - jnp.roll(values, k, axis)) for k, c in enumerate(_STENCILS[order], 1)
    ]
    return sum(quotients[1:], quotients[0]) / spacing


def gamma_gamma_action(
    g: Any,
    lengths: Any,
    *,
    kappa: Scalar = EINSTEIN_KAPPA,
    cosmological_constant: Scalar = 0.0,
    matter: Callable[..., Array] | None = None,
    fields: Sequence[Any] = (),
    derivative: Derivative = spectral_derivative,
    variant: Variant = "corrected",
) -> Array:
    """∫ √|g| [ L^{mn ab cd} g_ab,m g_cd,n - Λ/κ + L ] dⁿx of a lattice of metrics on a torus, ().

    By (12.10) with the corrected Onsager tensor it is the action ∫ √|g| [ (R - 2Λ)/2κ + L ], without second
    derivatives. `variant="printed"` has the signs of (12.2), ∫ √|g| (-R/2κ + Λ + L), with the same R.

    Args:
        g: g_ab on the lattice, (p_1, ..., p_k, n, n), k ≤ n; nothing depends on the coordinates beyond the first k,
            along which the torus has length one.
        lengths: of the first k axes, (k,).
        kappa: κ > 0; 8π if nothing is said.
        cosmological_constant: Λ.
        matter: L(g_ab, *fields) at one point, a number.
        fields: arrays (p_1, ..., p_k, ...) that `matter` takes, held fixed.
        derivative: `spectral_derivative`, `central_derivative`, or another of that form.
        variant: "corrected" or "printed".

    Raises:
        ValueError: shapes that do not fit, unknown `variant`. A singular g gives NaN or infinity.
    """
    g, spacing = _lattice(g, lengths)
    k, constant = coupling(kappa, g), one_number("cosmological_constant", cosmological_constant, g)
    known_variant(variant)
    function("derivative", derivative, "a function of values, axis and spacing")
    given = tuple(real_array("fields", field) for field in fields)
    for field in given:
        fits = field.shape[: g.ndim - 2] == g.shape[:-2]
        check("fields", f"begin with shape {g.shape[:-2]}, that of the lattice", fits, f"shape {field.shape}")
    return _action(g, spacing, k, constant, given, matter, derivative, variant)


@partial(jax.jit, static_argnums=(5, 6, 7), inline=True)
def _action(
    g: Array,
    spacing: Array,
    kappa: Array,
    constant: Array,
    fields: tuple[Array, ...],
    matter: Callable[..., Array] | None,
    derivative: Derivative,
    variant: Variant,
) -> Array:
    g = (g + jnp.swapaxes(g, -1, -2)) / 2
    axes, n = g.ndim - 2, g.shape[-1]
    slopes = [derivative(g, axis, spacing[axis]) for axis in range(axes)]
    dg = jnp.stack([*slopes, *[jnp.zeros_like(g)] * (n - axes)], axis=-3)

    def density(g: Array, dg: Array, *fields: Array) -> Array:
        curvature = onsager_contraction(g, dg, kappa=kappa)
        vacuum = curvature - constant / kappa if variant == "corrected" else constant - curvature
        return volume_density(g) * (vacuum if matter is None else vacuum + matter(g, *fields))

    for _ in range(axes):
        density = jax.vmap(density)
    return jnp.sum(density(g, dg, *fields)) * jnp.prod(spacing)


def action_gradient(g: Any, lengths: Any, **terms: Any) -> Array:
    """δA/δg_ab per coordinate volume, (p_1, ..., p_k, n, n), symmetric, upper indices, by automatic differentiation.

    In the continuum it is √|g| [ -(G^ab + Λ g^ab)/κ + T^ab ]/2 (printed variant: √|g| [ G^ab/κ + Λ g^ab + T^ab ]/2), so
    that its zeros are the metrics on the lattice which solve (12.12). The error is that of `derivative`.
    Arguments and errors as in `gamma_gamma_action`.
    """
    g, spacing = _lattice(g, lengths)
    gradient = jax.grad(lambda g: gamma_gamma_action(g, lengths, **terms))(g)
    return gradient / jnp.prod(spacing)


def _lattice(g: Any, lengths: Any) -> tuple[Array, Array]:
    g = real_array("g", g)
    check("g", "have lattice axes and two of a metric", g.ndim >= 3, f"shape {g.shape}")
    axes, n = g.ndim - 2, g.shape[-1]
    fits = g.shape[-2] == n >= axes
    check("g", "end in a square metric with no fewer dimensions than lattice axes", fits, f"shape {g.shape}")
    sizes = real_array("lengths", lengths, shape=(axes,)).astype(g.dtype)
    positive("lengths", sizes)
    return g, sizes / jnp.asarray(g.shape[:-2], g.dtype)
