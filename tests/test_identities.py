"""The exact identities of the theory as properties of the public functions, each seen to fail against planted errors.

| identity | test |
|---|---|
| 1 flat feed-forward ensembles: log Z = (N/2) log(2π/β), U = N/2β, √β r is normal | `test_01_flat_feed_forward` |
| 2 windows and boxes, neuron by neuron: κ = c + β, weights exp(-(βc/2κ) Σf²) | `test_02_noisy_networks` |
| 3 linear networks: (5.9) at x̄ = the Gaussian integral = Laplace's form at ⟨x⟩ | `test_03_linear_networks` |
| 4 Stein: ⟨β∇H + x⟩ = 0, ⟨x·(β∇H + x)⟩ = N, 2βU = N - ⟨x·B⁻¹r⟩ | `test_04_stein` |
| 5 S = βU + log Z + ½⟨x·x⟩, and log Z + βU = (N/2) log 2π - KL | `test_05_entropy` |
| 6 U as a sum over eigenvalues of Ĝ | `test_06_average_loss` |
| 7 ∂log Z/∂A = βBM⁻¹, ∂U/∂A = -BM⁻² | `test_07_derivatives` |
| 8 no cycles: log det Ĝ = 0, log det(I + βĜ) >= N log(1 + β) | `test_08_unit_determinant` |
| 9 two layers: log λ = ±2 asinh(s/2), log det(I + βĜ), log Ĝ itself | `test_09_two_layers` |
| 10 two layers: N_eff(β) + N_eff(1/β) = N, U(1) = N/4 | `test_10_duality` |
| 11 moments of log Ĝ as traces of words in A and Aᵀ | `test_11_moments` |
| 12 layers: Σ 2 sinh(log λ) = -Σ_{k>=2} abs(A^k)² | `test_12_skewness` |
| 13 ∂μ_k/∂A = -2k [(log Ĝ)^{k-1} B⁻¹]ᵀ, and the flow of scales | `test_13_moment_gradients` |
| 14 envelope theorem, and the back-propagation recursion of relaxed errors | `test_14_envelope` |
| 15 0 <= H* <= H_∂; linear: H* = ½eᵀS⁻¹e >= λ_min H_∂, log det S = log det Ĝ_hidden | `test_15_relaxed_loss` |
| 16 clamped ensembles are likelihoods of noisy networks | `test_16_clamped_ensembles` |
| 17 C_N = (N/2) log 2π, C_{N-k} = C_N + ½ Σ of the k smallest; the error of the split | `test_17_complexity` |
| 18 dU = T dS + ⟨∂H⟩ dθ, -dU/dβ = Var H, log Z(β₁) - log Z(β₀) = -∫U | `test_18_first_law` |
| 19 Liouville: ∫p = 1, dS/dβ = α⟨ΔF⟩; (8.1) as printed fails both | `test_19_liouville` |
| 20 rotations of layers, signs of log λ, how many are 0 | `test_20_spectrum` |
| 21 stationary points, curvature and plateau of the two-level model (9.3) | `test_21_two_levels` |
| 22 every fixed point, stable or not, carries the weight (5.9) | `test_22_fixed_points` |
| 23 layers arrive in exactly L - 1 steps, bit by bit | `test_23_dynamics` |

`PLANTED` at the end names the errors under which each of them fails. Derivations are in tests/README.md.
"""

import itertools
import math
import sys
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.scipy.special import logsumexp
from systems import (
    EPS,
    LOG_2PI,
    Gaussian,
    central_difference,
    condition,
    dense_weight,
    draw_inputs,
    flat,
    graph,
    identity,
    jacobian,
    jit,
    linear_log_z,
    network,
    shifted,
    split_blocks,
    trace_word,
    unreduced,
)

import nnthermo as nt

TWO, THREE, FOUR = (4, 3), (4, 3, 2), (3, 4, 2, 2)
KINDS = ("layers", "skips", "cycles")
SIGMAS = 5.0  # one in 2 million by chance, for some hundred comparisons

seeds = st.integers(0, 10**6)
scales = st.floats(0, 3)
logs = st.floats(-3, 3)  # log10 β
shares = st.floats(-1, 0.9)  # m over its bound λ_min + 1/β


def made(kind, seed, scale, activation=jnp.tanh):
    """A network, its inputs and its fixed state; graphs have links into their inputs, which carry no signal."""
    if kind == "layers":
        net = network(seed, THREE, scale=scale, activation=activation)
    else:
        bounded = scale / (1 + scale) if kind == "cycles" else scale
        net = graph(seed, 5, cyclic=kind == "cycles", scale=bounded, activation=activation)
        weight = np.array(net.weight)
        weight[0, 3], weight[1, 4] = 1.3, -0.7
        net = net.replace(weight=jnp.asarray(weight))
    u = draw_inputs(seed, net.input_size)
    return net, u, settle(net, u, None if kind == "layers" else 5 if kind == "skips" else 200)


@partial(jax.jit, static_argnums=2)
def settle(net, u, steps):
    """x̄, after as many steps as it takes: |ŵ|_∞ <= 3/4 in graphs with cycles, 0.75^200 = 1e-25."""
    return net.propagate(u) if steps is None else net.propagate(u, steps=steps)


def bound_m(share, B, beta):
    """m as a share of its bound λ_min + 1/β."""
    return share * (np.linalg.svd(B, compute_uv=False).min() ** 2 + 1 / beta)


def blocks_of(seed, sizes, scale):
    """Dense normal A_l of variance scale²/fan-in."""
    return [np.asarray(w) for w in network(seed, sizes, scale=scale).weights]


def hessian_of(blocks):
    """Ĝ of given A_l: weights A_l and slopes 1."""
    return nt.LayeredHessian(tuple(jnp.asarray(a) for a in blocks), tuple(jnp.ones(a.shape[0]) for a in blocks))


def links(blocks):
    """A as one matrix."""
    B = unreduced(blocks)
    return np.eye(len(B)) - B


def close(found, exact, allowed):
    """Every number within what is allowed; NaN is not."""
    assert np.all(np.abs(np.asarray(found) - np.asarray(exact)) <= allowed), (found, exact, allowed)


def within(estimate, exact, rounding):
    """An estimate within its standard errors."""
    close(estimate.value, exact, SIGMAS * float(estimate.error) + rounding)


# ---------------------------------------------------------------- ensembles


POINTS = 384
"""Of quadratures along each of two neurons: where |w| < 4 the poles of f are four spacings away, e^-25."""


@jax.jit
def squared_errors(net, u, states):
    return jax.vmap(lambda x: jnp.sum(net.ravel(net.residual(net.unravel(x), u)) ** 2))(states)


@settings(max_examples=12)
@given(kind=st.sampled_from(["layers", "skips"]), seed=seeds, log_beta=st.floats(-0.5, 1), scale=scales)
def test_01_flat_feed_forward(kind, seed, log_beta, scale):
    """Any weights, biases, skips: x → r is triangular with a unit Jacobian, so only β is left."""
    beta = 10.0**log_beta
    net, u, _ = made(kind, seed, scale)
    n, samples = net.size, 400
    ensemble = nt.CanonicalEnsemble(net, u, beta, measure=nt.Flat())
    found = nt.ancestral(ensemble, jax.random.key(seed), samples)
    exact = n / 2 * math.log(2 * math.pi / beta), n / 2 / beta, n / 2 * (1 + math.log(2 * math.pi / beta))
    # every sample has the same weight: rounding of N terms of order 10
    for estimate, value in zip(found[:3], exact, strict=True):
        close(estimate.value, value, 1e-12 * n * (1 + 1 / beta))
    drawn = nt.ancestral_samples(ensemble, jax.random.key(seed), samples)
    chi = beta * np.asarray(squared_errors(net, u, drawn.states))
    close(chi.mean(), n, SIGMAS * math.sqrt(2 * n / samples))  # the variance of χ² is 2N
    close(2 * beta * drawn.losses, chi, 1e-12 * (1 + chi) * (1 + beta))
    pair = network(seed, (1, 1), scale=scale / 3)
    there = nt.quadrature(nt.CanonicalEnsemble(pair, draw_inputs(seed, 1), beta, measure=nt.Flat()), points=POINTS)
    close(there.log_partition.value, math.log(2 * math.pi / beta), 1e-8)
    close(there.average_loss.value, 1 / beta, 1e-8 * (1 + 1 / beta))


def noisy_log_z(w, b, u, beta, m, boxed):
    """Log Z of 1-1 neurons: the second one by its normal distribution, the first by the trapezoidal rule or Gauss's."""
    c = (0 if boxed else 1) - beta * m
    kappa = c + beta
    if boxed:
        x, weight = np.polynomial.legendre.leggauss(400)
    else:
        x, step = np.linspace(beta * u / kappa - 9 / kappa**0.5, beta * u / kappa + 9 / kappa**0.5, 2001, retstep=True)
        weight = np.full_like(x, step)
    f = np.tanh(w * x + b)
    mass = np.ones_like(x)
    if boxed:
        ends = [(s - beta * f / kappa) * math.sqrt(kappa / 2) for s in (-1.0, 1.0)]
        low, high = (np.vectorize(math.erf)(e) for e in ends)
        mass = (high - low) / 2
    second = math.sqrt(2 * math.pi / kappa) * np.exp(-beta * c / (2 * kappa) * f**2) * mass
    first = np.exp(-kappa / 2 * (x - beta * u / kappa) ** 2 - beta * c / (2 * kappa) * u**2)
    return math.log(np.sum(weight * first * second))


@settings(max_examples=12)
@given(seed=seeds, log_beta=st.floats(-1, 1), m=st.floats(-1, 0.5), scale=st.floats(0, 1), boxed=st.booleans())
def test_02_noisy_networks(seed, log_beta, m, scale, boxed):
    """Each neuron is normal given its parents, of curvature κ, and what is left is exp(-(βc/2κ) f²)."""
    beta, net, u = 10.0**log_beta, network(seed, (1, 1), scale=scale), draw_inputs(seed, 1)
    ensemble = nt.CanonicalEnsemble(net, u, beta, measure=nt.Box() if boxed else nt.Window(), m=m)
    w, b = float(net.weights[0][0, 0]), float(net.biases[0][0])
    exact = noisy_log_z(w, b, float(u[0]), beta, m, boxed)
    close(nt.quadrature(ensemble, points=POINTS).log_partition.value, exact, 1e-8)
    within(nt.ancestral(ensemble, jax.random.key(seed), 2000).log_partition, exact, 1e-9)


@jit
def log_z(net, x, beta, m):
    G = nt.bulk_hessian(net, x)
    return nt.log_partition(G, beta, m=m, mean=x), G.log_det(beta, m)


@given(kind=st.sampled_from(KINDS), seed=seeds, log_beta=logs, share=shares, scale=scales)
def test_03_linear_networks(kind, seed, log_beta, share, scale):
    """(5.9) at x̄, the integral with no mention of x̄, and Laplace's form at ⟨x⟩ = M⁻¹βBᵀb are one number."""
    beta = 10.0**log_beta
    net, u, x = made(kind, seed, scale, identity)
    B, (_, b, inputs) = jacobian(net, x), dense_weight(net)
    b[inputs] = u
    m = float(bound_m(share, B, beta))
    close(flat(x), np.linalg.solve(B, b), 1e-13 * np.linalg.cond(B) * (1 + np.abs(flat(x)).max()))
    M = shifted(B, beta, m)
    mean = np.linalg.solve(M, beta * B.T @ b)
    H = float(nt.bulk_loss(net, net.unravel(jnp.asarray(mean)), inputs=u, potential=nt.QuadraticPotential(m)))
    at_fixed, log_det = log_z(net, x, beta, m)
    terms = -beta * H, -0.5 * mean @ mean, -0.5 * float(log_det), 0.5 * net.size * LOG_2PI
    size = sum(map(abs, terms)) + beta * b @ b + abs(1 - beta * m) * flat(x) @ flat(x)
    allowed = 100 * EPS * condition(M) * size  # solutions lose the condition of M
    close(at_fixed, linear_log_z(B, b, beta, m), allowed)
    close(sum(terms), at_fixed, allowed)


class Grid(NamedTuple):
    """An ensemble of two neurons on a grid: log p, weights of a mean, H, β∇H + x, x·B⁻¹r, x, and log Z."""

    log_p: np.ndarray
    weight: np.ndarray
    loss: np.ndarray
    force: np.ndarray
    pull: np.ndarray
    x: np.ndarray
    log_z: float

    def mean(self, values):
        return np.tensordot(self.weight, values, axes=1)


@jax.jit
def densities(ensemble, points):
    net = ensemble.net

    def one(x):
        A = jnp.eye(2) - nt.bulk_hessian(net, x).jacobian
        r = net.residual(x, ensemble.inputs)
        loss, slope = jax.value_and_grad(ensemble.loss)(x)
        force = ensemble.beta * slope + x
        return ensemble.log_density(x), loss, force, jnp.vdot(x, r + A @ r)  # B⁻¹ = I + A, as A² = 0

    return jax.vmap(one)(points)


def pair_ensemble(seed, beta, m, scale):
    """A window on two neurons, as a general graph."""
    net = network(seed, (1, 1), scale=scale).to_septuple()
    return nt.CanonicalEnsemble(net, draw_inputs(seed, 1), beta, m=m)


def on_grid(ensemble):
    """The trapezoidal rule: nine widths about where neurons can be, a tenth of one (or of f's) between points."""
    beta, m, u = float(ensemble.beta), float(ensemble.m), float(ensemble.inputs[0])
    kappa = 1 + beta * (1 - m)
    reach = 9 / math.sqrt(kappa)
    first, a = np.linspace(beta * u / kappa - reach, beta * u / kappa + reach, 401, retstep=True)
    second, b = np.linspace(-beta / kappa - reach, beta / kappa + reach, 201, retstep=True)
    points = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
    value, loss, force, pull = (np.asarray(v) for v in densities(ensemble, jnp.asarray(points)))
    top = value.max()
    p = np.exp(value - top)
    log_z = top + math.log(p.sum() * a * b)
    return Grid(value - log_z, p / p.sum(), loss, force, pull, points, log_z)


pairs = {"seed": seeds, "log_beta": st.floats(-1, 1.5), "m": st.floats(-1, 0.5), "scale": st.floats(0, 1)}
SETTLED = 1e-7
"""Of averages on the grid: where f is steepest its poles are four spacings from the real axis."""


@settings(max_examples=15)
@given(**pairs)
def test_04_stein(seed, log_beta, m, scale):
    """Integration by parts against x and against the flow B⁻¹r, whose divergence is N."""
    beta = 10.0**log_beta
    grid = on_grid(pair_ensemble(seed, beta, m, scale))
    close(grid.mean(grid.force), 0, SETTLED * (1 + beta))
    close(grid.mean(np.sum(grid.x * grid.force, axis=1)), 2, SETTLED * (1 + beta))
    plain = on_grid(pair_ensemble(seed, beta, 0.0, scale))
    close(2 * beta * plain.mean(plain.loss), 2 - plain.mean(plain.pull), SETTLED * (1 + beta))


@jit
def gaussian_entropies(net, x, beta, m):
    G = nt.bulk_hessian(net, x)
    return nt.gaussian_entropy(G, beta, m=m), nt.entropy(G, beta, m=m, mean=x)


@settings(max_examples=15)
@given(share=shares, **pairs)
def test_05_entropy(seed, log_beta, m, scale, share):
    """Of the window itself: -⟨log p⟩; (7.1) alone is the distance to the window."""
    beta = 10.0**log_beta
    ensemble = pair_ensemble(seed, beta, m, scale)
    grid, found = on_grid(ensemble), nt.quadrature(ensemble, points=POINTS)
    printed = float(found.log_partition.value + beta * found.average_loss.value)
    entropy = -grid.mean(grid.log_p)
    square = np.sum(grid.x**2, axis=1)
    divergence = grid.mean(grid.log_p + 0.5 * square + LOG_2PI)
    allowed = SETTLED * (1 + beta)
    close(found.entropy.value, entropy, allowed)
    close(printed + 0.5 * float(found.mean_square.value), entropy, allowed)
    close(printed, LOG_2PI - divergence, allowed)
    net, _, x = made("layers", seed, scale, identity)
    B = jacobian(net, x)
    m = float(bound_m(share, B, beta))
    model, M = Gaussian(B, flat(x), beta, m), shifted(B, beta, m)
    shannon, heat = gaussian_entropies(net, x, beta, m)
    exact = 0.5 * net.size * (LOG_2PI + 1) - 0.5 * np.linalg.slogdet(M)[1]
    allowed = 1e-13 * condition(M) * (1 + abs(exact) + beta * abs(model.average_loss) + flat(x) @ flat(x))
    close(shannon, exact, allowed)
    close(heat + 0.5 * (np.trace(model.covariance) + model.mean @ model.mean), exact, allowed)


@jit
def losses(net, x, beta, m):
    G = nt.bulk_hessian(net, x)
    return nt.average_loss(G, beta, m=m), nt.average_loss(G, beta, m=m, mean=x)


@given(kind=st.sampled_from(KINDS), seed=seeds, log_beta=logs, share=shares, scale=scales)
def test_06_average_loss(kind, seed, log_beta, share, scale):
    """U = (N - Tr M⁻¹)/2β without x̄; with it ½Σ(λ-m)/D + ½Σλa²(1 - 2βm - β²m(λ-m))/D²."""
    beta = 10.0**log_beta
    net, _, x = made(kind, seed, scale)
    B = jacobian(net, x)
    m = float(bound_m(share, B, beta))
    _, sigma, right = np.linalg.svd(B)
    lam, a = sigma**2, right @ flat(x)
    D = 1 + beta * (lam - m)
    terms = 0.5 * (lam - m) / D
    mean_terms = 0.5 * lam * a**2 * (1 - 2 * beta * m - beta**2 * m * (lam - m)) / D**2
    without, kept = losses(net, x, beta, m)
    # a derivative of a log det: the condition of M; of the form: twice
    allowed = 1e-13 * (D.max() / D.min()) * (np.abs(terms).sum() + 1 / beta)
    close(without, terms.sum(), allowed)
    inverse = np.linalg.inv(shifted(B, beta, m))
    close(without, (net.size - np.trace(inverse)) / (2 * beta), allowed + 1e-14 * np.trace(inverse) / beta)
    more = 1e-13 * (D.max() / D.min()) ** 2 * (a @ a) * (1 + abs(m) + lam.max())
    close(kept, terms.sum() + mean_terms.sum(), allowed + more)


@jit
def slopes_of_log_z(net, slopes, beta, m):
    def of(weights, function):
        return function(nt.bulk_hessian(net.replace(weights=weights), slopes=slopes), beta, m=m)

    return [jax.grad(partial(of, function=f))(net.weights) for f in (nt.log_partition, nt.average_loss)]


@given(seed=seeds, log_beta=logs, share=shares, scale=scales)
def test_07_derivatives(seed, log_beta, share, scale):
    """At fixed slopes rows of ∂/∂A are multiplied by f' to be ∂/∂w."""
    beta, (net, _, x) = 10.0**log_beta, made("layers", seed, scale)
    B, slopes = jacobian(net, x), net.slopes(x)
    m = float(bound_m(share, B, beta))
    M = shifted(B, beta, m)
    P = np.linalg.inv(M)
    of_log_z, of_loss = slopes_of_log_z(net, slopes, beta, m)
    for found, exact, power in ((of_log_z, beta * B @ P, 1), (of_loss, -B @ P @ P, 2)):
        size = (1 + beta * abs(m)) * max(np.abs(exact).max(), np.linalg.norm(P, 2) ** power)
        for part, block, d in zip(found, split_blocks(exact, net.sizes), slopes, strict=True):
            close(part, np.asarray(d)[:, None] * block, 1e-13 * condition(M) * size)


@jit
def determinants(net, x, beta):
    G = nt.bulk_hessian(net, x)
    return nt.log_eigenvalues(G).moment(1), G.log_det(beta), nt.log_partition(G, beta, mean=x)


@settings(max_examples=20)
@given(kind=st.sampled_from(["layers", "skips"]), seed=seeds, log_beta=st.floats(-2, 2), scale=scales | st.just(0.0))
def test_08_unit_determinant(kind, seed, log_beta, scale):
    """log(1 + βe^ℓ) is convex in ℓ and Σℓ = 0: weights only lower log Z, of the Gaussian and of the window."""
    beta = 10.0**log_beta
    net, _, x = made(kind, seed, scale)
    B, n = jacobian(net, x), net.size
    total, log_det, log_z_fixed = determinants(net, x, beta)
    close(total, 0, 1e-13 * n * np.linalg.cond(B))
    least, allowed = n * math.log1p(beta), 1e-14 * n * condition(shifted(B, beta, 0.0))
    excess = float(log_det) - least
    assert excess >= -allowed
    assert float(log_z_fixed) <= n / 2 * LOG_2PI - least / 2 + allowed
    if scale == 0:
        close(excess, 0, allowed)
    elif scale > 0.1:
        assert excess > allowed
    pair = network(seed, (1, 1), scale=scale / 3)
    window = nt.CanonicalEnsemble(pair, draw_inputs(seed, 1), beta)
    assert float(nt.quadrature(window, points=POINTS).log_partition.value) <= LOG_2PI - math.log1p(beta) + 1e-8


# ---------------------------------------------------------------- the spectrum


@jit
def of_spectrum(G, beta):
    return nt.log_eigenvalues(G), G.log_det(beta), G.to_dense()


def even_part(matrix):
    """h(S) of a positive semidefinite S = s²: h = 2 asinh(s/2)/(s √(1 + s²/4)), 1 at s = 0."""
    values, vectors = np.linalg.eigh(matrix)
    s = np.sqrt(np.maximum(values, 0))
    safe = np.where(s > 1e-6, s, 1)
    h = np.where(s > 1e-6, 2 * np.arcsinh(safe / 2) / (safe * np.sqrt(1 + safe**2 / 4)), 1)
    return vectors * h @ vectors.T


@given(seed=seeds, log_beta=logs, scale=scales)
def test_09_two_layers(seed, log_beta, scale):
    """The spectrum, the determinant and log Ĝ in closed forms of the singular values of A."""
    beta, (a,) = 10.0**log_beta, blocks_of(seed, TWO, scale)
    s = np.linalg.svd(a, compute_uv=False)
    spectrum, log_det, G = of_spectrum(hessian_of([a]), beta)
    exact = np.sort(np.concatenate([2 * np.arcsinh(s / 2), -2 * np.arcsinh(s / 2)]))[::-1]
    assert spectrum.unit_count == 1
    top = math.exp(exact[0])
    # singular values of B to 1e-14 of the largest; those below 1 lose the condition of B, √top · √top
    close(spectrum.values, exact, 1e-14 * top)
    wanted = 1 * math.log1p(beta) + np.sum(np.log((1 + beta) ** 2 + beta * s**2))
    close(log_det, wanted, 1e-13 * top * (1 + abs(wanted)))
    A = links([a])
    left, right = A @ A.T, A.T @ A
    closed = -even_part(left) @ A - A.T @ even_part(left) + 0.5 * (even_part(right) @ right - even_part(left) @ left)
    values, vectors = np.linalg.eigh(np.asarray(G))
    close(vectors * np.log(values) @ vectors.T, closed, 1e-13 * top**2)  # eigenvalues to the condition of Ĝ


@jit
def counts(G, beta):
    spectrum = nt.log_eigenvalues(G)
    pair = nt.decompose(spectrum, beta).effective_count, nt.decompose(spectrum, 1 / beta).effective_count
    return *pair, nt.average_loss(G, 1.0), 2 * beta * nt.average_loss(G, beta)


@given(seed=seeds, log_beta=logs, scale=scales)
def test_10_duality(seed, log_beta, scale):
    """Two layers: λ → 1/λ leaves the spectrum as it is. Three: not."""
    a = blocks_of(seed, TWO, scale)
    one, other, loss, from_loss = counts(hessian_of(a), 10.0**log_beta)
    allowed = 1e-13 * (1 + np.linalg.norm(a[0], 2) ** 2)  # the condition of B
    close(one + other, 7, allowed)
    close(loss, 7 / 4, allowed)
    close(one, from_loss, allowed)


def test_10_duality_needs_two_layers():
    one, other, loss, _ = counts(hessian_of(blocks_of(0, THREE, 2.0)), 3.0)
    assert abs(one + other - 9) > 0.01
    assert abs(loss - 9 / 4) > 0.01


@jit
def moments(G):
    spectrum = nt.log_eigenvalues(G)
    return jnp.stack([spectrum.moment(k) for k in range(1, 5)])


def words(A, counts):
    return sum(c * trace_word(A, word) for word, c in counts.items())


SERIES = {
    2: {
        "ab": 2, "aabb": 2 / 3, "abab": -1 / 6, "aaabbb": 2 / 5, "aababb": -1 / 10, "aabbab": -1 / 10, "ababab": 1 / 45,
    },
    3: {"aabb": -3, "aaabbb": -5 / 2, "aababb": 1 / 4, "aabbab": 1 / 4},
    4: {"aabb": 4, "abab": 2, "aaabbb": 7, "aababb": 1, "aabbab": 1, "ababab": -1 / 3},
}  # fmt: skip
"""Layers: μ_k to sixth order in A (a) and Aᵀ (b)."""


@given(seed=seeds, norm=st.floats(0, 0.6))
def test_11_moments(seed, norm):
    """What the words leave over is of eighth order; of fourth in a general graph, which has odd words too."""
    a = blocks_of(seed, FOUR, 1.0)
    A = links(a)
    t = norm / np.linalg.norm(A)
    found = np.asarray(moments(hessian_of([t * v for v in a])))
    close(found[0], 0, 1e-13)
    for k, series in SERIES.items():
        close(found[k - 1], words(t * A, series), REST[k] * norm**8 + 1e-14)
    ring = graph(seed, 5, cyclic=True, scale=1.0)
    A = np.array(dense_weight(ring)[0])
    A *= norm / np.linalg.norm(A)
    G = nt.bulk_hessian(ring.replace(weight=jnp.asarray(A)), slopes=jnp.ones(5))
    found = np.asarray(moments(G))
    close(found[0], 2 * np.linalg.slogdet(np.eye(5) - A)[1], 1e-13)
    close(found[1], words(A, {"aa": 2, "ab": 2, "aaa": 2, "aab": 2}), REST[0] * norm**4 + 1e-14)
    close(found[2], words(A, {"aaa": -2, "aab": -6}), REST[0] * norm**4 + 1e-14)


REST = {0: 30.0, 2: 0.005, 3: 0.005, 4: 0.05}
"""Bounds of what is left over, in units of |A| to the order of it: a few times the largest of 60 networks."""


@jit
def odd_part(G):
    spectrum = nt.log_eigenvalues(G)
    traces = [nt.spectral_trace(G, f) for f in (lambda v: v, lambda v: 1 / v, lambda v: v - 1 / v)]
    return jnp.stack([*traces, jnp.sum(2 * jnp.sinh(spectrum.values))])


@given(sizes=st.sampled_from([TWO, THREE, FOUR]), seed=seeds, scale=scales)
def test_12_skewness(sizes, seed, scale):
    """Tr Ĝ = N + |A|², Tr Ĝ⁻¹ = N + Σ|A^k|²: deep networks lean to small eigenvalues, two layers do not."""
    a = blocks_of(seed, sizes, scale)
    A, n = links(a), sum(sizes)
    powers = [np.sum(np.linalg.matrix_power(A, k) ** 2) for k in range(1, len(sizes))]
    trace, inverse, odd, summed = odd_part(hessian_of(a))
    allowed = 1e-13 * (n + sum(powers)) * np.linalg.cond(np.eye(n) - A)  # small singular values lose cond(B)
    close(trace, n + powers[0], allowed)
    close(inverse, n + sum(powers), allowed)
    close(odd, -sum(powers[1:]), allowed)
    close(summed, -sum(powers[1:]), allowed)
    assert (len(sizes) == 2) == (not powers[1:])


@jit
def moment_gradients(blocks):
    return [jax.grad(lambda a, k=k: nt.log_eigenvalues(hessian_of(a)).moment(k))(blocks) for k in (1, 2, 3)]


@settings(max_examples=20)
@given(seed=seeds, scale=scales)
def test_13_moment_gradients(seed, scale):
    """Of a spectrum with many equal eigenvalues, and with all of them equal at A = 0."""
    a = blocks_of(seed, FOUR, scale)
    B = unreduced(a)
    values, vectors = np.linalg.eigh(B.T @ B)
    ell, inverse = np.log(values), np.linalg.inv(B)
    allowed = 1e-13 * (1 + np.abs(ell).max()) ** 2 * np.linalg.cond(B) ** 3  # eigenvalues of BᵀB, times B⁻¹
    for k, found in zip((1, 2, 3), moment_gradients(a), strict=True):
        power = vectors * ell ** (k - 1) @ vectors.T @ inverse
        for part, block in zip(found, split_blocks(-2 * k * power.T, FOUR), strict=True):
            close(part, block, allowed)
        flow = sum(np.vdot(v, g) for v, g in zip(a, found, strict=True))  # dμ/d log t of tA
        close(flow, 2 * k * (np.sum(ell ** (k - 1)) - np.trace(power)), 10 * allowed)


# ---------------------------------------------------------------- clamped minima and ensembles


@jax.jit
def relaxed(net, u, t, m):
    return nt.relax(net, u, t, potential=nt.QuadraticPotential(m), tolerance=1e-11, max_steps=2000)


@jax.jit
def envelope(net, u, t, m):
    def loss(net, u, t, m):
        V = nt.QuadraticPotential(m)
        return nt.relaxed_bulk_loss(net, net.propagate(u), t, potential=V, tolerance=1e-11, max_steps=2000)

    return jax.grad(loss, (0, 1, 2, 3))(net, u, t, m)


@settings(max_examples=15)
@given(seed=seeds, scale=st.floats(0, 1), m=st.floats(-1, 0.4))
def test_14_envelope(seed, scale, m):
    """dH* = ∂H at the minimum, in weights, biases, boundary and m; r = wᵀf'r + mx in hidden layers."""
    net, u = network(seed, FOUR, scale=scale), draw_inputs(seed, 3)
    t, m = draw_inputs(seed + 1, 2), jnp.asarray(m)
    found = relaxed(net, u, t, m)
    x = [np.asarray(v) for v in found.state]
    f = [np.tanh(np.asarray(w) @ v + np.asarray(b)) for w, b, v in zip(net.weights, net.biases, x[:-1], strict=True)]
    r = [np.zeros(3), *(v - y for v, y in zip(x[1:], f, strict=True))]
    delta = [(1 - y**2) * e for y, e in zip(f, r[1:], strict=True)]
    back = [np.asarray(w).T @ d for w, d in zip(net.weights, delta, strict=True)]
    for k in (1, 2):
        close(r[k], back[k] + float(m) * x[k], 1e-11 + 1e-13)  # the gradient, below the tolerance of 1e-11
    of_net, of_u, of_t, of_m = envelope(net, u, t, m)
    for k, (w, b) in enumerate(zip(of_net.weights, of_net.biases, strict=True)):
        close(w, -np.outer(delta[k], x[k]), 1e-9)  # states within 1e-11/λ_min
        close(b, -delta[k], 1e-9)
    close(of_u, -back[0] - float(m) * x[0], 1e-9)
    close(of_t, r[-1] - float(m) * x[-1], 1e-9)
    close(of_m, -0.5 * sum(v @ v for v in x), 1e-9)
    rng = np.random.default_rng(seed)
    arguments = net, u, t, m
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), arguments)
    along = sum(
        np.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, ((of_net, of_u, of_t, of_m), direction)), strict=True)
    )
    again = central_difference(lambda h: relaxed(*jax.tree.map(lambda a, d: a + h * d, arguments, direction)).loss)
    close(again, along, 1e-7)  # h² = 1e-10 times a third derivative below 1000, and 1e-16/h of rounding


@jit
def hidden_log_det(net, x):
    G = nt.restrict(nt.bulk_hessian(net, x), nt.hidden_neurons(net))
    return nt.log_eigenvalues(G).moment(1)


@settings(max_examples=20)
@given(seed=seeds, scale=st.floats(0, 1.5))
def test_15_relaxed_loss(seed, scale):
    """0 <= H* <= H_∂; of a linear network H* in closed form, where the inputs' weights do not enter S."""
    u, t, zero = draw_inputs(seed, 3), draw_inputs(seed + 1, 2), jnp.asarray(0.0)
    net = network(seed, FOUR, scale=scale)
    loss, limit = float(relaxed(net, u, t, zero).loss), float(nt.boundary_loss(net, net.propagate(u), t))
    assert -EPS <= loss <= limit + 1e-14 * (1 + limit)
    net = network(seed, FOUR, scale=scale, activation=identity)
    x = net.propagate(u)
    e = np.asarray(t - x[-1])
    S, product = np.eye(2), np.eye(2)
    for w in reversed(net.weights[1:]):
        product = product @ np.asarray(w)
        S += product @ product.T
    exact = 0.5 * e @ np.linalg.solve(S, e)
    loss, limit = float(relaxed(net, u, t, zero).loss), float(nt.boundary_loss(net, x, t))
    B = jacobian(net, x)
    least = np.linalg.svd(B, compute_uv=False).min() ** 2
    allowed = 1e-13 * (1 + limit) * np.linalg.cond(S) + 1e-20 / least  # |gradient|²/λ_min, and rounding
    close(loss, exact, allowed)
    close(limit, 0.5 * e @ e, 1e-13 * (1 + limit))
    assert least * limit - allowed <= loss <= limit + allowed
    close(hidden_log_det(net, x), np.linalg.slogdet(S)[1], 1e-13 * np.linalg.cond(B))


@settings(max_examples=12)
@given(seed=seeds, log_beta=st.floats(-1, 1), scale=st.floats(0, 1))
def test_16_clamped_ensembles(seed, log_beta, scale):
    """Z = (2π/β)^{(n_hid + n_out)/2} p(x_out | x_in) of the noisy network; linear: H* + n/2β, and F with log det S."""
    beta = 10.0**log_beta
    options = {"clamp_inputs": True, "measure": nt.Flat()}
    net, u, t = network(seed, (1, 1, 1), scale=scale), draw_inputs(seed, 1), draw_inputs(seed + 1, 1)
    ensemble = nt.CanonicalEnsemble(net, u, beta, targets=t, **options)
    f = float(net.propagate(u)[1][0])
    h, step = np.linspace(f - 10 / beta**0.5, f + 10 / beta**0.5, 4001, retstep=True)
    out = np.tanh(float(net.weights[1][0, 0]) * h + float(net.biases[1][0]))
    likelihood = step * np.sum(beta / (2 * np.pi) * np.exp(-beta / 2 * ((h - f) ** 2 + (float(t[0]) - out) ** 2)))
    exact = math.log(2 * math.pi / beta) + math.log(likelihood)
    within(nt.ancestral(ensemble, jax.random.key(seed), 2000).log_partition, exact, 1e-9)
    close(nt.quadrature(ensemble, points=POINTS).log_partition.value, exact, 1e-8)
    net, t = network(seed, (1, 2, 2), scale=scale, activation=identity), draw_inputs(seed + 1, 2)
    ensemble = nt.CanonicalEnsemble(net, u, beta, targets=t, **options)
    w, e = np.asarray(net.weights[1]), np.asarray(t - net.propagate(u)[-1])
    S = np.eye(2) + w @ w.T
    least = 0.5 * e @ np.linalg.solve(S, e)  # H* of identity 15
    found = nt.quadrature(ensemble, points=POINTS)
    normal = -np.log(2 * np.pi / beta) - 0.5 * np.linalg.slogdet(S)[1] - beta / 2 * e @ np.linalg.solve(S, e)
    allowed = 1e-8 * (1 + beta)  # of the quadrature
    close(found.log_partition.value, 2 * math.log(2 * math.pi / beta) + normal, allowed)
    close(found.average_loss.value, least + 2 / (2 * beta), allowed / min(beta, 1))
    free = least + np.linalg.slogdet(S)[1] / (2 * beta) - math.log(2 * math.pi / beta) / beta
    close(-found.log_partition.value / beta, free, allowed / min(beta, 1))


# ---------------------------------------------------------------- thermodynamics


@jit
def split(spectrum, beta, threshold):
    whole = nt.log_partition(spectrum, beta)
    threshold_form = nt.complexity(spectrum, beta) - beta * nt.thermodynamic_free_energy(spectrum, beta)
    return whole, threshold_form, nt.split_error(spectrum, beta, threshold), nt.split_error(spectrum, beta)


@settings(max_examples=25)
@given(seed=seeds, log_beta=logs, log_t=st.floats(-2, 2), scale=scales)
def test_17_complexity(seed, log_beta, log_t, scale):
    """C_n counts eigenvalues from above and all of them add up to 0; E(t) is what a threshold misses."""
    beta, t = 10.0**log_beta, 10.0**log_t
    blocks = blocks_of(seed, THREE, scale)
    B, n = unreduced(blocks), sum(THREE)
    spectrum = of_spectrum(hessian_of(blocks), 1.0)[0]
    ell = 2 * np.sort(np.log(np.linalg.svd(B, compute_uv=False)))
    allowed = 1e-13 * n * np.linalg.cond(B)
    for k in range(n + 1):
        found = nt.complexity(spectrum, largest=n - k)
        close(found, n / 2 * LOG_2PI + 0.5 * ell[:k].sum(), allowed)
    logit = ell + math.log(beta)
    if np.abs(logit - math.log(t)).min() < 1e-9 or np.abs(logit).min() < 1e-9:
        return  # an eigenvalue on the threshold may be counted on either side
    missed = 0.5 * np.sum(np.where(logit > math.log(t), np.logaddexp(0, -logit), np.logaddexp(0, logit)))
    whole, form, error, smallest = split(spectrum, beta, t)
    close(error, missed, allowed)
    close(form - whole, smallest, allowed * (1 + abs(math.log(beta))))
    close(smallest, 0.5 * np.sum(np.log1p(np.exp(-np.abs(logit)))), allowed)
    assert smallest <= error + allowed


@jax.jit
def path_law(betas, path, u):
    def log_z(beta, net):
        x = net.propagate(u)
        return nt.log_partition(nt.bulk_hessian(net, x), beta, mean=x)

    return nt.first_law(log_z, betas, path, nodes=5)


@jit
def swept(net, x, betas, beta, m):
    G = nt.bulk_hessian(net, x)
    sweep = nt.sweep(G, betas, m=m, mean=x)
    return sweep.log_partition, sweep.average_loss, nt.heat_capacity(G, beta, m=m, mean=x)


NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)


@settings(max_examples=12)
@given(log_beta=st.floats(-1, 1), m=st.floats(-1, 0.5), seed=seeds, scale=st.floats(0, 1), share=st.floats(-1, 0.5))
def test_18_first_law(seed, log_beta, m, scale, share):
    """Along a random path in β and the weights; the work is not zero, and (7.11) leaves it over."""
    beta, rng = 10.0**log_beta, np.random.default_rng(seed)
    net, u, x = made("layers", seed, scale)
    short = network(seed, TWO, scale=scale)
    steps = [jax.tree.map(lambda a: a + 0.05 * rng.normal(size=a.shape), short) for _ in range(3)]
    path = jax.tree.map(lambda *leaves: jnp.stack(leaves), *steps)
    law = path_law(beta * jnp.asarray([1.0, 1.1, 0.95]), path, u)
    size = float(jnp.max(jnp.abs(law.loss_change) + jnp.abs(law.heat) + jnp.abs(law.work)))
    close(law.residual, 0, 1e-7 * size)  # of five nodes a step
    close(law.printed_residual, law.work, 2e-7 * size)
    # -dU/dβ = Var H: of the Gaussian by Wick's theorem, of the window on a grid
    B = jacobian(net, x)
    bound = float(bound_m(share, B, 2 * beta))
    ends = math.log(beta / 2), math.log(2 * beta)
    betas = np.exp((ends[0] + ends[1]) / 2 + (ends[1] - ends[0]) / 2 * NODES)
    log_zs, us, capacity = swept(net, x, jnp.asarray(np.concatenate([betas, np.exp(ends)])), beta, bound)
    model = Gaussian(B, flat(x), beta, bound)
    rounding = condition(shifted(B, 2 * beta, bound)) ** 2 * (1 + beta * flat(x) @ flat(x))
    close(capacity, beta**2 * model.variance, 1e-12 * rounding)
    # log Z(β₁) - log Z(β₀) = -∫U dβ, in log β; functions without poles within the 24 nodes' reach
    integral = (ends[1] - ends[0]) / 2 * np.sum(WEIGHTS * betas * np.asarray(us[:-2]))
    close(log_zs[-1] - log_zs[-2], -integral, 1e-9 * rounding)
    grid = on_grid(pair_ensemble(seed, beta, m, scale))
    variance = grid.mean(grid.loss**2) - grid.mean(grid.loss) ** 2
    slope = central_difference(
        lambda h: nt.quadrature(pair_ensemble(seed, beta * (1 + h), m, scale), points=POINTS).average_loss.value, 1e-3
    )
    # h² = 1e-6 times the third derivative over the first, of order 10
    close(-slope / beta, variance, 1e-4 * variance)


TAU = 2 * np.pi
PLACES = np.arange(64) * TAU / 64
BOOLE = np.array([7, 32, 12, 32, 7]) * 2 / 45


def wave(q, beta):
    """A free energy that is periodic and changes with β."""
    return 0.3 * jnp.sum(jnp.cos(q)) / beta + 0.1 * jnp.sum(jnp.sin(2 * q))


def made_density(seed):
    """Two bumps, and a log density known everywhere."""
    rng = np.random.default_rng(seed)
    (a, b), (s, t) = rng.uniform(0, 1, 2), rng.uniform(0, TAU, 2)

    def log_p(q):
        return a * np.cos(q - s) + b * np.cos(2 * q - t)

    return log_p, np.log(np.exp(log_p(PLACES)).sum() * TAU / 64)


@settings(max_examples=8)
@given(seed=seeds, start=st.floats(0.5, 2), rate=st.floats(-1, 1))
def test_19_liouville(seed, start, rate):
    """dQ/dβ = α∇F with its probability kept makes entropy at the rate α⟨ΔF⟩."""
    betas, h = jnp.asarray(start + 0.05 * np.arange(5)), 0.05
    log_p, log_norm = made_density(seed)
    p = jnp.asarray(np.exp(log_p(PLACES) - log_norm))
    kept = nt.liouville_density(wave, p, TAU, betas, rate=rate, tolerance=1e-10)
    close(kept.probability, 1, 1e-11)
    # Boole's rule: h⁷ times a sixth derivative
    close(kept.entropy[-1] - kept.entropy[0], h * BOOLE @ np.asarray(kept.production), 1e-8)
    q = np.random.default_rng(seed).uniform(0, TAU, (20, 1))
    drawn = nt.liouville_flow(wave, q, log_p(q[:, 0]) - log_norm, betas, rate=rate, tolerance=1e-11)
    close(drawn.entropy[-1] - drawn.entropy[0], h * BOOLE @ np.asarray(drawn.production), 1e-8)
    scaled = nt.liouville_density(wave, p, TAU, betas, rate=rate, normalisation=3.0, tolerance=1e-10)
    close(scaled.entropy, np.asarray(kept.entropy) - math.log(3), 1e-12)
    printed = nt.liouville_density(wave, p, TAU, betas, rate=rate, conserved=False, tolerance=1e-10)
    # as printed, (8.1) loses probability at the rate at which the other makes entropy
    close(printed.probability[-1] - 1, h * BOOLE @ np.asarray(printed.production), 1e-8)
    laplacian = -0.3 * np.cos(PLACES) / start - 0.4 * np.sin(2 * PLACES)
    close(kept.production[0], rate * np.sum(laplacian * np.asarray(p)) * TAU / 64, 1e-12)
    if abs(rate * np.sum(laplacian * np.asarray(p)) * TAU / 64) > 0.05:
        assert abs(float(printed.probability[1]) - 1) > 1e-4


# ---------------------------------------------------------------- architecture


@given(deep=st.booleans(), seed=seeds, scale=st.floats(0.3, 3))
def test_20_spectrum(deep, seed, scale):
    """Layers may be rotated and A turned to -A; as many log λ of each sign as the widths say."""
    sizes, rng = THREE if deep else TWO, np.random.default_rng(seed)
    a = blocks_of(seed, sizes, scale)
    turns = [np.linalg.qr(rng.normal(size=(n, n)))[0] for n in sizes]
    turned = [turns[k + 1] @ v @ turns[k].T for k, v in enumerate(a)]
    spectra = [of_spectrum(hessian_of(v), 1.0)[0] for v in (a, turned, [-v for v in a])]
    ell = np.asarray(spectra[0].values)
    allowed = 1e-13 * np.linalg.cond(unreduced(a)) ** 2  # each singular value to EPS of the largest
    for other in spectra[1:]:
        close(other.values, ell, allowed)
    # r above and r below for two layers of rank r = n_2; n_2 + n_3 above and n_2 below for three
    above, below = ((5, 3) if deep else (3, 3)) if np.abs(ell).min() > allowed else (None, None)
    if above is not None:
        assert (np.sum(ell > 0), np.sum(ell < 0)) == (above, below)
    assert spectra[0].size == sum(sizes)
    assert spectra[0].unit_count == sum(sizes) - (8 if deep else 6)


@pytest.mark.parametrize(("sizes", "units"), [((784, 40, 20, 10), 744), ((784, 60, 10), 724)])
def test_20_unit_eigenvalues_of_the_paper(sizes, units):
    shapes = [jax.ShapeDtypeStruct(s, np.float64) for s in itertools.pairwise(sizes[::-1])][::-1]
    found = jax.eval_shape(lambda *blocks: nt.log_eigenvalues(hessian_of(blocks)), *shapes)
    assert found.unit_count == units
    assert found.size == sum(sizes)


@jit
def level(v, beta, gamma):
    """Value, slope and curvature of γ(1+βλ)⁻² + ... in log λ."""

    def curve(v):
        return nt.two_level_laplacian(v, beta, gamma=gamma, size=2) / beta

    return curve(v), jax.grad(curve)(v), jax.grad(jax.grad(curve))(v)


@given(log_gap=st.floats(-8, 4), gamma=st.floats(0.01, 0.95), beta=st.floats(0.05, 30))
def test_21_two_levels(log_gap, gamma, beta):
    """Stationary at log λ = 0 and at the gap of its β; at γ = 1/3 that is 2 log((1 - β)/β)."""
    k = gamma / (1 - gamma)
    there = float(nt.beta_from_gap(log_gap, gamma=gamma))
    lam = math.exp(log_gap)
    close(there * (lam ** ((2 - k) / 3) + lam ** ((1 - 2 * k) / 3)), 1, 1e-12 * (1 + k) * (1 + abs(log_gap)))
    size = 2 * gamma * there * lam / (1 + there * lam) ** 3  # of the two slopes that cancel
    close(level(log_gap, there, gamma)[1], 0, 1e-12 * (1 + k) * (1 + abs(log_gap)) * size)
    value, slope, curvature = level(0.0, beta, gamma)
    scale = gamma * beta * (1 + k) / (1 + beta) ** 4
    close(value, (1 + beta) ** -2, 1e-14)
    close(slope, 0, 1e-14 * scale * (1 + beta) ** 2)
    close(curvature, -2 * scale * (1 - 2 * beta), 1e-13 * scale * (1 + beta) ** 2)
    share = beta / (1 + beta)  # γ = 1/3 has a gap for β < 1 only
    close(nt.beta_from_gap(2 * math.log((1 - share) / share), gamma=1 / 3), share, 1e-14)
    same = gamma**-0.5 - 1
    tail = (1 - gamma) * (1 + same * math.exp(min(200 * k, 700))) ** -2
    close(level(-200.0, same, gamma)[0], gamma + tail, 1e-14)
    close(level(0.0, same, gamma)[0], gamma, 1e-14)


NONE = np.zeros(0)


def one_neuron(w, b):
    return nt.Septuple(
        jnp.asarray([[w]]), jnp.asarray([b]), activation=jnp.tanh,
        input_mask=np.array([False]), output_mask=np.array([False]),
    )  # fmt: skip


def modes(w, b, beta):
    """Log Z by quadrature, and (5.9) at every fixed point."""
    net = one_neuron(w, b)
    found = nt.fixed_points(net, NONE, key=jax.random.key(0), starts=60)
    weights = [float(nt.log_partition(nt.bulk_hessian(net, x), beta, mean=x)) for x in found.states]
    exact = nt.quadrature(nt.CanonicalEnsemble(net, NONE, beta), points=768).log_partition.value
    for x in found.states:
        close(nt.bulk_loss(net, x), 0, 1e-26)
    return float(exact), np.array(weights), np.asarray(found.stable)


@settings(max_examples=8)
@given(w=st.floats(1.8, 2.5), b=st.floats(-0.1, 0.1))
def test_22_fixed_points(w, b):
    """log Z is the log sum exp over three fixed points up to O(1/β), the unstable one among them."""
    rest = []
    for beta in (1000.0, 2000.0):
        exact, weights, stable = modes(w, b, beta)
        assert sorted(stable) == [False, True, True]
        rest.append(exact - float(logsumexp(jnp.asarray(weights))))
        assert exact - float(logsumexp(jnp.asarray(weights[stable]))) > 0.1
    close(rest[0], 0, 0.05)
    close(rest[1], rest[0] / 2, 0.25 * abs(rest[0]) + 1e-4)  # of first order in 1/β


def test_22_numbers_of_one_neuron():
    exact, weights, stable = modes(2.0, 0.1, 2000.0)
    found = exact, float(logsumexp(jnp.asarray(weights))), weights[stable].min()
    close(found, (-1.943, -1.946, -3.206), 5e-4)  # three decimals


@settings(max_examples=15)
@given(sizes=st.sampled_from([THREE, FOUR]), seed=seeds, scale=st.floats(0.1, 4))
def test_23_dynamics(sizes, seed, scale):
    """x(L-1) = x(L) bit by bit, x(L-2) is another state."""
    net, u = network(seed, sizes, scale=scale), draw_inputs(seed, sizes[0])
    twin = net.to_septuple()
    before, there, after = (np.asarray(settle(twin, u, len(sizes) + k)) for k in (-2, -1, 0))
    assert np.array_equal(there, after)
    assert not np.array_equal(before, there)
    close(flat(net.propagate(u)), there, 1e-13 * (1 + scale) ** len(sizes))  # sums in another order


# ---------------------------------------------------------------- the same under planted errors


CASES = {
    test_01_flat_feed_forward: {"kind": "layers", "log_beta": 0.3, "scale": 1.5},
    test_02_noisy_networks: {"log_beta": 0.3, "m": 0.3, "scale": 1.5, "boxed": False},
    test_03_linear_networks: {"kind": "skips", "log_beta": 0.3, "share": 0.4, "scale": 1.0},
    test_04_stein: {"log_beta": 0.3, "m": 0.3, "scale": 1.5},
    test_05_entropy: {"log_beta": 0.3, "m": 0.3, "scale": 1.5, "share": 0.4},
    test_06_average_loss: {"kind": "layers", "log_beta": 0.3, "share": 0.4, "scale": 1.0},
    test_07_derivatives: {"log_beta": 0.3, "share": 0.4, "scale": 1.0},
    test_08_unit_determinant: {"kind": "layers", "log_beta": 0.3, "scale": 1.0},
    test_09_two_layers: {"log_beta": 0.3, "scale": 1.0},
    test_10_duality: {"log_beta": 0.3, "scale": 1.0},
    test_11_moments: {"norm": 0.5},
    test_12_skewness: {"sizes": THREE, "scale": 1.0},
    test_13_moment_gradients: {"scale": 1.0},
    test_14_envelope: {"scale": 0.8, "m": 0.3},
    test_15_relaxed_loss: {"scale": 1.0},
    test_16_clamped_ensembles: {"log_beta": 0.3, "scale": 1.0},
    test_17_complexity: {"log_beta": 0.3, "log_t": 0.5, "scale": 1.0},
    test_18_first_law: {"log_beta": 0.3, "m": 0.3, "scale": 1.0, "share": 0.4},
    test_19_liouville: {"start": 1.0, "rate": 0.8},
    test_20_spectrum: {"deep": True, "scale": 1.0},
    test_21_two_levels: {"log_gap": -2.0, "gamma": 0.3, "beta": 1.3},
    test_22_fixed_points: {"w": 2.0, "b": 0.05},
    test_23_dynamics: {"sizes": THREE, "scale": 1.0},
}
"""Where each identity is looked at with an error in place: values at which no term of it vanishes."""


def half_derivative(function):
    """The same value, and half of its derivative."""
    return lambda *a: jax.tree.map(lambda v: 0.5 * (v + jax.lax.stop_gradient(v)), function(*a))


def slopes_of_one(function):
    return lambda *a: jax.tree.map(jnp.ones_like, function(*a))


def with_slope_doubled(function):
    return lambda *a: (function(*a)[0], 2 * function(*a)[1])


def form_negated(function):
    return lambda *a: (function(*a)[0], -function(*a)[1])


def weight_halved(free):
    """exp(-(βc/4κ) f²)."""

    def wrong(self, f, *rest):
        x, share = free(self, f, *rest)
        return x, share + 0.25 * self.beta * self.curvature / self.kappa * f**2

    return wrong


def curvature_dropped(init):
    def wrong(self, *a):
        init(self, *a)
        self.kappa = self.beta

    return wrong


def noise_of_width_one(free):
    def wrong(self, f, noise, *rest):
        return free(self, f, noise * jnp.sqrt(self.kappa), *rest)

    return wrong


def window_term_lost(estimate):
    def wrong(ensemble, *a):
        found = estimate(ensemble, *a)
        value = found.log_partition.value + ensemble.beta * found.average_loss.value
        return found._replace(entropy=nt.Estimate(value, value))

    return wrong


def gram_slope_doubled(slopes):
    """Twice the derivative of log det M in the Gram matrix of the first layer."""

    def wrong(*a):
        of_log_det, of_form = slopes(*a)
        doubled = of_log_det.chain._replace(gram=2 * of_log_det.chain.gram)
        return of_log_det._replace(chain=doubled), of_form

    return wrong


def printed_for_kept(spread):
    return lambda F, periods, _conserved, *a: spread(F, periods, False, *a)


def production_negated(function):
    return lambda *a: (found := function(*a))._replace(production=-found.production)


def stable_alone(search):
    def wrong(*a, **k):
        found = search(*a, **k)
        return jax.tree.map(lambda v: v[found.stable] if np.ndim(v) else v, found)

    return wrong


PLANTED = {
    "2π lost in the norm of a neuron": (
        "01", "canonical.ancestral:math", lambda m: SimpleNamespace(pi=0.5, ceil=m.ceil)
    ),
    "noise of width 1": ("01", "canonical.ancestral:_Rule.free", noise_of_width_one),
    "½ lost in the weight of a neuron": ("02", "canonical.ancestral:_Rule.free", weight_halved),
    "κ without its window": ("02", "canonical.ancestral:_Rule.__init__", curvature_dropped),
    "no window": ("02 04 05", "canonical.measure:stiffness_of", lambda f: lambda measure, dtype: 0 * f(measure, dtype)),
    "mean term of the wrong sign": ("03 22", "ensemble.hessian:DenseHessian.log_det_and_form", form_negated),
    "BBᵀ for BᵀB": ("03 09", "ensemble.hessian:gram", lambda f: lambda B: f(B.T)),
    "2π lost in log Z": ("03 17", "ensemble.gaussian:math", lambda m: SimpleNamespace(pi=0.5, log=m.log)),
    "input rows not masked": (
        "03", "network.septuple:Septuple.signal_weight", lambda _: property(lambda net: net.weight)
    ),
    "errors of inputs lost": (
        "03 04", "network.septuple:Septuple.residual", lambda f: lambda net, x, _=None: f(net, x)
    ),
    "slopes of a graph dropped": ("04", "network.septuple:Septuple.slopes", slopes_of_one),
    "½N lost in the entropy": (
        "05", "thermodynamics:gaussian_entropy", lambda f: lambda G, *a, **k: f(G, *a, **k) - 0.5 * G.size
    ),
    "½⟨x·x⟩ lost in the entropy": ("05", "canonical.quadrature:_estimate", window_term_lost),
    "m dropped": ("06 07", "ensemble.hessian:shift_and_scale", lambda f: lambda beta, _, dtype: f(beta, 0.0, dtype)),
    "slopes of layers dropped": ("06", "network.feedforward:FeedForward.slopes", slopes_of_one),
    "rows not multiplied by f'": (
        "07", "ensemble.hessian:LayeredHessian.blocks", lambda _: property(lambda G: G.weights)
    ),
    "derivative of log det in W₁W₁ᵀ twice": ("07 18", "linalg.narrowing:_slopes", gram_slope_doubled),
    "links both ways": ("08 12", "linalg.reduction:to_dense", lambda f: lambda a: f(a) + f(a).T - jnp.eye(len(f(a)))),
    "½ lost in log det": (
        "08", "ensemble.hessian:LayeredHessian.log_det_and_form", lambda f: lambda *a: (0.5 * f(*a)[0], f(*a)[1])
    ),
    "log σ for log λ": ("09 11 13", "ensemble.hessian:log_singular_values", lambda f: lambda *a: 0.5 * f(*a)),
    "one unit eigenvalue lost": ("10 20", "ensemble.hessian:unit_count", lambda f: lambda sizes: f(sizes) - 1),
    "absolute values of A": (
        "11 20", "ensemble.hessian:LayeredHessian.blocks", lambda f: property(lambda G: tuple(map(jnp.abs, f.fget(G))))
    ),
    "unit eigenvalues lost in a trace": (
        "12", "linalg.layered_trace:sum_of_values", lambda f: lambda phi, sigma, _, numbers: f(phi, sigma, 0, numbers)
    ),
    "half of the derivative of log λ": ("13", "linalg.reduction:_log_singular_values", half_derivative),
    "back-propagation without f'": (
        "14", "relaxation.coordinates:Layers._gradient",
        lambda f: lambda self, r, d, pull: f(self, r, [jnp.ones_like(v) for v in d], pull),
    ),
    "½ lost in V": ("14", "loss:QuadraticPotential.__call__", lambda f: lambda self, x: 2 * f(self, x)),
    "½ lost in H_∂": ("15", "loss:boundary_loss", lambda f: lambda *a: 2 * f(*a)),
    "hidden neurons with the outputs": (
        "15", "ensemble.restricted:hidden_neurons", lambda f: lambda net: (*f(net)[:-1], ~f(net)[-1])
    ),
    "½ lost in the likelihood": (
        "16", "canonical.ancestral:_Rule.clamped", lambda f: lambda *a: 2 * f(*a)
    ),
    "½ lost in H": ("01 03 14 16", "loss:bulk_loss", lambda f: lambda *a, **k: 2 * f(*a, **k)),
    "complexity of the wrong sign": ("17", "spectrum:complexity", lambda f: lambda *a, **k: -f(*a, **k)),
    "threshold at 1 always": ("17", "equilibrium:split_error", lambda f: lambda spectrum, beta, _=1: f(spectrum, beta)),
    "work of the wrong sign": (
        "18", "laws:first_law",
        lambda f: lambda *a, **k: (law := f(*a, **k))._replace(residual=law.residual + 2 * law.work),
    ),
    "½ lost in U": ("06 10 18", "thermodynamics:_differentiate", with_slope_doubled),
    "(8.1) as printed": ("19", "entropy_dynamics:_spread", printed_for_kept),
    "production of the wrong sign": ("19", "entropy_dynamics:_follow", production_negated),
    "gap of γ = 0": ("21", "spectrum:beta_from_gap", lambda f: lambda gap, **_: f(gap)),
    "balance of the wrong sign": (
        "21", "architecture:two_level_laplacian",
        lambda _: lambda v, beta, gamma, size: size * beta / 2 * (
            gamma * (1 + beta * jnp.exp(v)) ** -2 + (1 - gamma) * (1 + beta * jnp.exp(v * gamma / (1 - gamma))) ** -2
        ),
    ),
    "fixed points that are stable alone": ("22", "network.fixed_points:fixed_points", stable_alone),
    "inputs not clamped": (
        "23", "network.septuple:Septuple.activate", lambda _: lambda net, x: net.activation(net.pre_activations(x))
    ),
    "one step too few": (
        "23", "network.septuple:Septuple.propagate", lambda f: lambda net, u, steps: f(net, u, steps=steps - 1)
    ),
}  # fmt: skip
"""Errors by name: the identities that see them, what is replaced, and by what."""


def checks_of(number):
    """The body of a test without hypothesis, and where to look."""
    test, case = next((t, c) for t, c in CASES.items() if t.__name__.startswith(f"test_{number}_"))
    body = test.hypothesis.inner_test
    return [partial(body, **case, **({"seed": k} if number not in ("21", "22") else {})) for k in (0, 1)]


def plant(patch, place, change):
    """Replace an attribute of a class, or of a module and wherever else in the package that very function is known."""
    module, _, path = place.partition(":")
    owner, (*parents, name) = sys.modules[f"nnthermo.{module}"], path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = vars(owner)[name]
    replacement = change(original)
    patch.setattr(owner, name, replacement)
    if not parents and callable(original):
        for key, other in list(sys.modules.items()):
            for known in [k for k, v in list(vars(other).items()) if v is original and key.startswith("nnthermo")]:
                patch.setattr(other, known, replacement)


@pytest.fixture
def nothing_compiled():
    """Functions are traced anew, with the error, and again without it."""
    jax.clear_caches()
    yield
    jax.clear_caches()


def test_every_identity_is_planted_with_an_error():
    numbers = [test.__name__[5:7] for test in CASES]
    assert numbers == [f"{k:02}" for k in range(1, 24)]
    assert {n for ns, *_ in PLANTED.values() for n in ns.split()} == set(numbers)


ORDINARY = (
    "BBᵀ for BᵀB",
    "2π lost in log Z",
    "mean term of the wrong sign",
    "½ lost in log det",
    "work of the wrong sign",
)
"""Errors that are planted always, and not only by `-m exhaustive`: each makes JAX trace anew."""


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [test.__name__[5:7] for test in CASES])
def test_the_identity_holds_there_without_one(number):
    for check in checks_of(number):
        check()


def planted():
    """The ordinary errors, and as many more as it takes for every identity to see one."""
    seen = {number for error in ORDINARY for number in PLANTED[error][0].split()[:1]}
    for error, (numbers, *_) in PLANTED.items():
        for k, number in enumerate(numbers.split()):
            if number not in seen or (error in ORDINARY and k == 0):
                seen.add(number)
                yield pytest.param(error, number, marks=() if error in ORDINARY else pytest.mark.exhaustive)


@pytest.mark.parametrize(("error", "number"), list(planted()))
def test_planted_errors_are_seen(error, number, nothing_compiled):
    _, place, change = PLANTED[error]
    checks = checks_of(number)
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, place, change)
        for check in checks:
            with pytest.raises(AssertionError):
                check()
