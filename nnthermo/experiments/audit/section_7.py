"""Section 7: thermodynamics of learning, (7.1) to (7.11)."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nnthermo as nt
from nnthermo.experiments.audit import forms, grids
from nnthermo.experiments.audit.entry import Check, at_least, at_most, chapter, near, same, zero
from nnthermo.experiments.audit.forms import LOG_2PI
from nnthermo.experiments.audit.systems import BETA, Systems, graph_twin, nilpotent_links

EQUATIONS, equation = chapter()
FD = "central difference, h = 10⁻⁴"


@equation(
    "7.1",
    "S = -⟨log p⟩ = -β ∂Z/∂β + Z = β² ∂F/∂β",
    right="S = -β ∂ log Z/∂β + log Z, plus ½⟨x·x⟩ for the windowed ensemble of (5.8)",
    comment="Z is printed for log Z. With the window what (7.1) gives is (N/2) log 2π less the divergence of p from "
    "the unit Gaussian.",
    code="nt.entropy",
    fault="misprint",
)
def _shannon_entropy(s: Systems) -> Iterator[Check]:
    window, box = grids.line(s.pair, BETA, c=1.0), grids.box(s.pair, BETA)
    Z = forms.central(lambda h: math.exp(grids.box(s.pair, BETA + h).log_z), 1e-4)
    yield near("box: -β ∂Z/∂β + Z, beside -⟨log p⟩", -BETA * Z + math.exp(box.log_z), box.entropy, 1e-6, FD)
    log_box = -BETA * forms.central(lambda h: grids.box(s.pair, BETA + h).log_z, 1e-4) + box.log_z
    yield near("box: with log Z", log_box, box.entropy, 1e-6, FD, role="right")
    log_window = -BETA * forms.central(lambda h: grids.line(s.pair, BETA + h, c=1.0).log_z, 1e-4) + window.log_z
    half = 0.5 * window.mean(np.sum(window.x**2, axis=1))
    yield at_least("window: what log Z alone misses", window.entropy - log_window, 0.05, reason="½⟨x·x⟩ > 0")
    yield near("window: with log Z and ½⟨x·x⟩", log_window + half, window.entropy, 1e-6, FD, role="right")
    divergence = window.mean(window.log_density + 0.5 * np.sum(window.x**2, axis=1)) + LOG_2PI
    yield near("window: (N/2) log 2π - divergence", LOG_2PI - divergence, log_window, 1e-6, FD, role="right")
    gap = nt.gaussian_entropy(s.hessian, BETA) - nt.entropy(s.hessian, BETA)
    trace = 0.5 * np.trace(np.linalg.inv(forms.shifted(s.dense, BETA)))
    yield same("Gaussian: nt.gaussian_entropy - nt.entropy, beside ½ Tr M⁻¹", gap, trace, role="right")


def _threshold(s: Systems) -> tuple[float, int]:
    """C and N_> of `deep` at β = 1.4."""
    _, logs, count = forms.split(s.logs, BETA)
    return 6 * LOG_2PI - 0.5 * logs, count


def _free_energy(count: int, beta: Any) -> Any:
    """(6.8)."""
    return count / (2 * beta) * np.log(beta)


def _entropy_of(count: int) -> float:
    """β² ∂A/∂β."""
    return BETA**2 * float(forms.central(lambda h: _free_energy(count, BETA + h)))


@equation(
    "7.2",
    "S = β² ∂/∂β (A - C/β) = β² ∂A/∂β + C",
    condition="(6.4), where C does not depend on β",
    code="nt.thermodynamic_entropy",
)
def _entropy_splits(s: Systems) -> Iterator[Check]:
    C, count = _threshold(s)
    whole = BETA**2 * float(forms.central(lambda h: _free_energy(count, BETA + h) - C / (BETA + h)))
    yield near("β² ∂(A - C/β)/∂β, beside β² ∂A/∂β + C", whole, _entropy_of(count) + C, 1e-7, FD)
    parts = nt.decompose(s.spectrum, BETA)
    total = float(parts.thermodynamic_entropy + parts.complexity)
    yield same("S₀ + C of nt.decompose, beside nt.entropy", total, nt.entropy(s.hessian, BETA), role="right")


@equation(
    "7.3",
    "S₀ = β² ∂A/∂β = β (U - A)",
    code="nt.thermodynamic_entropy",
)
def _thermodynamic_entropy(s: Systems) -> Iterator[Check]:
    _, count = _threshold(s)
    U = float(forms.central(lambda h: (BETA + h) * _free_energy(count, BETA + h)))
    first = _entropy_of(count)
    yield near("β² ∂A/∂β, beside β(U - A)", first, BETA * (U - _free_energy(count, BETA)), 1e-7, FD)
    yield near("nt.thermodynamic_entropy", nt.thermodynamic_entropy(s.spectrum, BETA), first, 1e-7, FD, role="right")


@equation(
    "7.4",
    "S₀ = -βA + βU ≈ -(N_>/2) log β + N_>/2 ≈ (N_>/2) log U + (N_>/2)(1 - log(N_>/2))",
    condition="(6.8), whose error it carries; between its lines nothing is lost",
    code="nt.thermodynamic_entropy",
)
def _thermodynamic_entropy_in_the_loss(s: Systems) -> Iterator[Check]:
    _, n = _threshold(s)
    U = n / (2 * BETA)
    first = -BETA * _free_energy(n, BETA) + BETA * U
    yield same("-βA + βU, beside (N_>/2)(1 - log β)", first, n / 2 * (1 - math.log(BETA)))
    yield same("the form in U", n / 2 * math.log(U) + n / 2 * (1 - math.log(n / 2)), first)
    yield same("nt.thermodynamic_entropy", nt.thermodynamic_entropy(s.spectrum, BETA), first)


@equation(
    "7.5",
    "U = -∂ log Z/∂β = -∂(βF)/∂β = ∂(βA)/∂β ≈ N_>/2β",
    right="U = -∂ log Z/∂β = +∂(βF)/∂β = ∂(βA)/∂β, and exactly N_eff/2β, N_eff = Tr βĜ(I + βĜ)⁻¹",
    comment="The sign of the third expression. The last one is a threshold form; with N_eff it is exact.",
    code="nt.average_loss",
    fault="misprint",
)
def _loss_by_differentiation(s: Systems) -> Iterator[Check]:
    U = forms.average_loss(s.dense, BETA)
    slope_of = float(forms.central(lambda h: -forms.log_partition(s.dense, BETA + h)))
    yield near("-∂(βF)/∂β, beside U", -slope_of, U, 1e-7, FD)
    yield near("+∂(βF)/∂β, beside U", slope_of, U, 1e-7, FD, role="right")
    yield same("nt.average_loss", nt.average_loss(s.hessian, BETA), U, role="right")
    count = float(nt.decompose(s.spectrum, BETA).effective_count)
    yield same("N_eff/2β", count / (2 * BETA), U, role="right")
    error = abs(float(nt.displaced_count(s.spectrum, BETA)) / (2 * BETA) - U) / U
    yield at_least("N_>/2β, relative error at β = 1.4", error, 1e-3)


@equation(
    "7.6",
    "dS/dt ≤ 0",
    comment="Postulated, not derived; (8.4) does not imply it. What a training did to S is shown, not judged.",
    code="nt.second_law",
    kind="postulate",
)
def _second_law(s: Systems) -> Iterator[Check]:
    rng = s.random("7.6")
    u = jnp.asarray(rng.uniform(-0.8, 0.8, (30, 3)))
    t = jnp.asarray(0.8 * np.sign(rng.normal(size=(30, 2))))
    trained = _descend(s.deep, u, t)
    before, after = (float(nt.entropy(nt.bulk_hessian(n, nt.mean_state(n, u)), BETA)) for n in (s.deep, trained))
    yield at_most("change of S in 300 steps of gradient descent, nats", after - before, 0, role="printed")


@jax.jit
def _descend(net: Any, inputs: Any, targets: Any) -> Any:
    loss = partial(nt.mean_loss, nt.boundary_loss)

    def step(n: Any, _: None) -> tuple[Any, None]:
        gradient = jax.grad(loss)(n, inputs, targets)
        return jax.tree.map(lambda w, g: w - 0.2 * g, n, gradient), None

    return jax.lax.scan(step, net, None, length=300)[0]


def _log_dets(s: Systems) -> Iterator[tuple[str, float, str]]:
    """log det Ĝ of the networks that the paper speaks of, and of two that it does not."""
    graph, cyclic = graph_twin(s.graph), graph_twin(s.cyclic)
    made = [
        ("3-4-3-2", s.dense, "printed"),
        ("acyclic, connections skip layers", _hessian_at(graph), "right"),
        ("ŵ = [[1, -1], [1, -1]], nilpotent", forms.hessian(np.eye(2) - nilpotent_links()), "outside"),
        ("cycles", _hessian_at(cyclic), "outside"),
    ]
    for name, G, role in made:
        yield name, float(np.linalg.slogdet(G)[1]), role


def _hessian_at(twin: forms.Twin) -> np.ndarray:
    return forms.hessian(forms.jacobian(twin, forms.fixed_state(twin)))


@equation(
    "7.7",
    "det Ĝ = det(I - f̂'ŵ)² = 1",
    condition="the graph is acyclic, skip connections allowed; nilpotent ŵ is not enough, see (2.1)",
    comment="So a complexity ½ log det Ĝ would vanish identically.",
    code="nt.log_eigenvalues",
)
def _unit_determinant(s: Systems) -> Iterator[Check]:
    for name, value, role in _log_dets(s):
        yield same(f"det Ĝ, {name}", math.exp(value), 1, role=role)
    B = np.eye(2) - nilpotent_links()
    yield same("det(I - f̂'ŵ)² beside det Ĝ, nilpotent", np.linalg.det(B) ** 2, np.linalg.det(B.T @ B), role="right")


@equation(
    "7.8",
    "Σ_i log λ_i = 0",
    condition="as (7.7)",
    code="nt.log_eigenvalues",
)
def _logs_sum_to_zero(s: Systems) -> Iterator[Check]:
    for name, value, role in _log_dets(s):
        yield zero(f"Σ log λ, {name}", value, role=role)
    yield zero("Σ log λ of nt.log_eigenvalues", s.spectrum.moment(1))


@equation(
    "7.9",
    "Ĝ ≈ Σ_(λ≫1/β) λ_i v_i v_iᵀ",
    right="the same with an error of norm equal to the largest λ dropped, at most 1/β",
    comment="The best approximation of its rank (Eckart and Young).",
    code="nt.displaced_count",
)
def _dimensional_reduction(s: Systems) -> Iterator[Check]:
    values, vectors = np.linalg.eigh(s.dense)
    above = BETA * values > 1
    kept = (vectors[:, above] * values[above]) @ vectors[:, above].T
    error = np.linalg.norm(s.dense - kept, 2)
    yield zero("norm of what is dropped at β = 1.4", error)
    yield same("it, beside the largest λ ≤ 1/β", error, values[~above].max(), role="law")
    yield at_most("β times it", BETA * error, 1, role="law")
    yield same("nt.displaced_count", nt.displaced_count(s.spectrum, BETA), int(above.sum()), role="right")


def _threshold_parts(logs: np.ndarray) -> np.ndarray:
    """U, S₀ and C in their threshold forms, from the library."""
    spectrum = nt.LogSpectrum(jnp.asarray(np.sort(logs)[::-1]))
    count = float(nt.displaced_count(spectrum, BETA))
    entropy, complexity = nt.thermodynamic_entropy(spectrum, BETA), nt.complexity(spectrum, BETA)
    return np.array([count / (2 * BETA), float(entropy), float(complexity)])


@equation(
    "7.10",
    "dA - T dC = dU - T dS₀ - T dC = 0",
    condition="dF = 0, which is assumed; N_> changes by eigenvalues that cross 1/β",
    comment="At constant T each term vanishes by itself unless N_> changes; other changes of ŵ have dC ≠ 0 alone.",
    code="nt.thermodynamic_entropy",
)
def _first_law_at_constant_temperature(s: Systems) -> Iterator[Check]:
    edge = -math.log(BETA)
    crossing = [_threshold_parts(np.append(s.logs, edge + h)) for h in (1e-12, -1e-12)]
    dU, dS, dC = crossing[1] - crossing[0]
    yield zero("an eigenvalue crosses 1/β: dU - T dS₀ - T dC", dU - dS / BETA - dC / BETA, tolerance=1e-11)
    yield at_least("|dU| there", abs(dU), 0.1, reason="½T = 0.357")
    dU, dS, dC = _threshold_parts(1.01 * s.logs) - _threshold_parts(s.logs)
    yield zero("all log λ grow by 1 %", dU - dS / BETA - dC / BETA, role="outside")


def _moved(net: forms.Twin, h: float) -> forms.Twin:
    return net._replace(weight=net.weight * (1 + h), bias=net.bias + np.array([0.0, 0.5 * h]))


def _loss_and_entropy(net: forms.Twin, beta: float) -> np.ndarray:
    """U and S = βU + log Z of the windowed ensemble, exactly."""
    grid = grids.line(net, beta, c=1.0)
    return np.array([grid.average_loss, beta * grid.average_loss + grid.log_z])


@equation(
    "7.11",
    "dU = T dS₀ + T dC",
    right="dU = T dS + ⟨∂_θH⟩ dθ, S = βU + log Z, θ = (ŵ, b)",
    condition="no work: ŵ and b stay, or dF = 0",
    comment="The printed law lacks the work that moving the weights does on the ensemble: how learning lowers U.",
    code="nt.first_law",
)
def _first_law(s: Systems) -> Iterator[Check]:
    dU, dS = forms.central(lambda h: _loss_and_entropy(s.pair, BETA + h), 1e-4)
    yield near("β changes alone: dU - T dS", dU - dS / BETA, 0, 1e-7, FD)
    dU, dS = forms.central(lambda h: _loss_and_entropy(_moved(s.pair, h), BETA), 1e-4)
    yield near("ŵ and b change alone: dU - T dS", dU - dS / BETA, 0, 1e-7, FD, role="outside")
    grid = grids.line(s.pair, BETA, c=1.0)
    work = float(grid.mean(forms.central(lambda h: forms.bulk_loss(_moved(s.pair, h), grid.x), 1e-4)))
    dU, dS = forms.central(lambda h: _loss_and_entropy(_moved(s.pair, h), BETA + 0.7 * h), 1e-4)
    yield near("all change: dU - T dS - ⟨∂_θH⟩ dθ", dU - dS / BETA - work, 0, 1e-7, FD, role="right")

    def of_a_link(beta: Any, weight: Any) -> Any:
        B = jnp.stack([jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]) - weight * jnp.array([1.0, 0.0])])
        return nt.log_partition(nt.DenseHessian(B), beta)

    law = nt.first_law(of_a_link, jnp.array([BETA, 2.0]), jnp.array([0.4, 1.1]), nodes=12)
    yield near("nt.first_law, (5.14) of one link: ΔU - heat - work", law.residual[0], 0, 1e-9, "12 nodes", role="right")
    yield near("its ΔU - ∫T dS, beside the work", law.printed_residual[0], law.work[0], 1e-9, "12 nodes", role="right")
