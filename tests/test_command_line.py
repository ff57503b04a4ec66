"""Options of the command line are the settings of the studies: none missing, each with its sentence and its kind."""

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nnthermo.__main__ import MINUTES, STUDIES, described, main

SOME = {str: "mnist", int: "7", float: "0.25", int | None: "7", float | None: "0.25", str | None: "mnist"}


@pytest.fixture
def called(monkeypatch):
    """What a study is called with, in place of the study."""

    def replace(name):
        calls = []

        def study(settings, output, **options):
            calls.append((settings, output, options))
            return {"statements": [], "seconds": 0.0}

        monkeypatch.setattr(importlib.import_module(f"nnthermo.experiments.{name}"), name, study)
        return calls

    return replace


@pytest.mark.parametrize("name", STUDIES)
def test_every_setting_is_an_option_with_a_sentence(name, capsys):
    settings = importlib.import_module(f"nnthermo.experiments.{name}").Settings
    fields = {field.name for field in dataclasses.fields(settings)}
    helps = described(settings)
    assert set(helps) == fields
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    shown = "".join(capsys.readouterr().out.split())  # lines are broken anywhere
    for field, text in helps.items():
        assert f"--{field.replace('_', '-')}<" in shown
        assert "".join(text.split()) in shown
        assert text.endswith(".")


@pytest.mark.parametrize("name", STUDIES)
def test_options_arrive_in_the_settings(name, called, tmp_path):
    study = importlib.import_module(f"nnthermo.experiments.{name}")
    calls = called(name)
    output = ["--output", str(tmp_path / "out")]
    main_returns(name, *output)
    main_returns(name, "--quick", "--workers", "3", "--data-dir", "here", "--seeds", "4, 2", *output)
    first, second = calls
    assert first[0] == study.Settings()
    assert (first[2]["workers"], first[2]["resume"], first[2]["data_dir"]) == (None, False, None)
    assert second[0] == dataclasses.replace(study.QUICK, seeds=(4, 2))
    assert (second[2]["workers"], second[2]["data_dir"]) == (3, "here")
    assert second[2]["command"].startswith("nnthermo")
    # one at a time, so that settings which exclude each other do not meet
    for field in dataclasses.fields(study.Settings):
        if field.type not in SOME or field.name in {"samples", "test_samples"}:
            continue
        calls.clear()
        code = main_returns(name, f"--{field.name.replace('_', '-')}", SOME[field.type], *output)
        if code == 0:
            assert str(getattr(calls[0][0], field.name)) == SOME[field.type], field.name
        else:
            assert code == 2  # a setting that refuses 7 or 0.25, by name in one line


def main_returns(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return stop.value.code


@pytest.mark.parametrize("name", STUDIES)
def test_what_it_takes_is_said_before_and_is_that_of_the_committed_run(name, called, tmp_path, capsys):
    called(name)
    folder = {"reproduce": "reproduction", "compare": "comparison"}.get(name, name)
    measured = json.loads((Path(__file__).parent.parent / "docs" / folder / "results.json").read_text())
    assert MINUTES[name] == round(measured["seconds"] / 60)
    assert main_returns(name, "--output", str(tmp_path / "out")) == 0
    assert f"{name}: about {MINUTES[name]} min" in capsys.readouterr().out
    assert main_returns(name, "--quick", "--output", str(tmp_path / "out")) == 0
    assert f"{name}: about a minute" in capsys.readouterr().out


def test_an_interrupt_says_how_to_go_on_and_has_its_own_exit_code(monkeypatch, tmp_path, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nnthermo.experiments.laws.laws", interrupted)
    monkeypatch.setattr("nnthermo.experiments.audit.audit", interrupted)
    assert main_returns("laws", "--output", str(tmp_path / "out")) == 130
    assert capsys.readouterr().err == "Interrupted; continue with --resume.\n"
    assert main_returns("audit", "--output", str(tmp_path / "out")) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


@pytest.mark.parametrize("text", ['{"settings": {', "{}", '{"settings": 3, "seconds": 1}'])
def test_a_torn_record_is_said_in_one_line(text, tmp_path, capsys):
    (tmp_path / "settings.json").write_text(text)
    assert main_returns("laws", "--resume", "--output", str(tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: `output` must hold a readable settings.json, but got ")
    assert error.count("\n") == 1


def test_an_interrupt_while_modules_are_imported_is_not_lost():
    code = """
import os, signal
import nnthermo.__main__ as line
def build(given):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        pass  # as a callback of the garbage collector does
    raise SystemExit(7)
line.build = build
line.main([])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


def test_one_budget_takes_the_place_of_the_other(called, tmp_path, capsys):
    calls = called("architectures")
    output = ["--output", str(tmp_path / "out")]
    assert main_returns("architectures", "--parameters", "900", *output) == 0
    assert (calls[0][0].parameters, calls[0][0].neurons) == (900, None)
    assert main_returns("architectures", "--neurons", "9", *output) == 0
    assert (calls[1][0].parameters, calls[1][0].neurons) == (None, 9)
    assert main_returns("architectures", "--neurons", "9", "--parameters", "900", *output) == 2
    assert "`neurons` must not be given with `parameters`" in capsys.readouterr().err
