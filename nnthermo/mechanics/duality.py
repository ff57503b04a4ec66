r"""Two macroscopic descriptions of one learning system, read off one function log Z(β, q, J).

The abstract of arXiv:2111.00903 calls the quantum description of trainable variables and the gravitational one of
non-trainable variables dual. What can be computed of it (own design): both columns are derivatives of

    log Z(β, q, J) = log ∫ dx exp(-βH(x, q) + J·x).

    trainable variables q                         states x
    phase F = -log Z/β                            entropy S = log Z + βU - J·x̄, at J = 0 also β² ∂F/∂β (7.1)
    force ∂F/∂q = ⟨∂H/∂q⟩                         U = -∂ log Z/∂β, x̄ = ∂ log Z/∂J
    covariance of the forces ∂H/∂q                Fisher metric of (β, J), the Hessian of log Z: Cov(-H, x)

That the Madelung or Schrödinger dynamics of q implies Einstein's equations for x, or conversely, is shown neither in
the papers nor here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import check, function, instance, is_concrete, positive, real_array
from nnthermo._typing import Array, Scalar

LogPartition = Callable[[Array, Array, Array], Array]
"""log Z(β (), q (K,), J (N,)), differentiable twice by JAX."""


class Duality(NamedTuple):
    """Both descriptions at one point.

    Attributes:
        phase: F, in units of the loss.
        force: ∂F/∂q, (K,).
        average_loss: U = ⟨H⟩.
        mean_state: x̄ = ⟨x⟩, (N,).
        entropy: S of the states, in nats.
        fisher: Fisher information of (β, J), the covariance of (-H, x), (1 + N, 1 + N).
    """

    phase: Array
    force: Array
    average_loss: Array
    mean_state: Array
    entropy: Array
    fisher: Array


class DualityDefects(NamedTuple):
    """How far weighted states are from what log Z says of them: largest absolute differences, each of shape ().

    Attributes:
        force: ∂F/∂q less ⟨∂H/∂q⟩.
        average_loss: U less ⟨H⟩.
        mean_state: x̄ less ⟨x⟩.
        fisher: Hessian of log Z less the covariance of (-H, x).
    """

    force: Array
    average_loss: Array
    mean_state: Array
    fisher: Array


def duality_report(log_partition: LogPartition, beta: Scalar, q: Any, source: Any) -> Duality:
    """Both columns of the table above, by differentiation.

    Args:
        log_partition: log Z(β, q, J).
        beta: inverse temperature β > 0, in inverse units of the loss.
        q: trainable variables, (K,).
        source: J, (N,), one number a state; 0 for the ensemble itself.

    Raises:
        ValueError: β not positive, wrong shapes, log Z that is not one number.
    """
    function("log_partition", log_partition)
    positive("beta", beta)
    q, J = real_array("q", q, ndim=1), real_array("source", source, ndim=1)
    b = jnp.asarray(beta, q.dtype)
    J = J.astype(q.dtype)
    shape = jax.eval_shape(log_partition, b, q, J).shape
    check("log_partition", "return one number", shape == (), f"shape {shape}")

    def of_natural(numbers: Array) -> Array:
        return log_partition(numbers[0], q, numbers[1:])

    numbers = jnp.concatenate([b[None], J])
    log_z, slopes = jax.value_and_grad(of_natural)(numbers)
    force = -jax.grad(log_partition, argnums=1)(b, q, J) / b
    U, x = -slopes[0], slopes[1:]
    return Duality(-log_z / b, force, U, x, log_z + b * U - J @ x, jax.hessian(of_natural)(numbers))


def duality_defects(
    report: Duality, loss: Callable[[Array, Array], Array], q: Any, states: Any, weights: Any = None
) -> DualityDefects:
    """The report against averages over states of the same ensemble: nodes of a quadrature, or samples.

    Args:
        report: from `duality_report`.
        loss: H(x, q) of one state.
        q: trainable variables, (K,).
        states: x, (R, N).
        weights: probabilities of the states, (R,), adding up to one; equal if None. Samples leave defects of 1/√R.

    Raises:
        ValueError: wrong shapes, weights that do not add up to one.
    """
    instance("report", report, Duality, "a Duality, of `duality_report`")
    function("loss", loss)
    q, x = real_array("q", q, ndim=1), real_array("states", states, ndim=2)
    N = len(report.mean_state)
    check("states", f"have {N} columns", x.shape[1] == N, f"shape {x.shape}")
    count = len(x)
    p = jnp.full(count, 1 / count, x.dtype) if weights is None else real_array("weights", weights, shape=(count,))
    if is_concrete(p):
        total = float(jnp.sum(p))
        check("weights", "add up to one", abs(total - 1) < 1e-3, total)
    losses, forces = jax.vmap(jax.value_and_grad(loss, argnums=1), (0, None))(x, q)
    both = jnp.concatenate([-losses[:, None], x], axis=1)
    mean = p @ both
    away = both - mean[None]
    covariance = jnp.matmul(away.T * p[None], away, precision=jax.lax.Precision.HIGHEST)
    return DualityDefects(
        jnp.max(jnp.abs(report.force - p @ forces)),
        jnp.abs(report.average_loss + mean[0]),
        jnp.max(jnp.abs(report.mean_state - mean[1:])),
        jnp.max(jnp.abs(report.fisher - covariance)),
    )
