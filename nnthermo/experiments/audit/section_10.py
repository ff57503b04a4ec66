"""Section 10: what the numerical experiments measure, (10.1) to (10.5)."""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

import nnthermo as nt
from nnthermo.experiments.audit import forms
from nnthermo.experiments.audit.entry import Check, at_most, chapter, near, same, slope, zero
from nnthermo.experiments.audit.forms import LOG_2PI
from nnthermo.experiments.audit.systems import BETA, Systems
from nnthermo.network.activation import slope as library_slope

EQUATIONS, equation = chapter()


@equation(
    "10.1",
    "U = N_>/2β",
    right="U = N_eff/2β, N_eff = Σ βλ/(1 + βλ)",
    condition="every |log βλ| ≫ 1",
    comment="β from the loss by this formula and β from the gap by (9.4) differ by five orders of magnitude for the "
    "paper's own numbers: two temperatures, two functions.",
    code="nt.beta_from_loss",
)
def _loss_and_temperature(s: Systems) -> Iterator[Check]:
    U, count = forms.average_loss(s.dense, BETA), forms.split(s.logs, BETA)[2]
    yield same("N_>/2β at β = 1.4, beside U", count / (2 * BETA), U)
    parts = nt.decompose(s.spectrum, BETA)
    yield same("N_eff/2β, beside U", parts.effective_count / (2 * BETA), U, role="law")
    betas = (1e5, 1e6)
    missing = [12 - 2 * b * forms.average_loss(s.dense, b) for b in betas]
    yield slope("N - 2βU at large β: power of β", forms.power(missing, betas), -1)
    yield same("β back from N_eff and U", nt.beta_from_loss(parts.effective_count, U), BETA, role="right")


@equation(
    "10.2",
    "C = -½ Σ_(λ≫1/β) log λ_i + (N/2) log 2π + const",
    right="as (6.7)",
    condition="every |log βλ| ≫ 1",
    comment="The quoted 769 and 772 lie below (854/2) log 2π = 784.77 with no further constant.",
    code="nt.complexity",
)
def _measured_complexity(s: Systems) -> Iterator[Check]:
    log_z = forms.log_partition(s.dense, BETA)
    _, logs, count = forms.split(s.logs, BETA)
    C = 6 * LOG_2PI - 0.5 * logs
    exact = log_z + 0.5 * count * math.log(BETA)  # with the A of (6.8)
    yield same("threshold form, beside log Z + βA", C, exact)
    yield same("difference of the two, beside E(1) of (6.6)", C - exact, forms.split_error(s.logs, BETA), role="law")
    yield same("nt.complexity", nt.complexity(s.spectrum, BETA), C, role="right")
    yield near("(854/2) log 2π", 427 * LOG_2PI, 784.77, 0.005, "digits", role="right")


@equation(
    "10.3",
    "S₀ = -(N_>/2) log β + const = (N_>/2) log U - (N_>/2) log(N_>/2) + const",
    condition="U = N_>/2β; both constants are N_>/2",
    code="nt.thermodynamic_entropy",
)
def _measured_entropy(s: Systems) -> Iterator[Check]:
    n = forms.split(s.logs, BETA)[2]
    ours = nt.thermodynamic_entropy(s.spectrum, BETA)
    yield same("first form with const = N_>/2", -n / 2 * math.log(BETA) + n / 2, ours)
    U = n / (2 * BETA)
    yield same("second form with the same const", n / 2 * math.log(U) - n / 2 * math.log(n / 2) + n / 2, ours)


@equation(
    "10.4",
    "f'_ii = sech²(y_i) = 4 (exp(y_i) + exp(-y_i))⁻²",
    comment="Coded as 1 - tanh², which does not overflow.",
    code="net.slopes",
)
def _slope_of_tanh(s: Systems) -> Iterator[Check]:
    y = s.random("10.4").normal(size=5)
    printed = 4 * (np.exp(y) + np.exp(-y)) ** -2
    difference = forms.central(lambda h: np.tanh(y + h), 1e-5)
    yield near("largest error beside a difference of tanh", np.abs(printed - difference).max(), 0, 1e-9, "h² and ε/h")
    yield zero("beside 1 - tanh²", np.abs(printed - forms.tanh_slope(y)).max())
    yield zero("beside the library's", np.abs(printed - np.asarray(library_slope(jnp.tanh, jnp.asarray(y)))).max())
    far = library_slope(jnp.tanh, jnp.asarray([-1e3, 1e3]))
    yield zero("the library's at y = ±1000", np.abs(np.asarray(far)).max(), role="right")


@equation(
    "10.5",
    "C_n = -½ Σ_(i≤n) log λ_i + (N/2) log 2π, λ₁ ≥ λ₂ ≥ …",
    comment="For layers C_N = (N/2) log 2π for ever, and C_(N-k) = C_N + ½ Σ of the k smallest log λ.",
    code="nt.complexity",
    kind="definition",
)
def _complexity_of_the_largest(s: Systems) -> Iterator[Check]:
    for n in (3, 7):
        by_hand = 6 * LOG_2PI - 0.5 * np.sum(s.logs[:n])
        yield same(f"nt.complexity, n = {n}", nt.complexity(s.spectrum, largest=n), by_hand)
    yield same("C_N beside (N/2) log 2π", nt.complexity(s.spectrum, largest=12), 6 * LOG_2PI, role="right")
    small = 6 * LOG_2PI + 0.5 * np.sum(s.logs[-2:])
    yield same("C_(N-2) from the two smallest", nt.complexity(s.spectrum, largest=10), small, role="right")
    fallen = nt.complexity(s.spectrum, largest=3)
    yield at_most("C_3 less (N/2) log 2π", fallen - 6 * LOG_2PI, 0)
