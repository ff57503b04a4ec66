"""`nnthermo audit`: the verdict on each equation, errors put into the closed forms are seen, report, command line."""

import base64
import copy
import io
import json
import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from pages import Page

import nnthermo as nt
from nnthermo import _checks, gravity, mechanics
from nnthermo.experiments import page as shared
from nnthermo.experiments.audit import EQUATIONS, audit, audit_one, flow, forms, grids, paths, report, terminal
from nnthermo.experiments.audit.entry import KINDS, ROLES, VERDICTS, Check, Equation, judge
from nnthermo.experiments.audit.figures import FIGURES
from nnthermo.experiments.audit.systems import Systems

COUNTS = {2: 11, 3: 4, 4: 10, 5: 14, 6: 8, 7: 11, 8: 12, 9: 11, 10: 5, 11: 9, 12: 14}

EXPECTED = {
    "exact": "2.2 2.3 2.9 4.6 4.7 4.8 4.9 4.10 5.1 5.2 5.11 5.14 6.1 6.4 6.5 7.2 7.3 7.4 9.1 9.2 9.3 9.10 9.11 "
    "10.3 10.4 12.1",
    "exact with a condition": "2.1 2.7 2.11 4.3 6.3 7.7 7.8 7.10 7.11 8.8 8.10 9.7 11.1 11.2 11.5 11.6 11.9 12.3 12.6 "
    "12.8 12.12",
    "approximate": "5.8 5.9 5.13 6.6 6.7 6.8 7.9 8.12 9.4 10.1 10.2",
    "definition": "2.4 2.5 2.6 3.1 3.2 3.3 4.1 4.4 4.5 5.3 5.4 5.6 5.7 6.2 8.2 8.3 8.7 9.5 9.6 10.5 11.3 11.8 12.4 "
    "12.5 12.11 12.13 12.14",
    "postulate": "7.6 11.4",
    "misprint": "2.8 2.10 3.4 4.2 5.10 5.12 7.1 7.5 8.9 8.11 12.2 12.7",
    "wrong": "5.5 8.1 8.4 8.5 8.6 9.8 9.9 11.7 12.9 12.10",
}
VERDICT = {number: verdict for verdict, numbers in EXPECTED.items() for number in numbers.split()}


def test_every_numbered_equation_is_there_once_and_in_order():
    by_section = {section: [n for n in EQUATIONS if n.startswith(f"{section}.")] for section in COUNTS}
    assert by_section == {s: [f"{s}.{k}" for k in range(1, n + 1)] for s, n in COUNTS.items()}
    assert list(EQUATIONS) == [n for numbers in by_section.values() for n in numbers]
    assert len(EQUATIONS) == len(VERDICT) == 109
    assert set(VERDICT) == set(EQUATIONS)
    assert set(FIGURES) <= set(EQUATIONS)


def test_every_equation_names_public_code():
    owners = {"nt": (nt,), "net": (nt.FeedForward, nt.Septuple), "spectrum": (nt.LogSpectrum,)}
    owners |= {"mechanics": (mechanics,), "gravity": (gravity,)}
    for equation in EQUATIONS.values():
        assert equation.kind in KINDS
        assert equation.fault in ("misprint", "wrong")
        if equation.number in ("8.3", "8.7"):  # entropies of distributions over weights
            continue
        owner, _, name = equation.code.partition(".")
        assert all(hasattr(place, name) for place in owners[owner]), f"{equation.number}: {equation.code}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "out"
    told = []
    results = audit(folder, seed=0, command="nnthermo audit", report=told.append)
    return folder, results, told


@pytest.mark.slow
def test_the_verdicts(finished):
    _, results, told = finished
    assert {e["number"]: e["verdict"] for e in results["equations"]} == VERDICT
    assert [entry.equation.number for entry in told] == list(EQUATIONS)
    assert results["count"] == sum(results["tally"].values()) == 109
    assert list(results["tally"]) == [v for v in VERDICTS if v in EXPECTED]


@pytest.mark.slow
def test_numbers_behind_the_verdicts(finished):
    """Every misprint and error is shown by a number that fails, beside a corrected form that holds."""
    _, results, _ = finished
    for equation in results["equations"]:
        checks, verdict = equation["checks"], equation["verdict"]
        failing = {role: [c for c in checks if c["role"] == role and not c["holds"]] for role in ROLES}
        assert all(c["reason"] and c["label"] for c in checks)
        assert not failing["right"]
        assert not failing["law"]
        if verdict in ("misprint", "wrong"):
            assert failing["printed"]
            assert equation["right"]
        if verdict in ("exact", "definition"):
            assert not failing["printed"]
        assert bool(failing["outside"]) == (verdict == "exact with a condition")
        if verdict == "exact with a condition":
            assert equation["condition"]
        for c in (c for c in checks if not c["holds"] and c["relation"] == "="):  # by far more than what is allowed
            assert abs(c["value"] - c["expected"]) > 2 * c["tolerance"]


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_verdicts_do_not_hang_on_the_networks(seed):
    systems = Systems(seed)
    assert {n: e.audit(systems).verdict for n, e in EQUATIONS.items()} == VERDICT


def minus_form(G, a, beta, m=0.0):
    return -forms_before["mean_form"](G, a, beta, m)


def without_half(G, beta, m=0.0, centre=None):
    return 2 * forms_before["log_partition"](G, beta, m, centre)


def without_2_pi(G, beta, m=0.0, centre=None):
    return forms_before["log_partition"](G, beta, m, centre) - 0.5 * len(G) * forms.LOG_2PI


forms_before = {name: getattr(forms, name) for name in dir(forms)}
paths_before = {name: getattr(paths, name) for name in dir(paths)}
mechanics_before = {name: getattr(mechanics, name) for name in dir(mechanics)}


def backwards(psi, times=paths.TIMES):
    return tuple(values.conj() for values in paths_before["wave"](psi.conj(), times))


def phase_without_quarter(path):
    return paths_before["wave_of"](path._replace(phase=4 * path.phase, phase_rate=4 * path.phase_rate))


def of_library(name, change, **given):
    """A function of the library with its result changed, or its keywords by factors."""

    def changed(*arguments, **keywords):
        keywords |= {key: factor * keywords[key] for key, factor in given.items()}
        return change(mechanics_before[name](*arguments, **keywords))

    return (mechanics, name, changed)


PLANTED = {
    "wrong sign of the mean term": (forms, "mean_form", minus_form, "5.9 5.11"),
    "B transposed": (forms, "hessian", lambda B: B @ B.T, "5.5 5.6 5.9"),
    "A transposed": (forms, "links", lambda net, x: forms_before["links"](net, x).T, "5.5 5.6 5.9"),
    "½ lost in log Z": (forms, "log_partition", without_half, "5.9 5.11 5.14 6.4 6.5 10.2"),
    "2π lost in log Z": (forms, "log_partition", without_2_pi, "5.9 5.11 5.14 6.4 6.5"),
    "½ lost in H": (forms, "bulk_loss", lambda *a: 2 * forms_before["bulk_loss"](*a), "3.1 3.2 3.4 5.1 5.5 5.8"),
    "slopes lost": (forms, "tanh_slope", np.ones_like, "5.5 5.6 10.4"),
    "sign of the flow": (flow, "liouville", lambda b, p: flow.derivative(flow.velocity(b) * p), "8.4 8.5 8.6"),
    "divergence lost": (flow, "liouville", flow.printed, "8.1 8.4 8.5 8.6"),
    "even terms lost": (
        forms, "two_layer_log", lambda A: np.tril(forms_before["two_layer_log"](A), -7) * np.eye(12)[::-1], "9.8",
    ),
    "third moment of the wrong sign": (forms, "third_moment", lambda A: -forms_before["third_moment"](A), "9.6"),
    "split without its error": (forms, "split_error", lambda *_: 0.0, "6.6 10.2"),
    "2π lost over R^N": (grids, "flat_log_partition", lambda n, b: -0.5 * n * np.log(b), "5.1 5.7 5.8"),
    "library: log Z of the wrong sign": (
        nt, "log_partition", lambda *a, **k: -before["log_partition"](*a, **k), "5.9 5.11 5.14"
    ),
    "library: U without its ½": (nt, "average_loss", lambda *a, **k: 2 * before["average_loss"](*a, **k), "6.1 7.5"),
    "library: boundary loss without its ½": (
        nt, "boundary_loss", lambda *a: 2 * before["boundary_loss"](*a), "2.10 2.11"
    ),
    "library: complexity of the wrong sign": (
        nt, "complexity", lambda *a, **k: -before["complexity"](*a, **k), "6.7 10.2 10.5 11.1"
    ),
    "kinetic energy without its 2": (paths, "kinetic", lambda path: paths_before["kinetic"](path) / 2, "11.7"),
    "Θ of another manifold": (paths, "constraint", lambda q=flow.Q: np.sin(q), "11.3"),
    "Laplacian of the wrong sign": (paths, "laplacian", lambda v: -paths_before["laplacian"](v), "11.6 11.7 11.9"),
    "(11.9) backwards in time": (paths, "wave", backwards, "11.9"),
    "¼ lost in the phase": (paths, "wave_of", phase_without_quarter, "11.7 11.8"),
    "library: D in place of D/2": (*of_library("fokker_planck_generator", lambda A: A, diffusion=2), "11.4 11.5"),
    "library: learning produces entropy": (
        *of_library("entropy_production", lambda rates: rates._replace(learning=-rates.learning)), "11.2 11.6"
    ),
    "library: action halved": (*of_library("stationary_entropy_production_action", lambda A: A / 2), "11.7"),
    "library: phase with ħ = 2": (*of_library("wavefunction_from_phase", lambda psi: psi, hbar=0.5), "11.8"),
    "library: ħ/M = D/2": (*of_library("schrodinger_evolve", lambda run: run, hbar=0.5), "11.9"),
    "library: β of the gap at γ = 0": (nt, "beta_from_gap", lambda x, **_: before["beta_from_gap"](x), "9.4"),
}  # fmt: skip
before = {name: getattr(nt, name) for name in dir(nt) if not name.startswith("_") and name not in ("plotting", "data")}


@pytest.mark.slow
@pytest.mark.parametrize("error", PLANTED)
def test_planted_errors_change_the_verdict(error, monkeypatch):
    place, name, replacement, numbers = PLANTED[error]
    monkeypatch.setattr(place, name, replacement)
    systems = Systems(0)
    for number in numbers.split():
        assert EQUATIONS[number].audit(systems).verdict != VERDICT[number], number


def made(*checks, kind="statement", fault="wrong", right="another"):
    equation = Equation("1.1", "a = b", right, "", "", "", kind, fault, lambda _: iter(()))
    return judge(equation, [Check("n", value, 0.0, 0.5, "r", role) for role, value in checks])


@pytest.mark.parametrize(
    ("verdict", "checks", "options"),
    [
        ("exact", [("printed", 0), ("right", 0), ("outside", 0)], {}),
        ("exact with a condition", [("printed", 0), ("outside", 1)], {}),
        ("approximate", [("printed", 1), ("law", 0)], {}),
        ("unconfirmed", [("printed", 0), ("law", 0)], {}),
        ("unconfirmed", [("printed", 1), ("law", 1)], {}),
        ("misprint", [("printed", 1), ("printed", 0), ("right", 0)], {"fault": "misprint"}),
        ("wrong", [("printed", 1), ("right", 0)], {}),
        ("unconfirmed", [("printed", 1), ("right", 1)], {}),
        ("unconfirmed", [("printed", 1)], {}),
        ("unconfirmed", [("printed", 1), ("right", 0)], {"right": None}),
        ("unconfirmed", [("right", 0)], {}),
        ("unconfirmed", [], {}),
        ("definition", [("printed", 0)], {"kind": "definition"}),
        ("misprint", [("printed", 1), ("right", 0)], {"kind": "definition", "fault": "misprint"}),
        ("postulate", [("printed", 1)], {"kind": "postulate"}),
        ("unconfirmed", [("printed", float("nan"))], {}),
        ("unconfirmed", [("printed", 0), ("right", float("nan"))], {}),
    ],
)
def test_the_rule(verdict, checks, options):
    assert made(*checks, **options) == verdict


@pytest.mark.parametrize(
    ("relation", "value", "holds"),
    [("=", 1.05, True), ("=", 1.2, False), ("≤", -9, True), ("≤", 1.2, False), ("≥", 9, True), ("≥", 0.8, False),
     ("≥", float("inf"), False), ("=", float("nan"), False)],
)  # fmt: skip
def test_checks(relation, value, holds):
    check = Check("n", value, 1.0, 0.1, "r", relation=relation)
    assert check.holds is holds
    assert check.to_json()["holds"] is holds
    json.dumps(check.to_json(), allow_nan=False)


def seen(text):
    return " ".join(Page(str(report.typeset(text))).text.split())


@pytest.mark.slow
def test_the_report_shows_everything(finished):
    folder, results, _ = finished
    assert json.loads((folder / "audit.json").read_text()) == results
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    cards = page.of("article")
    assert [card["id"] for card in cards] == [shared.slug(f"({n})") for n in EQUATIONS]
    for equation in results["equations"]:
        for part in ("printed", "right", "condition", "comment", "code"):
            assert seen(equation[part] or "") in page.text
        for check in equation["checks"]:
            shown = report.row(check)
            assert seen(check["label"]) in page.text
            assert shown["value"] in page.text
            assert shown["expected"] in page.text
    for verdict, count in results["tally"].items():
        in_errata = count if verdict in ("misprint", "wrong") else 0
        assert page.text.count(f"{VERDICTS[verdict]} {verdict}") >= count + in_errata + 1
    assert all(caveat in page.text for caveat in report.CAVEATS)
    assert "Each of the 109 numbered equations" in page.text
    assert "22 do not hold as printed" in page.text


@pytest.mark.slow
def test_the_report_loads_nothing(finished):
    folder, *_ = finished
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.of("script")
    assert not page.of("link")
    for _, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href", "srcset", "data", "action"):
            if name in attrs:
                assert attrs[name].startswith(("data:image/", "#"))
    assert "://" not in text
    assert "url(" not in text
    assert len(page.ids) == len(set(page.ids))
    assert {a["href"][1:] for a in page.of("a")} <= set(page.ids)
    images = page.of("img")
    assert len(images) == len(FIGURES)
    for number, image in zip(FIGURES, images, strict=True):
        files = [folder / "figures" / f"equation-{number.replace('.', '-')}{kind}" for kind in (".png", ".svg")]
        smallest = min(files, key=lambda f: f.stat().st_size)
        assert base64.b64decode(image["src"].split(";base64,")[1]) == smallest.read_bytes()


@pytest.mark.slow
def test_hostile_text_stays_text(finished, tmp_path):
    _, results, _ = finished
    hostile = "<script>alert('x')</script> x_<b> ^(<i>) & {{ 7 * 7 }}"
    results = copy.deepcopy(results)
    for part in ("printed", "right", "condition", "comment", "code"):
        results["equations"][0][part] = hostile
    results["equations"][0]["checks"][0]["label"] = hostile
    page = Page(report.write_report(tmp_path, results, {}).read_text(encoding="utf-8"))
    assert not page.of("script")
    assert not page.of("i")
    assert page.text.count("alert('x')") >= 6


@pytest.mark.slow
def test_unconfirmed_is_said_aloud(finished, tmp_path):
    _, results, _ = finished
    results = copy.deepcopy(results)
    results["equations"][0]["verdict"] = "unconfirmed"
    results["tally"]["unconfirmed"] = 1
    text = Page(report.write_report(tmp_path, results, {}).read_text(encoding="utf-8")).text
    assert "could not be confirmed" in text


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("Σ_i λ_i a_i²", "Σ<sub>i</sub> λ<sub>i</sub> a<sub>i</sub>²"), ("w_ij x̄_j", "w<sub>ij</sub> x̄<sub>j</sub>"),
        ("λ^((2-k)/3) x", "λ<sup>(2-k)/3</sup> x"), ("Σ_(λ≫1/β) N_>", "Σ<sub>λ≫1/β</sub> N<sub>&gt;</sub>"),
        ("nt.log_partition of x_∂", "nt.log_partition of x<sub>∂</sub>"),
        ("P_in f'_ii", "P<sub>in</sub> f&#39;<sub>ii</sub>"), ("a < b & c", "a &lt; b &amp; c"),
        ("Θ_k\u0303Φ_k\u0303", "Θ<sub>k\u0303</sub>Φ<sub>k\u0303</sub>"), ("by mechanics.h_x", "by mechanics.h_x"),
    ],
)  # fmt: skip
def test_formulas_are_typeset(text, markup):
    assert str(report.typeset(text)) == markup


@pytest.mark.slow
def test_the_terminal_shows_a_line_an_equation(finished):
    from rich.cells import cell_len
    from rich.console import Console

    _, results, _ = finished
    for width in (80, 140):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(terminal.table(results))
        lines = console.export_text().splitlines()
        assert len(lines) == 110
        assert all(cell_len(line) <= width for line in lines)
        for number, line in zip(EQUATIONS, lines[1:], strict=True):
            assert f"({number})" in line
            assert f"{VERDICTS[VERDICT[number]]} {VERDICT[number]}" in line
    summary = terminal.summary(results)
    assert summary.startswith("109 equations: 26 exact, 21 exact with a condition, 11 approximate")
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert " ".join(summary.split()) in " ".join(readme.split())


def test_the_command_shows_one_equation(tmp_path, capsys):
    from nnthermo.__main__ import main

    with pytest.raises(SystemExit) as stop:
        main(["audit", "--equation", "8.1", "--output", str(tmp_path / "out")])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for part in ("printed", "right", "comment", "code"):
        assert getattr(EQUATIONS["8.1"], part).split("  ")[0] in out
    assert "✕ wrong" in out
    assert "as printed" in out
    names = sorted(file.name for file in (tmp_path / "out" / "figures").iterdir())
    assert names == ["equation-8-1.png", "equation-8-1.svg"]
    main_again = tmp_path / "none"
    entry, files = audit_one("(8.6)", main_again)
    assert entry.verdict == "wrong"
    assert files == []
    assert not main_again.exists()  # nothing to draw


def test_other_peoples_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="`output` must be empty or hold an earlier audit"):
        audit(tmp_path)
    with pytest.raises(ValueError, match="`output` must be a folder, but got a file"):
        audit_one("8.1", tmp_path / "thesis.tex")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_no_configuration_is_changed():
    with jax.enable_x64(False):
        audit_one("5.14")
        assert not jax.config.jax_enable_x64


def test_networks_come_from_the_seed_and_their_name_alone():
    one, two = Systems(3), Systems(3)
    assert two.linear.weights[0].shape == (4, 3)
    _ = two.graph, two.pair
    assert np.array_equal(np.asarray(one.deep.weights[1]), np.asarray(two.deep.weights[1]))
    assert not np.array_equal(np.asarray(one.deep.weights[1]), np.asarray(Systems(4).deep.weights[1]))


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"jinja2 is not installed: pip install 'nnthermo\[experiments\]'"):
        audit(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_template_is_shipped():
    assert (Path(_checks.__file__).parent / "experiments" / "audit" / "report.html.jinja").is_file()


def test_no_equation_is_printed_twice_the_same():
    """A copy and paste of one entry into another would show here, but for (9.7), which repeats (2.1) for f̂'ŵ."""
    printed = [re.sub(r"\s", "", e.printed) for e in EQUATIONS.values()]
    assert len(set(printed)) == len(printed)
