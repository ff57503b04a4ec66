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


def lattice(count):
    points, _ = gravity.torus_nodes((count, count), LENGTHS, dimensions=3)
    return points, jax.vmap(wavy)(points).reshape(count, count, 3, 3)


@jax.jit
def parts(points):
    """g, g^ab, √|g|, G_ab and T_ab of the scalar field at each point."""

    def at(x):
        here = gravity.geometry(wavy, x)
        T = gravity.stress_energy(scalar_field, here.metric, slope_of_phi(x))
        return here.metric, here.inverse, jnp.sqrt(jnp.abs(here.determinant)), here.einstein, T

    return jax.vmap(at)(points)


def raised(inverse, tensor):
    return np.einsum("pac,pbd,pcd->pab", inverse, inverse, tensor)


@pytest.fixture(scope="module")
def gradients():
    """Gradients of the action on lattices, each beside its continuum form, corrected and printed."""
    found = {}
    for count, derivative in [(24, "spectral"), (12, 2), (24, 2), (12, 4), (24, 4)]:
        points, values = lattice(count)
        g, inverse, root, G, T = map(np.asarray, parts(points))
        method = gravity.spectral_derivative
        if derivative != "spectral":
            method = partial(gravity.central_derivative, order=derivative)
        fields = [jax.vmap(slope_of_phi)(points).reshape(count, count, 3)]
        terms = {"kappa": KAPPA, "cosmological_constant": LAMBDA, "derivative": method}
        for variant in ("corrected", "printed") if derivative == "spectral" else ("corrected",):
            gradient = gravity.action_gradient(
                values, LENGTHS, matter=scalar_field, fields=fields, variant=variant, **terms
            )
            gradient = np.asarray(gradient).reshape(-1, 3, 3) * 2 / root[:, None, None]
            found[count, derivative, variant] = (
                gradient,
                {"g": inverse, "G": raised(inverse, G), "T": raised(inverse, T)},
            )
    return found


def corrected(at):
    return at["T"] - (at["G"] + LAMBDA * at["g"]) / KAPPA


def test_the_gradient_of_the_action_is_einsteins_equation(gradients):
    gradient, at = gradients[24, "spectral", "corrected"]
    assert np.abs(at["G"]).max() > 0.05
    assert np.abs(at["T"]).max() > 0.05
    # 24 nodes resolve these waves and their products to 1e-9
    np.testing.assert_allclose(gradient, corrected(at), atol=1e-9)


@pytest.mark.parametrize("order", [2, 4])
def test_the_gradient_has_the_order_of_the_difference_quotient(gradients, order):
    errors = [
        np.abs(gradient - corrected(at)).max() for gradient, at in (gradients[c, order, "corrected"] for c in (12, 24))
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.5)  # the next order at h = 2π/12


def test_signs_as_printed_give_another_equation(gradients):
    """(12.2) with (12.14): G + κΛg = -κT, not (12.12)."""
    gradient, at = gradients[24, "spectral", "printed"]
    np.testing.assert_allclose(KAPPA * gradient, at["G"] + KAPPA * LAMBDA * at["g"] + KAPPA * at["T"], atol=1e-9)
    wanted = at["G"] + LAMBDA * at["g"] - KAPPA * at["T"]
    assert min(np.abs(s * gradient * KAPPA - wanted).max() for s in (1, -1)) > 0.1


def test_the_lattice_action_is_the_action_of_R():
    points, weights = gravity.torus_nodes((24, 24), LENGTHS, dimensions=3)
    terms = {"kappa": KAPPA, "cosmological_constant": LAMBDA}
    _, values = lattice(24)
    for variant in ("corrected", "printed"):
        by_R = gravity.einstein_hilbert_action(wavy, points, weights, variant=variant, **terms)
        on_lattice = gravity.gamma_gamma_action(values, LENGTHS, variant=variant, **terms)
        assert float(on_lattice) == pytest.approx(float(by_R), abs=1e-12)


def test_stress_energy_of_a_scalar_field_is_the_canonical_one():
    g, inverse, _, _, T = map(np.asarray, parts(lattice(3)[0]))
    slopes = np.asarray(jax.vmap(slope_of_phi)(lattice(3)[0]))
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


def reissner_nordstrom(x):
    return static(1 - 2 * MASS / x[1] + (CHARGE / x[1]) ** 2, x)


POINT = jnp.array([0.0, 3.0, 1.1, 0.2])


def test_reissner_nordstrom_from_the_stress_energy_of_its_field():
    F = np.zeros((4, 4))
    F[1, 0], F[0, 1] = CHARGE / POINT[1] ** 2, -CHARGE / POINT[1] ** 2  # ∂_r A_t = Q/r²
    g = reissner_nordstrom(POINT)
    T = gravity.stress_energy(maxwell, g, F)
    assert abs(float(jnp.sum(gravity.inverse_and_determinant(g)[0] * T))) < 1e-15  # no trace
    needed = gravity.effective_stress(reissner_nordstrom, POINT)  # G = 8πT
    np.testing.assert_allclose(T, needed, atol=1e-14)
    assert float(jnp.abs(T).max()) > 1e-3
    assert float(gravity.energy_density(needed, g, [1.0, 0, 0, 0])) == pytest.approx(
        CHARGE**2 / (8 * np.pi * 81), rel=1e-11
    )
    found = conditions(needed, g)  # ρ + p_r = 0: degenerate, and still of type I
    assert int(found.type) == 1
    np.testing.assert_allclose(found.pressures, float(found.density) * np.array([-1, 1, 1]), atol=1e-14)


def test_the_reduced_action_of_a_static_star():
    """√|g| (R - 2Λ)/2 of -N²f dt² + dr²/f + r²dΩ² is N d/dr [r (1 - f) - Λr³/3] and a divergence: its variations."""
    nodes, w = np.polynomial.legendre.leggauss(24)
    r, w = 3 + nodes, w
    points = np.stack([0 * r, r, np.full_like(r, np.pi / 2), 0 * r], axis=1)
    bump = lambda r: ((r - 2) * (4 - r)) ** 4  # noqa: E731 - vanishes with its slopes

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


def test_the_cosmological_constant_is_the_multiplier_of_the_number_of_neurons():
    points, weights = ray()
    size = 1.7
    volume = 8 * np.pi**2 / 3 * size**4
    assert float(gravity.volume(four_sphere(size), points, weights)) == pytest.approx(volume, rel=1e-13)
    multiplier = gravity.cosmological_multiplier(four_sphere, size, points, weights, kappa=0.9)
    assert float(multiplier) == pytest.approx(3 / size**2, rel=1e-12)

    def action(size, constant, number, v=0.25):
        terms = {"kappa": 0.9, "cosmological_constant": constant}
        whole = gravity.einstein_hilbert_action(four_sphere(size), points, weights, **terms)
        return whole + constant * v * number / 0.9

    number = volume / 0.25
    by_size, by_constant = jax.jit(jax.grad(action, argnums=(0, 1)))(size, float(multiplier), number)
    scale = float(volume / size**3)
    assert abs(float(by_size)) < 1e-12 * scale
    assert abs(float(by_constant)) < 1e-12 * scale
    counts = {"mean_number": number * 1.1, "volume_per_neuron": 0.25}
    missing = gravity.neuron_number_constraint(four_sphere(size), points, weights, **counts)
    assert float(missing) == pytest.approx(-0.1 * volume, rel=1e-12)
    by_constant = jax.jit(jax.grad(action, argnums=1))(size, 0.3, number * 1.1)
    assert float(by_constant) == pytest.approx(-float(missing) / 0.9, rel=1e-12)


def states(N):
    """g = (-2N dσ² + |dm|²)/σ² of the states N(m, σ² 1_N); coordinates (σ, m)."""
    return lambda x: jnp.diag(jnp.ones_like(x).at[0].set(-2.0 * N)) / x[0] ** 2


@pytest.mark.parametrize(("d", "N"), [(2, 2), (3, 8)])
def test_the_gaussian_space_time_has_a_positive_constant(d, N):
    points = np.random.default_rng(d).uniform(0.5, 2, size=(5, d + 1))
    norms = np.asarray(jax.vmap(states(-N))(jnp.asarray(points)))  # the Fisher metric
    for given_norms in (None, norms):
        fit = gravity.fit_cosmological_constant(states(N), points, norms=given_norms)
        assert float(fit.value) == pytest.approx(d * (d - 1) / (4 * N), rel=1e-13)
        assert float(fit.spread) < 1e-14
        assert float(fit.residual) < 1e-13
    assert float(gravity.einstein_residual(states(N), points[0], norms[0])) < 1e-13


def test_fit_and_residual_where_no_constant_serves():
    """S² × R with radius l: R_ab = (1, 1, 0)/l² in a frame, G = (0, 0, -1)/l²; two such points with other weights."""

    def metric(x):
        size = jnp.where(x[2] > 0, 2.0, 1.0)
        return jnp.diag(jnp.stack([size**2, (size * jnp.sin(x[0])) ** 2, jnp.ones_like(size)]))

    points = np.array([[1.0, 0.2, -1.0], [0.8, 0.1, 1.0]])
    assert float(gravity.einstein_residual(metric, points[0])) == pytest.approx(np.sqrt(1 / 3), rel=1e-12)
    fit = gravity.fit_cosmological_constant(metric, points, [3.0, 1.0])
    local = np.array([1 / 3, 1 / 12])
    np.testing.assert_allclose(fit.local, local, rtol=1e-12)
    value = 0.75 / 3 + 0.25 / 12
    assert float(fit.value) == pytest.approx(value, rel=1e-12)
    assert float(fit.spread) == pytest.approx(np.sqrt(0.75 * 0.25) * (local[0] - local[1]), rel=1e-12)
    left = [2 * value**2 + (value - b) ** 2 for b in (1, 0.25)]
    expected = np.sqrt((0.75 * left[0] + 0.25 * left[1]) / (0.75 + 0.25 / 16))
    assert float(fit.residual) == pytest.approx(expected, rel=1e-12)


def test_a_vacuum_has_no_residual():
    assert np.isnan(gravity.einstein_residual(lambda x: static(1 - 2 * MASS / x[1], x), POINT))
    assert float(gravity.einstein_residual(reissner_nordstrom, POINT)) == pytest.approx(1, rel=1e-12)  # R = 0


def test_the_norm_of_frames():
    g = np.array([[-2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 0.8]])
    h = np.asarray(gravity.frame_norm(g))
    u = -np.linalg.inv(g)[:, 0] / np.sqrt(-np.linalg.inv(g)[0, 0])
    lower = g @ u
    np.testing.assert_allclose(h, g + 2 * np.outer(lower, lower), atol=1e-14)
    np.testing.assert_array_equal(gravity.frame_norm(h), h)
    assert np.isnan(gravity.frame_norm(np.diag([1.0, -1.0, 1.0]))).all()  # x⁰ is no time


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


def test_derivatives_of_principal_values():
    rng = np.random.default_rng(4)
    frame = (np.eye(4) + 0.2 * rng.normal(size=(4, 4))) @ boosted(np.array([0.3, 0.2, -0.4]))
    T, g = with_values(2.0, [0.3, 0.6, 1.1], frame)
    direction = rng.normal(size=(2, 4, 4))
    direction = direction + np.swapaxes(direction, 1, 2)

    @jax.jit
    def values(s):
        found = gravity.energy_conditions(T + s * direction[0], (g + g.T) / 2 + s * direction[1])
        return jnp.concatenate([found.density[None], found.pressures])

    h = 1e-5
    difference = (values(h) - values(-h)) / (2 * h)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(values))(0.0), difference, rtol=1e-6)  # h² and ε/h


def test_single_precision():
    T, g = with_values(1.0, [0.2, 0.3, 0.4], boosted(np.array([0.3, 0.2, -0.4])))
    found = conditions(jnp.asarray(T, jnp.float32), jnp.asarray(g, jnp.float32))
    assert found.density.dtype == jnp.float32
    np.testing.assert_allclose(found.pressures, [0.2, 0.3, 0.4], atol=1e-5)
    _, values = lattice(12)
    single = gravity.action_gradient(values.astype(jnp.float32), LENGTHS, kappa=KAPPA)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, gravity.action_gradient(values, LENGTHS, kappa=KAPPA), atol=2e-5)


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
    with pytest.raises(TypeError, match="`lagrangian` must be a function"):
        gravity.stress_energy(1.0, ETA)
    with pytest.raises(ValueError, match="`lagrangian` must return one number"):
        gravity.stress_energy(lambda g: g, ETA)
    with pytest.raises(ValueError, match="`mean_number` must be positive"):
        gravity.neuron_number_constraint(wavy, points, weights, mean_number=0.0, volume_per_neuron=1.0)
    with pytest.raises(ValueError, match="`norm` must be positive definite"):
        gravity.einstein_residual(reissner_nordstrom, POINT, ETA)
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
