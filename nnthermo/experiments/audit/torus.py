"""Metrics on a torus in NumPy, curvature by the printed definitions, for Section 12; no word of the library."""

from typing import NamedTuple

import numpy as np

ONES = np.diag([-1.0, 1.0, 1.0])


class Field(NamedTuple):
    """A metric on the nodes of a torus: g_ab, g_ab,m and g_ab,mk, derivatives first; (M, 3, 3), (M, 3, ...)."""

    g: np.ndarray
    dg: np.ndarray
    ddg: np.ndarray


def nodes(count: int = 16) -> tuple[np.ndarray, float]:
    """Trapezoidal nodes (M, 3) of [0, 2π)², the third coordinate at 0, and their common weight."""
    axis = 2 * np.pi * np.arange(count) / count
    a, b = (x.ravel() for x in np.meshgrid(axis, axis, indexing="ij"))
    return np.stack([a, b, 0 * a], axis=1), (2 * np.pi / count) ** 2


def waves(rng: np.random.Generator, x: np.ndarray, constant: np.ndarray, amplitude: float) -> Field:
    """A constant tensor and four waves that depend on the first two coordinates, with their derivatives."""
    k = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [1, -1, 0]])
    A = amplitude * rng.normal(size=(4, 3, 3))
    A = A + np.swapaxes(A, 1, 2)
    angle = x @ k.T + rng.uniform(0, 6, size=4)
    g = constant + np.einsum("pw,wab->pab", np.cos(angle), A)
    dg = -np.einsum("pw,wm,wab->pmab", np.sin(angle), k, A)
    ddg = -np.einsum("pw,wm,wk,wab->pmkab", np.cos(angle), k, k, A)
    return Field(g, dg, ddg)


def shifted(field: Field, other: Field, step: float) -> Field:
    """`field` + step · `other`."""
    return Field(*(a + step * b for a, b in zip(field, other, strict=True)))


def root(g: np.ndarray) -> np.ndarray:
    """√|g|."""
    return np.sqrt(np.abs(np.linalg.det(g)))


def christoffel(field: Field) -> tuple[np.ndarray, np.ndarray]:
    """Γ^m_cd of (12.11), (M, m, c, d), and Γ^a_mn,b, (M, b, a, m, n)."""
    i = np.linalg.inv(field.g)
    lower = (np.einsum("pdnc->pncd", field.dg) + np.einsum("pcnd->pncd", field.dg) - field.dg) / 2
    more = (
        np.einsum("pkdnc->pkncd", field.ddg)
        + np.einsum("pkcnd->pkncd", field.ddg)
        - np.einsum("pkncd->pkncd", field.ddg)
    ) / 2
    di = -np.einsum("pab,pkbc,pcd->pkad", i, field.dg, i)
    gamma = np.einsum("pmn,pncd->pmcd", i, lower)
    return gamma, np.einsum("pkmn,pncd->pkmcd", di, lower) + np.einsum("pmn,pkncd->pkmcd", i, more)


def ricci(field: Field) -> np.ndarray:
    """R_mn of (12.13), brackets as half the difference."""
    G, dG = christoffel(field)
    first = np.einsum("paanm->pmn", dG) - np.einsum("pmana->pmn", dG)
    return first + np.einsum("pbnm,paab->pmn", G, G) - np.einsum("pbna,pamb->pmn", G, G)


def scalar(field: Field) -> np.ndarray:
    """R = g^mn R_mn, (M,)."""
    return np.sum(np.linalg.inv(field.g) * ricci(field), axis=(1, 2))


def einstein(field: Field) -> np.ndarray:
    """R_mn - R g_mn/2."""
    return ricci(field) - scalar(field)[:, None, None] * field.g / 2


def onsager(i: np.ndarray, *, printed: bool) -> np.ndarray:
    """κ times (12.9) of one g^ab, as printed or corrected, indices m, n, a, b, c, d, not symmetrised."""
    last = np.einsum("ab,cd,mn->mnabcd", i, i, i)
    total = np.einsum("an,bd,mc->mnabcd", i, i, i) + np.einsum("ac,bn,md->mnabcd", i, i, i)
    total = total - np.einsum("ac,bd,mn->mnabcd", i, i, i)
    if printed:
        return (total - last) / 8
    return (total + last - 2 * np.einsum("ab,mc,nd->mnabcd", i, i, i)) / 8


def contraction(field: Field, *, printed: bool) -> np.ndarray:
    """κ L g_ab,m g_cd,n at each node, (M,)."""
    pairs = zip(np.linalg.inv(field.g), field.dg, strict=True)
    return np.array([np.einsum("mnabcd,mab,ncd->", onsager(i, printed=printed), d, d) for i, d in pairs])


def lagrangian(g: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """-½ g^mn φ_m φ_n - 0.15 of a scalar field."""
    return -0.5 * np.einsum("pmn,pm,pn->p", np.linalg.inv(g), slopes, slopes) - 0.15
