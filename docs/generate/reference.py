"""The pages of the API reference: every public name once, read from the sources without importing them."""

import ast
import re
import textwrap
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "nnthermo"

PACKAGES = ("network", "relaxation", "ensemble", "canonical", "architecture", "mechanics", "gravity", "data")
"""Sub-packages whose own exports are public as well."""

CHAPTERS = {
    "Networks": ("network",),
    "Losses and relaxation": ("loss", "relaxation", "objective"),
    "Ensembles and Ĝ": ("ensemble", "approximation"),
    "Canonical ensembles": ("canonical",),
    "Thermodynamics": ("thermodynamics", "equilibrium", "laws"),
    "Spectrum": ("spectrum", "spectral_estimates", "skewness"),
    "Architecture": ("laplacians", "architecture", "entropy_dynamics", "neuron_number"),
    "Measuring and watching": ("observables", "observers", "recording", "history", "plotting"),
    "Training": ("training", "run", "stopping", "sparsity", "checkpoint", "devices", "data"),
    "Mechanics": ("mechanics",),
    "Gravity": ("gravity", "emergent_spacetime"),
}
"""Titles and their modules, in the order of the theory. What is in none of them gets a page of its own."""


class Name(NamedTuple):
    """A public name.

    Attributes:
        path: where it is defined, `nnthermo.spectrum.complexity`.
        public: what it is imported as, `nnthermo.complexity`.
    """

    path: str
    public: str

    @property
    def module(self) -> str:
        """The module that defines it."""
        return self.path.rpartition(".")[0]

    @property
    def shown(self) -> str:
        """As code writes it: `nt.complexity`, `mechanics.Grid`."""
        short = self.public.removeprefix("nnthermo.")
        return short if "." in short else f"nt.{short}"


def _tree(dotted: str) -> ast.Module:
    return ast.parse(_file(dotted).read_text(encoding="utf-8"))


def _file(dotted: str) -> Path:
    path = ROOT / Path(*dotted.split("."))
    if path == PACKAGE:
        return path / "__init__.pyi"  # where its public names are listed
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _exports(dotted: str) -> dict[str, str]:
    """Names that a package's `__init__` brings in, with the module each is taken from."""
    found = {}
    for statement in _tree(dotted).body:
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("nnthermo."):
            found |= {a.asname or a.name: statement.module for a in statement.names if not a.name.startswith("_")}
    return found


def _defined(dotted: str) -> dict[str, ast.stmt]:
    """What a module defines at its top, by name."""
    found: dict[str, ast.stmt] = {}
    for statement in _tree(dotted).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found |= {target.id: statement for target in targets if isinstance(target, ast.Name)}
    return found


def _home(dotted: str, name: str) -> str:
    """The module that defines a name, followed through the modules that only pass it on."""
    while name not in _defined(dotted):
        dotted = _exports(dotted)[name]
    return dotted


@cache
def names() -> tuple[Name, ...]:
    """Every public name once, by the shortest name it has."""
    found: dict[str, Name] = {}
    for package in ("nnthermo", *(f"nnthermo.{name}" for name in PACKAGES)):
        for name, module in _exports(package).items():
            path = f"{_home(module, name)}.{name}"
            found.setdefault(path, Name(path, f"{package}.{name}"))
    for name, statement in _defined("nnthermo.plotting").items():
        if isinstance(statement, ast.FunctionDef) and not name.startswith("_"):
            found[f"nnthermo.plotting.{name}"] = Name(f"nnthermo.plotting.{name}", f"nnthermo.plotting.{name}")
    return tuple(found.values())


def where(public: str) -> str:
    """Where a public name is defined; the same again for what is none."""
    return next((name.path for name in names() if name.public == public), public)


@cache
def docstring(path: str) -> str:
    """The docstring of a public name; "" for a constant, whose text griffe reads itself."""
    module, _, name = path.rpartition(".")
    statement = _defined(module)[name]
    return ast.get_docstring(statement) or "" if isinstance(statement, ast.FunctionDef | ast.ClassDef) else ""


def chapters() -> dict[str, tuple[str, ...]]:
    """`CHAPTERS`, and a chapter for each module with public names that is in none of them."""
    known = {module for modules in CHAPTERS.values() for module in modules}
    parts = dict.fromkeys(name.path.split(".")[1] for name in names())
    return CHAPTERS | {part.replace("_", " ").capitalize(): (part,) for part in parts if part not in known}


def slug(title: str) -> str:
    """The file name of a chapter."""
    return re.sub(r"\W+", "-", title.replace("Ĝ", "g").lower()).strip("-")


def pages() -> dict[str, str]:
    """Markdown of each page, by its file; the first is the index."""
    made = {f"reference/{slug(title)}.md": _page(title, modules) for title, modules in chapters().items()}
    return {"reference/index.md": _index(), **made}


def nav() -> list[dict[str, str]]:
    """The pages as entries of the navigation."""
    return [{"Overview": "reference/index.md"}, *({title: f"reference/{slug(title)}.md"} for title in chapters())]


def _of(modules: tuple[str, ...]) -> dict[str, list[Name]]:
    """Public names of top-level modules by the module that defines them, in the order of the sources."""
    found: dict[str, list[Name]] = {}
    for part in modules:
        inside = [name for name in names() if name.path.split(".")[1] == part]
        for name in inside:
            found.setdefault(name.module, []).append(name)
    return found


def _index() -> str:
    lines = ["# API reference", "", "`import nnthermo as nt`. Names of the package itself are written `nt.…`; those of"]
    lines += ["sub-packages with the sub-package: `from nnthermo import mechanics, gravity, plotting, data`.", ""]
    for title, modules in chapters().items():
        lines += [f"## [{title}]({slug(title)}.md)", ""]
        for module, inside in _of(modules).items():
            links = ", ".join(f"[`{name.shown}`][{name.path}]" for name in inside)
            lines += [f"- {_sentence(module)} {links}"]
        lines += [""]
    return "\n".join(lines)


def _page(title: str, modules: tuple[str, ...]) -> str:
    lines = [f"# {title}", ""]
    for part in modules:
        package = f"nnthermo.{part}"
        if _file(package).name == "__init__.py":
            lines += [_tables(ast.get_docstring(_tree(package)) or ""), ""]
        for module, inside in _of((part,)).items():
            lines += [f"## {module.removeprefix('nnthermo.')}", ""]
            if module != package or _file(package).name != "__init__.py":
                lines += [ast.get_docstring(_tree(module)) or "", ""]
            for name in inside:
                # a second anchor, by the name that users import
                lines += [f'<span id="{name.public}"></span>', ""] if name.public != name.path else []
                lines += [f"::: {name.path}", "    options:", f'      heading: "{name.shown}"', ""]
    return "\n".join(lines)


def _tables(text: str) -> str:
    """A docstring whose tables, two columns between rulers, are those of Markdown."""

    def table(found: re.Match[str]) -> str:
        width = found[1].index(" =") + 1
        rows: list[list[str]] = []
        for line in textwrap.dedent(found[0]).splitlines()[1:-1]:
            first, second = line[:width].strip(), line[width:].strip()
            if first:
                rows.append([first, second])
            else:
                rows[-1][1] += f" {second}"
        return "\n".join(["| | |", "|---|---|", *(f"| {first} | {second} |" for first, second in rows)])

    return re.sub(r"^ *(=+ +=+)\n(?:.*\n)*? *\1$", table, text, flags=re.MULTILINE)


def _sentence(module: str) -> str:
    text = (ast.get_docstring(_tree(module)) or "").split("\n\n")[0].replace("\n", " ")
    return f"{text.rstrip('.:')}:"
