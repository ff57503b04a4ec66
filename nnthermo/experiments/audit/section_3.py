"""Section 3: losses in the bulk, (3.1) to (3.4)."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nnthermo as nt
from nnthermo.experiments.audit import forms
from nnthermo.experiments.audit.entry import Check, at_least, at_most, chapter, near, same, zero
from nnthermo.experiments.audit.systems import M, Systems, as_twin

EQUATIONS, equation = chapter()
TOLERANCE = 1e-12


@equation(
    "3.1",
    "H = ½ (x̄ - f(ŵx̄ + b))ᵀ (x̄ - f(ŵx̄ + b))",
    condition="the sum runs over the inputs too, whose error vanishes by (2.8)",
    comment="For layers it is the energy of predictive coding, layer by layer.",
    code="nt.bulk_loss",
    kind="definition",
)
def _bulk_loss(s: Systems) -> Iterator[Check]:
    x = s.deep.unravel(jnp.asarray(np.concatenate([np.asarray(s.inputs), s.random("3.1").normal(size=9)])))
    layers = zip(s.deep.weights, s.deep.biases, x[:-1], x[1:], strict=True)
    energy = sum(
        0.5 * np.sum((np.asarray(b) - np.tanh(np.asarray(w) @ np.asarray(a) + np.asarray(v))) ** 2)
        for w, v, a, b in layers
    )
    yield same("nt.bulk_loss at a random state, less predictive coding", nt.bulk_loss(s.deep, x) - energy, 0)
    state = np.asarray(s.deep.ravel(x))
    yield same("the same over all N neurons, inputs included", forms.bulk_loss(s.twin, state), energy)


@jax.jit
def relaxed(net: nt.FeedForward, inputs: Any, targets: Any, m: Any) -> nt.Relaxation:
    """The clamped minimum (3.2), compiled once for all entries that need it."""
    return nt.relax(net, inputs, targets, potential=nt.QuadraticPotential(m), tolerance=TOLERANCE)


def linear_minimum(s: Systems, inputs: Any, targets: Any) -> float:
    """H* of `linear`: ½eᵀS⁻¹e with S = I + Σ over hidden layers of the product of the weights behind them, squared."""
    w = [np.asarray(v) for v in s.linear.weights]
    S, product = np.eye(2), np.eye(2)
    for k in (2, 1):
        product = product @ w[k]
        S = S + product @ product.T
    e = np.asarray(targets) - forms.fixed_state(as_twin(s.linear, inputs), 4)[-2:]
    return float(0.5 * e @ np.linalg.solve(S, e))


@equation(
    "3.2",
    "H(x̄) = min of H(x) over (P_in + P_out) x = x_∂",
    condition="a minimum exists for bounded f if m < 1; it need not be unique",
    comment="Hidden errors at the minimum obey the recursion of back-propagation. A minimiser must say which minimum "
    "it followed; the library takes the one downhill from the feed-forward state.",
    code="nt.relax",
    kind="definition",
)
def _clamped_minimum(s: Systems) -> Iterator[Check]:
    found = relaxed(s.deep, s.inputs, s.targets, 0.0)
    x = np.asarray(s.deep.ravel(found.state))
    r = forms.residual(s.twin, x)
    gradient = forms.jacobian(s.twin, x).T @ r
    yield zero(
        "gradient over the hidden neurons", np.abs(gradient[3:10]).max(), tolerance=1e-11, reason="where it stops"
    )
    back = forms.links(s.twin, x).T @ r
    yield zero("r_hid - P_hid ŵᵀf̂'r", np.abs((r - back)[3:10]).max(), tolerance=1e-11, reason="where it stops")
    loss = float(found.loss)
    yield same("H at the minimum, over again from the twin", loss, forms.bulk_loss(s.twin, x))
    boundary = float(nt.boundary_loss(s.deep, s.state, s.targets))
    yield at_most("H* / H_∂: the feed-forward state is allowed too", loss / boundary, 1)
    linear = relaxed(s.linear, s.inputs, s.targets, 0.0).loss
    yield same("linear: H* less ½eᵀS⁻¹e", linear - linear_minimum(s, s.inputs, s.targets), 0, role="right")


@equation(
    "3.3",
    "V(x̄) = Σ_i V_i(x̄_i) = -Σ_i (m/2) x̄_i²",
    condition="H has a minimum only if m < 1 (bounded f), or m < λ_min(Ĝ) (linear f)",
    comment="The text says that states in the range of f cannot run away. Off shell x is free, and for m > 1 it does.",
    code="nt.QuadraticPotential",
    kind="definition",
)
def _local_objective(s: Systems) -> Iterator[Check]:
    x = s.random("3.3").normal(size=12)
    layers = s.deep.unravel(jnp.asarray(x))
    yield same("nt.QuadraticPotential less -(m/2) x·x", nt.QuadraticPotential(M)(layers) + 0.5 * M * x @ x, 0)
    far = 1e5 * x / np.linalg.norm(x)
    yield at_least("H/R² at R = 10⁵, m = 0.9", forms.bulk_loss(s.twin, far, 0.9) / 1e10, 0.04, reason="½(1 - m)")
    yield at_most("H/R² at R = 10⁵, m = 1.1", forms.bulk_loss(s.twin, far, 1.1) / 1e10, -0.04, reason="½(1 - m)")


def _second_line(s: Systems, x: np.ndarray, bias: np.ndarray) -> float:
    """Second line of (3.4), index by index, with what stands for the bias inside."""
    w = s.twin.weight
    inside = [sum(w[i, j] * x[j] for j in range(12)) + bias[i] for i in range(12)]
    return 0.5 * sum((x[i] - np.tanh(inside[i])) ** 2 - M * x[i] ** 2 for i in range(12))


@equation(
    "3.4",
    "H = ½ |x̄ - f(ŵx̄ + b)|² + V(x̄) = ½ Σ_i [(x̄_i - f_i(Σ_j w_ij x̄_j + p_j))² - m x̄_i²]",
    right="the same with b_i for p_j",
    comment="Here and in the text before (3.3). Derivatives of H at its clamped minimum are the explicit ones "
    "(envelope theorem): no derivative of x̄ is needed.",
    code="nt.bulk_loss",
    fault="misprint",
)
def _bulk_loss_with_objective(s: Systems) -> Iterator[Check]:
    x = s.random("3.4").normal(size=12)
    first = forms.bulk_loss(s.twin, x, M)
    summed = np.full(12, s.twin.bias.sum())  # the free index j under its sum
    yield same("second line with p_j = b_j, as printed", _second_line(s, x, summed), first)
    yield same("second line with b_i", _second_line(s, x, s.twin.bias), first, role="right")
    layers = s.deep.unravel(jnp.asarray(x))
    ours = nt.bulk_loss(s.deep, layers, inputs=s.inputs, potential=nt.QuadraticPotential(M))
    yield same("nt.bulk_loss", ours, first, role="right")
    yield from _envelope(s)


def _envelope(s: Systems) -> Iterator[Check]:
    """The four derivatives of the relaxed loss against differences of the re-minimised one."""
    found = relaxed(s.deep, s.inputs, s.targets, M)
    x = np.asarray(s.deep.ravel(found.state))
    r = forms.residual(s.twin, x)
    slopes = s.twin.slope(s.twin.weight @ x + s.twin.bias)
    B = forms.jacobian(s.twin, x)
    weights, biases = s.deep.weights, s.deep.biases

    def at(h: float, which: str) -> float:
        net, target, m = s.deep, s.targets, M
        if which == "w":
            net = net.replace(weights=[weights[0], weights[1].at[1, 2].add(h), weights[2]])
        elif which == "b":
            net = net.replace(biases=[biases[0], biases[1].at[1].add(h), biases[2]])
        elif which == "target":
            target = target.at[0].add(h)
        else:
            m = m + h
        return float(relaxed(net, s.inputs, target, m).loss)

    i, j = 3 + 4 + 1, 3 + 2  # neuron 1 of layer 2, neuron 2 of layer 1
    explicit = {
        "w": -slopes[i] * r[i] * x[j],
        "b": -slopes[i] * r[i],
        "target": (B.T @ r - M * x)[10],
        "m": -0.5 * x @ x,
    }
    names = {"w": "∂H*/∂w_ij + f'_i r_i x_j", "b": "∂H*/∂b_i + f'_i r_i"}
    names |= {"target": "∂H*/∂x_∂ - (Bᵀr - mx)", "m": "∂H*/∂m + ½|x|²"}
    for which, value in explicit.items():
        difference = float(forms.central(partial(at, which=which)))
        reason = "central difference, h = 10⁻⁵"
        yield near(names[which], difference - value, 0, 1e-7, reason, role="right")
