"""The documentation: its pages run, its site builds, and what it shows is what the package and the studies hold."""

import html
import importlib
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import jax
import pytest

import nnthermo as nt

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "site").rglob("*.md"))
INTERNAL = {"linalg", "experiments"}
"""Sub-packages whose names are not for users."""


def blocks(page):
    """Python of a page, each block with the line on which it starts."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [(text[: block.start(1)].count("\n"), block[1]) for block in found]


@pytest.fixture
def as_users_have_it():
    """JAX's defaults: single precision, standard promotion."""
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.slow
def test_every_python_block_runs(as_users_have_it):
    written = [page for page in PAGES if blocks(page)]
    assert len(written) >= 8
    for page in written:
        names = {"__name__": page.stem}
        for line, code in blocks(page):
            exec(compile("\n" * line + code, str(page), "exec"), names)


def test_no_python_block_is_left_out():
    """Every fence that starts with ```py is one that is run: none is indented, and none has options."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert len(blocks(page)) == len(re.findall(r"```\s*py", text)), page.name


@pytest.fixture(scope="module")
def generate():
    """The modules that make pages, which import each other by their names."""
    sys.path.insert(0, str(ROOT / "docs" / "generate"))
    try:
        yield {
            name: importlib.import_module(name) for name in ("reference", "equations", "results", "tables", "formulas")
        }
    finally:
        sys.path.pop(0)


def exported():
    """Public objects as Python sees them, by every name they have."""
    names = {f"nnthermo.{name}": getattr(nt, name) for name in dir(nt) if not name.startswith("_")}
    folders = sorted(path.parent.name for path in (ROOT / "nnthermo").glob("*/__init__.py"))
    for package in (name for name in folders if name not in INTERNAL):
        module = importlib.import_module(f"nnthermo.{package}")
        listed = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
        names |= {f"{module.__name__}.{name}": getattr(module, name) for name in listed}
    plotting = importlib.import_module("nnthermo.plotting")
    drawn = {k: v for k, v in vars(plotting).items() if callable(v) and not k.startswith("_")}
    names |= {f"nnthermo.plotting.{k}": v for k, v in drawn.items() if v.__module__ == "nnthermo.plotting"}
    return {k: v for k, v in names.items() if not isinstance(v, ModuleType)}


def found(path):
    """The object at a dotted path: a name in a module, or a method of a class there."""
    module, _, name = path.rpartition(".")
    holder = found(module) if module.rpartition(".")[2][:1].isupper() else importlib.import_module(module)
    return getattr(holder, name)


def test_the_reference_has_every_public_name_once(generate):
    pages = generate["reference"].pages()
    documented = [path for text in pages.values() for path in re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE)]
    assert len(documented) == len(set(documented))
    shown = [found(path) for path in documented]
    for name, thing in exported().items():
        assert sum(other is thing for other in shown) == 1, name
    known = {id(thing) for thing in exported().values()}
    assert [path for path, thing in zip(documented, shown, strict=True) if id(thing) not in known] == []


def test_every_equation_has_its_verdict_and_a_function_that_exists(generate):
    equations = generate["equations"]
    audit = json.loads((ROOT / "docs" / "audit" / "audit.json").read_text(encoding="utf-8"))["equations"]
    rows = equations.rows()
    assert list(rows) == [entry["number"] for entry in audit]
    for entry in audit:
        assert rows[entry["number"]].verdict == entry["verdict"]
        assert html.unescape(rows[entry["number"]].printed) == entry["printed"]
    for row in rows.values():
        if row.code:
            assert found(equations.target(row.code)).__doc__, row.number
    shown = "".join((ROOT / "docs" / "site" / "theory" / f"{page}.md").read_text() for page in equations.PAGES.values())
    assert re.findall(r"<!-- equations (\d+) -->", shown) == [str(section) for section in equations.PAGES]


def test_the_tables_of_results_are_those_of_the_files(generate):
    results = generate["results"]
    assert set(results.studies()) == {path.parent.name for path in (ROOT / "docs").glob("*/report.html")}
    for study in results.studies():
        told = json.loads((ROOT / "docs" / study / ("audit.json" if study == "audit" else "results.json")).read_text())
        assert told["command"] in results.listing()
        if study == "audit":
            assert all(f"{n} {verdict}" in results.outcome() for verdict, n in told["tally"].items() if n)
            continue
        table = results.table(study)
        assert all(statement["claim"] in table for statement in told["statements"]), study
        agreeing = sum(statement["verdict"] == "agrees" for statement in told["statements"])
        assert f"{agreeing} agrees" in results.summary(study) or not agreeing
    five = results.five_data().splitlines()[2:]
    for study, column in zip(
        generate["tables"].FIVE, zip(*(row.split(" | ")[1:] for row in five), strict=True), strict=True
    ):
        told = results.results(study)["statements"]
        assert [verdict.removesuffix(" |") for verdict in column] == [statement["verdict"] for statement in told]


def test_every_study_has_a_finding_and_every_finding_a_page_with_its_tables(generate):
    results = generate["results"]
    of = {study for finding in results.FINDINGS for study in finding.studies}
    assert of | set(generate["tables"].FIVE) == set(results.studies())
    for finding in results.FINDINGS:
        page = (ROOT / "docs" / "site" / finding.page).read_text(encoding="utf-8")
        shown = re.findall(r"^<!-- table (\w+) -->$", page, flags=re.MULTILINE)
        assert shown == [study for study in finding.studies if study != "audit"], finding.page


FORMULAS = {
    "g_ab": "g<sub>ab</sub>",
    "Γ^a_bc": "Γ<sup>a</sup><sub>bc</sub>",
    "∫_0^β": "∫<sub>0</sub><sup>β</sup>",
    "g_cd,n": "g<sub>cd,n</sub>",
    "R_ab, which": "R<sub>ab</sub>, which",
    "⟨∂_θH⟩dθ": "⟨∂<sub>θ</sub>H⟩dθ",
    "N_&gt;/2β": "N<sub>&gt;</sub>/2β",
    "Σ_(k≥2) |A^k|²": "Σ<sub>k≥2</sub> |A<sup>k</sup>|²",
    "λ^((2-k)/3)": "λ<sup>(2-k)/3</sup>",
    "x̄_k, Ĝ_ij, v_kv_l": "x̄<sub>k</sub>, Ĝ<sub>ij</sub>, v<sub>k</sub>v<sub>l</sub>",
    "sinh^{2/3} x": "sinh<sup>2/3</sup> x",
    "N^-1.09, 10^-3.": "N<sup>-1.09</sup>, 10<sup>-3</sup>.",
}
"""As written, and as the site sets it."""


def test_indices_are_set_and_names_are_left_alone(generate):
    for written, shown in FORMULAS.items():
        assert generate["formulas"].indices(written) == shown
    for name in ("log_det", "nt.on_data", "check_one_state", "gravity.de_sitter", "x86_64", "one_network", "two_level"):
        assert generate["formulas"].indices(name) == name


def test_the_committed_reports_are_what_their_numbers_give(tmp_path):
    """To the byte, with the pictures that they have; `python docs/reports.py` writes them again."""
    docs = ROOT / "docs"
    copied = shutil.copytree(docs, tmp_path / "docs", ignore=shutil.ignore_patterns("*.nc", "site", "figures"))
    spec = importlib.util.spec_from_file_location("reports", docs / "reports.py")
    reports = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reports)
    for results in sorted(copied.glob("*/results.json")):
        study = results.parent
        reports.written(study, study)
        assert (study / "report.html").read_bytes() == (docs / study.name / "report.html").read_bytes(), study.name
        leads_to = re.findall(r'href="(\.\.[^"]+)"', (study / "report.html").read_text(encoding="utf-8"))
        assert len(leads_to) == len(list(docs.glob("*/report.html"))) - 1
        assert all((study / link).is_file() for link in leads_to)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `mkdocs build --strict` builds it."""
    pytest.importorskip("mkdocs_autorefs")
    pytest.importorskip("mkdocstrings_handlers.python")
    pytest.importorskip("material")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    config.plugins.on_shutdown()
    return folder


@pytest.mark.slow
def test_the_site_builds_and_its_links_lead_somewhere(site, generate):
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html") if "studies" not in path.parts}
    ids = {path: set(re.findall(r'\sid="([^"]+)"', text)) for path, text in pages.items()}
    for path, text in pages.items():
        if path.name == "404.html":
            continue
        for link in re.findall(r'\s(?:href|src)="([^"]+)"', text):
            target, _, anchor = html.unescape(link).partition("#")
            if "://" in target or target.startswith(("mailto:", "data:")):
                continue
            there = (path.parent / target).resolve() if target else path
            assert there.is_file(), f"{path.relative_to(site)}: {link}"
            assert not anchor or there not in ids or anchor in ids[there] | {"__codelineno-0-1"}, f"{path.name}: {link}"
    for report in site.glob("studies/*/report.html"):
        links = re.findall(r'href="(\.\.[^"]+)"', report.read_text(encoding="utf-8"))
        assert links[0] == "../../studies.html"
        assert all((report.parent / link).is_file() for link in links)
    reference = [path for path in pages if path.parent.name == "reference"]
    for name in generate["reference"].names():
        holders = [path for path in reference if name.path in ids[path]]
        assert len(holders) == 1, name
        assert name.public in ids[holders[0]], name
    for row in generate["equations"].rows().values():
        page = site / "theory" / f"{generate['equations'].PAGES[row.section]}.html"
        assert row.anchor in ids[page], row.number
    report = (site / "studies" / "audit" / "report.html").read_text(encoding="utf-8")
    judged = set(re.findall(r'href="\.\./studies/audit/report\.html#([^"]+)"', "".join(pages.values())))
    assert judged <= set(re.findall(r'\sid="([^"]+)"', report))
    assert len(judged) == generate["equations"].audit()["count"]


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        tags = re.findall(r"<(?:script|img|iframe|source|video|link)\s[^>]*>", text)
        loaded = [link for tag in tags for link in re.findall(r'\s(?:src|href)="?([^\s">]+)', tag)]
        assert [link for link in loaded if link.startswith(("http", "//"))] == [], path.name
    for sheet in (path for kind in ("*.css", "*.html") for path in site.rglob(kind)):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text), sheet.name
