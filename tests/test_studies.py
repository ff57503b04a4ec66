"""What all studies share: settings refused by name, commands that fail in one line, a place for every statement."""

import dataclasses
import importlib
from pathlib import Path

import pytest

from nnthermo.__main__ import STUDIES, main
from nnthermo.experiments import claims, processes
from nnthermo.experiments.verdicts import Finding, Number

BAD_SETTINGS = {
    "reproduce": [
        ({"epochs": 0}, "`epochs` must be positive, but got 0"),
        ({"learning_rate": -0.1}, "`learning_rate` must be positive"),
        ({"batch_size": 0}, "`batch_size` must be positive"),
        ({"scale": 0.0}, "`scale` must be positive"),
        ({"pixel_high": 0.0}, "`pixel_high` must be positive"),
        ({"target_on": -1.0}, "`target_on` must exceed target_off"),
        ({"beta": 0.0}, "`beta` must be positive"),
        ({"observations": 1}, "`observations` must be at least 2"),
        ({"sensitivity_epochs": -1}, "`sensitivity_epochs` must not be negative"),
        ({"seeds": ()}, "`seeds` must name at least one seed"),
        ({"seeds": (1, 1)}, "`seeds` must differ"),
        ({"seeds": (-1,)}, "`seeds` must not be negative"),
    ],
    "compare": [
        ({"epochs": 0}, "`epochs` must be positive, but got 0"),
        ({"unsupervised_epochs": -1}, "`unsupervised_epochs` must not be negative"),
        ({"bulk_learning_rate": 0.0}, "`bulk_learning_rate` must be positive"),
        ({"m": 1.0}, "`m` must lie between 0 and 1"),
        ({"probes": 1}, "`probes` must be at least 2"),
        ({"curvature_records": 1}, "`curvature_records` must be at least 2"),
        ({"networks": ("wide",)}, "`networks` must be some of deep, shallow, deeper, but got wide"),
        ({"networks": ()}, "`networks` must be some of"),
        ({"networks": ("deep", "deep")}, "`networks` must differ"),
        ({"target_on": -1.0}, "`target_on` must exceed target_off"),
        ({"seeds": (1, 1)}, "`seeds` must differ"),
    ],
    "laws": [
        ({"epochs": 0}, "`epochs` must be positive, but got 0"),
        ({"blocks": 1}, "`blocks` must be at least 2"),
        ({"records": 2}, "`records` must be at least 3"),
        ({"networks": ("deeper",)}, "`networks` must be some of deep, shallow, but got deeper"),
        ({"networks": ()}, "`networks` must be some of"),
        ({"seeds": (1, 1)}, "`seeds` must differ"),
        ({"seeds": ()}, "`seeds` must name at least one seed"),
        ({"target_on": -1.0}, "`target_on` must exceed target_off"),
        ({"epochs": 1}, "`epochs` must leave room for 4 records"),
    ],
    "architectures": [
        ({"neurons": None}, "`neurons or parameters` must be given"),
        ({"activations": ("tan",)}, "`activations` must be some of tanh, relu, sigmoid, but got tan"),
        ({"score_epochs": (1,)}, "`score_epochs` must increase from 0"),
        ({"score_epochs": (0, 40)}, "`score_epochs` must lie before the 40 epochs"),
        ({"betas": (0.0,)}, "`betas` must be positive"),
        ({"depths": (1, 1)}, "`depths` must differ"),
        ({"neurons": 0}, "`neurons` must be positive"),
        ({"betas": (1.4, float("nan"))}, "`betas` must be finite"),
        ({"learning_rate": float("inf")}, "`learning_rate` must be finite"),
    ],
    "mechanics": [
        ({"pool": 3}, "`pool` must divide 28, but got 3"),
        ({"hidden": 0}, "`hidden` must be positive"),
        ({"replicas": 200}, "`replicas` must be at least 260: more than the weights"),
        ({"momentum": 1.0}, "`momentum` must lie between 0 and 1"),
        ({"planck_batch_sizes": (2, 2)}, "`planck_batch_sizes` must be positive and differ"),
        ({"seeds": ()}, "`seeds` must name at least one seed"),
        ({"learning_rate": 0.0}, "`learning_rate` must be positive"),
        ({"steps": 3}, "`steps` must be at least 10"),
    ],
    "gravity": [
        ({"hidden": 1}, "`widths and hidden` must be at least 2"),
        ({"records": 6}, "`records` must be odd and at least 5"),
        ({"classes": (3,)}, "`classes` must be two of 0 to 9"),
        ({"classes": (3, 10)}, "`classes` must be two of 0 to 9"),
        ({"widths": (4, 4)}, "`widths` must differ"),
        ({"widths": ()}, "`widths` must name at least one"),
        ({"seeds": (-1,)}, "`seeds` must not be negative"),
        ({"step": 0.0}, "`step` must be positive"),
    ],
}


def part(study, name=None):
    return importlib.import_module(f"nnthermo.experiments.{study}" + (f".{name}" if name else ""))


@pytest.mark.parametrize(
    ("study", "change", "message"), [(study, *case) for study, cases in BAD_SETTINGS.items() for case in cases]
)
def test_bad_settings_are_named(study, change, message):
    with pytest.raises(ValueError, match=message):
        part(study).Settings(**change)


@pytest.mark.parametrize("study", STUDIES)
def test_settings_survive_json_and_the_short_run_is_of_real_data(study):
    package = part(study)
    for settings in (package.Settings(), package.QUICK):
        assert package.Settings.from_json(settings.to_json()) == settings
        assert settings.dataset == "digits"
    if study in ("compare", "laws"):
        assert package.QUICK.epochs < 100
    if study == "compare":
        assert set(package.QUICK.trainings) == {"boundary", "bulk", "unsupervised"}
    with pytest.raises(ValueError, match="`seeds` must stay"):
        dataclasses.replace(package.QUICK, seeds=(77,)).require_same(package.QUICK.to_json(), Path("here"))


WRONG = {
    "reproduce": [
        (["--epochs", "0"], "`epochs` must be positive, but got 0"),
        (["--dataset", "letters"], "`name` must be one of"),
        (["--samples", "5001"], "`samples` must lie between 1 and the 5000"),
        (["--batch-size", "5001"], "`batch_size` must not exceed the 5000 samples"),
        (["--seeds", "a,b"], "`seeds` must be whole numbers"),
        (["--workers", "0"], "`workers` must be positive"),
        (["--sensitivity-epochs", "-1"], "`sensitivity_epochs` must not be negative"),
        (["--output", "pyproject.toml"], "`output` must be a folder"),
    ],
    "compare": [
        (["--epochs", "0"], "`epochs` must be positive, but got 0"),
        (["--networks", "wide"], "`networks` must be some of"),
        (["--dataset", "letters"], "`name` must be one of"),
        (["--seeds", "a"], "`seeds` must be whole numbers"),
        (["--workers", "0"], "`workers` must be positive"),
    ],
    "laws": [
        (["--epochs", "0"], "`epochs` must be positive, but got 0"),
        (["--networks", "wide"], "`networks` must be some of"),
        (["--seeds", "1.5"], "`seeds` must be whole numbers"),
        (["--samples", "9999"], "`samples` must lie between 1 and the 5000 of digits"),
        (["--samples", "100"], "`relaxed_samples` must not exceed the 100 samples"),
        (["--workers", "0"], "`workers` must be positive"),
    ],
    "architectures": [(["--betas", "x"], "`betas` must be numbers separated")],
    "mechanics": [(["--samples", "5001"], "`samples` must be at most the 5000 of digits")],
    "audit": [
        (["--equation", "9.12"], "`equation` must be one of the 109 from 2.1 to 12.14, but got '9.12'"),
        (["--equation", "gap"], "`equation` must be one of the 109 from 2.1 to 12.14, but got 'gap'"),
        (["--equation", "8.6", "--seed", "-1"], "`seed` must not be negative, but got -1"),
        (["--seed", "-1"], "`seed` must not be negative, but got -1"),
    ],
    "gravity": [
        (["--samples", "5001"], "`samples` must be at most the 5000 of digits"),
        (["--samples", "20"], "`points` must be at most the 20 samples"),
    ],
}


@pytest.mark.parametrize(
    ("study", "arguments", "message"), [(study, *case) for study, cases in WRONG.items() for case in cases]
)
def test_command_says_what_is_wrong_in_one_line(study, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parent.parent)
    given = arguments if "--output" in arguments else [*arguments, "--output", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stop:
        main([study, *given])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


ELSEWHERE = {
    "compare": {"zero without objective", "non-zero with one", "beyond supervised"},
    "reproduce": {"second law", "two temperatures", "β of the gap"},
}
"""Statements that rest on no figure."""


@pytest.mark.parametrize("study", STUDIES)
def test_every_statement_has_one_place_in_the_report(study):
    placed = [key for *_, keys in part(study, "report").FIGURES.values() for key in keys]
    everything = [claim.key for claim in part(study, "statements").CLAIMS]
    assert sorted([*placed, *ELSEWHERE.get(study, ())]) == sorted(everything)


def test_claims_are_judged_by_their_evidence():
    def test(*given):
        return Finding([Number("x", None, [float(len(given))])], "agrees", "So.")

    one, two = (claims.Claim(key, "here", f"{key} holds", "It does.", test, (key,)) for key in ("a", "b"))
    found = claims.judged([one, two], lambda c: claims.Evidence((1, 2) if c.needs == ("a",) else None, "Lost: 1."))
    assert [(s.key, s.verdict, s.comment) for s in found] == [
        ("a", "agrees", "So. Lost: 1."), ("b", "not tested", "Lost: 1."),
    ]  # fmt: skip
    assert found[0].numbers[0].ours == [2.0]
    assert found[1].numbers == []
    assert claims.sound_seeds((4, 5, 6), lambda s: s != 5) == ([4, 6], "Left out, because training diverged: seed 5.")
    assert claims.sound_seeds((4, 5), [].count) == ([], claims.NOTHING)
    assert claims.sound_seeds((4,), [4].count) == ([4], "")
    assert claims.keys([one, two], "b", "c") == ("b",)


@dataclasses.dataclass(frozen=True)
class Job(processes.Job):
    arm: str
    seed: int


def test_a_finished_job_is_left_alone(tmp_path):
    done = []

    @processes.once
    def run(job, report=None):
        done.append(job.name)
        job.file.write_text("numbers")

    jobs = [Job("left", seed, settings=None, data_dir=None, folder=tmp_path) for seed in (3, 4, 3)]
    for job in jobs:
        run(job)
    assert done == ["left-3", "left-4"]
    assert jobs[0].file == tmp_path / "left-3.nc"
