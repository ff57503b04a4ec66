"""Inverse, determinant and signature of a small symmetric matrix g_ab, for any signature."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import is_concrete, known, refuse
from nnthermo._typing import Array
from nnthermo.gravity._arguments import square_matrix


def inverse_and_determinant(g: Any) -> tuple[Array, Array]:
    """g^ab and det g of one g_ab (n, n).

    Up to n = 4 by minors: no pivots, which metrics with null coordinates lack on the diagonal, no LAPACK call, and an
    error that does not depend on the units of single coordinates. Minors are taken of D g D with powers of two that
    bring the rows near one, so that they do not leave the range of the numbers before g^ab does. Beyond by LU.

    Returns:
        g^ab (n, n), symmetric, and det g (). Where det g leaves the range of the numbers it is 0 or infinity, and g^ab
        is right up to n = 4. A singular g gives NaN or infinity for g^ab.
    """
    g = square_matrix("g", g)
    if len(g) > 4:
        return _by_pivots(g), jnp.linalg.det(g)
    inverse, determinant, exponents = _by_minors(g)
    back = -2 * jnp.sum(exponents)
    for share in (back >> 2, back >> 2, back >> 2, back - 3 * (back >> 2)):  # one power alone may be out of range
        determinant = determinant * _power_of_two(share, g.dtype)
    return inverse, determinant


def inverse_and_sign(g: Any) -> tuple[Array, Array]:
    """g^ab of one g_ab (n, n) and the sign of det g, (), also where det g itself leaves the range of the numbers."""
    g = square_matrix("g", g)
    if len(g) > 4:
        return _by_pivots(g), jnp.linalg.slogdet(g)[0]
    inverse, determinant, _ = _by_minors(g)
    return inverse, jnp.sign(determinant)


def volume_density(g: Array) -> Array:
    """√|det g|, ()."""
    return jnp.sqrt(jnp.abs(inverse_and_determinant(g)[1]))


def _by_pivots(g: Array) -> Array:
    inverse = jnp.linalg.inv(g)
    return (inverse + inverse.T) / 2


def _by_minors(g: Array) -> tuple[Array, Array, Array]:
    """g^ab, det of the scaled 2^(k_a + k_b) g_ab, and the k, (n,)."""
    n, exponents = len(g), _exponents(jax.lax.stop_gradient(g))
    scale = _power_of_two(exponents, g.dtype)
    g = g * scale[:, None] * scale[None, :]
    adjugate = {1: _adjugate_1, 2: _adjugate_2, 3: _adjugate_3, 4: _adjugate_4}[n]
    upper = adjugate([[g[min(i, j), max(i, j)] for j in range(n)] for i in range(n)])
    determinant = jnp.asarray(sum(g[0, j] * upper[0, j] for j in range(n)))
    flat = jnp.stack([upper[min(i, j), max(i, j)] for i in range(n) for j in range(n)])
    return flat.reshape(n, n) / determinant * scale[:, None] * scale[None, :], determinant, exponents


def _bits(dtype: jnp.dtype) -> tuple[np.dtype, int, int]:
    """The integers of the same size, digits of the mantissa, bias of the exponent."""
    about = jnp.finfo(dtype)
    return np.dtype(f"int{about.bits}"), int(about.nmant), 2 ** (about.bits - about.nmant - 2) - 1


def _exponents(g: Array) -> Array:
    """Integers k_a, (n,), for which the largest entries of 2^(k_a + k_b) g_ab in each row are near one (Ruiz 2001)."""
    kind, digits, bias = _bits(g.dtype)
    sizes = (jax.lax.bitcast_convert_type(jnp.abs(g), kind) >> digits) - bias
    k = jnp.zeros_like(sizes[0])
    for _ in range(4):
        k = k - ((jnp.max(sizes + k[None, :], axis=1) + k) >> 1)
    return k


def _power_of_two(k: Array, dtype: jnp.dtype) -> Array:
    """2^k to the last bit, k brought into the range of the numbers."""
    kind, digits, bias = _bits(dtype)
    return jax.lax.bitcast_convert_type((jnp.clip(k, 1 - bias, bias) + bias).astype(kind) << digits, dtype)


def _adjugate_1(g: list[list[Array]]) -> dict[tuple[int, int], Array]:
    return {(0, 0): jnp.ones_like(g[0][0])}


def _adjugate_2(g: list[list[Array]]) -> dict[tuple[int, int], Array]:
    return {(0, 0): g[1][1], (0, 1): -g[0][1], (1, 1): g[0][0]}


def _adjugate_3(g: list[list[Array]]) -> dict[tuple[int, int], Array]:
    return {(i, j): _cofactor(g, i, j) for i in range(3) for j in range(i, 3)}


def _cofactor(g: list[list[Array]], i: int, j: int) -> Array:
    rows, columns = [k for k in range(3) if k != i], [k for k in range(3) if k != j]
    (a, b), (c, d) = ([g[r][k] for k in columns] for r in rows)
    return (-1) ** (i + j) * (a * d - b * c)


def _adjugate_4(g: list[list[Array]]) -> dict[tuple[int, int], Array]:
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    above = {(p, q): g[0][p] * g[1][q] - g[0][q] * g[1][p] for p, q in pairs}
    below = {(p, q): g[2][p] * g[3][q] - g[2][q] * g[3][p] for p, q in pairs}

    def expand(row: list[Array], minors: dict[tuple[int, int], Array], j: int) -> Array:
        a, b, c = (k for k in range(4) if k != j)
        return row[a] * minors[b, c] - row[b] * minors[a, c] + row[c] * minors[a, b]

    other = {0: (1, below), 1: (0, below), 2: (3, above), 3: (2, above)}
    return {(i, j): (-1) ** (i + j) * expand(g[other[i][0]], other[i][1], j) for i in range(4) for j in range(i, 4)}


def signature(g: Any) -> tuple[int, int]:
    """(negative, positive) counts of the eigenvalues of g_ab (n, n): (1, n - 1) for a space-time.

    Rows and columns are scaled alike first, which leaves the counts (Sylvester) and removes units.

    Raises:
        TypeError: g under a transformation: counts are Python integers.
        ValueError: g not finite, not symmetric, or degenerate.
    """
    known("g", g, " for its signature to be counted")
    with jax.ensure_compile_time_eval():
        g = square_matrix("g", g)
    regular("g", g)
    negative = int((np.linalg.eigvalsh(_balanced(np.asarray(g, float))) < 0).sum())
    return negative, g.shape[0] - negative


def regular(name: str, g: Array, where: str = "") -> None:
    """Refuse a known g_ab that is not finite, not symmetric, or degenerate to rounding.

    Zero rows are what an axis of polar coordinates gives; 4 ε² of the largest row still counts as zero, since
    sin² π is 1e-32 and not 0.
    """
    if not is_concrete(g):
        return
    eps = float(jnp.finfo(g.dtype).eps)
    values = np.asarray(g, float)
    finite = np.isfinite(values)
    if not finite.all():
        got = f"{int((~finite).sum())} non-finite entries of {values.size}{where}"
        refuse(name, "be finite", f"{got}: a horizon or a singularity of these coordinates?")
    asymmetry, largest = np.abs(values - values.T).max(), np.abs(values).max()
    if asymmetry > 64 * eps * largest:  # products of a few factors in another order
        refuse(name, "be symmetric", f"|g - gᵀ| up to {asymmetry:.2g}{where}")
    rows = np.abs(values).max(axis=1)
    if rows.min() < 4 * eps**2 * rows.max() or largest == 0:
        refuse(name, "be invertible", f"a row of zeros{where}: an axis or a horizon of these coordinates?")
    determinant = abs(np.linalg.det(_balanced(values)))
    if determinant < 4 * len(values) * eps:
        refuse(name, "be invertible", f"determinant {determinant:.2g} of the scaled matrix{where}: a horizon?")


def suspects(g: Array) -> np.ndarray:
    """Numbers of those of many known g_ab (T, n, n) that `regular` refuses, ascending."""
    eps, values = float(jnp.finfo(g.dtype).eps), np.asarray(g, float)
    sizes = np.abs(values)
    rows, largest = sizes.max(axis=2), sizes.max(axis=(1, 2))
    with np.errstate(all="ignore"):
        sound = np.isfinite(values).all(axis=(1, 2)) & (rows.min(axis=1) >= 4 * eps**2 * largest) & (largest > 0)
        sound &= np.abs(values - np.swapaxes(values, 1, 2)).max(axis=(1, 2)) <= 64 * eps * largest
        balanced = _balanced(np.where(sound[:, None, None], values, np.eye(values.shape[1])))
        sound &= np.abs(np.linalg.det(balanced)) >= 4 * values.shape[1] * eps
    return np.flatnonzero(~sound)


def _balanced(g: np.ndarray) -> np.ndarray:
    """D g D with diagonal D that bring the largest entry of each row near one (Ruiz 2001), for any units."""
    for _ in range(20):
        scale = 1 / np.sqrt(np.abs(g).max(axis=-1))
        g = g * scale[..., :, None] * scale[..., None, :]
    return g
