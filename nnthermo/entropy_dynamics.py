"""Ensembles of networks that follow their free energy (Section 8): Liouville flow in the parameters and its entropy."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.ode import odeint

from nnthermo._checks import check, finite, positive, real_array
from nnthermo._typing import Array, Scalar

FreeEnergy = Callable[[Array, Array], Array]
"""F(Q, β): parameters of shape (K,) and an inverse temperature to a scalar in units of the loss."""


class Flow(NamedTuple):
    """Networks that move along dQ/dβ = α ∂F/∂Q (8.2).

    Attributes:
        betas: the "times" β, (records,).
        parameters: Q of each, (records, particles, K).
        log_densities: log p at each, (records, particles), carried along by d log p/dβ = -αΔF.
        entropy: S = -⟨log(Mp)⟩ (8.3), in nats, (records,).
        production: α⟨ΔF⟩, which is dS/dβ, (records,).
    """

    betas: Array
    parameters: Array
    log_densities: Array
    entropy: Array
    production: Array


def liouville_flow(
    free_energy: FreeEnergy,
    parameters: Any,
    log_densities: Any,
    betas: Any,
    *,
    rate: Scalar = 1.0,
    normalisation: Scalar = 1.0,
    tolerance: float | None = None,
) -> Flow:
    """Follow a sample of networks along (8.2) with the density that probability conservation gives it.

    The continuity equation ∂p/∂β = -∇·(p α∇F) is what (8.1) must be: printed as an advection equation, -α∇F·∇p, it
    loses probability at the rate α∫pΔF. Along a path d log p/dβ = -αΔF, hence dS/dβ = α⟨ΔF⟩ whatever M is, in place of
    (8.4) and (8.5).

    Args:
        free_energy: F(Q, β), twice differentiable.
        parameters: Q at the first β, drawn from p, (particles, K).
        log_densities: log p there, (particles,).
        betas: increasing β, (records,), the first is where the flow starts.
        rate: α.
        normalisation: M of (8.3), a volume: it shifts the entropy by -log M and nothing else.
        tolerance: of the integrator (Dormand-Prince), relative and absolute; default 1e3 ulp.

    Raises:
        ValueError: shapes that do not fit, or β that do not increase.
    """
    q = real_array("parameters", parameters, ndim=2)
    logs = real_array("log_densities", log_densities, shape=q.shape[:1]).astype(q.dtype)
    b = _increasing(betas).astype(q.dtype)
    positive("normalisation", normalisation)
    bound = 1e3 * float(jnp.finfo(q.dtype).eps) if tolerance is None else float(tolerance)
    return _follow(free_energy, bound, q, logs, b, jnp.asarray(rate, q.dtype), jnp.asarray(normalisation, q.dtype))


@partial(jax.jit, static_argnums=(0, 1))
def _follow(
    free_energy: FreeEnergy, tolerance: float, q: Array, logs: Array, betas: Array, rate: Array, volume: Array
) -> Flow:
    def laplacian(x: Array, beta: Array) -> Array:
        return jnp.trace(jax.hessian(free_energy)(x, beta))

    def velocity(state: tuple[Array, Array], beta: Array) -> tuple[Array, Array]:
        x, _ = state
        slopes = jax.vmap(jax.grad(free_energy), (0, None))(x, beta)
        return rate * slopes, -rate * jax.vmap(laplacian, (0, None))(x, beta)

    paths, densities = odeint(velocity, (q, logs), betas, rtol=tolerance, atol=tolerance)
    production = jax.vmap(lambda x, beta: rate * jnp.mean(jax.vmap(laplacian, (0, None))(x, beta)))(paths, betas)
    entropy = -jnp.mean(densities, axis=1) - jnp.log(volume)
    return Flow(betas, paths, densities, entropy, production)


class DensityFlow(NamedTuple):
    """A density of networks on a periodic grid.

    Attributes:
        betas: (records,).
        densities: p on the grid, (records, *grid).
        probability: ∫p, (records,): 1 for the conserved form, less for the printed one.
        entropy: -∫p log(Mp) (8.3), (records,).
        production: α∫pΔF, (records,): dS/dβ of the conserved form.
        entropy_densities: σ = -p log(Mp) (8.7) on the grid, (records, *grid), 0 where rounding leaves p <= 0. For the
            conserved form ∂σ/∂β + ∇·(σ α∇F) = αΔF p, in place of (8.6).
    """

    betas: Array
    densities: Array
    probability: Array
    entropy: Array
    production: Array
    entropy_densities: Array


def entropy_density(log_density: Any, normalisation: Scalar = 1.0) -> Array:
    """σ = -p log(Mp) (8.7), of log p: any shape, in nats over the volume of Q. 0 where p is, positive where Mp < 1.

    Args:
        log_density: log p, -∞ where p = 0.
        normalisation: M of (8.3), a volume.

    Raises:
        ValueError: M not positive.
    """
    logs = real_array("log_density", log_density)
    positive("normalisation", normalisation)
    nowhere = jnp.isneginf(logs)
    safe = jnp.where(nowhere, 0, logs)
    volume = jnp.asarray(normalisation, logs.dtype)
    return jnp.where(nowhere, 0, -jnp.exp(safe) * (safe + jnp.log(volume)))


def carried_entropy_density(log_density: Any, exponent: Any, normalisation: Scalar = 1.0) -> Array:
    """σ at the other end of a path (8.2), in place of (8.8): of p = p_0 exp(-α∫ΔF dβ), the integral along the path.

    Where ΔF is negative p rises along it, and σ = -p log(Mp) rises or falls, whichever log(Mp) says: no factor
    exp(αβΔF) multiplies σ, as (8.8) has it, not even for a constant ΔF. For eigenvalues λ that stay in place the
    exponent is α times the difference of `integrated_eigenvalue_laplacian` at the two β.

    Args:
        log_density: log p_0 where the path begins, any shape.
        exponent: α∫ΔF dβ, of the same shape or one number; of a `Flow` the fall of `log_densities`.
        normalisation: M of (8.3).

    Raises:
        ValueError: an exponent of another shape, or M not positive.
    """
    logs = real_array("log_density", log_density)
    moved = real_array("exponent", exponent)
    check("exponent", f"have shape {logs.shape} or ()", moved.shape in (logs.shape, ()), f"shape {moved.shape}")
    return entropy_density(logs - moved.astype(logs.dtype), normalisation)


def liouville_density(
    free_energy: FreeEnergy,
    density: Any,
    lengths: Any,
    betas: Any,
    *,
    rate: Scalar = 1.0,
    normalisation: Scalar = 1.0,
    conserved: bool = True,
    tolerance: float | None = None,
) -> DensityFlow:
    """The density itself in one to three parameters, on a periodic grid, with Fourier derivatives.

    Exponentially accurate as long as p and F are periodic and smooth on the scale of the grid; else use
    `liouville_flow`.

    Args:
        free_energy: F(Q, β), periodic in each parameter.
        density: p at the first β, on a grid of shape (n_1, ..., n_K): point i of axis k lies at i·lengths[k]/n_k.
        lengths: periods, (K,).
        betas: increasing β, (records,).
        rate: α.
        normalisation: M of (8.3).
        conserved: ∂p/∂β = -∇·(p α∇F); False for (8.1) as printed, -α∇F·∇p.
        tolerance: of the integrator, relative and absolute; default 1e4 ulp.

    Raises:
        ValueError: more than three parameters, a negative density, shapes that do not fit, or β that do not increase.
    """
    p = real_array("density", density)
    check("density", "have one to three axes", 1 <= p.ndim <= 3, p.ndim)
    finite("density", p)
    check("density", "not be negative", bool(jnp.all(p >= 0)), float(jnp.min(p)))
    positive("normalisation", normalisation)
    periods = tuple(float(v) for v in np.atleast_1d(np.asarray(lengths, np.float64)))
    check("lengths", f"be {p.ndim} positive numbers", len(periods) == p.ndim and min(periods) > 0, periods)
    b = _increasing(betas).astype(p.dtype)
    bound = 1e4 * float(jnp.finfo(p.dtype).eps) if tolerance is None else float(tolerance)
    numbers = jnp.asarray(rate, p.dtype), jnp.asarray(normalisation, p.dtype)
    return _spread(free_energy, periods, conserved, bound, p, b, *numbers)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _spread(
    free_energy: FreeEnergy, periods: tuple[float, ...], conserved: bool, tolerance: float,
    density: Array, betas: Array, rate: Array, volume: Array,
) -> DensityFlow:  # fmt: skip
    shape, dtype = density.shape, density.dtype
    axes = [jnp.arange(n, dtype=dtype) * (length / n) for n, length in zip(shape, periods, strict=True)]
    points = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(shape))
    cell = float(np.prod([length / n for n, length in zip(shape, periods, strict=True)]))

    def derivative(values: Array, axis: int) -> Array:
        n = shape[axis]
        waves = 2 * np.pi / periods[axis] * np.fft.fftfreq(n, 1 / n)
        if n % 2 == 0:
            waves[n // 2] = 0  # the highest wave has no derivative on the grid
        transformed = jnp.fft.fft(values, axis=axis)
        k = jnp.asarray(1j * waves.reshape([-1 if a == axis else 1 for a in range(len(shape))]), transformed.dtype)
        return jnp.real(jnp.fft.ifft(k * transformed, axis=axis)).astype(dtype)

    def change(p: Array, beta: Array) -> Array:
        slopes = jax.vmap(jax.grad(free_energy), (0, None))(points, beta).reshape(*shape, len(shape))
        parts = [
            derivative(p * slopes[..., k], k) if conserved else slopes[..., k] * derivative(p, k)
            for k in range(len(shape))
        ]
        return -rate * jnp.sum(jnp.stack(parts), axis=0)

    def production(p: Array, beta: Array) -> Array:
        traces = jax.vmap(lambda q: jnp.trace(jax.hessian(free_energy)(q, beta)))(points)
        return rate * cell * jnp.sum(p.ravel() * traces)

    densities = odeint(change, density, betas, rtol=tolerance, atol=tolerance)
    sums = tuple(range(1, densities.ndim))
    logs = jnp.where(densities <= 0, -jnp.inf, jnp.log(jnp.where(densities <= 0, 1, densities)))
    local = entropy_density(logs, volume)
    entropy, probability = (cell * jnp.sum(values, axis=sums) for values in (local, densities))
    return DensityFlow(betas, densities, probability, entropy, jax.vmap(production)(densities, betas), local)


def _increasing(betas: Any) -> Array:
    b = real_array("betas", betas, ndim=1)
    check("betas", "hold at least two values", b.shape[0] > 1, b.shape[0])
    check("betas", "increase", bool(np.all(np.diff(np.asarray(b)) > 0)), "values that do not")
    return b
