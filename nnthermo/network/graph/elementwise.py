"""Which values of a program are outputs of element-wise non-linear functions, if nobody has named its neurons."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend import core

CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Under which parameter the primitives that call a program keep it."""
CALLING = {
    "jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2", "custom_jvp_call", "custom_vjp_call",
    "custom_vjp_call_jaxpr", "scan",
}  # fmt: skip
"""What does nothing but call its program; others use theirs as a rule, or choose."""

LINEAR = {"add", "sub", "neg", "copy", "copy_p", "convert_element_type", "add_any", "real", "reduce_precision"}
SQUASHING = {
    "tanh", "logistic", "erf", "erfc", "max", "min", "clamp", "select_n", "abs", "sin", "cos", "atan", "asinh", "expm1",
    "log1p",
}  # fmt: skip
"""What makes an element-wise function one of a neuron: exp and rsqrt alone are parts of softmax and normalisation."""
OTHERS = {
    "mul", "div", "exp", "exp2", "log", "sqrt", "rsqrt", "cbrt", "square", "integer_pow", "pow", "sinh", "cosh", "tan",
    "asin", "acos", "acosh", "atanh", "erf_inv", "sign", "floor", "ceil", "round", "gt", "ge", "lt", "le", "eq", "ne",
    "and", "or", "not", "is_finite", "rem", "nextafter", "lgamma", "digamma", "atan2",
}  # fmt: skip
ELEMENTWISE = LINEAR | SQUASHING | OTHERS
SHAPING = {"reshape", "broadcast_in_dim", "squeeze", "expand_dims", "add", "mul", "convert_element_type", "copy"}
ROOTS = {"sqrt", "rsqrt"}


def called(equation: Any) -> Any:
    """The program that an equation calls, with its constants; None if it calls none."""
    if equation.primitive.name not in CALLING:
        return None
    for name in CALLS:
        inner = equation.params.get(name)
        if isinstance(inner, core.ClosedJaxpr):
            return inner
        if isinstance(inner, core.Jaxpr):
            return core.ClosedJaxpr(inner, ())
    return None


class Part(NamedTuple):
    """Equations of a program, and its outputs."""

    eqns: Sequence[Any]
    outvars: Sequence[Any]


def activations(jaxpr: Part, depends: Callable[[Any], bool]) -> dict[int, str]:
    """Index of each equation whose output is a neuron, and the name of its function.

    A cluster is what is computed element by element from one array, its root, with whatever does not depend on the
    inputs. Its neurons are its last non-linear values, and those used outside of it, with what numbers they are
    multiplied by or added to.

    Args:
        jaxpr: the program.
        depends: whether a variable depends on the inputs.
    """
    root: dict[Any, Any] = {}
    kinds: dict[int, set[str]] = {}
    curved: dict[int, bool] = {}
    consumers: dict[Any, list[int]] = {}
    inside: dict[int, bool] = {}
    for k, equation in enumerate(jaxpr.eqns):
        arrays = [v for v in equation.invars if depends(v)]
        for v in arrays:
            consumers.setdefault(v, []).append(k)
        roots = {root.get(v, v) for v in arrays}
        inner = _kinds(equation, depends) if len(equation.outvars) == 1 and len(roots) == 1 else None
        out = equation.outvars[0]
        shape = next(iter(roots)).aval.shape if len(roots) == 1 else None
        inside[k] = inner is not None and np.prod(out.aval.shape) > 0 and out.aval.shape == shape
        if inner is None or not inside[k]:
            continue
        root[out] = next(iter(roots))
        kinds[k], curved[k] = inner

    used = {v for v in jaxpr.outvars if not isinstance(v, core.Literal)}
    needed: dict[Any, bool] = {}
    for k in reversed(range(len(jaxpr.eqns))):
        if inside[k]:
            out = jaxpr.eqns[k].outvars[0]
            needed[out] = any(
                inside[c] and root[jaxpr.eqns[c].outvars[0]] is root[out]
                and (curved[c] or needed.get(jaxpr.eqns[c].outvars[0], False))
                for c in consumers.get(out, ())
            )  # fmt: skip

    found: dict[int, str] = {}
    made_of: dict[Any, set[str]] = {}
    for k, equation in enumerate(jaxpr.eqns):
        if not inside[k]:
            continue
        out = equation.outvars[0]
        made_of[out] = kinds[k].union(*(made_of.get(v, set()) for v in equation.invars if depends(v)))
        if k in found:
            made_of[out] = set()
        if not curved[k]:
            continue
        outside = out in used or any(
            not inside[c] or root[jaxpr.eqns[c].outvars[0]] is not root[out] for c in consumers.get(out, ())
        )
        if out not in used and all(jaxpr.eqns[c].primitive.name == "stop_gradient" for c in consumers.get(out, ())):
            continue  # a guard against overflow, or nothing
        real = np.issubdtype(out.aval.dtype, np.floating) or str(out.aval.dtype) == "bfloat16"
        squashes = bool(made_of[out] & SQUASHING) and equation.primitive.name != "log"  # of |Σ exp|
        if real and squashes and (outside or not needed[out]) and not _only_under_roots(out, jaxpr, consumers, used):
            last = _scaled(k, jaxpr, consumers, inside, curved, used)
            found[last] = name_of(equation)
            made_of[out] = set()  # what follows is made of this neuron, and a neuron only if it bends again
    return found


def _scaled(
    k: int, jaxpr: Any, consumers: dict[Any, list[int]], inside: dict[int, bool], curved: dict[int, bool], used: set
) -> int:
    """The last equation after k that only shifts, scales or converts by numbers what nothing else reads."""
    out = jaxpr.eqns[k].outvars[0]
    readers = consumers.get(out, [])
    if out in used or len(readers) != 1:
        return k
    after = jaxpr.eqns[readers[0]]
    alone = all(v is out or isinstance(v, core.Literal) for v in after.invars)
    plain = alone and inside[readers[0]] and not curved[readers[0]] and called(after) is None
    return _scaled(readers[0], jaxpr, consumers, inside, curved, used) if plain else k


def name_of(equation: Any) -> str:
    """What the function of an equation is called."""
    inner = called(equation)
    within = equation.primitive.name if inner is None else inner.jaxpr.debug_info.func_name.split(" ")[0]
    name = str(equation.params.get("name", within)).lstrip("_")
    return {"max": "relu", "logistic": "sigmoid", "mul": "activation", "select_n": "activation"}.get(name, name)


def _kinds(equation: Any, depends: Callable[[Any], bool]) -> tuple[set[str], bool] | None:
    """The primitives that an element-wise equation is made of, and whether it is not linear; None for any other."""
    name, inner = equation.primitive.name, called(equation)
    if inner is None:
        if name not in ELEMENTWISE or _is_identity(equation):
            return None
        if name == "select_n" and not depends(equation.invars[0]):
            return set(), False  # a mask that is no function of the inputs
        if name in ("mul", "div"):
            both = sum(depends(v) for v in equation.invars) == 2
            curved = both or (name == "div" and depends(equation.invars[1]))
        else:
            curved = name not in LINEAR
        return ({name} if curved else set()), curved
    if name in ("scan", "while", "cond", "custom_root", "custom_linear_solve"):
        return None
    moving = {v for v, given in zip(inner.jaxpr.invars, equation.invars, strict=True) if depends(given)}
    shape, curved = equation.outvars[0].aval.shape, False
    kinds: set[str] = set()
    for eqn in inner.jaxpr.eqns:
        if not any(v in moving for v in eqn.invars if not isinstance(v, core.Literal)):
            continue
        part = _kinds(eqn, lambda v: not isinstance(v, core.Literal) and v in moving)
        if part is None or len(eqn.outvars) != 1 or eqn.outvars[0].aval.shape != shape:
            return None
        moving.add(eqn.outvars[0])
        kinds, curved = kinds | part[0], curved or part[1]
    return kinds, curved


def _is_identity(equation: Any) -> bool:
    """max(-∞, x), which the largest of an array leaves behind."""
    values = [v.val for v in equation.invars if isinstance(v, core.Literal) and np.ndim(v.val) == 0]
    return equation.primitive.name == "max" and any(np.isneginf(v) for v in values)


def _only_under_roots(out: Any, jaxpr: Any, consumers: dict[Any, list[int]], used: set) -> bool:
    """Whether a value only guards roots and divisions, as the variances and lengths of a normalisation do."""
    if out in used or not consumers.get(out):
        return False
    for k in consumers[out]:
        equation = jaxpr.eqns[k]
        if equation.primitive.name in ROOTS or (equation.primitive.name == "div" and equation.invars[0] is not out):
            continue
        if equation.primitive.name not in SHAPING or not _only_under_roots(equation.outvars[0], jaxpr, consumers, used):
            return False
    return True
