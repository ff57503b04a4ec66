"""Mutation testing of the core: what do the tests not notice?

Each operator, comparison, number, truth value and sign of a module is changed, one at a time, and the tests of that
module run. A mutant that passes them has survived; it is killed by a new test or explained in `survivors.toml`.

    pip install -e ".[dev]"
    python tests/mutate.py                      # every module of MODULES; goes on where it was interrupted
    python tests/mutate.py spectrum loss        # two of them
    python tests/mutate.py --again loss         # only what has survived, after a new test
    python tests/mutate.py --report             # write docs/site/mutation.md from what has been run

The sources are copied to `.cache/mutation`, which holds the sessions too: delete it to start again.
"""

import argparse
import contextlib
import datetime
import difflib
import os
import re
import shutil
import signal
import sqlite3
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import hypothesis  # noqa: F401  all that the forks would import again
import jax  # noqa: F401
import pytest
import tqdm

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".cache" / "mutation"
TREE = WORK / "tree"
REPORT = ROOT / "docs" / "site" / "mutation.md"
EXPLAINED = Path(__file__).parent / "survivors.toml"

MODULES = {
    "septuple": ("nnthermo/network/septuple.py", "test_septuple", "test_fixed_point test_gaussian"),
    "loss": ("nnthermo/loss.py", "test_loss", "test_objective test_relaxation"),
    "jacobian": ("nnthermo/ensemble/jacobian.py", "test_hessian", "test_traced test_gaussian"),
    "bulk": ("nnthermo/ensemble/bulk.py", "test_hessian", "test_gaussian test_traced"),
    "hessian": ("nnthermo/ensemble/hessian.py", "test_hessian", "test_gaussian test_traced test_trace test_identities"),
    "gaussian": ("nnthermo/ensemble/gaussian.py", "test_gaussian", "test_thermodynamics test_identities"),
    "thermodynamics": ("nnthermo/thermodynamics.py", "test_thermodynamics", "test_modes test_identities"),
    "equilibrium": ("nnthermo/equilibrium.py", "test_equilibrium", "test_identities"),
    "laws": ("nnthermo/laws.py", "test_laws", "test_identities test_thermodynamics"),
    "spectrum": ("nnthermo/spectrum.py", "test_spectrum", "test_identities test_observables test_trace"),
    "laplacians": ("nnthermo/laplacians.py", "test_laplacians", "test_parameter_laplacian"),
    "skewness": ("nnthermo/skewness.py", "test_skewness", "test_architecture"),
}
"""By name: the module, the tests that are to notice, and tests of what uses it, for those that they let pass."""

QUICK = "not slow and not exhaustive"
PLUGINS = ("--hypothesis-profile=first failure", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""Nothing is made small, and that the fork finds plugins imported is as it should be."""

LONGEST = 600
"""Seconds after which a mutant counts as noticed."""

KEPT = re.compile(
    r"core/(ReplaceBinaryOperator_(Mul_Div|Div_Mul|Add_Sub|Sub_Add|Pow_Mul|FloorDiv_Div|Mod_Mul)"
    r"|ReplaceUnaryOperator_Delete_\w+|AddNot|NumberReplacer|ReplaceTrueWithFalse|ReplaceFalseWithTrue"
    r"|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|Lt_Gt|LtE_Lt|LtE_Gt|Gt_GtE|Gt_Lt|GtE_Gt|GtE_Lt|Is_IsNot|IsNot_Is)"
    r"|ReplaceAndWithOr|ReplaceOrWithAnd|ZeroIterationForLoop)$"
)
"""One or two mutations a place. The others of cosmic-ray (`*` as `<<`, say) fail at once and tell nothing."""


def prepare(name: str) -> Path:
    """A session of cosmic-ray for a module: all mutants, those of other operators skipped.

    Of the two neighbours of a number every second one is taken.
    """
    from cosmic_ray.commands import init
    from cosmic_ray.work_db import use_db
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    session = WORK / f"{name}.sqlite"
    source = Path(MODULES[name][0]).read_text(encoding="utf-8").splitlines()
    if not session.exists():
        with use_db(str(session)) as db:
            init([Path(MODULES[name][0])], db, {})
            for item in db.work_items:
                mutation = item.mutations[0]
                number = mutation.operator_name == "core/NumberReplacer"
                line, column = mutation.start_pos
                star = re.match(r"\*+(,|\w+:)", source[line - 1][column:])  # of a signature, which is no operator
                if not KEPT.match(mutation.operator_name) or (number and mutation.occurrence % 2) or star:
                    db.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
    return session


def forget_survivors(session: Path) -> None:
    """Let those that no test noticed wait again."""
    if session.exists():
        with contextlib.closing(sqlite3.connect(session)) as connection, connection:
            connection.execute("delete from work_results where test_outcome = 'SURVIVED'")


def passes(tests: str) -> bool:
    """Whether the tests pass in the tree, in a fork of this process, which has JAX loaded but not started."""
    child = os.fork()
    if child == 0:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        files = [f"tests/{test}.py" for test in tests.split()]
        os._exit(pytest.main(["-n", "0", "-x", "-q", "-p", "no:cacheprovider", "-m", QUICK, *PLUGINS, *files]))
    deadline = time.monotonic() + LONGEST
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    return ended[1] == 0


def run(names: list[str]) -> None:
    """Mutate and test; a run that is interrupted goes on at the next call."""
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator
    from cosmic_ray.work_db import use_db
    from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

    for folder in ("nnthermo", "tests"):
        shutil.copytree(ROOT / folder, TREE / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, TREE / file)
    os.chdir(TREE)
    sys.path.insert(0, str(TREE))
    sys.dont_write_bytecode = True  # a mutant of the same second and size as the one before would not be read
    for name in names:
        module, own, others = MODULES[name]
        session = prepare(name)
        if not passes(f"{own} {others}"):
            raise SystemExit(f"{own} {others} fail without any mutation")
        with use_db(str(session)) as db:
            for item in tqdm.tqdm(db.pending_work_items, desc=name):
                mutation = item.mutations[0]
                operator = get_operator(mutation.operator_name)(**mutation.operator_args)
                with use_mutation(Path(module), operator, mutation.occurrence) as (before, after):
                    survived = passes(own) and passes(others)
                    outcome = TestOutcome.SURVIVED if survived else TestOutcome.KILLED
                diff = "\n".join(difflib.ndiff(before.splitlines(), after.splitlines()))
                db.set_result(item.job_id, WorkResult(WorkerOutcome.NORMAL, test_outcome=outcome, diff=diff))
        print(f"{name}: {outcomes(session)}", flush=True)


def outcomes(session: Path) -> dict[str, int]:
    """How many mutants were killed, survived, and wait."""
    from cosmic_ray.work_db import use_db

    with use_db(str(session)) as db:
        found = Counter(str(result.test_outcome.value) for _, result in db.results if result.test_outcome)
        return {"killed": 0, "survived": 0, **found, "pending": len(db.pending_work_items)}


def survivors(session: Path) -> list[tuple[str, str]]:
    """The mutated line, before and after, of each mutant that was not noticed."""
    from cosmic_ray.work_db import use_db
    from cosmic_ray.work_item import TestOutcome

    found = []
    with use_db(str(session)) as db:
        for _, result in db.completed_work_items:
            if result.test_outcome == TestOutcome.SURVIVED:
                lines = result.diff.splitlines()
                before, after = ([line[2:].strip() for line in lines if line[:2] == sign] for sign in ("- ", "+ "))
                found.append((" ".join(before), " ".join(after)))
    return sorted(found)


def changed(before: str, after: str) -> str:
    """The words of a line that differ."""
    old, new = (re.findall(r"\w+|\S", line) for line in (before, after))
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()

    def shown(words: list[str]) -> str:
        return f"`{''.join(words)}`" if words else "nothing"

    return ", ".join(f"{shown(old[i:j])} → {shown(new[k:m])}" for tag, i, j, k, m in blocks if tag != "equal")


def report() -> None:
    """Write the page: a row a module, and every survivor with its reason."""
    explained = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))
    reasons = {(e["before"], e["after"]): e["reason"] for e in explained.get("survivor", [])}
    rows, listed, unexplained = [], [], 0
    for name, (module, *tests) in MODULES.items():
        session = prepare(name)
        counts, left = outcomes(session), survivors(session)
        without = [pair for pair in left if pair not in reasons]
        unexplained += len(without)
        shown = ", ".join(" ".join(tests).replace("test_", "").split())
        numbers = counts["killed"], len(left) - len(without), len(without), counts["pending"]
        rows.append(f"| `{module}` | {shown} | {sum(numbers)} | {' | '.join(map(str, numbers))} |")
        listed += [(module, *pair, reasons.get(pair, "**not explained**")) for pair in left]
    date = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    text = [
        "# Mutation testing\n",
        "What do the tests not notice? Each operator, comparison, number, truth value and sign of a module was",
        "changed, one at a time, and those tests of the module run that are not slow. A mutant that none of them has",
        "noticed is listed with the reason why no test should tell it apart, or as not explained. One that does not",
        "come to an end counts as noticed.\n",
        f"Run until {date} by `python tests/mutate.py`.\n",
        "| module | tests | mutants | noticed | explained | not noticed | not run yet |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        "| module | line | mutation | why it is not noticed |",
        "|---|---|---|---|",
        *(f"| `{m}` | `{b}` | {changed(b, a)} | {why} |".replace("||", "\\|\\|") for m, b, a, why in listed),
        "",
    ]
    REPORT.write_text("\n".join(text), encoding="utf-8")
    print(f"{REPORT}: {unexplained} mutants are neither noticed nor explained")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", choices=[*MODULES, []], help="names of MODULES; all without one")
    parser.add_argument("--again", action="store_true", help="try what has survived against the tests as they are now")
    parser.add_argument("--report", action="store_true", help="write the page from what has been run")
    arguments = parser.parse_args()
    if arguments.report:
        report()
        return
    WORK.mkdir(parents=True, exist_ok=True)
    TREE.mkdir(exist_ok=True)
    names = arguments.modules or list(MODULES)
    if arguments.again:
        for name in names:
            forget_survivors(WORK / f"{name}.sqlite")
    run(names)


if __name__ == "__main__":
    main()
