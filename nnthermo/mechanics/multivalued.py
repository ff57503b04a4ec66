"""A free energy defined up to whole neurons, F → F + μn, and the Planck constant that makes its phase single-valued.

That the exchange of neurons makes the free energy multivalued, and that the chemical potential determines "Planck's
constant", is read in the abstract of arXiv:2012.05082; the factor 2π is recalled and re-derived: Ψ = √p e^{iF/ħ} has
one value where F has the values F + μn if and only if μ/(2πħ) is whole, and the largest such |ħ| is |μ|/2π.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.scipy.special import gammaln

from nnthermo._checks import check, finite, integers, nonzero, positive_numbers, real_array, real_numbers
from nnthermo._typing import Array, Scalar


def planck_constant_from_chemical_potential(mu: Scalar) -> Array:
    """ħ = μ/2π, the action of one neuron exchanged. Negative with μ: then the wave function is the conjugate one.

    Units of the loss times time if F is the action; the paper's F and ħ have the units of the loss.
    """
    return real_array("mu", mu) / (2 * math.pi)


def chemical_potential_from_planck_constant(hbar: Scalar) -> Array:
    """μ = 2πħ, the inverse of `planck_constant_from_chemical_potential`."""
    return 2 * math.pi * real_array("hbar", hbar)


def single_valuedness_defect(mu: Scalar, hbar: Scalar) -> Array:
    """|e^{iμ/ħ} - 1|, how much Ψ changes when one neuron is exchanged; 0 for ħ = μ/2πk with k whole, at most 2.

    Args:
        mu: chemical potential, in units of the free energy.
        hbar: Planck constant, not 0, in the same units; broadcasts with `mu`.

    Returns:
        Its error is the rounding of μ/ħ, as in every phase.
    """
    turns = real_array("mu", mu) / (2 * math.pi * real_array("hbar", hbar))
    return 2 * abs(jnp.sin(math.pi * (turns - jnp.round(turns))))


def free_energy_branches(free_energy: Any, mu: Scalar, exchanged: Any) -> Array:
    """F + μn, the values that F has once n neurons have been exchanged.

    Args:
        free_energy: F, any shape (...).
        mu: chemical potential, shape ().
        exchanged: whole numbers n of either sign, (k,).

    Returns:
        (k, ...).

    Raises:
        TypeError: numbers that are not whole.
        ValueError: of another shape.
    """
    F = real_array("free_energy", free_energy)
    numbers = integers("exchanged", exchanged)
    check("exchanged", "be one vector", numbers.ndim == 1, f"shape {numbers.shape}")
    shift = real_array("mu", mu, shape=()).astype(F.dtype) * numbers.astype(F.dtype)
    return F[None] + shift.reshape(-1, *(1,) * F.ndim)


class Unwrapped(NamedTuple):
    """A multivalued free energy followed along a path.

    Attributes:
        free_energy: F on one continuous branch, the first value unchanged, (..., P).
        neurons: the number n of neurons exchanged up to each point, F = given + μn, (..., P).
        largest_step: the largest |ΔF/μ| between neighbours, at most ½. Near ½ the path is too coarse to tell branches.
    """

    free_energy: Array
    neurons: Array
    largest_step: Array


def unwrap_free_energy(free_energy: Any, mu: Scalar) -> Unwrapped:
    """Follow F, known up to multiples of μ, along a path with steps of less than μ/2.

    Args:
        free_energy: values along the path, on any branches, (..., P).
        mu: chemical potential, not 0, shape ().
    """
    F, mu = _path(free_energy, mu)
    jumps = -jnp.round(jnp.diff(F, axis=-1) / mu)
    neurons = jnp.concatenate([jnp.zeros_like(F[..., :1]), jnp.cumsum(jumps, axis=-1)], axis=-1)
    whole = F + mu * neurons
    return Unwrapped(whole, neurons.astype(jnp.int32), jnp.max(abs(jnp.diff(whole, axis=-1) / mu), axis=-1))


def exchanged_neurons(free_energy: Any, mu: Scalar) -> Array:
    """Neurons exchanged along a closed loop, ∮dF/μ, from values of F up to multiples of μ: whole numbers, (...).

    One quantum of circulation is one neuron. Without the exchange of neurons the circulation of a Madelung fluid, in
    units of μ, need not be whole.

    Args:
        free_energy: values at the points of the loop, the first one not repeated, (..., P); steps below μ/2.
        mu: chemical potential, not 0, shape ().
    """
    F, mu = _path(free_energy, mu)
    steps = (jnp.roll(F, -1, axis=-1) - F) / mu
    return -jnp.sum(jnp.round(steps).astype(jnp.int32), axis=-1)  # the steps add up to 0, their whole parts to -n


class OscillatorVortex(NamedTuple):
    """A vortex of the isotropic oscillator V = ½Mω²|q|² in two variables, at one point.

    Attributes:
        log_density: log p, p = α^{|ν|+1} r^{2|ν|} e^{-αr²} / (π Γ(|ν|+1)), α = Mω/ħ.
        free_energy: F = νħθ - Et, θ in (-π, π].
        energy: E = ħω(|ν| + 1).
    """

    log_density: Array
    free_energy: Array
    energy: Array


def oscillator_vortex(
    q: Any, winding: Scalar, time: Scalar = 0.0, *, hbar: Scalar = 1.0, mass: Scalar = 1.0, frequency: Scalar = 1.0
) -> OscillatorVortex:
    """An exact solution of the Madelung equations with any real circulation 2πħν; of Schrödinger's for whole ν alone.

    ∂p/∂t + ∂·(p ∂F)/M = 0 and ∂F/∂t + |∂F|²/2M + V - (ħ²/2M) ∇²√p/√p = 0 hold at r > 0 for every ν (own derivation):
    the quantum potential cancels the centrifugal ν²ħ²/2Mr². At fixed N nothing picks whole ν; with neurons exchanged,
    F → F + μn, a loop takes up 2πħν = μn.

    Args:
        q: a point, (2,), not the origin.
        winding: ν.
        time: t.
        hbar, mass, frequency: ħ, M, ω > 0.
    """
    real_numbers(winding=winding, time=time)
    positive_numbers(hbar=hbar, mass=mass, frequency=frequency)
    q = real_array("q", q, shape=(2,))
    nu, time, hbar, mass, frequency = (jnp.asarray(v, q.dtype) for v in (winding, time, hbar, mass, frequency))
    alpha, order, square = mass * frequency / hbar, abs(nu), jnp.sum(q * q)
    norm = (order + 1) * jnp.log(alpha) - math.log(math.pi) - gammaln(order + 1)
    energy = hbar * frequency * (order + 1)
    angle = jnp.arctan2(q[1], q[0])
    return OscillatorVortex(norm + order * jnp.log(square) - alpha * square, nu * hbar * angle - energy * time, energy)


def _path(free_energy: Any, mu: Any) -> tuple[Array, Array]:
    F = real_array("free_energy", free_energy)
    check("free_energy", "have a last axis of two or more points", F.ndim > 0 and F.shape[-1] > 1, f"shape {F.shape}")
    mu = real_array("mu", mu, shape=()).astype(F.dtype)
    finite("free_energy", F)  # whole numbers have no NaN
    nonzero("mu", mu)
    return F, mu
