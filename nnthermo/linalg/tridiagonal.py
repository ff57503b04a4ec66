r"""Symmetric positive definite block tridiagonal matrices, by block elimination from the first block on.

With diagonal blocks D_l (n_l, n_l) and E_l (n_{l+1}, n_l) below them, E_lᵀ above, M = L diag(S_l) Lᵀ with

    S_0 = D_0,   S_{l+1} = D_{l+1} - K_l E_lᵀ,   K_l = E_l S_l⁻¹,   log det M = Σ_l log det S_l,

L unit lower block bidiagonal with K_l below its diagonal. Blocks of P = M⁻¹ follow from the last one back,

    P_{l+1,l} = -P_{l+1,l+1} K_l,   P_ll = S_l⁻¹ + K_lᵀ P_{l+1,l+1} K_l,

as does a vector x ~ N(0, P): given x_{l+1}, x_l is normal with mean -K_lᵀ x_{l+1} and covariance S_l⁻¹.

Memory and time are linear in the number of blocks. The elimination does not pivot, which a positive definite matrix
does not need: relative errors are a few N ε cond(M). Derivatives of any order. Runs of blocks of one size are scanned,
so that depth lengthens the compilation only by the slices in which results are handed out.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check
from nnthermo._typing import Array
from nnthermo.linalg.dense import matmul
from nnthermo.linalg.positive import inverse_and_log_det
from nnthermo.linalg.runs import run_lengths, stack_runs, unstack_runs

BlockVector = Sequence[Array]
"""Block vectors (n_l,), or several side by side, (n_l, k)."""


class Selected(NamedTuple):
    """Blocks of M⁻¹ where M has blocks.

    Attributes:
        diagonal: (M⁻¹)_ll, shapes (n_l, n_l).
        lower: (M⁻¹)_{l+1,l}, shapes (n_{l+1}, n_l).
    """

    diagonal: tuple[Array, ...]
    lower: tuple[Array, ...]


class Run(NamedTuple):
    """What elimination leaves of `count` layers in a row that are alike, with a leading axis over them.

    Attributes:
        inverse: S_l⁻¹, (count, n_l, n_l).
        gain: K_l = E_l S_l⁻¹, (count, n_{l+1}, n_l).
    """

    inverse: Array
    gain: Array


class Elimination(NamedTuple):
    """M = L diag(S_l) Lᵀ, from `eliminate`.

    Attributes:
        runs: of all layers but the last.
        last: S⁻¹ of the last layer.
        log_det: log det M; NaN, never the log of |det|, if M is not positive definite, and then nothing else holds.
    """

    runs: tuple[Run, ...]
    last: Array
    log_det: Array

    def solve(self, right: BlockVector) -> tuple[Array, ...]:
        """M⁻¹ times block vectors (n_l,), or several at once, (n_l, k)."""

        def forward(y: Array, layer: tuple[Array, Array]) -> tuple[Array, Array]:
            gain, following = layer
            return following - matmul(gain, y), y

        gains = [run.gain for run in self.runs]
        y, halfway = _run(forward, right[0], zip(gains, self._stack(right[1:]), strict=True))
        start = [_each(run.inverse, v) for run, v in zip(self.runs, halfway, strict=True)]
        return self._back(start, matmul(self.last, y))

    def selected_inverse(self) -> Selected:
        """The blocks of M⁻¹ on the diagonal and below it, at the cost of the elimination."""

        def back(p: Array, layer: Run) -> tuple[Array, tuple[Array, Array]]:
            below = -matmul(p, layer.gain)
            p = layer.inverse - matmul(layer.gain.T, below)
            p = (p + p.T) / 2
            return p, (p, below)

        _, found = _run(back, self.last, self.runs, reverse=True)
        return Selected((*unstack_runs([p for p, _ in found]), self.last), unstack_runs([below for _, below in found]))

    def sample(self, key: Array, mean: BlockVector) -> tuple[Array, ...]:
        """A draw from N(mean, M⁻¹), exact up to rounding.

        Args:
            key: JAX random key.
            mean: block vectors (n_l,); or (n_l, k), around each of whose columns one independent vector is drawn.
        """
        around = [*self._stack(mean[:-1]), mean[-1]]
        ends = np.cumsum([mu.size for mu in around])
        drawn = jnp.split(jax.random.normal(key, (int(ends[-1]),), self.last.dtype), ends[:-1])
        noise = [z.reshape(mu.shape) for z, mu in zip(drawn, around, strict=True)]
        start = [_each(_root(run.inverse), z) for run, z in zip(self.runs, noise[:-1], strict=True)]
        return self._back(start, matmul(_root(self.last), noise[-1]), around)

    def _back(self, start: list[Array], last: Array, around: list[Array] | None = None) -> tuple[Array, ...]:
        """x_l = start_l - K_lᵀ x_{l+1}, and what it lies around added."""

        def step(x: Array, layer: tuple[Array, Array]) -> tuple[Array, Array]:
            gain, own = layer
            x = own - matmul(gain.T, x)
            return x, x

        gains = [run.gain for run in self.runs]
        _, found = _run(step, last, zip(gains, start, strict=True), reverse=True)
        found.append(last[None])
        if around is not None:
            means = [*around[:-1], around[-1][None]]
            found = [mu + x for mu, x in zip(means, found, strict=True)]
        return unstack_runs(found)

    def _stack(self, blocks: Sequence[Array]) -> list[Array]:
        return stack_runs(blocks, [len(run.gain) for run in self.runs])


def eliminate(diagonal: Sequence[Array], lower: Sequence[Array]) -> Elimination:
    """Factor M of diagonal blocks D_l (n_l, n_l), which must be symmetric, and E_l (n_{l+1}, n_l) below them.

    Raises:
        ValueError: no blocks, a wrong number of them, or shapes that do not fit.
    """
    check("diagonal", "hold at least one block", len(diagonal) > 0, len(diagonal))
    check("lower", "hold one block fewer than `diagonal`", len(lower) == len(diagonal) - 1, len(lower))
    sizes = [d.shape[-1] for d in diagonal]
    shapes, expected = [d.shape for d in diagonal], [(n, n) for n in sizes]
    check("diagonal", "hold square blocks", shapes == expected, shapes)
    shapes, expected = [e.shape for e in lower], [(after, before) for before, after in pairwise(sizes)]
    check("lower", f"have shapes {expected}", shapes == expected, shapes)

    def step(carry: tuple[Array, Array], layer: tuple[Array, Array]) -> tuple[tuple[Array, Array], Run]:
        (inverse, log_det), (below, following) = carry, layer
        gain = matmul(below, inverse)
        after, term = inverse_and_log_det(following - matmul(gain, below.T))
        return (after, log_det + term), Run(inverse, gain)

    counts = run_lengths(shapes)  # E_l of one shape in a row are square: what goes from layer to layer keeps its shape
    layers = zip(stack_runs(lower, counts), stack_runs(diagonal[1:], counts), strict=True)
    (last, log_det), runs = _run(step, inverse_and_log_det(diagonal[0]), layers)
    log_det = jnp.where(jnp.isfinite(log_det), log_det, jnp.nan)  # a pivot of exactly 0 leaves -∞
    return Elimination(tuple(runs), last, log_det)


_each = jax.vmap(matmul)
"""Products of stacked matrices with stacked (n,) or (n, k)."""


def _root(covariance: Array) -> Array:
    """Lower Cholesky factors of (count, n, n) or (n, n)."""
    return jnp.linalg.cholesky(covariance, symmetrize_input=True)


def _run(
    step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, layers: Iterable[Any], *, reverse: bool = False
) -> tuple[Any, list[Any]]:
    """`step` over stacked layers: the last carry, and stacked what each step gave besides, both as `jax.lax.scan`."""
    given = []
    for stack in reversed(list(layers)) if reverse else layers:
        if len(jax.tree.leaves(stack)[0]) == 1:
            carry, out = step(carry, jax.tree.map(lambda leaf: leaf[0], stack))
            given.append(jax.tree.map(lambda leaf: leaf[None], out))
        else:
            carry, out = jax.lax.scan(step, carry, stack, reverse=reverse)
            given.append(out)
    return carry, given[::-1] if reverse else given
