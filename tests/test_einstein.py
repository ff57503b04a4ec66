"""Einstein's equations from an action: gradients, stress-energy, Λ as a multiplier, residuals, energy conditions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnthermo import gravity

EPS = np.finfo(float).eps
KAPPA, LAMBDA = 1.3, 0.7
LENGTHS = np.array([2 * np.pi, 2 * np.pi])
CENTRAL = {order: partial(gravity.central_derivative, order=order) for order in (2, 4)}


def wavy(x):
    """A space-time on a torus of three dimensions; depends on two of them."""
    a, b = jnp.cos(x[0] + x[1] + 0.3), jnp.sin(x[0] - 0.4)
    c, d = jnp.cos(x[1] + 1.1), jnp.sin(x[0] - x[1])
    rows = [[-1 + 0.1 * a, 0.07 * b, 0.05 * c], [0.07 * b, 1 + 0.1 * c, 0.06 * d], [0.05 * c, 0.06 * d, 1 + 0.08 * b]]
    return jnp.array([[jnp.asarray(entry) for entry in row] for row in rows])


def slope_of_phi(x):
    return jnp.stack([0.3 * jnp.cos(x[0]), 0.4 * jnp.sin(x[1]), jnp.asarray(0.2)])


def scalar_field(g, slope):
    inverse, _ = gravity.inverse_and_determinant(g)
    return -jnp.sum(inverse * slope[:, None] * slope[None, :]) / 2 - 0.15


@jax.jit
def parts(points):
    """g, g^ab, √|g|, G_ab, R, T_ab of the scalar field and its slopes at each point."""

    def at(x):
        here = gravity.geometry(wavy, x)
        slopes = slope_of_phi(x)
        T = gravity.stress_energy(scalar_field, here.metric, slopes)
        return here.metric, here.inverse, jnp.sqrt(jnp.abs(here.determinant)), here.einstein, here.scalar, T, slopes

    return jax.vmap(at)(points)


@partial(jax.jit, static_argnames=("derivative", "variant"))
def action_and_gradient(values, lengths, slopes, derivative=gravity.spectral_derivative, variant="corrected"):
    terms = {"kappa": KAPPA, "cosmological_constant": LAMBDA, "derivative": derivative, "variant": variant}
    vacuum = gravity.gamma_gamma_action(values, lengths, **terms)
    return vacuum, gravity.action_gradient(values, lengths, matter=scalar_field, fields=[slopes], **terms)


@pytest.fixture(scope="module")
def torus():
    """Metrics and ∂φ on the lattice; in the continuum 1/√|g| times twice the gradient, in its terms; the action."""
    points, weights = gravity.torus_nodes((24, 24), LENGTHS, dimensions=3)
    g, inverse, root, G, R, T, slopes = map(np.asarray, parts(points))
    raised = {name: np.einsum("pac,pbd,pcd->pab", inverse, inverse, X) for name, X in (("g", g), ("G", G), ("T", T))}
    action = np.sum(np.asarray(weights) * root * np.stack([R / 2, np.ones_like(R)]), axis=1)
    square = {name: X.reshape(24, 24, 3, 3) for name, X in raised.items()}
    return g.reshape(24, 24, 3, 3), slopes.reshape(24, 24, 3), root.reshape(24, 24, 1, 1), square, action


def test_the_gradient_of_the_action_is_einsteins_equation(torus):
    g, slopes, root, at, (scalar, volume) = torus
    action, gradient = action_and_gradient(g, LENGTHS, slopes)
    assert np.abs(at["G"]).max() > 0.05
    assert np.abs(at["T"]).max() > 0.05
    expected = at["T"] - (at["G"] + LAMBDA * at["g"]) / KAPPA
    np.testing.assert_allclose(2 * gradient / root, expected, atol=1e-9)  # 24 nodes resolve products of these waves
    assert float(action) == pytest.approx((scalar - LAMBDA * volume) / KAPPA, abs=1e-12)


@pytest.mark.parametrize("order", [2, 4])
def test_the_gradient_has_the_order_of_the_difference_quotient(torus, order):
    g, slopes, root, at, _ = torus
    expected = at["T"] - (at["G"] + LAMBDA * at["g"]) / KAPPA
    errors = []
    for every in (1, 2):  # the coarser lattice four times over, on a torus of twice the lengths: the same program
        coarse = [
            np.tile(a[::every, ::every], (every, every) + (1,) * (a.ndim - 2)) for a in (g, slopes, root, expected)
        ]
        _, gradient = action_and_gradient(coarse[0], LENGTHS * every, coarse[1], derivative=CENTRAL[order])
        errors.append(np.abs(2 * gradient / coarse[2] - coarse[3]).max())
    assert np.log2(errors[1] / errors[0]) == pytest.approx(order, abs=0.5)  # the next order at h = 2π/12


def test_signs_as_printed_give_another_equation(torus):
    """(12.2) with (12.14): G + κΛg = -κT, not (12.12)."""
    g, slopes, root, at, (scalar, volume) = torus
    action, gradient = action_and_gradient(g, LENGTHS, slopes, variant="printed")
    gradient = 2 * KAPPA * gradient / root
    np.testing.assert_allclose(gradient, at["G"] + KAPPA * (LAMBDA * at["g"] + at["T"]), atol=1e-9)
    wanted = at["G"] + LAMBDA * at["g"] - KAPPA * at["T"]
    assert min(np.abs(sign * gradient - wanted).max() for sign in (1, -1)) > 0.1
    assert float(action) == pytest.approx(LAMBDA * volume - scalar / KAPPA, abs=1e-12)


def test_stress_energy_of_a_scalar_field_is_the_canonical_one():
    points, _ = gravity.torus_nodes((24, 24), LENGTHS, dimensions=3)
    g, inverse, _, _, _, T, slopes = map(np.asarray, parts(points))
    L = -0.5 * np.einsum("pab,pa,pb->p", inverse, slopes, slopes) - 0.15
    canonical = slopes[:, :, None] * slopes[:, None, :] + g * L[:, None, None]
    np.testing.assert_allclose(T, canonical, atol=16 * EPS)


def maxwell(g, F):
    inverse, _ = gravity.inverse_and_determinant(g)
    return -jnp.einsum("ab,cd,ac,bd->", F, F, inverse, inverse) / (16 * jnp.pi)


def static(f, x):
    """-f dt² + dr²/f + r² dΩ²."""
    r = x[1]
    return jnp.diag(jnp.stack([-f, 1 / f, r**2, (r * jnp.sin(x[2])) ** 2]))


MASS, CHARGE = 1.0, 0.6


def reissner_nordstrom(charge):
    return lambda x: static(1 - 2 * MASS / x[1] + (charge / x[1]) ** 2, x)


POINT = jnp.array([0.0, 3.0, 1.1, 0.2])


@jax.jit
def charged(charge):
    """T of the field and of the metric, g, its inverse, ρ of an observer at rest, the residual."""
    metric = reissner_nordstrom(charge)
    g = metric(POINT)
    F = jnp.zeros((4, 4)).at[1, 0].set(charge / POINT[1] ** 2)  # ∂_r A_t = Q/r²
    T, needed = gravity.stress_energy(maxwell, g, F - F.T), gravity.effective_stress(metric, POINT)
    density = gravity.energy_density(needed, g, jnp.asarray([1.0, 0, 0, 0]))
    return T, needed, g, gravity.inverse_and_determinant(g)[0], density, gravity.einstein_residual(metric, POINT)


def test_reissner_nordstrom_from_the_stress_energy_of_its_field():
    T, needed, g, inverse, density, residual = charged(CHARGE)
    assert abs(float(jnp.sum(inverse * T))) < 1e-15  # no trace
    np.testing.assert_allclose(T, needed, atol=1e-14)  # G = 8πT
    assert float(jnp.abs(T).max()) > 1e-4
    assert float(density) == pytest.approx(CHARGE**2 / (8 * np.pi * 81), rel=1e-11)
    found = conditions(needed, g)  # ρ + p_r = 0: degenerate, and still of type I
    assert int(found.type) == 1
    np.testing.assert_allclose(found.pressures, float(density) * np.array([-1, 1, 1]), atol=1e-14)
    assert float(residual) == pytest.approx(1, rel=1e-12)  # R = 0


def test_a_vacuum_has_no_residual():
    assert np.isnan(charged(0.0)[-1])


def test_a_vacuum_has_no_residual_near_a_horizon_either():
    """R_ab is rounding over the distance there; where matter is, the ratio is that of its equation of state."""
    spin = 0.9
    kerr = jax.jit(jax.vmap(lambda x: gravity.einstein_residual(gravity.kerr(1.0, spin), x)))
    r = 1 + np.sqrt(1 - spin**2) + np.array([1e-10, 1e-7, 1e-4, 1.0])
    assert np.isnan(kerr(np.stack([r * 0 + 0.3, r, r * 0 + 0.4, r * 0 + 2.0], axis=1))).all()
    known = {
        # dust: R^a_b ∝ diag(-1, 1, 1, 1), its part without trace diag(-3, 1, 1, 1)/2; others have no trace
        "dust": (gravity.flrw(lambda t: t ** (2 / 3), 0.0), [1e3, 0.5, 1.0, 0.2], np.sqrt(3) / 2),
        "radiation": (gravity.flrw(jnp.sqrt, 0.0), [1e-3, 0.5, 1.0, 0.2], 1.0),
        "charge": (gravity.reissner_nordstrom(1.0, 0.5), [1e3, 1 + np.sqrt(0.75) + 1e-4, 1.0, 0.2], 1.0),
    }
    for name, (metric, x, expected) in known.items():
        found = jax.jit(partial(gravity.einstein_residual, metric))(jnp.array(x))
        assert float(found) == pytest.approx(expected, rel=1e-10), name  # rounding over t² ∂²g
    rates = np.array([1.0, 0.6, 0.3])
    H = rates / np.sqrt(2 * np.sum(rates**2))
    ricci = np.array([-np.sum(H**2), *(H * np.sum(H))])  # R_ττ and R_ii in a frame, in proper time
    free = ricci - np.array([-1, 1, 1, 1]) * np.sum(ricci * np.array([-1, 1, 1, 1])) / 4
    ensemble = jax.jit(partial(gravity.einstein_residual, gravity.bianchi_metric(lambda t: -rates * t)))
    found = ensemble(jnp.array([3.0, 0.1, 0.2, 0.3]))
    assert float(found) == pytest.approx(np.linalg.norm(free) / np.linalg.norm(ricci), rel=1e-12)


def test_a_residual_of_zero_has_a_derivative():
    slope = jax.jit(jax.grad(partial(gravity.einstein_residual, gravity.sphere(2, 1.3))))
    np.testing.assert_array_equal(slope(jnp.array([1.0, 0.3])), 0)  # every surface has R_ab = R g_ab/2


def test_the_reduced_action_of_a_static_star():
    """√|g| (R - 2Λ)/2 of -N²f dt² + dr²/f + r²dΩ² is N d/dr [r (1 - f) - Λr³/3] and a divergence: its variations."""
    nodes, w = np.polynomial.legendre.leggauss(24)
    r = 3 + nodes
    points = np.stack([0 * r, r, np.full_like(r, np.pi / 2), 0 * r], axis=1)

    def bump(r):  # vanishes with its slopes
        return ((r - 2) * (4 - r)) ** 4

    def action(dN, df, charge):
        def metric(x):
            f = 1 - 2 * MASS / x[1] - 0.02 * x[1] ** 2 / 3 + charge / x[1] ** 2 + df * bump(x[1])
            return static(f, x).at[0, 0].multiply((1 + dN * bump(x[1])) ** 2)

        return gravity.einstein_hilbert_action(metric, points, w, kappa=1.0, cosmological_constant=0.02)

    slopes = jax.jit(jax.jacfwd(action, argnums=(0, 1)))
    assert max(abs(float(s)) for s in slopes(0.0, 0.0, 0.0)) < 1e-12  # Schwarzschild-de Sitter is stationary
    by_N, by_f = slopes(0.0, 0.0, 0.1)
    # d/dr [r (1 - f) - Λr³/3] = 0.1/r² for this f, and d/dr of N = 1 is 0
    assert float(by_N) == pytest.approx(0.1 * float(np.sum(w * bump(r) / r**2)), rel=1e-10)
    assert abs(float(by_f)) < 1e-12


def four_sphere(size):
    """Stereographic coordinates in units of the radius: points on a ray, weights with the other angles."""
    return lambda x: 4 * size**2 * jnp.eye(4) / (1 + jnp.sum(x**2)) ** 2


def ray():
    nodes, w = np.polynomial.legendre.leggauss(16)
    chi = (nodes + 1) * np.pi / 2
    r = np.tan(chi / 2)
    points = np.zeros((16, 4))
    points[:, 0] = r
    return points, 2 * np.pi**2 * r**3 * w * (np.pi / 2) / (2 * np.cos(chi / 2) ** 2)


@jax.jit
def neurons(size, constant, number):
    """Volume, multiplier, what the constraint lacks, and dA/dΛ, dA/d(size) of the constrained action; κ = 0.9."""
    points, weights = map(jnp.asarray, ray())
    counts = {"mean_number": number, "volume_per_neuron": 0.25}

    def action(size, constant):
        terms = {"kappa": 0.9, "cosmological_constant": constant}
        whole = gravity.einstein_hilbert_action(four_sphere(size), points, weights, **terms)
        return whole + constant * 0.25 * number / 0.9

    return (
        gravity.volume(four_sphere(size), points, weights),
        gravity.cosmological_multiplier(four_sphere, size, points, weights, kappa=0.9),
        gravity.neuron_number_constraint(four_sphere(size), points, weights, **counts),
        *jax.jacfwd(action, argnums=(0, 1))(size, constant),
    )


def test_the_cosmological_constant_is_the_multiplier_of_the_number_of_neurons():
    size = 1.7
    volume = 8 * np.pi**2 / 3 * size**4
    measured, multiplier, missing, by_size, by_constant = map(float, neurons(size, 3 / size**2, volume / 0.25))
    assert measured == pytest.approx(volume, rel=1e-13)
    assert multiplier == pytest.approx(3 / size**2, rel=1e-12)
    assert max(map(abs, (missing, by_size, by_constant))) < 1e-12 * volume  # stationary in both
    *_, missing, by_size, by_constant = map(float, neurons(size, 0.3, 1.1 * volume / 0.25))
    assert missing == pytest.approx(-0.1 * volume, rel=1e-12)
    assert by_constant == pytest.approx(-missing / 0.9, rel=1e-12)
    # A = (12 V/l² - 2ΛV)/2κ: (Λ_0 - Λ) dV/dl / κ with Λ_0 = 3/l²
    assert by_size == pytest.approx((3 / size**2 - 0.3) * 4 * volume / size / 0.9, rel=1e-12)


def states(N):
    """g = (-2N dσ² + |dm|²)/σ² of the states N(m, σ² 1_N); coordinates (σ, m)."""
    return lambda x: jnp.diag(jnp.ones_like(x).at[0].set(-2.0 * N)) / x[0] ** 2


@partial(jax.jit, static_argnames="fisher")
def gaussian_fit(N, points, fisher):
    norms = jax.vmap(states(-N))(points) if fisher else None
    fit = gravity.fit_cosmological_constant(states(N), points, norms=norms)
    return fit, gravity.einstein_residual(states(N), points[0], norms[0] if fisher else None)


@pytest.mark.parametrize(("d", "N", "fisher"), [(2, 2.0, False), (3, 8.0, True)])
def test_the_gaussian_space_time_has_a_positive_constant(d, N, fisher):
    points = np.random.default_rng(d).uniform(0.5, 2, size=(5, d + 1))
    fit, residual = gaussian_fit(N, points, fisher)
    assert float(fit.value) == pytest.approx(d * (d - 1) / (4 * N), rel=1e-13)
    assert float(fit.spread) < 1e-14
    assert float(fit.residual) < 1e-13
    assert float(residual) < 1e-13


def test_fit_and_residual_where_no_constant_serves():
    """S² × R with radius l: R_ab = (1, 1, 0)/l² in a frame, G = (0, 0, -1)/l²; two such points with other weights."""

    def metric(x):
        size = jnp.where(x[2] > 0, 2.0, 1.0)
        return jnp.diag(jnp.stack([size**2, (size * jnp.sin(x[0])) ** 2, jnp.ones_like(size)]))

    @jax.jit
    def both(points, weights):
        fit = gravity.fit_cosmological_constant(metric, points, weights)
        return fit, gravity.einstein_residual(metric, points[0])

    fit, residual = both(jnp.array([[1.0, 0.2, -1.0], [0.8, 0.1, 1.0]]), jnp.array([3.0, 1.0]))
    assert float(residual) == pytest.approx(np.sqrt(1 / 3), rel=1e-12)
    local = np.array([1 / 3, 1 / 12])
    np.testing.assert_allclose(fit.local, local, rtol=1e-12)
    value = 0.75 / 3 + 0.25 / 12
    assert float(fit.value) == pytest.approx(value, rel=1e-12)
    assert float(fit.spread) == pytest.approx(np.sqrt(0.75 * 0.25) * (local[0] - local[1]), rel=1e-12)
    left = [2 * value**2 + (value - b) ** 2 for b in (1, 0.25)]
    expected = np.sqrt((0.75 * left[0] + 0.25 * left[1]) / (0.75 + 0.25 / 16))
    assert float(fit.residual) == pytest.approx(expected, rel=1e-12)


def test_the_norm_of_frames():
    norm = jax.jit(gravity.frame_norm)
    g = np.array([[-2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 0.8]])
    h = np.asarray(norm(g))
    u = -np.linalg.inv(g)[:, 0] / np.sqrt(-np.linalg.inv(g)[0, 0])
    lower = g @ u
    np.testing.assert_allclose(h, g + 2 * np.outer(lower, lower), atol=1e-14)
    np.testing.assert_array_equal(norm(h), h)
    assert np.isnan(norm(np.diag([1.0, -1.0, 1.0]))).all()  # x⁰ is no time


conditions = jax.jit(gravity.energy_conditions)
ETA = np.diag([-1.0, 1.0, 1.0, 1.0])


def boosted(velocity):
    gamma = 1 / np.sqrt(1 - velocity @ velocity)
    space = np.eye(3) + gamma**2 / (1 + gamma) * np.outer(velocity, velocity)
    return np.block([[np.array([[gamma]]), gamma * velocity[None]], [gamma * velocity[:, None], space]])


def with_values(density, pressures, frame):
    """T_ab and g_ab with these principal values along the columns of a frame."""
    dual = np.linalg.inv(frame)
    T = dual.T @ np.diag([density, *pressures]) @ dual
    return (T + T.T) / 2, dual.T @ ETA @ dual


NUMBER = st.floats(-2, 2)


@given(NUMBER, st.tuples(NUMBER, NUMBER, NUMBER), st.integers(0, 2**16), st.integers(0, 3))
def test_principal_values_are_found_in_any_frame(density, pressures, seed, equal):
    rng = np.random.default_rng(seed)
    pressures = np.array(pressures)
    pressures[:equal] = -density  # as for an electric field, a string, a cosmological constant
    velocity = rng.normal(size=3)
    velocity *= rng.uniform(0, 0.95) / np.linalg.norm(velocity)
    frame = (np.eye(4) + 0.2 * rng.normal(size=(4, 4))) @ boosted(velocity)
    T, g = with_values(density, pressures, frame)
    g = (g + g.T) / 2
    found = conditions(T, g)
    rounding = 1e-10 * np.linalg.cond(frame) ** 2
    assert int(found.type) == 1
    assert float(found.density) == pytest.approx(density, abs=rounding)
    np.testing.assert_allclose(found.pressures, np.sort(pressures), atol=rounding)
    p = pressures
    margins = {
        "null": (density + p).min(),
        "weak": min(density, (density + p).min()),
        "dominant": density - np.abs(p).max(),
        "strong": min((density + p).min(), (density + p.sum()) / 2),
    }
    for name, margin in margins.items():
        assert float(getattr(found, name)) == pytest.approx(margin, abs=2 * rounding)


@pytest.mark.parametrize(
    ("w", "holding"),
    [
        (0.0, {"null", "weak", "dominant", "strong"}),  # dust
        (1 / 3, {"null", "weak", "dominant", "strong"}),  # radiation
        (1.5, {"null", "weak", "strong"}),  # faster than light
        (-0.5, {"null", "weak", "dominant"}),  # accelerates
        (-1.5, set()),  # phantom
    ],
)
def test_perfect_fluids(w, holding):
    T, g = with_values(1.0, [w] * 3, boosted(np.array([0.3, -0.5, 0.2])))
    held = conditions(T, (g + g.T) / 2).hold()
    assert {name for name, holds in held.items() if bool(holds)} == holding


def test_tensors_without_a_rest_frame_are_flagged():
    null = np.array([-1.0, 1.0, 0, 0])
    flow = np.array([[0, 1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])
    for T, kind in [(np.outer(null, null), 2), (flow, 4)]:
        found = conditions(T, ETA)
        assert int(found.type) == kind
        assert np.isnan(found.density)
        assert not any(bool(holds) for holds in found.hold().values())
    assert int(conditions(ETA, np.eye(4)).type) == 0
    assert int(conditions(np.nan * ETA, ETA).type) == 0


def test_derivatives_of_principal_values():
    rng = np.random.default_rng(4)
    frame = (np.eye(4) + 0.2 * rng.normal(size=(4, 4))) @ boosted(np.array([0.3, 0.2, -0.4]))
    T, g = with_values(2.0, [0.3, 0.6, 1.1], frame)
    direction = rng.normal(size=(2, 4, 4))
    direction = direction + np.swapaxes(direction, 1, 2)

    @jax.jit
    def values(s):
        def along(s):
            found = gravity.energy_conditions(T + s * direction[0], (g + g.T) / 2 + s * direction[1])
            return jnp.concatenate([found.density[None], found.pressures])

        return jax.jvp(along, (s,), (jnp.ones_like(s),))

    h = 1e-5
    difference = (values(h)[0] - values(-h)[0]) / (2 * h)
    np.testing.assert_allclose(values(0.0)[1], difference, rtol=1e-6)  # h² and ε/h


def test_single_precision():
    T, g = with_values(1.0, [0.2, 0.3, 0.4], boosted(np.array([0.3, 0.2, -0.4])))
    found = conditions(jnp.asarray(T, jnp.float32), jnp.asarray(g, jnp.float32))
    assert found.density.dtype == jnp.float32
    np.testing.assert_allclose(found.pressures, [0.2, 0.3, 0.4], atol=1e-5)
    g = jnp.ones((6, 2, 2), jnp.float32)
    assert jax.eval_shape(lambda g: gravity.action_gradient(g, [1.0], kappa=KAPPA), g).dtype == jnp.float32
    assert (
        jax.eval_shape(lambda x: gravity.volume(wavy, x, np.ones(2)), jnp.ones((2, 3), jnp.float32)).dtype == "float32"
    )


def test_bad_input_by_name():
    points, weights = np.ones((2, 3)), np.ones(2)
    with pytest.raises(ValueError, match="`variant` must be 'corrected' or 'printed', but got 'x'"):
        gravity.einstein_hilbert_action(wavy, points, weights, variant="x")
    with pytest.raises(ValueError, match="`weights` must have shape"):
        gravity.einstein_hilbert_action(wavy, points, np.ones(3))
    with pytest.raises(ValueError, match="`kappa` must be positive"):
        gravity.gamma_gamma_action(np.ones((4, 2, 2)), [1.0], kappa=-1.0)
    with pytest.raises(ValueError, match="`g` must end in a square metric"):
        gravity.gamma_gamma_action(np.ones((4, 4, 4, 2, 2)), [1.0] * 3)
    with pytest.raises(ValueError, match="`lengths` must have shape"):
        gravity.action_gradient(np.ones((4, 2, 2)), [1.0, 1.0])
    with pytest.raises(ValueError, match="`order` must be 2, 4 or 6, but got 3"):
        gravity.central_derivative(jnp.ones(4), 0, 1.0, order=3)
    with pytest.raises(ValueError, match="`fields` must begin with shape"):
        gravity.gamma_gamma_action(np.ones((4, 2, 2)), [1.0], matter=scalar_field, fields=[np.ones(3)])
    with pytest.raises(TypeError, match="`derivative` must be a function"):
        gravity.action_gradient(np.ones((4, 2, 2)), [1.0], derivative="spectral")
    with pytest.raises(ValueError, match="`metric` must return shape"):
        gravity.volume(lambda _: jnp.eye(2), points, weights)
    with pytest.raises(TypeError, match="`family` must be a function of the size, but got 1"):
        gravity.cosmological_multiplier(1, 1.0, points, weights)
    with pytest.raises(ValueError, match="`points` must be a sequence"):
        gravity.torus_nodes(4, [1.0])
    with pytest.raises(TypeError, match="`lagrangian` must be a function"):
        gravity.stress_energy(1.0, ETA)
    with pytest.raises(ValueError, match="`lagrangian` must return one number"):
        gravity.stress_energy(lambda g: g, ETA)
    with pytest.raises(ValueError, match="`mean_number` must be positive"):
        gravity.neuron_number_constraint(wavy, points, weights, mean_number=0.0, volume_per_neuron=1.0)
    with pytest.raises(ValueError, match="`norm` must be positive definite"):
        gravity.einstein_residual(wavy, POINT[1:], np.diag([-1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="`points` must be one or more"):
        gravity.fit_cosmological_constant(wavy, np.ones((0, 3)))
    with pytest.raises(ValueError, match="`u` must be time-like"):
        gravity.energy_density(ETA, ETA, [0, 1.0, 0, 0])
    with pytest.raises(ValueError, match="`T` must be symmetric"):
        gravity.energy_conditions(np.arange(16.0).reshape(4, 4), ETA)
    with pytest.raises(ValueError, match=r"`g` must have signature \(-, \+, ..., \+\), but got 0 negative"):
        gravity.energy_conditions(ETA, np.eye(4))
    with pytest.raises(ValueError, match="`dimensions` must be 2"):
        gravity.torus_nodes((4, 4), [1.0, 1.0], dimensions=1)
