"""Gravity in Onsager's form: fluxes linear in the forces g_ab,m, and the tensor between them, (12.3) to (12.10).

The tensor printed as (12.9) does not give the action of general relativity: the sign of its last term is wrong and a
fifth term is missing. The corrected one is our own derivation; the printed one is kept under `variant="printed"`.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, is_concrete, known, real_array, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.gravity._algebra import contract
from nnthermo.gravity._arguments import EINSTEIN_KAPPA, Variant, coupling, known_variant, one_number, square_matrix
from nnthermo.gravity.inverse import inverse_and_determinant, regular, signature


def onsager_tensor(
    g: Any, *, kappa: Scalar = EINSTEIN_KAPPA, variant: Variant = "corrected", symmetrise: bool = True
) -> Array:
    """L^{mn ab cd}, which turns the forces g_cd,n into the fluxes J^{m ab} of (12.5).

        8κ L^{mn ab cd} = g^an g^bd g^mc + g^ac g^bn g^md - g^ac g^bd g^mn + g^ab g^cd g^mn - 2 g^ab g^mc g^nd

    (own derivation; it is the only combination of the five invariants quadratic in the forces that does it). Printed as
    (12.9) is -g^ab g^cd g^mn for the fourth term, and no fifth. The two give equal L g_ab,m g_cd,n where det g is
    constant, and only there. L is not positive, of either variant: see `onsager_inertia`.

    Args:
        g: g_ab, (n, n). The array has n⁶ entries: fine for n ≤ 4; `onsager_fluxes` and `onsager_contraction` need none.
        kappa: κ > 0; 8π if nothing is said.
        variant: "corrected" or "printed".
        symmetrise: in (a, b), in (c, d), and in (m, a, b) ↔ (n, c, d), which no contraction with forces can see.

    Returns:
        (n, n, n, n, n, n), indices m, n, a, b, c, d, all upper.

    Raises:
        ValueError: g not square, unknown `variant`; where known, also g not finite, not symmetric, not invertible.
    """
    i = _inverse(g)
    weights = _weights(variant)
    L = (
        contract("an,bd,mc->mnabcd", i, i, i) * weights[0] / 2
        + contract("ac,bn,md->mnabcd", i, i, i) * weights[0] / 2
        + contract("ac,bd,mn->mnabcd", i, i, i) * weights[1]
        + contract("ab,cd,mn->mnabcd", i, i, i) * weights[2]
        + contract("ab,mc,nd->mnabcd", i, i, i) * weights[3]
    ) / (8 * coupling(kappa, i))
    if symmetrise:
        L = (L + jnp.swapaxes(L, 2, 3)) / 2
        L = (L + jnp.swapaxes(L, 4, 5)) / 2
        L = (L + jnp.transpose(L, (1, 0, 4, 5, 2, 3))) / 2
    return L


def onsager_fluxes(g: Any, dg: Any, *, kappa: Scalar = EINSTEIN_KAPPA, variant: Variant = "corrected") -> Array:
    """J^{m ab} = L^{mn ab cd} g_cd,n of (12.5) with the symmetrised L, without its n⁶ entries.

    Args:
        g: g_ab, (n, n).
        dg: the forces g_ab,m of (12.4), derivatives first, (n, n, n), as from `metric_slopes`.
        kappa, variant: as in `onsager_tensor`.

    Returns:
        (n, n, n), indices m, a, b, all upper, symmetric in (a, b).

    Raises:
        ValueError: as in `onsager_tensor`; forces that do not fit.
    """
    i = _inverse(g)
    forces = _forces(dg, i)
    first, second, third, fourth = _weights(variant)
    up = contract("mn,ac,bd,ncd->mab", i, i, i, forces)
    trace = contract("mn,ab,nab->m", i, i, forces)  # g^mn (log |det g|)_,n
    divergence = contract("nd,ndm->m", i, contract("ma,nda->ndm", i, forces))
    J = first * jnp.swapaxes(up, 0, 1) + second * up + third * contract("m,ab->mab", trace, i)
    J = J + fourth / 2 * (contract("m,ab->mab", divergence, i) + contract("a,mb->mab", trace, i))
    return (J + jnp.swapaxes(J, 1, 2)) / (16 * coupling(kappa, i))


def onsager_contraction(g: Any, dg: Any, *, kappa: Scalar = EINSTEIN_KAPPA, variant: Variant = "corrected") -> Array:
    """L^{mn ab cd} g_ab,m g_cd,n = g_ab,m J^{m ab} of (12.3) and (12.6), (): R/2κ up to a divergence.

    The equality printed as (12.3) and (12.6) is one of integrals: `total_derivative_term` is the difference. Arguments
    as in `onsager_fluxes`.
    """
    J = onsager_fluxes(g, dg, kappa=kappa, variant=variant)
    return jnp.sum(J * _forces(dg, J))


def onsager_reciprocity_violation(L: Any, *, relation: Literal["stated", "printed"] = "stated") -> Array:
    """‖L - L'‖/‖L‖, (): L' is L with exchanged indices, 0 where Onsager's reciprocity holds.

    "stated" is the relation given in words before (12.7), (m, a, b) ↔ (n, c, d): L'^{mn ab cd} = L^{nm cd ab}, which
    (12.9) obeys. "printed" is (12.7) itself, L'^{mn ab cd} = L^{nm ba dc}, which it does not: a misprint. Norms are
    largest entries. L is (n, n, n, n, n, n) as from `onsager_tensor`.

    Raises:
        ValueError: wrong shape, unknown `relation`.
    """
    tensor = real_array("L", L, ndim=6)
    check("L", "have six equal axes", len(set(tensor.shape)) == 1, f"shape {tensor.shape}")
    orders = {"stated": (1, 0, 4, 5, 2, 3), "printed": (1, 0, 3, 2, 5, 4)}
    if relation not in orders:
        refuse("relation", "be 'stated' or 'printed'", repr(relation))
    exchanged = jnp.transpose(tensor, orders[relation])
    return jnp.max(jnp.abs(tensor - exchanged)) / jnp.max(jnp.abs(tensor))


class Inertia(NamedTuple):
    """How many eigenvalues of a quadratic form have each sign."""

    negative: int
    zero: int
    positive: int


def onsager_inertia(g: Any, *, variant: Variant = "corrected") -> Inertia:
    """Signs of the quadratic form L on the n²(n+1)/2 forces g_ab,m at one g_ab (n, n).

    By Sylvester's law they depend on the signature of g alone. In four dimensions +20 and -20 (Euclid), +22 and -18
    (Lorentz): L g_ab,m g_cd,n has no sign, so that it is no dissipation function, and the "entropy production" of
    gravity may be of either sign (own result).

    Raises:
        TypeError: g under a transformation: counts are Python integers.
        ValueError: as in `onsager_tensor`.
    """
    known("g", g, " for eigenvalues to be counted")
    # Sylvester: only the signs of the frame metric count, and with them the eigenvalues are those of small integers
    signs = np.repeat([-1.0, 1.0], signature(g))
    n = len(signs)
    with jax.ensure_compile_time_eval():  # g is known, also inside transformations
        L = np.asarray(onsager_tensor(np.diag(signs), kappa=1.0, variant=variant), float)
    a, b = np.triu_indices(n)
    twice = np.where(a == b, 1.0, np.sqrt(2.0))
    form = L[:, :, a, b][..., a, b] * twice[:, None] * twice[None, :]
    size = n * len(a)
    eigenvalues = np.linalg.eigvalsh(np.transpose(form, (0, 2, 1, 3)).reshape(size, size))
    rounding = 64 * size * np.finfo(float).eps * np.abs(eigenvalues).max()
    negative, positive_count = int((eigenvalues < -rounding).sum()), int((eigenvalues > rounding).sum())
    return Inertia(negative, size - negative - positive_count, positive_count)


def gaussian_entropy_production(g: Any, diffusion: Scalar) -> Array:
    """D tr g, in nats per unit of time, (): the first term of (12.1) for p(Q) ∝ exp(-Qᵀ g Q).

    It is the rate at which diffusion raises the Shannon entropy, Σ_k ⟨-(D/2) ∂²log p/∂Q_k²⟩.

    Args:
        g: inverse of twice the covariance of the trainable variables, (K, K), positive definite.
        diffusion: D of (11.5), ∂p/∂t = (D/2) ∇²p: twice the `diffusion` of `nnthermo.mechanics`. D ≥ 0.

    Raises:
        ValueError: g not square; where known, also not positive definite, or D negative.
    """
    g = square_matrix("g", g)
    D = one_number("diffusion", diffusion, g)
    if is_concrete(g):
        regular("g", g)
        lowest = float(np.linalg.eigvalsh(np.asarray(g, float))[0])
        check("g", "be positive definite", lowest > 0, f"an eigenvalue {lowest:.3g}")
    check("diffusion", "not be negative", not is_concrete(D) or float(D) >= 0, D)
    return D * jnp.trace(g)


def _inverse(g: Any) -> Array:
    g = square_matrix("g", g)
    regular("g", g)
    return inverse_and_determinant(g)[0]


def _weights(variant: str) -> tuple[int, int, int, int]:
    known_variant(variant)
    return {"corrected": (2, -1, 1, -2), "printed": (2, -1, -1, 0)}[variant]


def _forces(dg: Any, like: Array) -> Array:
    forces = real_array("dg", dg, shape=(like.shape[0],) * 3).astype(like.dtype)
    if is_concrete(forces):
        array = np.asarray(forces)
        gap = np.abs(array - np.swapaxes(array, 1, 2)).max()
        allowed = 64 * float(jnp.finfo(forces.dtype).eps) * np.abs(array).max()
        check("dg", "be symmetric in its last two indices", bool(gap <= allowed), f"a difference of {gap:.2g}")
    return (forces + jnp.swapaxes(forces, 1, 2)) / 2
