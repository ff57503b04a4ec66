r"""The bulk loss of many samples as a function of free coordinates, one sample a column.

Coordinates of a state whose clamped neurons are given:

- **states**: the free x themselves.
- **errors** of a feed-forward network: z_i = x_i - f(ŵx + b)_i of the free neurons, from which the layers follow one
  after the other. The Hessian is I + JᵀJ plus terms in f'', J the derivative of the clamped errors: as many eigenvalues
  differ from 1 as there are clamped neurons behind free ones. Where these are few and the network is not deep, far
  fewer steps are needed than in states; through many layers J grows with the product of the weights.

The gradients, with r the errors and u what H changes by per unit of f:

    ∂H/∂x_l = r_l + ∂V/∂x_l - W_{l+1}ᵀ f'_{l+1} r_{l+1},
    ∂H/∂z_l = r_l + s_l,   s_l = ∂V/∂x_l + W_{l+1}ᵀ f'_{l+1} u_{l+1},   u = s where free, -r where clamped.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Activation, Array, State
from nnthermo.loss import Potential, bulk_loss
from nnthermo.network import FeedForward, Network
from nnthermo.relaxation.bfgs import Evaluation, column_sums, largest


class Coordinates(Protocol):
    """What the descent needs of a problem."""

    def start(self) -> Array:
        """z of the given states, (n, samples)."""
        ...

    def evaluate(self, z: Array) -> Evaluation:
        """Bulk loss of each sample and its gradient in z."""
        ...

    def state(self, z: Array) -> State:
        """States at z, every leaf (..., samples)."""
        ...


class GraphStates:
    """Any network, differentiated automatically.

    Args:
        net: a network.
        x: states, leaves (..., samples).
        free: indices of the free neurons in the order of `net.ravel`.
        potential: V, or None.
        tied: (outputs, inputs), indices of neurons of which the first copy the second (periodic boundary).
    """

    def __init__(
        self,
        net: Network,
        x: State,
        free: np.ndarray,
        potential: Potential | None,
        tied: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.net, self.free, self.potential, self.tied = net, free, potential, tied
        self.base = jax.vmap(net.ravel, in_axes=-1, out_axes=-1)(x)

    def start(self) -> Array:
        """z of the given states, (n, samples)."""
        return self.base[self.free]

    def state(self, z: Array) -> State:
        """States at z."""
        return jax.vmap(self._place, in_axes=-1, out_axes=-1)(z, self.base)

    def _place(self, z: Array, base: Array) -> State:
        flat = base.at[self.free].set(z)
        if self.tied is not None:
            flat = flat.at[self.tied[0]].set(flat[self.tied[1]])
        return self.net.unravel(flat)

    def evaluate(self, z: Array) -> Evaluation:
        """Bulk loss and its gradient."""

        def one(z: Array, base: Array) -> tuple[Array, Array]:
            x = self._place(z, base)
            errors = bulk_loss(self.net, x)
            local = jnp.zeros_like(errors) if self.potential is None else self.potential(x)
            return errors + local, rounding(errors, self.net.ravel(x), local)

        both = jax.value_and_grad(one, has_aux=True)
        (loss, size), gradient = jax.vmap(both, in_axes=-1, out_axes=((0, 0), -1))(z, self.base)
        return Evaluation(loss, size, gradient)


class Layers:
    """What both coordinates of a feed-forward network share.

    Args:
        net: the network.
        x: states, layers (n_l, samples).
        clamped: for each layer which neurons are, (n_l,).
        potential: V, or None.
        driven: f of the first layer after the inputs, where these are all clamped and it is known.
    """

    def __init__(
        self,
        net: FeedForward,
        x: Sequence[Array],
        clamped: Sequence[np.ndarray],
        potential: Potential | None,
        driven: Array | None = None,
    ) -> None:
        self.net, self.x, self.potential = net, tuple(x), potential
        self.free = [~mask for mask in clamped]
        self.moving = [k for k, mask in enumerate(self.free) if mask.any()]
        self.lowest = min(self.moving, default=len(self.x))  # nothing below it moves
        self.ends = np.cumsum([0, *(len(self.free[k]) for k in self.moving)])
        # XLA is slow at products with a transposed matrix on a CPU (benchmarks/transposed.py): made once for all steps
        self.transposed = [jax.lax.optimization_barrier(w.T) for w in net.weights]
        self.driven = driven
        if driven is None or not self.lowest:
            self.driven = self._activation(0, self.x[0])[0] if self.lowest else None

    def _activation(self, k: int, x: Array) -> tuple[Array, Array]:
        """f and f' of layer k + 1 from the state of layer k."""
        v = self.net.weights[k] @ x + self.net.biases[k][:, None]
        return columns(self.net.activations[k], v)

    def _above(self, k: int, x: Array) -> tuple[Array, Array]:
        if k or self.driven is None:
            return self._activation(k, x)
        return self.driven, self.driven  # its slope is of no use: the inputs stand still

    def _parts(self, z: Array) -> dict[int, Array]:
        return {k: z[a:b] for k, a, b in zip(self.moving, self.ends[:-1], self.ends[1:], strict=True)}

    def _pack(self, parts: Sequence[Array]) -> Array:
        """Of one array a layer, those of the free neurons, 0 for clamped ones beside them."""
        chosen = [self._choose(k, parts[k], jnp.zeros_like(parts[k])) for k in self.moving]
        samples = self.x[0].shape[1]
        return jnp.concatenate(chosen) if chosen else jnp.zeros((0, samples), self.x[0].dtype)

    def _choose(self, k: int, free: Array | None, clamped: Array) -> Array:
        """`free` on free neurons of layer k and `clamped` on the others."""
        if free is None or not self.free[k].any():
            return clamped
        return free if self.free[k].all() else jnp.where(self.free[k][:, None], free, clamped)

    def _errors(self, x: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """r and f' of each layer; of the inputs 0, and no f'."""
        found = [self._above(k, x[k]) for k in range(len(x) - 1)]
        r = [jnp.zeros_like(x[0]), *(s - a for s, (a, _) in zip(x[1:], found, strict=True))]
        return r, [r[0], *(d for _, d in found)]

    def _loss(self, x: Sequence[Array], r: Sequence[Array]) -> tuple[Array, Array, Sequence[Array] | None]:
        """Loss, its rounding, and the gradient of V."""
        errors = jnp.asarray(0.5 * sum(column_sums(e**2) for e in r[1:]))
        varying = x[min(self.lowest, 1) :]  # given inputs enter through what they drive
        if self.potential is None:
            return errors, rounding(errors, varying, jnp.zeros_like(errors)), None
        local, pull = jax.vmap(jax.value_and_grad(self.potential), in_axes=-1, out_axes=(0, -1))(tuple(x))
        return errors + local, rounding(errors, varying, local), pull

    def _gradient(self, r: Sequence[Array], d: Sequence[Array], pull: Sequence[Array] | None) -> Array:
        """∂H/∂x of the free neurons."""
        g = list(r)
        for k in self.moving:
            if k + 1 < len(r):
                g[k] = g[k] - self.transposed[k] @ (d[k + 1] * r[k + 1])
            if pull is not None:
                g[k] = g[k] + pull[k]
        return self._pack(g)


class LayerStates(Layers):
    """The free states of a feed-forward network."""

    def start(self) -> Array:
        """z of the given states, (n, samples)."""
        return self._pack(self.x)

    def state(self, z: Array) -> tuple[Array, ...]:
        """States at z."""
        parts = self._parts(z)
        return tuple(self._choose(k, parts.get(k), x) for k, x in enumerate(self.x))

    def evaluate(self, z: Array) -> Evaluation:
        """Bulk loss and its gradient."""
        x = self.state(z)
        r, d = self._errors(x)
        loss, size, pull = self._loss(x, r)
        return Evaluation(loss, size, self._gradient(r, d, pull))


class LayerErrors(Layers):
    """The errors of the free neurons of a feed-forward network; of free inputs their states."""

    def start(self) -> Array:
        """z of the given states, (n, samples)."""
        r, _ = self._errors(self.x)
        return self._pack([self.x[0], *r[1:]])

    def state(self, z: Array) -> tuple[Array, ...]:
        """States at z."""
        return tuple(self._forward(z)[0])

    def _forward(self, z: Array) -> tuple[list[Array], list[Array], list[Array]]:
        parts = self._parts(z)
        x = [self._choose(0, parts.get(0), self.x[0])]
        r, d = [jnp.zeros_like(x[0])], [x[0]]
        for k in range(len(self.x) - 1):
            a, slope = self._above(k, x[k])
            error = parts.get(k + 1)
            x.append(self._choose(k + 1, None if error is None else a + error, self.x[k + 1]))
            r.append(self._choose(k + 1, error, self.x[k + 1] - a))
            d.append(slope)
        return x, r, d

    def evaluate(self, z: Array) -> Evaluation:
        """Bulk loss and its gradient in z."""
        x, r, d = self._forward(z)
        loss, size, pull = self._loss(x, r)
        g, u = list(r), None
        for k in reversed(range(self.lowest, len(x))):
            s = jnp.zeros_like(r[k]) if u is None else self.transposed[k] @ (d[k + 1] * u)
            if pull is not None:
                s = s + pull[k]
            g[k] = r[k] + s
            u = self._choose(k, s, -r[k])
        return Evaluation(loss, size, self._pack(g))

    def largest_gradient(self, z: Array) -> Array:
        """Largest |∂H/∂x| over the free neurons, which a small gradient in z does not bound."""
        x, r, d = self._forward(z)
        return largest(self._gradient(r, d, self._loss(x, r)[2]))


def rounding(errors: Array, x: Any, local: Array) -> Array:
    """What H rounds by, over ε: its terms may cancel, and r = x - f carries the rounding of x into ½ |r|²."""
    squares = sum(column_sums(leaf**2) for leaf in jax.tree.leaves(x))
    return errors + jnp.sqrt(2 * errors) * jnp.sqrt(squares) + jnp.abs(local)


def columns(activation: Activation, v: Array) -> tuple[Array, Array]:
    """f and f' of (n, samples), f of one sample being a function of (n,)."""

    def one(v: Array) -> tuple[Array, Array]:
        return jax.jvp(activation, (v,), (jnp.ones_like(v),))

    return jax.vmap(one, in_axes=-1, out_axes=-1)(v)
