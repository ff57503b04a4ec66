"""How good the Gaussian partition function is for given networks: (5.8), (5.9), (5.14) against the exact ensemble."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnthermo._checks import check, extra, positive, real_array
from nnthermo._typing import Array, Scalar
from nnthermo.canonical import Box, CanonicalEnsemble, Estimate, Window, ancestral, gaussian_ensemble
from nnthermo.canonical.gaussian import fixed_state
from nnthermo.network import FeedForward, Network, Septuple

FindLogPartition = Callable[[CanonicalEnsemble, Array], Estimate]
"""(ensemble, key) -> log Z with its error."""


class Approximation(NamedTuple):
    """log Z of several networks at several temperatures, exact and approximate; all in nats, (networks, betas).

    Attributes:
        betas: β, (betas,).
        neurons: free neurons, to divide by.
        box: exact, over the range of the activations (5.7).
        box_error: its standard error.
        window: exact, with the Gaussian window of (5.8) in place of the box.
        window_error: its standard error.
        gaussian: (5.9) at the fixed state, which approximates `window`.
        gaussian_without_mean: (5.14), which drops the mean term.
        dropped: what (5.13) drops, gaussian_without_mean - gaussian: between 0 and ½c|x̄|² for c = 1 - βm >= 0.
    """

    betas: np.ndarray
    neurons: int
    box: np.ndarray
    box_error: np.ndarray
    window: np.ndarray
    window_error: np.ndarray
    gaussian: np.ndarray
    gaussian_without_mean: np.ndarray
    dropped: np.ndarray

    def errors(self) -> dict[str, np.ndarray]:
        """Mean error of each step a neuron, in nats, by name, (betas,): over networks, in the order of the steps.

        `window`: (5.8) against the box; `gaussian`: (5.9) against the window; `gaussian_without_mean`: (5.14) against
        the window; `total` and `total_without_mean`: both against the box.
        """
        steps = {
            "window": self.window - self.box,
            "gaussian": self.gaussian - self.window,
            "gaussian_without_mean": self.gaussian_without_mean - self.window,
            "total": self.gaussian - self.box,
            "total_without_mean": self.gaussian_without_mean - self.box,
        }
        return {name: step.mean(axis=0) / self.neurons for name, step in steps.items()}

    def rankings(self, against: str = "box") -> dict[str, np.ndarray]:
        """Spearman's rank correlation over networks of each approximation with the exact ensemble, by name, (betas,).

        1 if networks come in the same order, 0 if the approximation says nothing about it. NaN for fewer than three
        networks, or where all are equal to within twice their standard errors, so that there is no order to keep.

        Args:
            against: "box" or "window".

        Raises:
            ValueError: another ensemble.
            ImportError: SciPy is missing, with the command that installs it.
        """
        check("against", "be box or window", against in ("box", "window"), against)
        exact, error = getattr(self, against), getattr(self, f"{against}_error")
        names = (
            ("window", "gaussian", "gaussian_without_mean")
            if against == "box"
            else ("gaussian", "gaussian_without_mean")
        )
        resolved = np.ptp(exact, axis=0) > 2 * error.max(axis=0)

        spearman = extra("scipy.stats", "experiments").spearmanr

        def correlation(name: str) -> np.ndarray:
            values = getattr(self, name)
            ordered = resolved & (np.ptp(values, axis=0) > 0) & (len(values) > 2)
            pairs = zip(values.T, exact.T, ordered, strict=True)
            return np.array([spearman(a, b).statistic if fine else np.nan for a, b, fine in pairs])

        return {name: correlation(name) for name in names}


def approximation_report(
    networks: Sequence[Network] | Network,
    inputs: Any,
    betas: Any,
    *,
    key: Array,
    samples: int = 10_000,
    m: Scalar = 0.0,
    clamp_inputs: bool = False,
    states: Sequence[Any] | None = None,
    exact: FindLogPartition | None = None,
) -> Approximation:
    """Compare the Gaussian partition functions of networks with their exact ensembles.

    The order of networks matters more than the values: a constant error a neuron shifts every network's log Z alike.
    The same key is used for all of them, so that networks of the same shape share their noise.

    Args:
        networks: one network or several.
        inputs: data of the input neurons, (n_in,), the same for all.
        betas: inverse temperatures, (betas,).
        key: JAX random key.
        samples: of the exact ensembles.
        m: curvature of the potential (3.3).
        clamp_inputs: whether the inputs are held at their data.
        states: x̄ of each network; `net.propagate(inputs)` if None, for graphs with cycles `net.fixed_point`.
        exact: function (ensemble, key) -> Estimate of log Z; `nt.ancestral` if None, for graphs with cycles one such as
            `lambda e, key: nt.annealed(e, key).estimate.log_partition`.

    Raises:
        ValueError: β not positive, networks with different numbers of neurons, a graph with cycles without `exact`, or
            a fixed state that was not found.
    """
    nets = [networks] if isinstance(networks, FeedForward | Septuple) else list(networks)  # type: ignore[arg-type]
    check("networks", "hold at least one network", len(nets) > 0, 0)
    b = np.atleast_1d(np.asarray(real_array("betas", betas), np.float64))
    check("betas", "be one number or one vector", b.ndim == 1, f"shape {b.shape}")
    positive("betas", b)
    check("networks", "have one number of neurons", len({n.size for n in nets}) == 1, sorted({n.size for n in nets}))
    found = [fixed_state(n, inputs) for n in nets] if states is None else list(states)
    check("states", "be one for each network", len(found) == len(nets), len(found))

    def sampled(ensemble: CanonicalEnsemble, key: Array) -> Estimate:
        return ancestral(ensemble, key, samples).log_partition

    log_z = sampled if exact is None else exact
    neurons = 0
    rows: dict[str, list[list[float]]] = {name: [] for name in Approximation._fields[2:]}
    for net, x in zip(nets, found, strict=True):
        row: dict[str, list[float]] = {name: [] for name in rows}
        for beta in b:
            ensembles = {
                name: CanonicalEnsemble(net, inputs, float(beta), clamp_inputs=clamp_inputs, measure=measure, m=m)
                for name, measure in (("box", Box()), ("window", Window()))
            }
            for name, ensemble in ensembles.items():
                estimate = log_z(ensemble, key)
                row[name].append(float(estimate.value))
                row[f"{name}_error"].append(float(estimate.error))
            ensemble = ensembles["window"]
            neurons = ensemble.dimension
            gaussians = [gaussian_ensemble(ensemble, state=x, mean_term=keep) for keep in (True, False)]
            kept, without = (float(g.log_partition) for g in gaussians)
            row["gaussian"].append(kept)
            row["gaussian_without_mean"].append(without)
            row["dropped"].append(without - kept)
        for name, values in row.items():
            rows[name].append(values)
    return Approximation(b, neurons, **{name: np.array(values) for name, values in rows.items()})
