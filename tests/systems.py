"""Networks with known answers, and dense float64 twins written from the equations, index by index where that is short.

Nothing here calls the library's algebra: slopes, Jacobians, partition functions and moments are NumPy's own. What each
formula rests on is in tests/README.md.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import nnthermo as nt

Vector = np.ndarray
Matrix = np.ndarray

EPS = float(np.finfo(np.float64).eps)
LOG_2PI = math.log(2 * math.pi)


def identity(y: Any) -> Any:
    """The linear activation, for which (5.9) is exact."""
    return y


SLOPES: dict[Any, Callable[[Vector], Vector]] = {
    jnp.tanh: lambda y: 1 / np.cosh(y) ** 2,
    identity: np.ones_like,
}
"""f' of each activation used in the tests, by hand."""


def jit(function: Callable) -> Callable:
    """`jax.jit` that takes every number as a Python float, so that NumPy's floats do not compile a second time."""
    compiled = jax.jit(function)
    return lambda *arguments: compiled(*(float(v) if isinstance(v, float | np.floating) else v for v in arguments))


def network(
    seed: int,
    sizes: tuple[int, ...],
    *,
    activation: Any = jnp.tanh,
    scale: float = 1.0,
    bias: float = 0.3,
    dtype: Any = np.float64,
) -> nt.FeedForward:
    """Layers with normal weights of variance scale²/fan-in and normal biases."""
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(sizes))
    weights = [jnp.asarray((scale * rng.normal(size=(b, a)) / math.sqrt(a)).astype(dtype)) for a, b in pairs]
    biases = [jnp.asarray((bias * rng.normal(size=b)).astype(dtype)) for _, b in pairs]
    return nt.FeedForward(weights, biases, activation=activation)


def graph(
    seed: int,
    size: int,
    *,
    cyclic: bool = False,
    activation: Any = jnp.tanh,
    scale: float = 1.0,
    bias: float = 0.3,
    inputs: int = 2,
    outputs: int = 1,
) -> nt.Septuple:
    """A general graph: every neuron feeds all later ones (skip connections), or with cycles all hidden ones.

    With cycles |ŵ|_∞ = scale: for scale < 1 and slopes up to 1 the fixed state is unique.
    """
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(size, size))
    if not cyclic:
        w = np.tril(w, -1) * scale / math.sqrt(size)
    w[:inputs] = 0
    w[:, size - outputs :] = 0
    if cyclic:
        w *= scale / np.abs(w).sum(axis=1).max()
    b = bias * rng.normal(size=size)
    b[:inputs] = 0
    place = np.arange(size)
    return nt.Septuple(
        jnp.asarray(w),
        jnp.asarray(b),
        activation=activation,
        input_mask=place < inputs,
        output_mask=place >= size - outputs,
    )


def draw_inputs(seed: int, size: int) -> jax.Array:
    """Input data in (-1, 1)."""
    return jnp.asarray(np.random.default_rng(seed + 7919).uniform(-1, 1, size))


def fixed_state(net: Any, inputs: jax.Array) -> Any:
    """x̄ of (2.9); graphs with cycles are iterated until it moves no more."""
    if isinstance(net, nt.FeedForward):
        return net.propagate(inputs)
    return net.propagate(inputs, steps=net.size if net.conditions().acyclic else 400)


def dense_weight(net: Any) -> tuple[Matrix, Vector, Vector]:
    """(ŵ, b, P_in) with N neurons in the order of the layers; rows of input neurons are zero."""
    if not isinstance(net, nt.FeedForward):
        w = np.array(net.weight, np.float64)
        w[net.input_mask] = 0
        return w, np.array(net.bias, np.float64), np.asarray(net.input_mask)
    n = sum(net.sizes)
    w, b, start = np.zeros((n, n)), np.zeros(n), 0
    for weight, bias in zip(net.weights, net.biases, strict=True):
        below, above = weight.shape[1], weight.shape[0]
        w[start + below : start + below + above, start : start + below] = np.asarray(weight, np.float64)
        b[start + below : start + below + above] = np.asarray(bias, np.float64)
        start += below
    return w, b, np.arange(n) < net.sizes[0]


def flat(x: Any) -> Vector:
    """A state as one vector (N,)."""
    return np.concatenate([np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(x)])


def jacobian(net: Any, x: Any) -> Matrix:
    """B_ij = δ_ij - f'_i w_ij at a state, entry by entry."""
    w, b, _ = dense_weight(net)
    activation = net.activations[0] if isinstance(net, nt.FeedForward) else net.activation
    d = SLOPES[activation](w @ flat(x) + b)
    n = len(b)
    return np.array([[float(i == j) - d[i] * w[i, j] for j in range(n)] for i in range(n)])


def unreduced(blocks: Any) -> Matrix:
    """B of sub-diagonal blocks, entry by entry."""
    sizes = [blocks[0].shape[1], *(a.shape[0] for a in blocks)]
    out, start = np.eye(sum(sizes)), 0
    for a in (np.asarray(block, np.float64) for block in blocks):
        for i, j in np.ndindex(*a.shape):
            out[start + a.shape[1] + i, start + j] = -a[i, j]
        start += a.shape[1]
    return out


def split_blocks(matrix: Matrix, sizes: tuple[int, ...]) -> list[Matrix]:
    """The blocks below the diagonal of an (N, N) matrix."""
    edges = np.concatenate([[0], np.cumsum(sizes)])
    return [matrix[edges[k + 1] : edges[k + 2], edges[k] : edges[k + 1]] for k in range(len(sizes) - 1)]


def shifted(B: Matrix, beta: float, m: float) -> Matrix:
    """M = (1 - βm) I + βBᵀB."""
    return (1 - beta * m) * np.eye(len(B)) + beta * B.T @ B


def condition(matrix: Matrix) -> float:
    """|λ|_max / |λ|_min of a symmetric matrix."""
    values = np.abs(np.linalg.eigvalsh(matrix))
    return float(values.max() / values.min())


class Gaussian(NamedTuple):
    """Closed forms of the quadratic model: exponent -(β/2) δᵀBᵀBδ - (c/2)|a + δ|², c = 1 - βm, x = a + δ.

    Attributes:
        B: Jacobian of the residual, (N, N).
        a: x̄ (N,), zeros for (5.14).
        beta: β.
        m: curvature of the potential.
    """

    B: Matrix
    a: Vector
    beta: float
    m: float

    @property
    def covariance(self) -> Matrix:
        """M⁻¹."""
        return np.linalg.inv(shifted(self.B, self.beta, self.m))

    @property
    def mean(self) -> Vector:
        """⟨x⟩ = a - cM⁻¹a."""
        return self.a - (1 - self.beta * self.m) * self.covariance @ self.a

    @property
    def log_z(self) -> float:
        """Completing the square, nothing simplified: (c²aᵀM⁻¹a - c|a|² - log det M + N log 2π) / 2."""
        c, M = 1 - self.beta * self.m, shifted(self.B, self.beta, self.m)
        form = c**2 * self.a @ np.linalg.solve(M, self.a) - c * self.a @ self.a
        return float(0.5 * (form - np.linalg.slogdet(M)[1] + len(self.a) * LOG_2PI))

    @property
    def average_loss(self) -> float:
        """⟨½δᵀGδ - (m/2)|x|²⟩ by moments."""
        S, d = self.covariance, self.mean - self.a
        G = self.B.T @ self.B
        bulk = np.trace(G @ S) + d @ G @ d
        return float(0.5 * bulk - 0.5 * self.m * (np.trace(S) + self.mean @ self.mean))

    @property
    def variance(self) -> float:
        """Var H = ½Tr(QΣQΣ) + gᵀΣg with Q = G - mI and g = Q⟨δ⟩ - ma, by Wick's theorem."""
        S, d = self.covariance, self.mean - self.a
        Q = self.B.T @ self.B - self.m * np.eye(len(d))
        g = Q @ d - self.m * self.a
        return float(0.5 * np.trace(Q @ S @ Q @ S) + g @ S @ g)


def linear_log_z(B: Matrix, offset: Vector, beta: float, m: float) -> float:
    """Log ∫ exp(-(β/2)|Bx - b|² + (βm - 1)|x|²/2) dx directly, with no mention of x̄."""
    M = shifted(B, beta, m)
    k = beta * B.T @ offset
    value = 0.5 * k @ np.linalg.solve(M, k) - 0.5 * beta * offset @ offset
    return float(value - 0.5 * np.linalg.slogdet(M)[1] + 0.5 * len(offset) * LOG_2PI)


def bulk_exponent(vector: Any, net: Any, inputs: Any, beta: Any, m: Any) -> Any:
    """-βH - x·x/2 with all neurons free: the weight that (5.8) integrates, from the loss functions and not from Ĝ."""
    loss = nt.bulk_loss(net, net.unravel(vector), inputs=inputs, potential=nt.QuadraticPotential(m))
    return -beta * loss - 0.5 * jnp.vdot(vector, vector)


_on_grid = jit(jax.vmap(bulk_exponent, in_axes=(0, None, None, None, None)))


def log_integral(
    net: Any, inputs: Any, beta: float, m: float, *, centre: Vector, root: Matrix, half: float = 9.0, points: int = 91
) -> float:
    """Log ∫ exp(-βH - x·x/2) dx by the trapezoidal rule in z, x = centre + root z, |z_i| <= half.

    For an integrand analytic and Gaussian in z with unit width the rule with spacing h errs by exp(-2π²/h²), below
    rounding for h < 0.7, and the cut at 8.5 widths leaves exp(-36).
    """
    z, h = np.linspace(-half, half, points, retstep=True)
    mesh = np.stack(np.meshgrid(*[z] * len(centre), indexing="ij"), axis=-1).reshape(-1, len(centre))
    values = np.asarray(_on_grid(jnp.asarray(centre + mesh @ root.T), net, inputs, beta, m))
    top = values.max()
    log_cell = len(centre) * math.log(h) + np.linalg.slogdet(root)[1]
    return float(top + math.log(np.exp(values - top).sum()) + log_cell)


def central_difference(function: Callable[[float], Any], step: float = 1e-5) -> Any:
    """(f(h) - f(-h)) / 2h of a function of one displacement."""
    return (np.asarray(function(step)) - np.asarray(function(-step))) / (2 * step)


def trace_word(A: Matrix, word: str) -> float:
    """Tr of a product of A (letter a) and Aᵀ (letter b)."""
    out = np.eye(len(A))
    for letter in word:
        out = out @ (A if letter == "a" else A.T)
    return float(np.trace(out))
