"""The action of (12.2) and the stress-energy of (12.14), for metrics that are functions of a point.

As printed, (12.2) with (12.14) gives G + κΛg = -κT and not (12.12); the corrected action is our own derivation and the
printed one is kept under `variant="printed"`. Λ as the multiplier that fixes the average number of neurons is what
arXiv:2111.00903 does according to a later note; the form given to it here is own design.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, function, integer, positive, real_array
from nnthermo._typing import Array, Scalar
from nnthermo.gravity._arguments import (
    EINSTEIN_KAPPA,
    Variant,
    coupling,
    known_variant,
    one_number,
    returns,
    square_matrix,
)
from nnthermo.gravity.curvature import geometry
from nnthermo.gravity.derivatives import Metric
from nnthermo.gravity.inverse import regular, volume_density
from nnthermo.linalg.dense import matmul

Matter = Callable[[Array, Array], Array]
"""Lagrangian L(g_ab, x) of matter at one point: (n, n), (n,) -> ()."""


def torus_nodes(points: Sequence[int], lengths: Any, *, dimensions: int | None = None) -> tuple[Array, Array]:
    """Trapezoidal nodes and weights on a torus, exact for every wave the nodes resolve.

    Args:
        points: how many along each of the first k axes.
        lengths: of these axes, (k,).
        dimensions: n ≥ k, k if not given; along the axes beyond k there is one node, at 0, and a length of one.

    Returns:
        Points (M, n) and weights (M,).

    Raises:
        ValueError, TypeError: no points, lengths that do not fit or are not positive.
    """
    check("points", "be a sequence of numbers, one an axis", not np.isscalar(points), points)
    counts = [integer("points", p) for p in points]
    check("points", "be one positive number an axis", counts and min(counts) > 0, counts)
    sizes = real_array("lengths", lengths, shape=(len(counts),))
    positive("lengths", sizes)
    n = len(counts) if dimensions is None else integer("dimensions", dimensions)
    check("dimensions", f"be {len(counts)}, the number of axes, or more", n >= len(counts), n)
    unit = np.stack(np.meshgrid(*(np.arange(c) / c for c in counts), indexing="ij"), axis=-1).reshape(-1, len(counts))
    nodes = jnp.asarray(unit, sizes.dtype) * sizes[None, :]
    weights = jnp.full(len(unit), 1 / len(unit), sizes.dtype) * jnp.prod(sizes)
    return jnp.pad(nodes, ((0, 0), (0, n - len(counts)))), weights


def volume(metric: Metric, points: Any, weights: Any) -> Array:
    """∫ √|g| dⁿx, (), by quadrature; arguments as in `einstein_hilbert_action`."""
    x, w = _nodes(points, weights)
    returns("metric", metric, x[0], x.shape[1:] * 2)
    return jnp.sum(w * jax.vmap(lambda y: volume_density(metric(y)))(x).astype(w.dtype))


def einstein_hilbert_action(
    metric: Metric,
    points: Any,
    weights: Any,
    *,
    kappa: Scalar = EINSTEIN_KAPPA,
    cosmological_constant: Scalar = 0.0,
    matter: Matter | None = None,
    variant: Variant = "corrected",
) -> Array:
    """∫ √|g| [ (R - 2Λ)/2κ + L ] dⁿx, (), by quadrature: stationary where G + Λg = κT, (12.12), with T of (12.14).

    R holds second derivatives: variations must vanish with their slopes on the boundary, or there must be none.
    Otherwise see `gamma_gamma_action`. `variant="printed"` is (12.2), ∫ √|g| (-R/2κ + Λ + L): stationary where
    G + κΛg = -κT.

    Args:
        metric: g_ab (n, n) of one point.
        points: nodes, (M, n), as of `torus_nodes` or of any product rule.
        weights: of the nodes in coordinate volume, (M,), without √|g|.
        kappa: κ > 0; 8π if nothing is said.
        cosmological_constant: Λ.
        matter: L(g_ab, x).
        variant: "corrected" or "printed".

    Raises:
        ValueError: points and weights that do not fit, unknown `variant`; a metric as in `geometry`. A node where g is
            singular gives NaN or infinity.
    """
    x, w = _nodes(points, weights)
    k, constant = coupling(kappa, w), one_number("cosmological_constant", cosmological_constant, w)
    known_variant(variant)

    def lagrangian(y: Array) -> Array:
        at = geometry(metric, y)
        vacuum = at.scalar / (2 * k)
        vacuum = vacuum - constant / k if variant == "corrected" else constant - vacuum
        return volume_density(at.metric) * (vacuum if matter is None else vacuum + matter(at.metric, y))

    return jnp.sum(w * jax.vmap(lagrangian)(x))


def stress_energy(lagrangian: Callable[..., Array], g: Any, *fields: Any) -> Array:
    """T_mn = -(2/√|g|) ∂(√|g| L)/∂g^mn of (12.14), lower indices, (n, n), by automatic differentiation.

    With the action ∫ √|g| [ (R - 2Λ)/2κ + L ] and signature (-, +, ..., +) this sign gives positive energies: for
    L = -½ g^mn φ_m φ_n - V it is φ_m φ_n + g_mn L.

    Args:
        lagrangian: L(g_ab, *fields), a number, of lower g_ab without its derivatives. `fields` are what is held fixed
            when g varies: φ, ∂_m φ, F_mn with lower indices.
        g: g_ab, (n, n).
        fields: passed on.

    Raises:
        TypeError, ValueError: `lagrangian` not a function or not a number; g as in `onsager_tensor`.
    """
    function("lagrangian", lagrangian, "a function of g and the fields")
    g = square_matrix("g", g)
    regular("g", g)
    out = jax.eval_shape(lagrangian, g, *fields)
    check("lagrangian", "return one number", getattr(out, "shape", None) == (), getattr(out, "shape", out))
    value, slope = jax.value_and_grad(lagrangian)(g, *fields)
    # ∂/∂g^mn = -g_ma g_nb ∂/∂g_ab, and ∂√|g|/∂g^mn = -½ √|g| g_mn
    both = matmul(matmul(g, slope + slope.T), g)
    return g * value + both


def neuron_number_constraint(
    metric: Metric, points: Any, weights: Any, *, mean_number: Scalar, volume_per_neuron: Scalar
) -> Array:
    """∫ √|g| dⁿx - v⟨N⟩, (): zero where the volume holds the average number of neurons, each of volume v.

    It is -κ dA/dΛ of A = ∫ √|g| (R/2κ + L) - (Λ/κ)(∫ √|g| - v⟨N⟩) (own design): with the volume fixed Λ is its
    multiplier, and without the last term A is the action of `einstein_hilbert_action`.

    Args:
        metric, points, weights: as in `einstein_hilbert_action`.
        mean_number: ⟨N⟩ > 0.
        volume_per_neuron: v > 0, in the units of the volume.

    Raises:
        ValueError: numbers that are not positive; points and weights as in `einstein_hilbert_action`.
    """
    positive("mean_number", mean_number)
    positive("volume_per_neuron", volume_per_neuron)
    total = volume(metric, points, weights)
    N, v = (jnp.asarray(number, total.dtype) for number in (mean_number, volume_per_neuron))
    return total - v * N


def cosmological_multiplier(
    family: Callable[[Array], Metric],
    size: Scalar,
    points: Any,
    weights: Any,
    *,
    kappa: Scalar = EINSTEIN_KAPPA,
    matter: Matter | None = None,
) -> Array:
    """Λ = κ dA₀/dV, (), the multiplier of the volume V along a family of metrics, A₀ = ∫ √|g| (R/2κ + L).

    It is the Λ of (12.12) if a member of the family solves it at this size; otherwise it is only stationary within the
    family. The round n-sphere of radius l: Λ = (n-1)(n-2)/2l², so 3/l² for n = 4.

    Args:
        family: the metric, as a function of one point, of a size.
        size: the parameter that the volume depends on.
        points, weights: as in `einstein_hilbert_action`; the same for every size.
        kappa: κ > 0; without matter it drops out.
        matter: L(g_ab, x).

    Returns:
        Λ; infinite or NaN where the volume does not depend on the size.
    """
    function("family", family, "a function of the size")
    s = real_array("size", size, ndim=0)
    finite("size", s)

    def both(size: Array) -> tuple[Array, Array]:
        terms = einstein_hilbert_action(family(size), points, weights, kappa=kappa, matter=matter)
        return terms, volume(family(size), points, weights)

    action, size_of = jax.jvp(both, (s,), (jnp.ones_like(s),))[1]
    return jnp.asarray(kappa, action.dtype) * action / size_of


def _nodes(points: Any, weights: Any) -> tuple[Array, Array]:
    x = real_array("points", points, ndim=2)
    w = real_array("weights", weights, shape=(x.shape[0],)).astype(x.dtype)
    check("points", "be one or more", x.shape[0] > 0, "none")
    finite("points", x)
    finite("weights", w)
    return x, w
