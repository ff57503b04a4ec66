"""Fisher information of ensembles of states as a metric of their labels, and their entropy.

Standard for normal distributions. That the labels are space-time coordinates is own design: of arXiv:2111.00903 the
abstract was read, which says that space-time emerges from entropy production and destruction, not how.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, function, is_concrete, real_array, refuse
from nnthermo._typing import Array
from nnthermo.gravity._algebra import contract, value_and_slopes
from nnthermo.gravity.derivatives import Metric
from nnthermo.linalg.dense import matmul
from nnthermo.linalg.positive import inverse_and_log_det

Labels = Callable[[Array], Array]
"""A function of the labels y, (n,), of JAX operations."""


class GaussianInformation(NamedTuple):
    """What an ensemble N(x̄(y), Σ(y)) says at one y.

    Attributes:
        metric: F_ab, (n, n), in nats per squared unit of the labels.
        entropy: S, () in nats.
        entropy_slopes: ∂_a S, (n,).
    """

    metric: Array
    entropy: Array
    entropy_slopes: Array


class FisherEstimate(NamedTuple):
    """A mean over samples.

    Attributes:
        metric: F_ab, (n, n).
        standard_errors: of each entry, (n, n); independent samples.
    """

    metric: Array
    standard_errors: Array


def gaussian_information(
    mean: Labels | None, covariance: Labels | None = None, *, precision: Labels | None = None
) -> Callable[[Array], GaussianInformation]:
    r"""Fisher information, entropy and its slopes of the ensembles N(x̄(y), Σ(y)), from one pass over x̄ and Σ.

        F_ab = ∂_a x̄ᵀ Σ⁻¹ ∂_b x̄ + ½ Tr(Σ⁻¹ ∂_aΣ Σ⁻¹ ∂_bΣ),   S = ½ log det(2πe Σ).

    One inverse, of whichever of Σ and Σ⁻¹ is given; its derivatives are products, to any order.

    Args:
        mean: x̄(y), (N,); None if it does not depend on y.
        covariance: Σ(y), (N, N), or (N,) for a diagonal, or () for a multiple of the identity, which needs a `mean`.
        precision: Σ⁻¹(y), in place of the covariance, in the same shapes.

    Returns:
        A function of one point y, (n,). NaN where the matrix is not positive definite.

    Raises:
        TypeError: not functions, both or neither matrix, complex numbers.
        ValueError: wrong shapes; outside transformations also a matrix that is not positive definite. Both when the
            result is called.
    """
    if (covariance is None) == (precision is None):
        raise TypeError(
            "`covariance` or `precision` must be given, but got " + ("neither" if not covariance else "both")
        )
    name = "covariance" if precision is None else "precision"
    matrix = covariance if precision is None else precision
    if mean is not None:
        function("mean", mean, "a function of the labels")
    function(name, matrix, "a function of the labels")
    assert matrix is not None

    def moments(y: Array) -> tuple[Array, Array]:
        A = real_array(name, matrix(y))
        if mean is not None:
            return mean(y), A
        check(name, "be a matrix or a diagonal where `mean` is None", A.ndim > 0, "one number")
        return jnp.zeros((A.shape[0],), A.dtype), A

    return information_from_moments(moments, name)


def information_from_moments(
    moments: Callable[[Array], tuple[Array, Array]], name: str = "covariance"
) -> Callable[[Array], GaussianInformation]:
    """`gaussian_information` of one function that returns x̄ and the matrix, "covariance" or "precision" by name."""
    sign = 1.0 if name == "covariance" else -1.0

    def checked(y: Array) -> tuple[Array, Array]:
        x, A = moments(y)
        x, A = real_array("mean", x, ndim=1), real_array(name, A)
        N = x.shape[0]
        check(name, f"have shape {(N, N)}, {(N,)} or ()", A.shape in ((N, N), (N,), ()), f"shape {A.shape}")
        return x, A.astype(x.dtype)

    def at(y: Array) -> GaussianInformation:
        y = real_array("point", y, ndim=1)
        finite("point", y)
        (x, A), (dx, dA) = value_and_slopes(checked, y)
        N = x.shape[0]
        inverse, log_det = _inverse(A, N)
        if is_concrete(log_det) and not np.isfinite(log_det):
            refuse(name, "be finite and positive definite", f"log det {float(log_det)} at {y}")
        if A.ndim == 2:
            K = matmul(inverse, dA)
            spread, traces = contract("aij,bji->ab", K, K), jnp.trace(K, axis1=1, axis2=2)
        else:
            K = jnp.broadcast_to((inverse[None] * dA).reshape(y.shape[0], -1), (y.shape[0], N))
            spread, traces = contract("ai,bi->ab", K, K), jnp.sum(K, axis=1)
        P = inverse if sign > 0 else A
        moved = matmul(dx, P) if P.ndim == 2 else dx * jnp.broadcast_to(P, (1, N))
        F = contract("ai,bi->ab", moved, dx) + spread / 2
        entropy = N * (1 + math.log(2 * math.pi)) / 2 + sign * log_det / 2
        return GaussianInformation((F + F.T) / 2, entropy, sign * traces / 2)

    return at


def _inverse(A: Array, N: int) -> tuple[Array, Array]:
    if A.ndim == 2:
        return inverse_and_log_det((A + A.T) / 2)
    known = jnp.where(A > 0, A, jnp.nan)
    return 1 / known, jnp.sum(jnp.log(known)) * (N if A.ndim == 0 else 1)


def fisher_information(
    mean: Labels | None, covariance: Labels | None = None, *, precision: Labels | None = None
) -> Metric:
    """F_ab of the ensembles N(x̄(y), Σ(y)), a metric of the labels y; arguments and errors of `gaussian_information`.

    Positive semidefinite; singular where some change of the labels changes no state.
    """
    information = gaussian_information(mean, covariance, precision=precision)
    return lambda y: information(y).metric


def state_entropy(covariance: Labels | None = None, *, precision: Labels | None = None) -> Callable[[Array], Array]:
    """S = ½ log det(2πe Σ(y)) in nats, a function of the labels.

    The entropy of the Gaussian ensemble, a volume of states in units of their own: it can be negative. (7.1), with the
    log Z of (5.14), leaves out ½⟨x·x⟩.

    Args:
        covariance: Σ(y), (N, N) or (N,) for a diagonal.
        precision: Σ⁻¹(y), in its place.
    """
    information = gaussian_information(None, covariance, precision=precision)
    return lambda y: information(y).entropy


def scores(log_density: Callable[[Array, Array], Array], samples: Any, point: Any) -> Array:
    """∂_a log p(x; y) of samples x, (R, n).

    Args:
        log_density: (x, y) to log p, (), normalised for every y.
        samples: drawn at `point`, (R, ...).
        point: y, (n,).
    """
    y = real_array("point", point, ndim=1)
    found = jax.vmap(jax.grad(log_density, argnums=1), in_axes=(0, None))(real_array("samples", samples), y)
    return jnp.asarray(found)


def fisher_information_from_scores(scores: Any) -> FisherEstimate:
    """F_ab = ⟨∂_a log p ∂_b log p⟩ over samples, with standard errors.

    Args:
        scores: ∂_a log p of independent samples, (R, n), R ≥ 2. Their mean is known to be zero and not subtracted.

    Raises:
        ValueError: fewer than two samples.
    """
    s = real_array("scores", scores, ndim=2)
    check("scores", "hold two or more samples", s.shape[0] > 1, s.shape[0])
    finite("scores", s)
    products = s[:, :, None] * s[:, None, :]
    return FisherEstimate(jnp.mean(products, axis=0), jnp.std(products, axis=0, ddof=1) / math.sqrt(s.shape[0]))


def fisher_information_from_samples(samples: Labels) -> Metric:
    """F_ab of the normal distributions fitted to samples that move with the labels: a metric of y.

    The fit is differentiated along with the samples, whose random numbers must be the same at all y (reparametrised).
    What is lost is what a normal distribution does not hold. A fitted Σ⁻¹ is too large by (R-1)/(R-N-2) in the mean of
    normal samples, which is taken out of the term of the mean. Left are errors of order N/R, as a width that depends on
    y also moves the mean of finitely many samples, and a scatter of relative order 1/√R.

    Args:
        samples: y to (R, N), R > N + 2.

    Raises:
        ValueError: too few samples, when the result is called.
    """
    function("samples", samples, "a function of the labels")

    def moments(y: Array) -> tuple[Array, Array]:
        x = real_array("samples", samples(y), ndim=2)
        R, N = x.shape
        check("samples", f"be more than N + 2 = {N + 2}", R > N + 2, R)
        mean = jnp.mean(x, axis=0)
        x = x - mean[None]
        return mean * math.sqrt((R - N - 2) / (R - 1)), matmul(x.T, x) / (R - 1)

    information = information_from_moments(moments)
    return lambda y: information(y).metric
