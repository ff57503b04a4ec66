"""Closed forms in NumPy, written from the equations: what the library's functions are held against.

Sections call them as `forms.name`, so that a factor changed here is seen by every entry that rests on it.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Vector = np.ndarray
Matrix = np.ndarray

LOG_2PI = math.log(2 * math.pi)


class Twin(NamedTuple):
    """A network in NumPy: every neuron obeys x = f(ŵx + b), the inputs through their bias (2.8).

    Attributes:
        weight: ŵ, (N, N); row i receives.
        bias: b, (N,), on input neurons f⁻¹ of their data.
        f: the activation, element by element.
        slope: its derivative.
        inputs: how many neurons, the first ones, are inputs.
    """

    weight: Matrix
    bias: Vector
    f: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    inputs: int

    @property
    def size(self) -> int:
        """N."""
        return len(self.bias)


def identity(y: Any) -> Any:
    """The linear activation."""
    return y


def tanh_slope(y: Any) -> Any:
    """(10.4) as it should be coded."""
    return 1 - np.tanh(y) ** 2


def residual(net: Twin, x: Any) -> Any:
    """r = x - f(ŵx + b); x is (..., N)."""
    return x - net.f(x @ net.weight.T + net.bias)


def bulk_loss(net: Twin, x: Any, m: float = 0.0) -> Any:
    """½|r|² - (m/2)|x|² (3.4); x is (..., N)."""
    return 0.5 * np.sum(residual(net, x) ** 2, axis=-1) - 0.5 * m * np.sum(x**2, axis=-1)


def links(net: Twin, x: Vector) -> Matrix:
    """A = f̂'ŵ at a state."""
    return net.slope(net.weight @ x + net.bias)[:, None] * net.weight


def jacobian(net: Twin, x: Vector) -> Matrix:
    """B = I - f̂'ŵ."""
    return np.eye(net.size) - links(net, x)


def hessian(B: Matrix) -> Matrix:
    """Ĝ = BᵀB (5.6)."""
    return B.T @ B


def fixed_state(net: Twin, steps: int = 400) -> Vector:
    """x̄ by the dynamics (2.5)."""
    x = np.zeros(net.size)
    for _ in range(steps):
        x = net.f(net.weight @ x + net.bias)
    return x


def shifted(G: Matrix, beta: float, m: float = 0.0) -> Matrix:
    """M = (1 - βm) I + βĜ."""
    return (1 - beta * m) * np.eye(len(G)) + beta * G


def mean_form(G: Matrix, a: Vector, beta: float, m: float = 0.0) -> float:
    """aᵀKa, K = cβĜ/(cI + βĜ) of (5.9)."""
    c = 1 - beta * m
    return float(c * beta * a @ G @ np.linalg.solve(shifted(G, beta, m), a))


def log_partition(G: Matrix, beta: float, m: float = 0.0, centre: Vector | None = None) -> float:
    """(5.9) with a centre, (5.14) without."""
    value = -0.5 * np.linalg.slogdet(shifted(G, beta, m))[1] + 0.5 * len(G) * LOG_2PI
    return float(value if centre is None else value - 0.5 * mean_form(G, centre, beta, m))


def average_loss(G: Matrix, beta: float, m: float = 0.0) -> float:
    """U = ½ Tr (Ĝ - m) M⁻¹ of (5.14)."""
    return float(0.5 * np.trace(np.linalg.solve(shifted(G, beta, m), G - m * np.eye(len(G)))))


def linear_log_partition(B: Matrix, b: Vector, beta: float, m: float = 0.0) -> float:
    """log ∫ exp(-(β/2)|Bx - b|² - (c/2)|x|²) dx by completing the square, with no centre at all."""
    M = shifted(B.T @ B, beta, m)
    k = beta * B.T @ b
    value = 0.5 * k @ np.linalg.solve(M, k) - 0.5 * beta * b @ b
    return float(value - 0.5 * np.linalg.slogdet(M)[1] + 0.5 * len(b) * LOG_2PI)


def split(log_values: Vector, beta: float, threshold: float = 1.0) -> tuple[float, float, int]:
    """Σ over βλ > t of log βλ, the same of log λ, and N_> : the sums of (6.6)-(6.8)."""
    above = beta * np.exp(log_values) > threshold
    total = float(np.sum(log_values[above]))
    return total + int(above.sum()) * math.log(beta), total, int(above.sum())


def split_error(log_values: Vector, beta: float, threshold: float = 1.0) -> float:
    """By how much βF lies above (6.6): ½Σ_{βλ>t} log(1 + 1/βλ) + ½Σ_{βλ≤t} log(1 + βλ)."""
    x = beta * np.exp(log_values)
    return float(0.5 * np.sum(np.where(x > threshold, np.log1p(1 / x), np.log1p(x))))


def words(A: Matrix, *named: str) -> float:
    """Σ of traces of products of A (letter a) and Aᵀ (letter b)."""
    total = 0.0
    for word in named:
        product = np.eye(len(A))
        for letter in word:
            product = product @ (A if letter == "a" else A.T)
        total += float(np.trace(product))
    return total


def second_moment(A: Matrix) -> float:
    """Tr (log Ĝ)² of layers to sixth order in A."""
    return (
        2 * words(A, "ab") + 2 / 3 * words(A, "aabb") - words(A, "abab") / 6 + 2 / 5 * words(A, "aaabbb")
        - words(A, "aababb", "aabbab") / 10 + words(A, "ababab") / 45
    )  # fmt: skip


def third_moment(A: Matrix) -> float:
    """Tr (log Ĝ)³ of layers to sixth order in A."""
    return -3 * words(A, "aabb") - 5 / 2 * words(A, "aaabbb") + words(A, "aababb", "aabbab") / 4


def two_layer_log(A: Matrix) -> Matrix:
    """log Ĝ where A² = 0: the odd terms of (9.8) and the even ones that it lacks."""
    u, s, vt = np.linalg.svd(A)
    with np.errstate(divide="ignore", invalid="ignore"):
        h = np.where(s > 1e-12, 2 * np.arcsinh(s / 2) / (s * np.sqrt(1 + s**2 / 4)), 1.0)
    left, right = (u * h) @ u.T, (vt.T * h) @ vt  # h(AAᵀ), h(AᵀA)
    return -left @ A - A.T @ left + 0.5 * (right @ A.T @ A - left @ A @ A.T)


def symmetric_log(G: Matrix) -> Matrix:
    """log Ĝ by eigenvectors."""
    values, vectors = np.linalg.eigh(G)
    return (vectors * np.log(values)) @ vectors.T


def printed_gap(beta: Any) -> Any:
    """(9.4): 3 log(-½ + √(¼ + 1/β))."""
    return 3 * np.log(-0.5 + np.sqrt(0.25 + 1 / beta))


def two_level(log_value: Any, beta: float, gamma: float) -> Any:
    """(9.3) over Nβ/2."""
    other = np.exp(log_value * gamma / (gamma - 1))
    return gamma / (1 + beta * np.exp(log_value)) ** 2 + (1 - gamma) / (1 + beta * other) ** 2


def two_level_slope(log_value: Any, beta: float, gamma: float) -> Any:
    """d/d log λ of `two_level`, over -2γβ."""
    first, second = np.exp(log_value), np.exp(log_value * gamma / (gamma - 1))
    return first / (1 + beta * first) ** 3 - second / (1 + beta * second) ** 3


def root(function: Callable[[float], float], low: float, high: float, steps: int = 200) -> float:
    """Zero of a function of one sign at each end, by bisection; NaN if the ends do not differ in sign."""
    rising = function(high) > 0
    if (function(low) > 0) == rising:
        return math.nan
    for _ in range(steps):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if (function(middle) > 0) == rising else (middle, high)
    return 0.5 * (low + high)


def central(function: Callable[[float], Any], step: float = 1e-5) -> Any:
    """(f(h) - f(-h)) / 2h of a function of a displacement."""
    return (np.asarray(function(step)) - np.asarray(function(-step))) / (2 * step)


def power(errors: Any, parameters: Any) -> float:
    """d log |error| / d log parameter between the two of each."""
    (a, b), (p, q) = np.abs(np.asarray(errors, float)), parameters
    return float(np.log(b / a) / np.log(q / p))
