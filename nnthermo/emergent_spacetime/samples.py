"""States of a network with noise, sampled."""

from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import integer, random_key, real_array
from nnthermo._typing import Array
from nnthermo.emergent_spacetime.labels import Labels
from nnthermo.emergent_spacetime.states import FixedStates
from nnthermo.network import Network


def noisy_states(
    network: Network | Labels,
    boundary: Any,
    noise: Any,
    key: Array,
    *,
    replicas: int,
    steps: int,
    **solving: Any,
) -> Labels:
    """States of replicas of a network with noise at labels, for `gravity.fisher_information_from_samples`.

    Each replica starts at x̄(y) and makes `steps` steps of x ← f(ŵx + b) + √(2D) ξ; its random numbers are the same at
    all y. Beyond `noisy_state_ensemble` it holds what noise does to curved activations.

    Args:
        network, boundary, solving: as in `gaussian_state_ensemble`.
        noise: D > 0, a number or (n,), or a function of y.
        key: JAX random key.
        replicas: R.
        steps: until the ensemble is stationary: some times 1/(1 - |f̂'ŵ|).

    Returns:
        A function of y: (R, n), all neurons but the inputs.
    """
    random_key("key", key)
    replicas, steps = integer("replicas", replicas, least=1), integer("steps", steps, least=1)
    states = FixedStates(network, boundary, "driven", 2, solving)

    def samples(y: Array) -> Array:
        net, x = states.at(y)
        free = states.kept(net)
        flat = net.ravel(x)
        D = real_array("noise", noise(y) if callable(noise) else noise).astype(flat.dtype)
        scale = jnp.broadcast_to(jnp.sqrt(2 * D), (len(free),))

        def one(key: Array) -> Array:
            def step(flat: Array, k: Array) -> tuple[Array, None]:
                after = net.ravel(net.activate(net.unravel(flat)))
                return after.at[free].add(scale * jax.random.normal(k, scale.shape, scale.dtype)), None

            return jax.lax.scan(step, flat, jax.random.split(key, steps))[0][free]

        return jax.vmap(one)(jax.random.split(key, replicas))

    return samples
