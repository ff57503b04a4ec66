"""Section 2: the neural septuple, (2.1) to (2.11)."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

import nnthermo as nt
from nnthermo.experiments.audit import forms
from nnthermo.experiments.audit.entry import Check, at_least, chapter, same, zero
from nnthermo.experiments.audit.systems import SIZES, Systems, nilpotent_links

EQUATIONS, equation = chapter()
LAYERS = len(SIZES)


def _power(matrix: np.ndarray, n: int) -> float:
    return float(np.abs(np.linalg.matrix_power(matrix, n)).max())


@equation(
    "2.1",
    "ŵⁿ = (ŵᵀ)ⁿ = 0 for all n ≥ L",
    right="|ŵ|ⁿ = 0 for all n ≥ L, i.e. no directed cycle",
    condition="the graph is acyclic; ŵⁿ = 0 alone is too weak",
    comment="A matrix can be nilpotent by cancellation: ŵ = [[1, -1], [1, -1]] squares to zero, yet f̂'ŵ does not and "
    "det Ĝ = 0.16. Conditions must look at the links, not at the numbers on them.",
    code="net.conditions",
)
def _layers_are_nilpotent(s: Systems) -> Iterator[Check]:
    w = np.abs(s.twin.weight)
    yield zero("largest entry of |ŵ|ᴸ, 3-4-3-2", _power(w, LAYERS), tolerance=0.0)
    yield at_least("largest entry of |ŵ|ᴸ⁻¹", _power(w, LAYERS - 1), 1e-6, reason="L is the least such n")
    yield same("L as the library counts it", s.deep.to_septuple().conditions().layers, LAYERS, role="right")
    bare = np.array([[1.0, -1.0], [1.0, -1.0]])
    yield zero("ŵ² of [[1, -1], [1, -1]]", _power(bare, 2), role="right", tolerance=0.0)
    yield zero("(f̂'ŵ)² of it, slopes 0.9 and 0.3", _power(nilpotent_links(), 2), role="outside")
    net = nt.Septuple(
        jnp.asarray(bare), jnp.zeros(2), activation=jnp.tanh, input_mask=[False] * 2, output_mask=[False] * 2
    )
    yield zero("the library calls it acyclic", net.conditions().acyclic, role="right")


@equation(
    "2.2",
    "P_in ŵ = 0",
    comment="Row i of ŵ receives: w_ij leads from j to i.",
    code="net.conditions",
)
def _inputs_receive_nothing(s: Systems) -> Iterator[Check]:
    w = np.asarray(s.deep.to_septuple().weight)
    yield zero("largest entry of P_in ŵ", np.abs(w[:3]).max(), tolerance=0.0)
    yield at_least("largest entry of ŵ P_in (the transposed reading)", np.abs(w[:, :3]).max(), 1e-3)
    yield same("the library finds the inputs closed", s.graph.conditions().closed_inputs, 1, role="right")


@equation(
    "2.3",
    "P_out ŵᵀ = 0",
    comment="Column j of ŵ sends.",
    code="net.conditions",
)
def _outputs_send_nothing(s: Systems) -> Iterator[Check]:
    w = np.asarray(s.deep.to_septuple().weight)
    yield zero("largest entry of P_out ŵᵀ", np.abs(w.T[-2:]).max(), tolerance=0.0)
    yield at_least("largest entry of P_out ŵ (the transposed reading)", np.abs(w[-2:]).max(), 1e-3)
    yield same("the library finds the outputs terminal", s.graph.conditions().terminal_outputs, 1, role="right")


@equation(
    "2.4",
    "x(0) = P_in x_∂",
    comment="Hidden and output neurons start at zero.",
    code="net.propagate",
    kind="definition",
)
def _the_start(s: Systems) -> Iterator[Check]:
    x = np.asarray(s.graph.propagate(s.inputs, steps=0))
    yield zero("hidden and output neurons at t = 0", np.abs(x[3:]).max(), tolerance=0.0)
    yield zero("inputs at t = 0, less x_∂", np.abs(x[:3] - np.asarray(s.inputs)).max(), tolerance=0.0)


@equation(
    "2.5",
    "x(t+1) = f(ŵx(t) + b)",
    comment="All neurons at once.",
    code="net.activate",
    kind="definition",
)
def _the_dynamics(s: Systems) -> Iterator[Check]:
    x = s.random("2.5").normal(size=12)
    x[:3] = np.asarray(s.inputs)
    w, b = np.asarray(s.graph.weight), np.asarray(s.graph.bias)
    by_hand = [np.tanh(sum(w[i, j] * x[j] for j in range(12)) + b[i]) for i in range(12)]
    found = np.asarray(s.graph.activate(jnp.asarray(x)))
    yield zero("one step, less the same neuron by neuron", np.abs(found - by_hand).max())


@equation(
    "2.6",
    "f_i(y) = f_i(y_i)",
    comment="The library refuses activations that mix neurons, such as softmax.",
    code="net.activate",
    kind="definition",
)
def _activation_is_elementwise(s: Systems) -> Iterator[Check]:
    y = s.random("2.6").normal(size=4)
    moved = np.tanh(y[None] + 1e-3 * np.eye(4)) - np.tanh(y)
    yield zero("change of the other neurons", np.abs(moved - np.diag(np.diag(moved))).max(), tolerance=0.0)
    refused = 0
    try:
        s.deep.replace(activation=_mixing)
    except ValueError:
        refused = 1
    yield same("a map that mixes neurons is refused", refused, 1, role="right")


def _mixing(y: jnp.ndarray) -> jnp.ndarray:
    return y / (1 + jnp.sum(jnp.abs(y)))


def _orbit(net: forms.Twin, start: np.ndarray, steps: int) -> list[np.ndarray]:
    states = [start]
    for _ in range(steps):
        states.append(net.f(net.weight @ states[-1] + net.bias))
    return states


def _from_inputs(s: Systems) -> np.ndarray:
    return np.concatenate([np.asarray(s.inputs), np.zeros(9)])


@equation(
    "2.7",
    "P_in x(t) = P_in x(0) = x(0) = P_in x_∂",
    condition="(2.8) holds",
    comment="The paper says so itself. The library clamps the inputs, which imposes it whatever their bias.",
    code="net.propagate",
)
def _inputs_stay(s: Systems) -> Iterator[Check]:
    u = np.asarray(s.inputs)
    orbit = _orbit(s.twin, _from_inputs(s), 10)
    yield zero("inputs over ten steps with b = artanh x_∂", max(np.abs(x[:3] - u).max() for x in orbit))
    free = s.twin._replace(bias=np.concatenate([np.zeros(3), s.twin.bias[3:]]))
    moved = max(np.abs(x[:3] - u).max() for x in _orbit(free, _from_inputs(s), 10))
    yield zero("the same with b = 0 on the inputs", moved, role="outside")
    clamped = s.deep.to_septuple().propagate(s.inputs, steps=5)  # its input bias is zero
    yield zero("clamped by the library, b = 0", np.abs(np.asarray(clamped)[:3] - u).max(), role="right", tolerance=0.0)


def _sigmoid(y: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-y))


@equation(
    "2.8",
    "f(P_in b) = P_in x_∂",
    right="P_in f(b) = P_in x_∂",
    condition="x_∂ in the range of f: |x_∂| < 1 for tanh, ≥ 0 for ReLU",
    comment="As printed, neurons that are no inputs would need f(0) = 0, which tanh has and the sigmoid has not.",
    code="net.conditions",
    fault="misprint",
)
def _the_input_bias(s: Systems) -> Iterator[Check]:
    mask = np.arange(12) < 3
    u = np.where(mask, 0.5 + 0.4 * np.concatenate([np.asarray(s.inputs), np.zeros(9)]), 0)
    b = np.log(np.where(mask, u, 0.7) / (1 - np.where(mask, u, 0.7)))
    yield zero("printed, sigmoid: |f(P_in b) - P_in x_∂|", np.abs(_sigmoid(mask * b) - u).max())
    yield zero("corrected, sigmoid: |P_in f(b) - P_in x_∂|", np.abs(mask * _sigmoid(b) - u).max(), role="right")
    tanh = np.abs(np.where(mask, np.tanh(s.twin.bias), 0)[:3] - np.asarray(s.inputs)).max()
    yield zero("corrected, tanh", tanh, role="right")
    yield same("the library finds it met", s.graph.conditions(s.inputs).input_bias, 1, role="right")


@equation(
    "2.9",
    "x̄ = f(ŵx̄ + b)",
    comment="Layers reach it in exactly L - 1 steps from (2.4); graphs with cycles may have none in reach, or several, "
    "as the paper says.",
    code="net.fixed_point",
)
def _the_fixed_point(s: Systems) -> Iterator[Check]:
    orbit = _orbit(s.twin, _from_inputs(s), LAYERS)
    yield zero("|x̄ - f(ŵx̄ + b)|, layers", np.abs(forms.residual(s.twin, orbit[LAYERS - 1])).max())
    apart = np.abs(orbit[LAYERS - 2] - orbit[LAYERS]).max()
    yield at_least("|x(L-2) - x̄|: L - 2 steps are too few", apart, 1e-4)
    found = s.cyclic.fixed_point(s.inputs)
    gap = np.asarray(s.cyclic.activate(found.state) - found.state)
    yield zero("|x̄ - f(ŵx̄ + b)|, cycles, a contraction", np.abs(gap).max())
    wrong = _orbit(s.twin, np.concatenate([np.zeros(3), s.centre[3:]]), LAYERS)
    yield at_least("|x(L-1) - x̄| if the inputs start wrong", np.abs(wrong[LAYERS - 1] - s.centre).max(), 1e-6)
    yield zero("|x(L) - x̄| if the inputs start wrong", np.abs(wrong[LAYERS] - s.centre).max(), role="right")


def _errors(s: Systems) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x̄ - x_∂ on all boundary neurons, and which are inputs and outputs."""
    place = np.arange(12)
    inputs, outputs = place < 3, place >= 10
    data = np.concatenate([np.asarray(s.inputs), np.zeros(7), np.asarray(s.targets)])
    return s.centre - data, inputs, outputs


@equation(
    "2.10",
    "H_∂ = (x̄ - x_∂)ᵀ P_out (x̄ - x_∂)",
    right="H_∂ = ½ (x̄ - x_∂)ᵀ P_out (x̄ - x_∂)",
    comment="(2.11), introduced as a rewriting of it, has a ½ and is half as large. The library keeps the ½, with "
    "which the relaxed bulk loss cannot exceed H_∂.",
    code="nt.boundary_loss",
    fault="misprint",
)
def _boundary_loss_without_half(s: Systems) -> Iterator[Check]:
    error, inputs, outputs = _errors(s)
    rewritten = 0.5 * np.sum(error[inputs | outputs] ** 2)
    yield same("(2.10) over (2.11)", np.sum(error[outputs] ** 2) / rewritten, 1)
    yield same("with its ½ over (2.11)", 0.5 * np.sum(error[outputs] ** 2) / rewritten, 1, role="right")
    ours = nt.boundary_loss(s.deep, s.state, s.targets)
    yield same("nt.boundary_loss over (2.11)", ours / rewritten, 1, role="right")


@equation(
    "2.11",
    "H_∂ = ½ (x̄ - x_∂)ᵀ (P_in + P_out) (x̄ - x_∂)",
    condition="(2.7): no error on the input neurons",
    comment="The form to keep.",
    code="nt.boundary_loss",
)
def _boundary_loss(s: Systems) -> Iterator[Check]:
    error, inputs, outputs = _errors(s)
    ours = float(nt.boundary_loss(s.deep, s.state, s.targets))
    yield same("over input and output neurons", 0.5 * np.sum(error[inputs | outputs] ** 2), ours)
    moved = error + 0.1 * inputs
    yield same("with the inputs off by 0.1", 0.5 * np.sum(moved[inputs | outputs] ** 2), ours, role="outside")
