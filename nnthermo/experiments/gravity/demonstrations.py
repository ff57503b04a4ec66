"""Systems with known answers: Gaussian neurons, black holes, the Onsager tensor, rings of neurons, and both duals.

Each returns what there is to draw and, by name, the numbers that should vanish or have a known value. Call them in
float64.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo import gravity, mechanics
from nnthermo._typing import Array

CASES = ((1, 1), (2, 2), (3, 3), (3, 8), (4, 5))
"""Dimensions d of the mean, and neurons N, of the Gaussian space-times."""


class Demonstrations(NamedTuple):
    """All of them.

    Attributes:
        geodesics: (σ, m) of time-like geodesics with several momenta, (lines, points, 2).
        neurons: N of their space-time.
        rays: (x, y) of light that passes a rotating black hole, NaN where it fell in, (lines, points, 2).
        spin: of that hole, its mass being 1.
        numbers: value by name.
    """

    geodesics: np.ndarray
    neurons: int
    rays: np.ndarray
    spin: float
    numbers: dict[str, float]


def demonstrate(*, seed: int = 0) -> Demonstrations:
    """Run all demonstrations."""
    lines, gaussian = gaussian_neurons(seed)
    rays, holes = black_holes()
    parts = (gaussian, holes, onsager(), ring(seed), duality())
    return Demonstrations(lines, 4, rays, 0.9, {name: float(value) for part in parts for name, value in part.items()})


def gaussian_neurons(seed: int) -> tuple[np.ndarray, dict[str, float]]:
    """The de Sitter space of N(m, σ²1): Einstein's equations with Λ = d(d-1)/4N, and its geodesics."""
    key = jax.random.key(seed)
    worst_curvature, worst_residual = 0.0, 0.0
    for d, neurons in CASES:
        points = jax.random.uniform(jax.random.fold_in(key, d * 100 + neurons), (6, d + 1), minval=0.3, maxval=2.0)
        metric = gravity.gaussian_space_time(neurons)
        at = jax.jit(jax.vmap(lambda y, metric=metric: gravity.geometry(metric, y)))(points)
        expected = d * (d + 1) / (2 * neurons)
        worst_curvature = max(worst_curvature, float(jnp.max(jnp.abs(at.scalar / expected - 1))))
        left = at.einstein + d * (d - 1) / (4 * neurons) * at.metric
        scale = jnp.max(jnp.abs(at.metric), axis=(1, 2)) * jnp.abs(at.scalar)
        worst_residual = max(worst_residual, float(jnp.max(jnp.max(jnp.abs(left), axis=(1, 2)) / scale)))
    metric, start = gravity.gaussian_space_time(4), jnp.asarray([1.0, 0.0])
    times = jnp.linspace(0.0, 6.0, 61)

    def line(momentum: Array) -> tuple[Array, Array]:
        velocity = jnp.stack([-jnp.sqrt((1 + momentum**2 * start[0] ** 2) / 8) * start[0], momentum * start[0] ** 2])
        found = gravity.geodesic(metric, start, velocity, times)
        exact = jax.vmap(lambda t: gravity.gaussian_geodesic(start, momentum[None], t, 4))(times)
        return found.points, jnp.max(jnp.abs(found.points - exact))

    lines, errors = jax.jit(jax.vmap(line))(jnp.asarray([-4.0, -1.5, -0.5, 0.0, 0.5, 1.5, 4.0]))
    return np.asarray(lines), {
        "Gaussian neurons: largest relative error of R = d(d+1)/2N": worst_curvature,
        "Gaussian neurons: largest |G + Λg| with Λ = d(d-1)/4N, over |R| max|g|": worst_residual,
        "Gaussian neurons: largest distance of geodesics from the sinh law": float(jnp.max(errors)),
    }


def black_holes() -> tuple[np.ndarray, dict[str, float]]:
    """Light that passes a rotating black hole, and what is conserved along it."""
    spin = 0.9
    metric = gravity.kerr(1.0, spin)
    impacts = jnp.concatenate([jnp.linspace(-12.0, -7.2, 9), jnp.linspace(3.4, 12.0, 15)])
    lengths = jnp.linspace(0.0, 60.0, 241)
    horizon = 1 + np.sqrt(1 - spin**2)

    def ray(b: Array) -> tuple[Array, Array, Array]:
        r = 30.0
        angle = jnp.arcsin(b / r)
        point = jnp.stack([jnp.zeros_like(b), r + 0 * b, jnp.pi / 2 + 0 * b, angle])
        spatial = jnp.stack([-jnp.cos(angle), 0 * b, jnp.sin(angle) / r])  # parallel to the x axis, in flat terms
        velocity = gravity.normalized_velocity(metric, point, spatial, 0.0)
        found = gravity.geodesic(metric, point, velocity, lengths, domain=lambda y: y[1] > horizon + 0.05)
        g = jax.vmap(metric)(found.points)
        lowered = jnp.einsum("tab,tb->ta", g, found.velocities)
        drift = jnp.nanmax(jnp.abs(lowered / lowered[:1] - 1)[:, jnp.asarray([0, 3])])
        places = found.points[:, 1:2] * jnp.stack([jnp.cos(found.points[:, 3]), jnp.sin(found.points[:, 3])], axis=1)
        return places, drift, jnp.nanmax(jnp.abs(found.norm))

    places, drift, norms = jax.jit(jax.vmap(ray))(impacts)
    at = gravity.geometry(metric, jnp.asarray([0.0, 3.0, 1.0, 0.0]))
    c, big = spin * np.cos(1.0), 9 + (spin * np.cos(1.0)) ** 2
    exact = 48 * (9 - c**2) * (big**2 - 144 * c**2) / big**6
    return np.asarray(places), {
        "Kerr: largest |R_ab| at one point": float(jnp.max(jnp.abs(at.ricci))),
        "Kerr: relative error of R_abcd R^abcd": float(jnp.abs(at.kretschmann / exact - 1)),
        "Kerr: largest relative change of energy and angular momentum of light": float(jnp.nanmax(drift)),
        "Kerr: largest |g(v, v)| of light": float(jnp.nanmax(norms)),
    }


def wavy(y: Array) -> Array:
    """A metric on a torus of three dimensions that depends on two of them."""
    a, b = 2 * jnp.pi * y[0], 2 * jnp.pi * y[1]
    g = jnp.asarray(
        [
            [1 + 0.3 * jnp.sin(a) * jnp.cos(b), 0.2 * jnp.sin(a + b), 0.1 * jnp.cos(b)],
            [0.0, 1.2 + 0.25 * jnp.cos(a), 0.15 * jnp.sin(a)],
            [0.0, 0.0, 0.9 + 0.3 * jnp.cos(a - b)],
        ]
    )
    return g + g.T - jnp.diag(jnp.diag(g))


def onsager() -> dict[str, float]:
    """(12.3)-(12.10): ∫√g R/2κ against the quadratic form in slopes of g, with the corrected tensor and the printed."""
    points, weights = gravity.torus_nodes((28, 28), (1.0, 1.0), dimensions=3)

    def terms(y: Array) -> tuple[Array, Array, Array]:
        g, dg = gravity.metric_slopes(wavy, y)
        root = jnp.sqrt(jnp.abs(gravity.inverse_and_determinant(g)[1]))
        forms = [gravity.onsager_contraction(g, dg, kappa=1.0, variant=variant) for variant in ("corrected", "printed")]
        return root * gravity.ricci_scalar(wavy, y) / 2, root * forms[0], root * forms[1]

    exact, corrected, printed = (jnp.sum(weights * t) for t in jax.jit(jax.vmap(terms))(points))
    inertia = gravity.onsager_inertia(np.diag([-1.0, 1.0, 1.0, 1.0]))
    # (12.9) as it stands: symmetrising would make it obey the relation in words whatever it is
    tensor = gravity.onsager_tensor(np.eye(4), kappa=1.0, variant="printed", symmetrise=False)
    return {
        "torus: ∫√g R/2": float(exact),
        "torus: the same from the corrected Onsager tensor, error": float(jnp.abs(corrected - exact)),
        "torus: the same from the printed Onsager tensor": float(printed),
        "Onsager: reciprocity as stated, violation": float(gravity.onsager_reciprocity_violation(tensor)),
        "Onsager: reciprocity as printed, violation": float(
            gravity.onsager_reciprocity_violation(tensor, relation="printed")
        ),
        "Onsager: positive eigenvalues in a space-time": inertia.positive,
        "Onsager: negative eigenvalues in a space-time": inertia.negative,
    }


def ring(seed: int) -> dict[str, float]:
    """Neurons on a ring, weights a permutation: d'Alembert's equation, and the telegraph equation with switching."""
    n, steps = 96, 48
    keys = jax.random.split(jax.random.key(seed), 2)
    right, left = (jax.random.normal(k, (n,)) for k in keys)
    w = gravity.permutation_weights(n, dtype=right.dtype)
    x, states = (right, left), []
    for _ in range(steps):
        states.append(x[0] + x[1])
        x = (w @ x[0], w.T @ x[1])
    residual = jnp.max(jnp.abs(gravity.lattice_dalembertian(jnp.stack(states), w)))
    switched = gravity.telegraph_process(right, left, steps, 0.1)
    telegraph = jnp.max(jnp.abs(gravity.lattice_dalembertian(switched.right + switched.left, w, 0.1)))
    return {
        "ring: largest |d'Alembertian| of signals": float(residual),
        "ring: largest |telegraph equation| with switching": float(telegraph),
    }


def duality() -> dict[str, float]:
    """Both descriptions of a recurrent network of two neurons, from one log Z(β, q, J), against averages of states.

    log Z is a quadrature by Gauss and Hermite; the averages are sums over an even grid, which is spectrally exact for a
    density that has vanished at its ends.
    """
    roots, weights = np.polynomial.hermite.hermgauss(80)
    nodes = jnp.asarray(np.stack(np.meshgrid(roots, roots, indexing="ij"), axis=-1).reshape(-1, 2)) * 1.5
    logs = jnp.asarray(np.log(np.outer(weights, weights)).ravel()) + jnp.sum((nodes / 1.5) ** 2, axis=1)
    logs = logs + 2 * np.log(1.5)

    def loss(x: Array, q: Array) -> Array:
        w = q[:4].reshape(2, 2)
        return 0.5 * jnp.sum((x - jnp.tanh(w @ x + q[4:])) ** 2)

    def log_partition(beta: Array, q: Array, source: Array) -> Array:
        return jax.scipy.special.logsumexp(logs - beta * jax.vmap(lambda s: loss(s, q))(nodes) + nodes @ source)

    q, beta = jnp.asarray([0.3, -0.8, 0.6, 0.2, 0.1, -0.2]), 1.4
    report = mechanics.duality_report(log_partition, beta, q, jnp.zeros(2))
    edge = np.linspace(-9.0, 9.0, 121)
    cell = (edge[1] - edge[0]) ** 2
    x = jnp.asarray(np.stack(np.meshgrid(edge, edge, indexing="ij"), axis=-1).reshape(-1, 2))
    logs_of_p = -beta * jax.vmap(lambda s: loss(s, q))(x)
    logs_of_p = logs_of_p - jax.scipy.special.logsumexp(logs_of_p)
    p = jnp.exp(logs_of_p)
    defects = mechanics.duality_defects(report, loss, q, x, p)
    return {
        "duality: S - (-∫ p log p)": float(jnp.abs(report.entropy + jnp.sum(p * logs_of_p) - np.log(cell))),
        "duality: ∂F/∂q - ⟨∂H/∂q⟩": float(defects.force),
        "duality: U - ⟨H⟩": float(defects.average_loss),
        "duality: Fisher metric - covariance of (-H, x)": float(defects.fisher),
        "duality: least eigenvalue of the Fisher metric": float(jnp.linalg.eigvalsh(report.fisher)[0]),
    }
