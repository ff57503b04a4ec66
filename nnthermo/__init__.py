"""nnthermo: the statistical mechanics of learning as differentiable JAX functions.

A network, a state and a Hessian Ĝ; from Ĝ the partition function, and everything else by differentiation. Follows
V. Vanchurin, *Towards a theory of machine learning*, arXiv:2004.09280; equation numbers are those of that paper.

The public names are listed in `__init__.pyi`, and each is imported when it is first asked for: `import nnthermo` costs
little more than `import jax`, and what is not used is not loaded.
"""

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_MODULE = {  # of each public name; a sub-package is listed as coming from the package itself
    alias.name: statement.module
    for statement in ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    if isinstance(statement, ast.ImportFrom) and statement.module
    for alias in statement.names
}

__all__ = list(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'nnthermo' has no attribute {name!r}")
    if _MODULE[name] == "nnthermo":
        return importlib.import_module(f"nnthermo.{name}")
    value = globals()[name] = getattr(importlib.import_module(_MODULE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*_MODULE, *(name for name in globals() if name.startswith("__"))})
