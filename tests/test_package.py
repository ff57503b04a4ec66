"""The package as a whole: what importing it costs, its public names, its version, and which way its imports point."""

import ast
import importlib
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nnthermo as nt

PACKAGE = Path(nt.__file__).parent
ROOT = PACKAGE.parent

# A module imports from lower levels only. Modules of one level never import each other; those of level 3 are two steps,
# what is defined on a network or a matrix, and what is derived from it. A sub-package is one node, whose own modules
# may share helpers.
LEVELS = (
    {"_typing", "_checks", "_pytree"},
    {"linalg", "devices"},
    {"network"},
    {"loss", "ensemble", "spectrum", "mechanics", "gravity"},
    {"relaxation", "canonical", "thermodynamics", "laplacians", "skewness", "spectral_estimates"},
    {"equilibrium", "laws", "entropy_dynamics"},
    {"objective", "approximation"},
    {"architecture", "neuron_number", "emergent_spacetime"},
    {"observables"},
    {"observers", "history", "stopping", "sparsity", "descent", "checkpoint", "data", "plotting"},
    {"recording", "run"},
    {"training"},
    {"experiments"},
    {"__main__"},
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
LOWEST = {"_typing": 0, "_checks": 1, "_pytree": 1}  # aliases below what uses them, inside level 0


def node(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def files():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported(path):
    """Dotted names of the package's modules that a file imports, at the top or inside functions."""
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names if alias.name.split(".")[0] == "nnthermo")
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{path}: a relative import hides where it points"
            if statement.module and statement.module.split(".")[0] == "nnthermo":
                for alias in statement.names:
                    yield f"{statement.module}.{alias.name}"


def modules_of(dotted):
    """The file that a dotted name of the package comes from, without the `nnthermo` in front; "" is the package."""
    parts = dotted.split(".")[1:]
    while parts and not ((PACKAGE / Path(*parts)).is_dir() or (PACKAGE / Path(*parts)).with_suffix(".py").is_file()):
        parts.pop()
    return ".".join(parts)


def test_every_module_has_a_level():
    unknown = {node(path) for path in files()} - set(LEVEL)
    assert not unknown, f"give these modules a level: {sorted(unknown)}"


def test_imports_go_downwards_only():
    wrong = []
    for path in files():
        here = node(path)
        for dotted in imported(path):
            there = modules_of(dotted).split(".")[0]
            if there == here:
                continue
            if there == "":  # the package itself stands above all but what uses it as anyone would
                allowed = LEVEL[here] >= LEVEL["experiments"]
            elif LEVEL[here] == LEVEL[there] == 0:
                allowed = LOWEST[there] < LOWEST[here]
            else:
                allowed = LEVEL[there] < LEVEL[here]
            if not allowed:
                wrong.append(f"{path.relative_to(ROOT)} imports {dotted}")
    assert not wrong, "\n".join(wrong)


def test_no_cycles_inside_a_subpackage():
    graph = {}
    for path in files():
        dotted = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        graph[dotted] = {modules_of(name) for name in imported(path)} - {"", dotted}
    remaining = dict(graph)
    while leaves := [name for name, needs in remaining.items() if not needs & set(remaining)]:
        for name in leaves:
            del remaining[name]
    assert not remaining, f"in or above a cycle: {sorted(remaining)}"


def test_studies_know_nothing_of_each_other():
    experiments = PACKAGE / "experiments"
    studies = {path.name for path in experiments.iterdir() if (path / "__init__.py").is_file()}
    assert {"reproduce", "audit"} <= studies
    for study in studies:
        for path in (experiments / study).rglob("*.py"):
            others = {dotted.split(".")[2] for dotted in imported(path) if dotted.startswith("nnthermo.experiments.")}
            assert not others & studies - {study}, path


def test_the_level_test_sees_an_upward_import():
    """The reader of imports itself, on a file that exists: training imports observables, not the other way round."""
    names = {modules_of(dotted) for dotted in imported(PACKAGE / "training.py")}
    assert {"observables", "network.given", "loss", "checkpoint", "_checks"} <= names
    assert modules_of("nnthermo.train") == ""
    assert modules_of("nnthermo.ensemble.hessian.bulk_hessian") == "ensemble.hessian"


HEAVY = (
    *("flax", "optax", "matplotlib", "orbax", "pandas", "sklearn", "mlxtend", "tensorflow_datasets"),
    *("xarray", "typer", "rich", "tqdm", "jinja2", "h5netcdf", "h5py", "tensorboardX", "scipy.stats", "diffrax"),
)


def in_a_process(code):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def first_example():
    """The public names of the README's first example."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"\bnt\.(\w+)", text.split("```python\n")[1].split("```")[0])))


def test_importing_loads_little():
    """`import nnthermo` brings none of its modules; the README's first example, jax and nothing heavy.

    No module makes an array when it is imported, which may happen while a function is traced: it would stay a tracer.
    """
    code = f"""
import sys
before = set(sys.modules)
import nnthermo
assert "jax" not in sys.modules
assert [name for name in sys.modules if name.startswith("nnthermo")] == ["nnthermo"]
import jax
settings = dict(jax.config.values)
[getattr(nnthermo, name) for name in {first_example()!r}]
print(*(name for name in {HEAVY!r} if name in sys.modules and name not in before))
[getattr(nnthermo, name) for name in dir(nnthermo)]
assert dict(jax.config.values) == settings, "global settings changed"
import jax._src.xla_bridge as bridge
assert not bridge.backends_are_initialized()
"""
    assert "FeedForward" in first_example()
    assert in_a_process(code) == []


def test_names_can_be_asked_for_first_inside_of_a_traced_function():
    """Their modules are imported while JAX traces, and leave no tracer behind; a star brings all of them too."""
    code = """
import jax, jax.numpy as jnp, nnthermo as nt
def entropy(w):
    net = nt.FeedForward([w], [jnp.zeros(2)], activation=jnp.tanh)
    return nt.measure(net, net.propagate(jnp.ones(3)), 1.0).entropy
traced = float(jax.jit(entropy)(jnp.ones((2, 3))))
assert abs(traced - float(entropy(jnp.ones((2, 3))))) < 1e-4, "rounding of a sum of ten float32"
from nnthermo import *
assert bulk_hessian is nt.bulk_hessian and mechanics.Grid
"""
    assert in_a_process(code) == []


def test_the_core_works_without_the_heavy_packages():
    code = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None
import jax, jax.numpy as jnp, nnthermo as nt
net = nt.FeedForward.init(jax.random.key(0), (3, 2), activation=jnp.tanh)
x = net.propagate(jnp.ones(3))
print(float(nt.measure(net, x, 1.0).free_energy) == float(nt.measure(net, x, 1.0).free_energy))
"""
    assert in_a_process(code) == ["True"]


def public_names():
    return [name for name in nt.__dir__() if not name.startswith("_")]


@pytest.mark.parametrize("name", public_names())
def test_every_public_name_resolves(name):
    if name == "plotting":
        pytest.importorskip("matplotlib")
    value = getattr(nt, name)
    assert value is getattr(nt, name)
    if getattr(value, "__module__", "").startswith("nnthermo"):
        assert value.__doc__, f"{name} has no docstring"


def test_public_names_are_those_of_the_design():
    promised = """Septuple FeedForward boundary_loss bulk_loss relax bulk_hessian log_partition free_energy
        average_loss entropy heat_capacity log_eigenvalues complexity thermodynamic_entropy displaced_count
        measure mean_state relaxed_bulk_loss train TrainResult Checkpoint log_spaced_epochs
        mean_loss laplacian weight_laplacian"""
    missing = set(promised.split()) - set(public_names())
    assert not missing, sorted(missing)


def test_unknown_names_are_refused_as_python_does():
    with pytest.raises(AttributeError, match="module 'nnthermo' has no attribute 'no_such_name'"):
        nt.no_such_name  # noqa: B018
    assert len(set(nt.__dir__())) == len(nt.__dir__())


def test_no_function_has_the_name_of_a_module():
    """Importing a module sets its name on the package, which would hide a function of that name."""
    for name in public_names():
        is_a_module = (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()
        assert inspect.ismodule(getattr(nt, name)) == is_a_module, name


def test_version_and_marker_of_types():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert nt.__version__ == project["version"]
    assert (PACKAGE / "py.typed").is_file()
    try:
        installed = importlib.metadata.version("nnthermo")
    except importlib.metadata.PackageNotFoundError:
        return
    assert installed == nt.__version__


@pytest.mark.parametrize(
    "command", ["mypy --no-incremental", "ruff check --no-cache .", "ruff format --no-cache --check ."]
)
def test_types_and_style_are_clean(command):
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
