"""The spectrum of log Ĝ (Sections 6, 7, 9, 10): moments, gap, complexity, and β from the gap."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import check, function, is_concrete, positive, real_array, refuse
from nnthermo._pytree import pytree
from nnthermo._typing import Array, Scalar
from nnthermo.linalg.layered_trace import layered_trace_function
from nnthermo.linalg.positive import positive_or_nan
from nnthermo.linalg.trace import trace_function


class Gap(NamedTuple):
    """The widest empty interval among the displaced small eigenvalues.

    Attributes:
        lower: log λ at its lower end, shape (); NaN if no log λ is negative.
        upper: log λ at its upper end, shape (); NaN if no log λ is negative.
        below: how many eigenvalues lie below it, shape (); 0 if there is none.
        contrast: its width over the median spacing of the negative log λ, shape (); near 1 there is no gap to speak of.
            Exactly 1 where that median is 0 or does not exist.
    """

    lower: Array
    upper: Array
    below: Array
    contrast: Array

    @property
    def centre(self) -> Array:
        """Its middle, where the paper reads β off by (9.4)."""
        return (self.lower + self.upper) / 2

    @property
    def width(self) -> Array:
        """upper - lower."""
        return self.upper - self.lower


@pytree(static=("unit_count",))
class LogSpectrum:
    """Eigenvalues of log Ĝ.

    Attributes:
        values: log λ of the dynamical eigenvalues, descending, shape (n,).
        unit_count: how many further eigenvalues are exactly 1 for any weights of this architecture.
    """

    values: Array
    unit_count: int = 0

    def __post_init__(self) -> None:
        check("values", "be one vector", jnp.ndim(self.values) == 1, f"shape {jnp.shape(self.values)}")
        check("unit_count", "not be negative", self.unit_count >= 0, self.unit_count)

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return self.values.shape[-1] + self.unit_count

    def log_det(self, beta: Scalar, m: Scalar = 0.0) -> Array:
        """log det((1 - βm)I + βĜ) over eigenvalues (5.14), O(n) for each β; NaN if not positive definite.

        Raises:
            ValueError: β or m not one number; `jax.vmap` takes many.
            TypeError: β or m not real.
        """
        beta, m = (real_array(name, v, shape=()).astype(self.values.dtype) for name, v in (("beta", beta), ("m", m)))
        shift = 1 - beta * m
        terms = shift + beta * jnp.exp(self.values)
        unit = shift + beta
        logs = jnp.sum(jnp.log(positive_or_nan(terms)))
        return logs + self.unit_count * jnp.log(positive_or_nan(unit)) if self.unit_count else logs

    def moment(self, k: int) -> Array:
        """μ_k = Tr (log Ĝ)^k for k >= 1, (9.5) and (9.6) as printed: a sum over all eigenvalues."""
        return jnp.sum(self.values**k)

    def mean_moment(self, k: int) -> Array:
        """The mean of (log λ)^k over the dynamical eigenvalues, the reading that fits the numbers the paper quotes."""
        return jnp.mean(self.values**k)

    def standardised_moment(self, k: int) -> Array:
        """The mean of (log λ)^k over the k/2 power of the mean square, about 0; NaN if all are 0.

        It does not change when all log λ are scaled. Of the dynamical eigenvalues: with those that are exactly 1 it
        would be larger by (N/n)^{k/2-1}.
        """
        return self.mean_moment(k) / self.mean_moment(2) ** (k / 2)

    def skewness(self) -> Array:
        """Mean cube over the 3/2 power of the mean square, about 0: the standardised (9.6); NaN if all are 0."""
        return self.standardised_moment(3)

    def gap(self) -> Gap:
        """The widest interval without eigenvalues among those below the median of the negative ones.

        The paper marks it by eye. Where fewer than three eigenvalues are negative the contrast is 1 by construction,
        and where none is there is no gap: its ends are NaN.

        Raises:
            ValueError: fewer than two dynamical eigenvalues.
        """
        check("values", "hold at least two eigenvalues to have a gap", self.values.shape[-1] > 1, self.values.shape[-1])
        upper, lower = self.values[:-1], self.values[1:]
        spacing = upper - lower
        negative = jnp.sum(self.values < 0)
        rank = jnp.arange(1, self.values.shape[-1])  # values[rank:] lie below this spacing
        below = self.values.shape[-1] - rank
        candidate = 2 * below <= jnp.maximum(negative, 2)
        widest = jnp.argmax(jnp.where(candidate, spacing, -jnp.inf))
        typical = jnp.nanmedian(jnp.where(upper < 0, spacing, jnp.nan))
        typical = jnp.where(jnp.isfinite(typical), typical, spacing[widest])
        contrast = jnp.where(typical == 0, 1, spacing[widest] / jnp.where(typical == 0, 1, typical))  # all equal: 0 / 0
        lower, upper = (jnp.where(negative > 0, end[widest], jnp.nan) for end in (lower, upper))
        return Gap(lower, upper, jnp.where(negative > 0, below[widest], 0), contrast)

    def largest_sum(self, n: int) -> Array:
        """Sum of log λ over the n largest of all N eigenvalues, the exact ones included."""
        check("n", f"lie between 0 and {self.size}", 0 <= n <= self.size, n)
        count = self.values.shape[-1]
        prefix = jnp.concatenate([jnp.zeros((1,), self.values.dtype), jnp.cumsum(self.values)])
        # the n largest are the first j values and n - j zeros; the sum is largest for the right j
        return jnp.max(prefix[max(0, n - self.unit_count) : min(n, count) + 1])


def log_eigenvalues(G: Any) -> LogSpectrum:
    """Log λ of Ĝ: the dynamical ones, and how many are exactly 1 whatever the weights.

    For a layered network at most n_{l-1} + n_{l+1} directions of layer l are dynamical (110 of 854 for 784-40-20-10,
    whose 744 others the theory of Section 9 puts at log λ = 0). They come from singular values of I - f̂'ŵ, so float32
    keeps 1e-7 × cond(I - f̂'ŵ). Sum zero for every network without cycles (7.8).

    Args:
        G: Hessian from `bulk_hessian` or `restrict`.

    Raises:
        ValueError: the Hessian of many states.
        TypeError: G of another kind.
    """
    if not hasattr(G, "log_eigenvalues"):
        raise TypeError(f"`G` must be a Hessian from `bulk_hessian`, but got {type(G).__name__}")
    values, count = G.log_eigenvalues()
    return LogSpectrum(values, count)


def spectral_trace(G: Any, phi: Callable[..., Array], *parameters: Scalar) -> Array:
    """Tr φ(Ĝ) = Σ φ(λ, *parameters) over all eigenvalues, the exact ones included, shape ().

    `spectral_trace(G, lambda x: jnp.log(x) ** 3)` is μ₃ (9.6). Unlike sums over `log_eigenvalues` it has second
    derivatives, in weights and slopes as in parameters, exact for equal eigenvalues too; under `jit` a product of the
    second derivatives with a vector takes one SVD of the coupled part (110 of 854 neurons for 784-40-20-10), as the
    gradient does. Third derivatives in weights and slopes raise.

    Args:
        G: Hessian from `bulk_hessian`, of one state; `jax.vmap` takes many. Of free neurons only, too: then at the cost
            of their number cubed. Of a `MatrixFreeHessian`: an estimate, with first derivatives only.
        phi: φ(λ, *parameters), of numbers to a number in the dtype of λ; smooth near every eigenvalue, 1 included.
            Where it changes within less than 0.2 λ second derivatives lose digits. What it closes over is not
            differentiated (JAX raises): pass it as a parameter.
        parameters: numbers, converted to the dtype of Ĝ.

    Raises:
        TypeError: G is no Hessian, φ no function, or a parameter not real.
        ValueError: G of many states, a parameter not one number, or φ of a number not one real number.
        NotImplementedError: third derivatives in G.
    """
    layered, estimated = hasattr(type(G), "blocks"), hasattr(type(G), "errors_transposed")
    if not layered and not estimated and not hasattr(type(G), "jacobian"):
        raise TypeError(f"`G` must be a Hessian from `bulk_hessian`, but got {type(G).__name__}")
    if not estimated:
        G.check_one_state()
    function("phi", phi)
    numbers = [real_array("parameters", p, shape=()).astype(G.dtype) for p in parameters]
    found = jax.eval_shape(phi, jax.ShapeDtypeStruct((), G.dtype), *numbers)
    right = getattr(found, "shape", None) == () and found.dtype == G.dtype
    check("phi", f"return one number of dtype {G.dtype}", right, found)
    if estimated:
        return G.trace(phi, *numbers)
    if layered:
        return layered_trace_function(phi, G.blocks, *numbers, first_rows=G.weights[0])
    return trace_function(phi, G.jacobian, *numbers)


def displaced_count(spectrum: LogSpectrum, beta: Scalar) -> Array:
    """N_>: the eigenvalues above 1/β, the paper's λ ≫ 1/β with the threshold that splits (6.6) best, shape ().

    Args:
        spectrum: log λ of Ĝ, from `log_eigenvalues`.
        beta: inverse temperature β > 0, in inverse units of the loss, shape ().

    Raises:
        ValueError: β not positive.
    """
    positive("beta", beta)
    units = jnp.where(jnp.asarray(beta) > 1, spectrum.unit_count, 0)
    return jnp.sum(spectrum.values > -jnp.log(jnp.asarray(beta, spectrum.values.dtype))) + units


def complexity(spectrum: LogSpectrum, beta: Scalar | None = None, *, largest: int | None = None) -> Array:
    """Complexity C, in nats: (6.7) at a temperature, or C_n (10.5) with `largest` = n.

        C = -½ Σ_{βλ > 1} log λ + (N/2) log 2π,    C_n = -½ Σ_{n largest} log λ + (N/2) log 2π.

    (6.7) is the threshold form: at finite β the split is smeared over |log βλ| of order 1 and costs up to ½ log 2 an
    eigenvalue; `decompose` is exact. Without cycles C_N = (N/2) log 2π for all weights, by (7.8).

    Args:
        spectrum: log λ of Ĝ, from `log_eigenvalues`.
        beta: inverse temperature β > 0, in inverse units of the loss, shape ().
        largest: n, 0 ... N, in place of β.

    Returns:
        Shape ().

    Raises:
        ValueError: both or neither of `beta` and `largest`; β not positive; n outside 0 ... N.
    """
    check("beta or largest", "be given, and not both", (beta is None) != (largest is None), f"{beta} and {largest}")
    gauge = 0.5 * spectrum.size * math.log(2 * math.pi)
    if largest is not None:
        return -0.5 * spectrum.largest_sum(largest) + gauge
    positive("beta", beta)
    above = spectrum.values > -jnp.log(jnp.asarray(beta, spectrum.values.dtype))
    return -0.5 * jnp.sum(jnp.where(above, spectrum.values, 0)) + gauge


def thermodynamic_free_energy(spectrum: LogSpectrum, beta: Scalar) -> Array:
    """A = (N_>/2β) log β (6.8), the threshold form, shape (), in units of the loss. Arguments as `displaced_count`."""
    count = displaced_count(spectrum, beta).astype(spectrum.values.dtype)
    beta = jnp.asarray(beta, count.dtype)
    return count / (2 * beta) * jnp.log(beta)


def thermodynamic_entropy(spectrum: LogSpectrum, beta: Scalar) -> Array:
    """S₀ = (N_>/2)(1 - log β) (7.4), the threshold form, shape (), in nats. Arguments as `displaced_count`."""
    count = displaced_count(spectrum, beta).astype(spectrum.values.dtype)
    return count / 2 * (1 - jnp.log(jnp.asarray(beta, count.dtype)))


class Decomposition(NamedTuple):
    """log Z = -βA + C and S = S₀ + C without a threshold; each field has shape ().

    Attributes:
        effective_count: N_eff = Σ s = 2βU, the smooth N_>.
        complexity: C = (N/2) log 2π - ½ Σ s log λ, the smooth (6.7), in nats.
        thermodynamic_free_energy: A = [N_eff log β + Σ h(s)] / 2β, the smooth (6.8), in units of the loss.
        thermodynamic_entropy: S₀ = β(U - A), the smooth (7.4), in nats.
        mixing: ½ Σ h(s), the nats by which no threshold can split the spectrum; 0 when every βλ is 0 or infinite.
    """

    effective_count: Array
    complexity: Array
    thermodynamic_free_energy: Array
    thermodynamic_entropy: Array
    mixing: Array


def decompose(spectrum: LogSpectrum, beta: Scalar) -> Decomposition:
    r"""The exact form of the split (6.3)-(6.8) for m = 0.

    With the occupation s = βλ/(1 + βλ) of an eigenvalue and the binary entropy h(s) = -s log s - (1-s) log(1-s),

        log(1 + βλ) = s log β + s log λ + h(s),

    which is the paper's log β + log λ where s = 1, and 0 where s = 0. Summed, log Z = -βA + C exactly; (6.3) asks
    besides that A depend on β alone, which holds as far as N_eff and Σ h(s) do not change with the weights.

    Args:
        spectrum: log λ of Ĝ, from `log_eigenvalues`.
        beta: inverse temperature β > 0, in inverse units of the loss, shape ().

    Raises:
        ValueError: β not positive.
    """
    positive("beta", beta)
    beta = jnp.asarray(beta, spectrum.values.dtype)
    values = jnp.concatenate([spectrum.values, jnp.zeros((1,), spectrum.values.dtype)])
    weight = jnp.ones_like(values).at[-1].set(spectrum.unit_count)
    logit = jnp.log(beta) + values
    s = 1 / (1 + jnp.exp(-logit))
    h = jnp.logaddexp(0, logit) - s * logit
    count, mixing = jnp.sum(weight * s), 0.5 * jnp.sum(weight * h)
    log_beta = jnp.log(beta)
    return Decomposition(
        effective_count=count,
        complexity=0.5 * spectrum.size * math.log(2 * math.pi) - 0.5 * jnp.sum(weight * s * values),
        thermodynamic_free_energy=(0.5 * count * log_beta + mixing) / beta,
        thermodynamic_entropy=0.5 * count * (1 - log_beta) - mixing,
        mixing=mixing,
    )


def beta_from_gap(log_gap: Scalar, *, gamma: Scalar | None = None) -> Array:
    r"""Inverse temperature at which a gap at log λ is the unstable maximum of -ΔF (9.3).

    With `gamma` None, (9.4) as the paper uses it: log λ = 3 log(-½ + √(¼ + 1/β)), i.e. β = 1/(u² + u) with
    u = λ^{1/3}. That is the limit γ → 0. With a fraction `gamma` of small eigenvalues the stationary points of (9.3)
    are exactly log λ = 0 and β (λ^{(2-k)/3} + λ^{(1-2k)/3}) = 1, k = γ/(1-γ).

    Not the temperature of the average loss: see `beta_from_loss`. The two differ by orders of magnitude.

    Args:
        log_gap: log λ of the gap, any shape, for example `LogSpectrum.gap().centre`; NaN gives NaN.
        gamma: fraction γ of eigenvalues below it, 0 <= γ < 1; None for γ → 0.

    Returns:
        β, in inverse units of the loss, in the shape of `log_gap`.

    Raises:
        ValueError: γ outside [0, 1).
    """
    if gamma is None:
        gamma = 0.0
    if is_concrete(gamma) and not 0 <= gamma < 1:
        refuse("gamma", "lie in [0, 1)", gamma)
    k = gamma / (1 - gamma)
    log_gap = jnp.asarray(log_gap)
    return 1 / (jnp.exp(log_gap * (2 - k) / 3) + jnp.exp(log_gap * (1 - 2 * k) / 3))


def beta_from_loss(count: Scalar, loss: Scalar) -> Array:
    """Inverse temperature β = N_>/(2U) from the average loss (10.1). Another number than that of the gap.

    Args:
        count: N_>, any shape.
        loss: average loss U > 0, any shape that broadcasts against it.

    Returns:
        β, in inverse units of the loss.

    Raises:
        ValueError: loss not positive.
    """
    positive("loss", loss)
    return jnp.asarray(count) / (2 * jnp.asarray(loss))
