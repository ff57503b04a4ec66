"""How fast is a bundle of light rays in Kerr's space-time, beside one ray after the other by SciPy?

A thousand rays that come from r = 30 M and miss or meet the hole, over affine length 60 M, all in one `jax.vmap` of
`geodesic`, with the same tolerance as `scipy.integrate.solve_ivp(method="DOP853")`, which takes one ray after the
other with Christoffel symbols of the same metric written out in NumPy. Both stop at r = 2.2 M. The floor is what the
arithmetic of the field costs: twelve evaluations of the acceleration of all rays for each step that the slowest makes.
Rates are per second of processor time, which other work on the machine disturbs least.

    python benchmarks/geodesics.py                   # two minutes on a quiet core
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import argparse
import time
from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from _timing import machine, take_turns
from scipy.integrate import solve_ivp

from nnthermo import gravity
from nnthermo.gravity.geodesics import acceleration

jax.config.update("jax_enable_x64", True)

SPIN, LENGTH, NEAREST = 0.9, 60.0, 2.2


def kerr(x):
    """Boyer and Lindquist's coordinates, M = 1."""
    _, r, theta, _ = x
    zero, square = jnp.zeros_like(r), jnp.sin(theta) ** 2
    S, D = r**2 + (SPIN * jnp.cos(theta)) ** 2, r**2 - 2 * r + SPIN**2
    mixed = 2 * r / S
    last = (r**2 + SPIN**2 + SPIN**2 * mixed * square) * square
    rows = (
        (mixed - 1, zero, zero, -SPIN * mixed * square),
        (zero, S / D, zero, zero),
        (zero, zero, S, zero),
        (-SPIN * mixed * square, zero, zero, last),
    )
    return jnp.stack([jnp.stack(row) for row in rows])


def field(_, y):
    """The same geodesic equation in NumPy, for one ray, by derivatives of g written out."""
    r, theta, v = y[1], y[2], y[4:]
    s, c, a = np.sin(theta), np.cos(theta), SPIN
    S, D = r * r + a * a * c * c, r * r - 2 * r + a * a
    S_r, S_t, D_r = 2 * r, -2 * a * a * c * s, 2 * r - 2
    q = 2 * r / S
    q_r, q_t = 2 / S - q * S_r / S, -q * S_t / S
    s2, s2_t = s * s, 2 * s * c
    A = r * r + a * a + a * a * q * s2
    gtt, gtp, gpp = q - 1, -a * q * s2, A * s2
    dr = (q_r, -a * q_r * s2, (2 * r + a * a * q_r * s2) * s2, S_r / D - S * D_r / D**2, S_r)
    dt = (q_t, -a * (q_t * s2 + q * s2_t), a * a * (q_t * s2 + q * s2_t) * s2 + A * s2_t, S_t / D, S_t)
    t, u, w, p = v
    along = [u * x + w * y for x, y in zip(dr, dt, strict=True)]
    low_t, low_p = along[0] * t + along[1] * p, along[1] * t + along[2] * p
    squares = (t * t, 2 * t * p, p * p, u * u, w * w)
    low_r = along[3] * u - sum(x * y for x, y in zip(dr, squares, strict=True)) / 2
    low_w = along[4] * w - sum(x * y for x, y in zip(dt, squares, strict=True)) / 2
    determinant = gtt * gpp - gtp * gtp
    out = np.empty(8)
    out[:4] = v
    out[4] = -(gpp * low_t - gtp * low_p) / determinant
    out[5], out[6] = -low_r * D / S, -low_w / S
    out[7] = -(gtt * low_p - gtp * low_t) / determinant
    return out


def rays(count):
    """Null rays towards the hole from r = 30, on a grid of directions."""
    side = int(np.ceil(np.sqrt(count)))
    angles = np.stack(np.meshgrid(*[np.linspace(-0.4, 0.4, side)] * 2), axis=-1).reshape(-1, 2)[:count]
    points = jnp.broadcast_to(jnp.array([0.0, 30, np.pi / 2, 0]), (count, 4))
    spatial = jnp.concatenate([-np.cos(angles).prod(1, keepdims=True), np.sin(angles) / 30], axis=1)
    velocities = jax.vmap(partial(gravity.normalized_velocity, kerr), in_axes=(0, 0, None))(points, spatial, 0.0)
    return points, velocities


def steps(tolerance, x, v):
    """How many steps a ray takes."""
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda _, y, __: jnp.stack([y[1], acceleration(kerr, y[0], y[1])])),
        diffrax.Dopri8(), 0.0, 1.0, 1e-3, jnp.stack([x, v * LENGTH]),
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        event=diffrax.Event(lambda _, y, __, **___: y[0, 1] < NEAREST),
    )  # fmt: skip
    return solution.stats["num_steps"]


def leaves(_, y):
    """Zero where SciPy stops."""
    return y[1] - NEAREST


leaves.terminal = True


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rays", type=int, default=1000)
    options.add_argument("--scipy-rays", type=int, default=50, help="rays of SciPy, a sample of the bundle")
    options.add_argument("--rounds", type=int, default=5, help="measured calls of each")
    chosen = options.parse_args()
    print(machine())
    points, velocities = rays(chosen.rays)
    sample = np.linspace(0, chosen.rays - 1, chosen.scipy_rays).astype(int)
    starts = np.concatenate([points, velocities], axis=1)[sample]
    a, b = np.asarray(jax.vmap(partial(acceleration, kerr))(points, velocities))[sample], [field(0, y) for y in starts]
    assert np.allclose(a, np.array(b)[:, 4:], rtol=1e-10, atol=1e-15)

    print("\n| tolerance | rays/s | SciPy, rays/s | times | floor, rays/s | compile s | steps most, mean "
          "| SciPy, evaluations mean | largest difference |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for tolerance in (1e-7, 1e-10):

        @jax.jit
        @jax.vmap
        def bundle(x, v, tolerance=tolerance):
            end = jnp.array([0.0, LENGTH])
            return gravity.geodesic(kerr, x, v, end, tolerance=tolerance, domain=lambda x: x[1] > NEAREST)

        def scipy(tolerance=tolerance):
            options = {"method": "DOP853", "rtol": tolerance, "atol": tolerance / LENGTH, "events": leaves}
            return [solve_ivp(field, (0, LENGTH), y, **options) for y in starts]

        begin = time.process_time()
        program = bundle.lower(points, velocities).compile()
        compiling = time.process_time() - begin
        counts = np.asarray(jax.jit(jax.vmap(partial(steps, tolerance)))(points, velocities))

        most = int(counts.max())

        @jax.jit
        def floor(x, v, most=most):
            each = jax.vmap(partial(acceleration, kerr))
            return jax.lax.fori_loop(0, 12 * most, lambda _, y: (y[0] + 1e-9 * y[1], y[1] + 1e-9 * each(*y)), (x, v))

        calls = {
            "ours": partial(program, points, velocities),
            "scipy": scipy,
            "floor": partial(floor, points, velocities),
        }
        seconds = {name: float(np.median(t.cpu)) for name, t in take_turns(calls, rounds=chosen.rounds).items()}
        path, solutions = program(points, velocities), scipy()
        both = [k for k, s in enumerate(solutions) if s.status == 0 and bool(path.converged[sample[k]])]
        difference = max(np.abs(solutions[k].y[:4, -1] - path.points[sample[k], -1]).max() for k in both)
        numbers = {"ours": chosen.rays, "scipy": chosen.scipy_rays, "floor": chosen.rays}
        ours, theirs, least = (numbers[name] / seconds[name] for name in numbers)
        evaluations = np.mean([s.nfev for s in solutions])
        print(f"| {tolerance:g} | {ours:.0f} | {theirs:.1f} | {ours / theirs:.0f} | {least:.0f} | {compiling:.1f} "
              f"| {most}, {counts.mean():.0f} | {evaluations:.0f} | {difference:.1e} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
