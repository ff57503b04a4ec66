"""Section 4: statistical ensembles, (4.1) to (4.10)."""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

import nnthermo as nt
from nnthermo.experiments.audit import forms, grids
from nnthermo.experiments.audit.entry import Check, at_least, at_most, chapter, near, same, slope
from nnthermo.experiments.audit.forms import LOG_2PI
from nnthermo.experiments.audit.grids import Grid
from nnthermo.experiments.audit.section_3 import linear_minimum, relaxed
from nnthermo.experiments.audit.systems import BETA, M, Systems

EQUATIONS, equation = chapter()
FD = "central difference, h = 10⁻⁵"


@equation(
    "4.1",
    "U₀ ≡ ∫ dx_∂ min H(x) p_∂(x_∂) over (P_in + P_out) x = x_∂",
    code="nt.relax",
    kind="definition",
)
def _mean_minimum(s: Systems) -> Iterator[Check]:
    data = [(s.inputs, s.targets), (-0.5 * s.inputs, s.targets[::-1])]
    found = [float(relaxed(s.linear, u, t, 0.0).loss) for u, t in data]
    by_hand = [linear_minimum(s, u, t) for u, t in data]
    value, expected = (0.3 * a[0] + 0.7 * a[1] for a in (found, by_hand))
    yield same("linear, two data points: U₀ beside Σ p ½eᵀS⁻¹e", value, expected)


def _hidden(s: Systems, u: np.ndarray) -> np.ndarray:
    """The relaxed hidden neuron of `pair` for given inputs: min ½(x - f)² - (m/2)x² is at f/(1 - m)."""
    return np.tanh(s.pair.weight[1, 0] * u + s.pair.bias[1]) / (1 - M)


def _smeared(s: Systems, width: float, *, everywhere: bool) -> tuple[float, float]:
    """∫p₀ and ∫Hp₀ of (4.2) with a Gaussian of this width for δ, over hidden neurons only or over all."""
    u = np.linspace(-3, 3, 301)[:, None]
    t = np.linspace(-8, 8, 161)[None, :]
    boundary = np.exp(-0.5 * (u / 0.3) ** 2) / (0.3 * math.sqrt(2 * math.pi)) * (u[1, 0] - u[0, 0])
    bell = np.exp(-0.5 * t**2) / math.sqrt(2 * math.pi) * (t[0, 1] - t[0, 0])
    weight = boundary * bell * (1 / (width * math.sqrt(2 * math.pi)) if everywhere else 1)
    hidden = _hidden(s, u) + width * t
    f = np.tanh(s.pair.weight[1, 0] * u + s.pair.bias[1])
    H = 0.5 * (hidden - f) ** 2 - 0.5 * M * (u**2 + hidden**2)  # the input obeys (2.8): no error of its own
    return float(weight.sum()), float((weight * H).sum())


@equation(
    "4.2",
    "p₀(x) = p_∂((P_in + P_out)x) δ(x̄ - x)",
    right="p₀(x) = p_∂((P_in + P_out)x) δ(P_hid(x̄ - x))",
    comment="On the boundary x̄ = x for every x, so that a δ over all neurons gives δ(0) once for each boundary neuron.",
    code="nt.relax",
    fault="misprint",
)
def _micro_canonical(s: Systems) -> Iterator[Check]:
    everywhere = [_smeared(s, e, everywhere=True)[0] for e in (1e-2, 1e-3)]
    yield same("∫p₀ with δ over all neurons, width 0.01", everywhere[0], 1)
    yield slope("power of the width in it", forms.power(everywhere, (1e-2, 1e-3)), -1, 1e-6, role="right")
    yield same("∫p₀ with δ over hidden neurons", _smeared(s, 1e-2, everywhere=False)[0], 1, role="right")


@equation(
    "4.3",
    "U₀ = ∫ dᴺx H p₀",
    condition="p₀ of (4.2) with δ over the hidden neurons",
    code="nt.relax",
)
def _mean_over_the_micro_canonical(s: Systems) -> Iterator[Check]:
    u = np.linspace(-3, 3, 301)
    p = np.exp(-0.5 * (u / 0.3) ** 2) / (0.3 * math.sqrt(2 * math.pi)) * (u[1] - u[0])
    f = np.tanh(s.pair.weight[1, 0] * u + s.pair.bias[1])
    least = float(np.sum(p * (-0.5 * M / (1 - M) * f**2 - 0.5 * M * u**2)))
    widths = (1e-3, 1e-2)
    found = [_smeared(s, e, everywhere=False)[1] for e in widths]
    yield near("∫Hp₀ at width 0.001, beside U₀", found[0], least, 1e-6, "the width squared")
    rest = [v - least for v in found]
    yield slope("power of the width in the rest", forms.power(rest, widths), 2, 0.05, role="right")
    wrong = _smeared(s, 1e-3, everywhere=True)[1]
    yield near("with δ over all neurons", wrong, least, 1e-6, "the width squared", role="outside")


@equation(
    "4.4",
    "U = ∫ dᴺx H p(x)",
    comment="A constraint on p. Nothing in it holds the boundary: (4.10) has free inputs and outputs, unlike (4.2): "
    "that the two are equivalent for large N is asserted there, not shown.",
    code="nt.quadrature",
    kind="definition",
)
def _the_constraint(s: Systems) -> Iterator[Check]:
    B, b = forms.jacobian(s.linear_twin, s.linear_centre), s.linear_twin.bias
    inverse = np.linalg.inv(forms.shifted(forms.hessian(B), BETA))
    mean = inverse @ (BETA * B.T @ b)
    r = B @ mean - b
    moments = 0.5 * (np.trace(forms.hessian(B) @ inverse) + r @ r)
    slope_of = -float(forms.central(lambda h: forms.linear_log_partition(B, b, BETA + h)))
    yield near("linear: ⟨H⟩ by moments, beside -∂ log Z/∂β", moments, slope_of, 1e-7, FD)
    ours = s.quadrature(nt.Window()).average_loss.value
    summed = grids.line(s.pair, BETA, c=1.0).average_loss
    yield near("two tanh neurons: U of nt.quadrature", ours, summed, 1e-8, "quadrature")
    yield at_least("variance of an input neuron under (4.10)", inverse[0, 0], 1e-2, reason="it is free")


@equation(
    "4.5",
    "S(p) ≡ -∫ dᴺx p log p = -⟨log p⟩",
    comment="A differential entropy: it can be negative.",
    code="nt.quadrature",
    kind="definition",
)
def _entropy(s: Systems) -> Iterator[Check]:
    pair = s.pair._replace(f=forms.identity, slope=np.ones_like)
    grid = grids.line(pair, BETA, c=1.0)
    M_ = forms.shifted(forms.hessian(forms.jacobian(pair, np.zeros(2))), BETA)
    gaussian = LOG_2PI + 1 - 0.5 * np.linalg.slogdet(M_)[1]
    tanh = grids.line(s.pair, BETA, c=1.0)
    yield near("nt.quadrature of two tanh neurons, window", s.quadrature(nt.Window()).entropy.value, tanh.entropy, 1e-8,
               "quadrature")  # fmt: skip
    yield near("two linear neurons, beside (N/2) log 2πe - ½ log det M", grid.entropy, gaussian, 1e-9, "quadrature")
    twelve = 6 * (LOG_2PI + 1) - 0.5 * np.linalg.slogdet(forms.shifted(s.dense, BETA))[1]
    yield same("nt.gaussian_entropy of 3-4-3-2", nt.gaussian_entropy(s.hessian, BETA), twelve)
    cold = grids.box(s.pair, 400.0, points=200)
    yield at_most("two tanh neurons at β = 400, nats", cold.entropy, 0, reason="a narrow density")


def _grid(s: Systems) -> tuple[Grid, np.ndarray]:
    """The box of two neurons at β = 1.4, and a random density on it that is not canonical."""

    def make() -> tuple[Grid, np.ndarray]:
        grid = grids.box(s.pair, BETA, points=40)
        density = np.exp(np.sin(grid.x @ s.random("4.6").normal(size=(2, 3))).sum(axis=1))
        return grid, density / np.sum(np.exp(grid.log_measure) * density)

    return s.once("grid of section 4", make)


def _lagrangian(grid: Grid, density: np.ndarray, beta: float, nu: float, U: float) -> float:
    """First line of (4.6)."""
    mu = np.exp(grid.log_measure)
    S = -np.sum(mu * density * np.log(density))
    return float(S + beta * (U - np.sum(mu * density * grid.energy)) + nu * (1 - np.sum(mu * density)))


@equation(
    "4.6",
    "L = S + β(U - ∫pH) + ν(1 - ∫p) = ∫ p(-log p - βH - ν) + βU + ν",
    comment="At its maximum L = log Z + βU.",
    code="nt.CanonicalEnsemble",
)
def _the_lagrangian(s: Systems) -> Iterator[Check]:
    grid, density = _grid(s)
    mu = np.exp(grid.log_measure)
    second = np.sum(mu * density * (-np.log(density) - 0.8 * grid.energy - 0.3)) + 0.8 * 0.5 + 0.3
    yield same("second line, beside the first, any p", second, _lagrangian(grid, density, 0.8, 0.3, 0.5))
    best = np.exp(grid.log_density)
    at_maximum = _lagrangian(grid, best, BETA, grid.log_z - 1, 0.5)
    yield same("L at its maximum, beside log Z + βU", at_maximum, grid.log_z + BETA * 0.5, role="right")


def _variation(grid: Grid, density: np.ndarray, k: int, nu: float) -> float:
    """δL/δp at node k by a difference: p moves there alone, by h over the node's measure."""
    unit = np.zeros_like(density)
    unit[k] = math.exp(-grid.log_measure[k])
    return float(forms.central(lambda h: _lagrangian(grid, density + h * unit, BETA, nu, 0.5), 1e-7))


@equation(
    "4.7",
    "0 = δL/δp(x) = -βH - log p - 1 - ν",
    code="nt.CanonicalEnsemble",
)
def _variation_in_p(s: Systems) -> Iterator[Check]:
    grid, density = _grid(s)
    for k in (410, 800, 1205):
        printed = -BETA * grid.energy[k] - math.log(density[k]) - 1 - 0.3
        found = _variation(grid, density, k, 0.3)
        yield near(f"δL/δp at node {k}, any p, beside the formula", found, printed, 1e-4, "difference in one node")
    best = np.exp(grid.log_density)
    largest = max(abs(_variation(grid, best, k, grid.log_z - 1)) for k in (410, 800, 1205))
    yield near("largest of them for (4.10)", largest, 0, 1e-4, "difference in one node")


def _beta_of(grid: Grid, U: float) -> float:
    """β for which (4.10) on these nodes has ⟨H⟩ = U."""
    return forms.root(lambda b: _at(grid, b).average_loss - U, -20.0, 60.0)


def _at(grid: Grid, beta: float) -> Grid:
    return Grid(grid.x, grid.log_measure, grid.window, grid.energy, beta)


@equation(
    "4.8",
    "0 = ∂L/∂β = U - ∫pH",
    code="nt.maximum_entropy",
)
def _variation_in_beta(s: Systems) -> Iterator[Check]:
    grid, density = _grid(s)
    slope_of = forms.central(lambda h: _lagrangian(grid, density, BETA + h, 0.3, 0.5), 1e-3)
    mean = np.sum(np.exp(grid.log_measure) * density * grid.energy)
    yield near("∂L/∂β, any p, beside U - ∫pH", slope_of, 0.5 - mean, 1e-9, "linear in β")
    yield near("⟨H⟩ after solving for β, U = 0.2", _at(grid, _beta_of(grid, 0.2)).average_loss, 0.2, 1e-10, "bisection")
    ours = nt.maximum_entropy(0.2, grid.energy, multiplicities=np.exp(grid.log_measure))
    yield near("that β by nt.maximum_entropy, beside it", ours.beta, _beta_of(grid, 0.2), 1e-8, "bisection")


@equation(
    "4.9",
    "0 = ∂L/∂ν = 1 - ∫p",
    code="nt.CanonicalEnsemble",
)
def _variation_in_nu(s: Systems) -> Iterator[Check]:
    grid, density = _grid(s)
    unnormalised = 0.9 * density
    slope_of = forms.central(lambda h: _lagrangian(grid, unnormalised, BETA, 0.3 + h, 0.5), 1e-3)
    yield near("∂L/∂ν of a p with ∫p = 0.9", slope_of, 0.1, 1e-9, "linear in ν")
    total = np.sum(np.exp(grid.log_measure - BETA * grid.energy - grid.log_z))
    yield same("∫p of (4.10) with 1 + ν = log Z", total, 1)


@equation(
    "4.10",
    "p(x) = exp(-βH - 1 - ν)",
    condition="β < 0 if U exceeds its flat average, which the box allows and R^N does not",
    comment="Of all densities with this ⟨H⟩ it has the largest entropy, and dS/dU = β.",
    code="nt.CanonicalEnsemble",
)
def _canonical(s: Systems) -> Iterator[Check]:
    grid, _ = _grid(s)
    rng = s.random("4.10")
    ours = nt.CanonicalEnsemble(s.pair_net, s.pair_inputs, BETA, measure=nt.Box())
    at = [float(ours.log_density(jnp.asarray(grid.x[k]))) - grid.log_density[k] for k in (410, 1205)]
    yield same("log p of nt.CanonicalEnsemble at two states, less (4.10)", at[1] - at[0], 0)
    constraints = np.stack([np.ones_like(grid.energy), grid.energy], axis=1)
    root = np.sqrt(grid.p)[:, None]
    basis, _ = np.linalg.qr(root * constraints)
    best = -math.inf
    for _ in range(200):
        g = root[:, 0] * np.sin(grid.x @ rng.normal(size=2) * 2 + rng.uniform(0, 6))
        g = (g - basis @ (basis.T @ g)) / root[:, 0]  # equal ⟨1⟩ and ⟨H⟩
        q = grid.p * (1 + 0.5 * g / np.abs(g).max())
        best = max(best, float(-np.sum(q * np.log(q * np.exp(-grid.log_measure)))))
    yield at_most("largest entropy of 200 others, less that of (4.10)", best - grid.entropy, 0, role="printed")
    ahead, behind = (_at(grid, BETA + h) for h in (1e-4, -1e-4))
    rate = (ahead.entropy - behind.entropy) / (ahead.average_loss - behind.average_loss)
    yield near("dS/dU", rate, BETA, 1e-6, "central difference")
    flat = _at(grid, 0.0).average_loss
    yield at_most("β for ⟨H⟩ 10 % above the flat average", _beta_of(grid, 1.1 * flat), 0)
