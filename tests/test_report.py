import base64
import copy
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import HOSTILE, Page, record, seen

from nnthermo import _checks
from nnthermo.experiments import page as shared
from nnthermo.experiments.reproduce import report
from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.experiments.reproduce.statements import CLAIMS
from nnthermo.experiments.verdicts import Number, Statement


def example(seeds=(0, 1, 2), **changes):
    r = np.random.default_rng(3)

    def number(label, paper, centre, spread=0.1):
        return Number(label, paper, [float(centre + spread * r.normal()) for _ in seeds])

    found = [
        Statement(
            "bulk below boundary", "Fig. 2", "U stays below U_∂.", "log10 of the ratio is at least 2.",
            [number("log10 U_∂/U, averages", None, 0.3), number("C_834 at the end", "772", 765.2)], "disagrees",
            "Factor 10^0.3, at -0.5.",
        ),
        Statement(
            "gap", "Fig. 5", "A gap opens.", "It is wide.", [number("centre of the gap", "-2.3", -2.5)],
            "agrees", "Yes.",
        ),
        Statement(
            "β of the gap", "Sec. 10, (9.4)", "β is 1.4.", "Digits.", [number("β", "1.40", 1.47, 0)], "partly", "No."
        ),
        Statement("jumps", "Fig. 3", "It jumps.", "It drops.", [], "not tested", "Too short."),
        Statement(
            "shallow symmetric", "Fig. 4", "Symmetric.", "Small.", [number("mean cube", "-2.7e-10", 3e-9, 1e-9)],
            "agrees", "So.",
        ),
    ]  # fmt: skip
    runs = [{"network": n, "seed": k, "seconds": 61.0, "finite": True} for k in seeds for n in ("deep", "shallow")]
    return record("reproduce", Settings(seeds=seeds), found, samples=5000, runs=runs) | changes


def with_sensitivity():
    results = example()
    results["statements"][1]["numbers"][0]["label"] = "centre of the gap, epoch 10,000"
    labels = {"centre of the gap, epoch 3000": -2.4, "C_834 at the end": 761.0}
    verdicts = {s["key"]: s["verdict"] for s in results["statements"]}
    variant = {
        "name": "batch size × 10", "changed": {"batch_size": 1000}, "verdicts": {**verdicts, "gap": "disagrees"},
        "numbers": {"centre of the gap, epoch 3000": -1.2345, "C_834 at the end": None},
    }  # fmt: skip
    base = {"name": "base", "changed": {}, "verdicts": verdicts, "numbers": labels}
    return {**results, "sensitivity": {"epochs": 3000, "seeds": [0], "base": base, "variants": [variant]}}


def pictures(folder):
    files = []
    for n in range(1, 8):
        for kind, size in (("png", 900 if n % 2 else 90), ("svg", 400)):
            file = folder / f"figure-{n}.{kind}"
            file.write_bytes(f"{kind} {n} ".encode() + b"." * size)
            files.append(file)
    return files


def written(folder, results, figures=None):
    before = copy.deepcopy(results)
    file = report.write_report(folder, results, pictures(folder) if figures is None else figures)
    assert results == before  # what is written as results.json stays as it is
    assert file == folder / "report.html"
    return Page(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("make", [example, with_sensitivity], ids=["plain", "sensitivity"])
def test_everything_is_there(tmp_path, make):
    results = make()
    page = written(tmp_path, results)
    for statement in results["statements"]:
        for part in ("key", "where", "claim", "criterion", "comment", "verdict"):
            assert seen(statement[part]) in page.text
        for row in statement["numbers"]:
            assert f"{seen(row['label'])}" in page.text
            assert shared.with_spread(row["mean"], row["spread"]) in page.text
            assert all(shared.number(v, 4) in page.text for v in row["per_seed"])
            if row["paper"] is not None:
                assert shared.quoted(row["paper"]) in page.text
    for part in ("title", "command", "machine", "date", "data_source"):
        assert results[part] in page.text
    assert "2 h 3 min" in page.text
    assert all(f"{name} {version}" in page.text for name, version in results["versions"].items())
    for title, paper, ours, _ in report.FIGURES.values():
        assert all(seen(part) in page.text for part in (title, paper, ours))
    assert all(seen(caveat) in page.text for caveat in report.CAVEATS)


def test_one_card_and_one_sign_a_statement(tmp_path):
    results = example()
    page = written(tmp_path, results)
    cards = page.of("article")
    assert [(card["id"], card["class"]) for card in cards] == [
        (shared.slug(key), f"card {tone}")
        for key, tone in (  # in the order of the figures, then the rest
            ("bulk below boundary", "disagrees"), ("jumps", "not-tested"), ("shallow symmetric", "agrees"),
            ("gap", "agrees"), ("β of the gap", "partly"),
        )
    ]  # fmt: skip
    for verdict, sign in shared.VERDICTS.items():  # said by a sign and by a word, not by colour alone
        cards_of = [s for s in results["statements"] if s["verdict"] == verdict]
        assert page.text.count(f"{sign} {verdict}") == len(cards_of) + 1  # and once in the tally
    assert "Of the 5 statements, 2 agree, 1 agree in part, 1 disagree and 1 could not be tested." in page.text


def test_the_table_of_quoted_numbers_pairs_ours_with_the_papers(tmp_path):
    page = written(tmp_path, example())
    quoted = page.text.split("Every number the paper quotes")[1].split("How to get this again")[0]
    found = [quoted.index(text) for text in ("C834 at the end 772", "−2.3", "1.40", "−2.7 × 10⁻¹⁰")]
    assert found == sorted(found)
    assert "averages" not in quoted  # no number of the paper there


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    page = written(tmp_path, with_sensitivity())
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not page.of("script")
    assert not page.of("link")
    assert not page.of("iframe")
    for _, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        assert "style" not in attrs or "url" not in attrs["style"]
        for name in ("src", "href", "srcset", "data", "action"):
            if name in attrs:
                assert attrs[name].startswith(("data:image/", "#"))
    assert "@import" not in text
    assert "url(" not in text
    assert "://" not in text
    policy = next(m["content"] for m in page.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert len(page.ids) == len(set(page.ids))
    assert {a["href"][1:] for a in page.of("a")} <= set(page.ids)


def test_other_reports_are_led_to_where_they_lie_beside(tmp_path):
    results = example()
    told = {"title": "Another & study", "versions": {"nnthermo": "0.1.0"}}
    for name, content in {
        "another": json.dumps(told), "foreign": '{"title": "x", "versions": {}}', "torn": "{", "list": "[1]",
        "none": None,
    }.items():  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.html").write_text("")
        if content is not None:
            (tmp_path / name / "results.json").write_text(content)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "results.json").write_text(json.dumps(told))
    (tmp_path / "out").mkdir()
    page = written(tmp_path / "out", results)
    assert [a["href"] for a in page.of("a") if not a["href"].startswith("#")] == ["../another/report.html"]
    assert "Another & study another" in page.text


def test_each_figure_is_inlined_from_its_smaller_file(tmp_path):
    page = written(tmp_path, example())
    images = page.of("img")
    assert len(images) == 7
    for n, image in enumerate(images, start=1):
        head, data = image["src"].split(";base64,")
        kind = "svg" if n % 2 else "png"
        assert head == f"data:image/{'svg+xml' if kind == 'svg' else 'png'}"
        assert base64.b64decode(data) == (tmp_path / f"figure-{n}.{kind}").read_bytes()
        assert image["alt"].startswith(f"Figure {n}, ")


def test_a_missing_figure_is_said(tmp_path):
    assert written(tmp_path, example(), figures=[]).text.count("This figure was not drawn.") == 7


@pytest.mark.parametrize(
    "part", ["title", "command", "machine", "data_source", "claim", "comment", "key", "label", "variant"]
)
def test_hostile_text_stays_text(tmp_path, part):
    results = with_sensitivity()
    if part in ("claim", "comment", "key"):
        results["statements"][0][part] = HOSTILE
    elif part == "label":
        results["statements"][0]["numbers"][0]["label"] = HOSTILE
    elif part == "variant":
        results["sensitivity"]["variants"][0]["name"] = HOSTILE
    else:
        results[part] = HOSTILE
    page = written(tmp_path, results)
    assert not page.of("script")
    assert len(page.of("img")) == 7
    assert HOSTILE in page.text


def test_without_sensitivity_there_is_no_word_of_a_table(tmp_path):
    assert "One setting changed at a time" not in written(tmp_path, example()).text
    assert "One setting changed at a time" not in written(tmp_path, example(sensitivity=None)).text


def test_sensitivity_is_a_matrix_and_a_table(tmp_path):
    page = written(tmp_path, with_sensitivity())
    shown = page.text.split("What hangs on the settings")[1]
    assert "in runs of 3,000 epochs with seed 0" in shown
    assert "as above batch size × 10" in shown
    assert re.search(r"bulk below boundary ✕ ✕ gap ✓ ✕ β of the gap ◐ ◐ jumps ○ ○ shallow symmetric ✓ ✓", shown)
    assert "centre of the gap, epoch 3000 −2.3 −2.40 −1.23" in shown
    assert "C834 at the end 772 761 not finite" in shown
    assert {"batch_size = 1000"} == {a["title"] for a in page.of("span") if a.get("title")}


def test_one_seed_has_no_spread(tmp_path):
    page = written(tmp_path, example(seeds=(5,)))
    assert " ± 0" not in page.text
    assert "with one seed" in page.text
    assert "seeds: " not in page.text.split("To bear in mind")[0].split("Figures and statements")[1]


def test_numbers_that_are_not_finite_are_said(tmp_path):
    results = example()
    number = results["statements"][0]["numbers"][0]
    number.update(mean=None, spread=None, per_seed=[None, math.nan, math.inf])
    results["runs"][1] |= {"finite": False, "bulk_loss": math.nan, "boundary_loss": 0.0, "accuracy": 0.5}
    page = written(tmp_path, results)
    assert "seeds: not finite, not finite, not finite" in page.text
    assert "Training stopped early in shallow, seed 0;" in page.text
    assert "shallow, seed 0 (not finite) 1 min 1 s not finite not finite 50.00%" in page.text
    assert "nan" not in re.findall(r"\b\w+\b", page.text)


def test_a_short_run_says_what_it_cannot_test(tmp_path):
    page = written(tmp_path, example(quick=True))
    assert "it cannot test the statements about late times" in page.text
    late = [s["key"] for s in example()["statements"] if s["key"] in report.LATE]
    assert page.text.count("this short run cannot test it") == len(late) == 3
    assert "cannot test" not in written(tmp_path, example()).text


def test_late_statements_are_statements():
    assert {claim.key for claim in CLAIMS} > report.LATE


def test_the_report_is_the_same_twice_and_survives_json(tmp_path):
    results = with_sensitivity()
    written(tmp_path, results)
    first = (tmp_path / "report.html").read_bytes()
    written(tmp_path, json.loads(json.dumps(results)))
    assert (tmp_path / "report.html").read_bytes() == first
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (3, "3"), (-2.7e-10, "−2.70 × 10⁻¹⁰"), (1.405, "1.41"), (854.0, "854"), (0.09999, "0.100"),
        (99999.6, "1.00 × 10⁵"), (1e5, "1.00 × 10⁵"), (12345.6, "12,346"), (-0.001234, "−0.00123"), (None, "–"),
        (math.inf, "not finite"), (math.nan, "not finite"), (9.996, "10.0"), (1e-300, "1.00 × 10⁻³⁰⁰"),
    ],
)  # fmt: skip
def test_numbers_for_people(value, text):
    assert shared.number(value) == text


@pytest.mark.parametrize(
    ("printed", "text"),
    [("-2.7e-10", "−2.7 × 10⁻¹⁰"), ("2.44", "2.44"), ("769", "769"), ("-3.0", "−3.0"), ("1.40", "1.40"), (None, "–")],
)
def test_the_papers_numbers_keep_their_digits(printed, text):
    assert shared.quoted(printed) == text


@pytest.mark.parametrize(
    ("mean", "spread", "text"),
    [
        (0.0, 0.0, "0 ± 0"), (1 - 1e-12, 4.4e-11, "1.000 ± 4.4 × 10⁻¹¹"),
        (769.123, 1.234, "769.1 ± 1.2"), (-1.7, 0.0512, "−1.700 ± 0.051"), (-1.0, 19.6, "−1 ± 20"), (2.0, 0.0, "2 ± 0"),
        (-2.7e-10, 3e-11, "(−2.70 ± 0.30) × 10⁻¹⁰"), (46703, 7613.4, "46,703 ± 7,613"), (1.5, math.nan, "1.500"),
        (1.5, None, "1.500"), (None, 1.0, "not finite"), (1e-9, 2.0, "0.0 ± 2.0"), (3e7, 1e6, "(3.00 ± 0.10) × 10⁷"),
    ],
)  # fmt: skip
def test_means_with_spread(mean, spread, text):
    assert shared.with_spread(mean, spread) == text


def value_of(text):
    digits = str.maketrans("−⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "--0123456789")
    mantissa, _, power = text.replace(",", "").partition(" × 10")
    return float(mantissa.translate(digits)) * 10.0 ** float(power.translate(digits) or 0)


@given(st.floats(-1e30, 1e30, allow_subnormal=False).filter(lambda v: abs(v) > 1e-30))
def test_numbers_read_back(value):
    # three significant digits: half a unit of the third is at most 0.5 % of the value
    assert value_of(shared.number(value)) == pytest.approx(value, rel=0.005 + 1e-12)


@given(st.floats(-1e12, 1e12).filter(lambda v: abs(v) > 1e-12), st.floats(1e-6, 10))
def test_means_read_back_within_a_tenth_of_the_spread(mean, ratio):
    spread = abs(mean) * ratio
    text = shared.with_spread(mean, spread)
    scale = value_of("1" + text[text.index(")") + 1 :]) if ")" in text else 1.0
    shown, deviation = (value_of(part) * scale for part in text.split(")")[0].lstrip("(").split(" ± "))
    # two digits of the spread: half a unit is at most 5 % of it; the same unit rounds the mean
    assert abs(shown - mean) <= 0.0501 * spread
    assert deviation == pytest.approx(spread, rel=0.0501)


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.6, "42 s"), (59.7, "1 min 0 s"), (3599.6, "1 h 0 min"), (18725, "5 h 12 min")]
)
def test_durations(seconds, text):
    assert shared.duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("log10 U_∂/U", "log<sub>10</sub> U<sub>∂</sub>/U"), ("U = N_>/2β", "U = N<sub>&gt;</sub>/2β"),
        ("C_20 and λ_min(Ĝ)", "C<sub>20</sub> and λ<sub>min</sub>(Ĝ)"),
        ("10^4.4, 10^-3", "10<sup>4.4</sup>, 10<sup>−3</sup>"),
        ("784-40-20-10, Figs. 4-5", "784-40-20-10, Figs. 4-5"), ("(2.44, -1.7) below -0.1", "(2.44, −1.7) below −0.1"),
        ("a_1 & <b>", "a_1 &amp; &lt;b&gt;"),
    ],
)  # fmt: skip
def test_indices_are_typeset_and_the_rest_escaped(text, markup):
    assert str(shared.indices(text)) == markup


def test_jinja2_is_missed_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"jinja2 is not installed: pip install 'nnthermo\[experiments\]'"):
        report.write_report(tmp_path, example(), [])
    assert not list(tmp_path.iterdir())


def test_jinja2_and_matplotlib_are_imported_late():
    code = "import sys, nnthermo.experiments.reproduce; print({'jinja2', 'matplotlib'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_the_templates_are_shipped():
    folder = Path(_checks.__file__).parent / "experiments"
    for name in ("page", "parts", "study", "reproduce/report", "mechanics/report", "audit/report"):
        assert folder.joinpath(f"{name}.html.jinja").is_file()
