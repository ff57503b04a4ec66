"""Relativity of a ring of neurons: weights that permute carry signals at one neuron per step, to the last bit.

The picture of arXiv:2008.01540, whose abstract was read: permutation weights lead to relativistic strings. The exact
statement on the lattice, and the one with switching, are own derivations; the limit is the Goldstein-Kac process.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import check, integer, is_concrete, positive, real_array, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.linalg.dense import matmul


class Movers(NamedTuple):
    """Probabilities, or signals, of right and left movers on a ring, (n,) or (T, n); their sum is what is seen."""

    right: Array
    left: Array


def permutation_weights(n: int, shift: int = 1, dtype: Any = None) -> Array:
    """P, (n, n), with (Px)_i = x_{i - shift} on a ring: a linear network (2.5) whose signals move right."""
    n, shift = integer("n", n, least=1), integer("shift", shift)
    return jnp.roll(jnp.eye(n, dtype=dtype), shift, axis=0)


def lattice_dalembertian(states: Any, weight: Any, switching: Scalar = 0.0) -> Array:
    r"""x_{t+1} - (1-α)(w + wᵀ) x_t + (1-2α) x_{t-1}, zero for signals that move by w and by wᵀ.

    For a permutation w and α = 0, x_t = w^t R + w^{-t} L makes it zero, to the last bit: the d'Alembert equation
    without dispersion, at one neuron per step. If movers change their sense with probability α at each step it is zero
    too (det of the step in Fourier space is 1 - 2α), and with lengths and times of ε and α = aε it is

        ε² (∂_t² p + 2a ∂_t p - ∂_x² p) + O(ε³).

    Args:
        states: x_t, (T, n), T ≥ 3.
        weight: w, (n, n), a permutation.
        switching: α in [0, 1].

    Returns:
        (T - 2, n).
    """
    x = real_array("states", states, ndim=2)
    check("states", "hold three or more steps", x.shape[0] > 2, x.shape[0])
    w = real_array("weight", weight, shape=(x.shape[1],) * 2).astype(x.dtype)
    a = real_array("switching", switching, shape=()).astype(x.dtype)
    _probability(a)
    return x[2:] - (1 - a) * matmul(x[1:-1], w + w.T) + (1 - 2 * a) * x[:-2]


def telegraph_process(right: Any, left: Any, steps: int, switching: Scalar) -> Movers:
    """Right and left movers on a ring that change their sense with probability α before each step, exactly.

    The two-state master equation R' = P((1-α)R + αL), L' = Pᵀ((1-α)L + αR), by shifts. Probability is conserved.

    Args:
        right: R, (n,).
        left: L, (n,).
        steps: T.
        switching: α in [0, 1]; aε for a rate a and steps of ε.

    Returns:
        `Movers` (T + 1, n) at the steps 0, ..., T.
    """
    R = real_array("right", right, ndim=1)
    L = real_array("left", left, shape=R.shape).astype(R.dtype)
    a = real_array("switching", switching, shape=()).astype(R.dtype)
    _probability(a)
    steps = integer("steps", steps, least=0)

    def step(movers: Movers, _: None) -> tuple[Movers, Movers]:
        R, L = movers
        after = Movers(jnp.roll((1 - a) * R + a * L, 1), jnp.roll((1 - a) * L + a * R, -1))
        return after, after

    first = Movers(R, L)
    later = jax.lax.scan(step, first, None, length=steps)[1]
    return jax.tree.map(lambda f, rest: jnp.concatenate([f[None], rest]), first, later)


def telegraph_solution(density: Any, rate: Any, length: Scalar, rate_of_switching: Scalar, time: Scalar) -> Array:
    """p(t) of the telegraph equation ∂_t²p + 2a ∂_t p = ∂_x²p on a ring, by its Fourier modes.

    Each mode is e^{-at}(p cosh st + (p' + ap) sinh(st)/s), s² = a² - k²: waves for k > a, and
    diffusion with D = 1/2a for k « a.

    Args:
        density: p at time 0, (n,) on equidistant points.
        rate: ∂p/∂t at time 0, (n,): -∂(R - L)/∂x of movers of speed 1.
        length: circumference.
        rate_of_switching: a ≥ 0, 1/time.
        time: t, ().

    Raises:
        ValueError: wrong shapes; where known, also a length that is not positive, a negative rate of switching.
    """
    p = real_array("density", density, ndim=1)
    v = real_array("rate", rate, shape=p.shape).astype(p.dtype)
    ell, a, t = (
        real_array(name, value, shape=()).astype(p.dtype)
        for name, value in (("length", length), ("rate_of_switching", rate_of_switching), ("time", time))
    )
    positive("length", ell)
    if is_concrete(a) and not float(a) >= 0:
        refuse("rate_of_switching", "not be negative", float(a))
    n = p.shape[0]
    k = 2 * jnp.pi * jnp.arange(n // 2 + 1).astype(p.dtype) / ell
    squared = (a * a - k * k) * t * t
    grows, turns = jnp.sqrt(jnp.maximum(squared, 0)), jnp.sqrt(jnp.maximum(-squared, 0))
    even = jnp.where(squared > 0, jnp.cosh(grows), jnp.cos(turns))
    safe = jnp.where(grows > 0, grows, 1)
    odd = t * jnp.where(grows > 0, jnp.sinh(safe) / safe, jnp.sinc(turns / jnp.pi))
    decay = jnp.exp(-a * t)
    of_density, of_rate = decay * (even + a * odd), decay * odd
    modes, rates = jnp.fft.rfft(p), jnp.fft.rfft(v)
    modes = of_density.astype(modes.dtype) * modes + of_rate.astype(modes.dtype) * rates
    return jnp.fft.irfft(modes, n)


def _probability(a: Array) -> None:
    if is_concrete(a) and not 0 <= float(a) <= 1:
        refuse("switching", "be a probability", float(a))
