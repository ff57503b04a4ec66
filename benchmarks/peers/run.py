"""How do nnthermo and its peers relax and train, each in a virtual environment of its own?

Relaxation: time to a relative gap of 1e-3 and 1e-6 by the fastest tuned method of each library, and how far its shipped
defaults get. Training: the same digits, weights and Adam, under an equal time a batch or an equal gap. `README.md` has
the rules. The environments are made at the first call; whatever cannot be installed or run is in the tables, with the
reason. Every result is also a line of `results.jsonl` beside the environments.

    python benchmarks/peers/run.py                                # everything; hours
    python benchmarks/peers/run.py --quick                        # one problem, one seed; minutes
    python benchmarks/peers/run.py --source jpc=../jpc            # a clone instead of the address below
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy loads it

import argparse
import hashlib
import itertools
import json
import platform
import subprocess
import sys
import time
import venv
from pathlib import Path

import numpy as np
from problem import MOMENTA, Bulk, fewest_steps, minimum, network, samples, top_curvature

HERE = Path(__file__).resolve().parent
REQUIREMENTS = {
    "nnthermo": ["-e", f"{HERE.parents[1]}", "mlxtend"],
    "plain": ["jax>=0.9.2,!=0.10.*,!=0.11.0,!=0.11.1", "optax", "numpy"],
    "jpc": ["git+https://github.com/thebuckleylab/jpc@7d6cc05742d28b543311e6c4d4ca140ba996f8b5"],
    "pcx": ["pcx==0.6.3"],
    "fabricpc": ["fabricpc==0.6.0"],
    "ngclearn": ["ngclearn==3.2.1"],
}
SIZES = {"tiny": (784, 40, 20, 10), "wide": (784, 512, 512, 10)}
GAPS = (1e-3, 1e-6)
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nnthermo-peers"
ALONE = {  # one thread: the libraries take turns on one core
    "JAX_PLATFORMS": "cpu",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def main():
    chosen = options()
    envs = chosen.envs.resolve()
    envs.mkdir(parents=True, exist_ok=True)
    sources = dict(item.split("=", 1) for item in chosen.source)
    task = {"core": chosen.core, "seconds": chosen.seconds, "gaps": GAPS, "problems": []}
    if not chosen.no_relaxation:
        choices = itertools.product(chosen.sizes, chosen.gains, chosen.batches)
        task["problems"] = [str(prepare_problem(envs, *choice)) for choice in choices]
    rows, pythons = [], {}
    for name in chosen.peers:
        wanted = REQUIREMENTS[name] if name not in sources else [sources[name]]
        pythons[name], reason = install(envs / name, wanted, chosen.python)
        if reason:
            rows.append({"peer": name, "kind": "versions", "error": f"not installed: {reason}"})
    if not chosen.no_training:
        task["training"] = {
            "data": str(prepare_digits(envs, pythons.get("nnthermo"), chosen.batch)),
            "sizes": chosen.architecture,
            "budgets": [["time", chosen.budget], *(["gap", gap] for gap in GAPS)],
            "batch": chosen.batch,
            "epochs": chosen.epochs,
            "seeds": chosen.seeds,
            "rate": 1e-3,
        }
    for name, python in pythons.items():
        if python:
            rows += work(name, python, task, envs)
    print(f"{os.cpu_count()} CPU cores ({platform.machine()}), one thread each, {time.strftime('%Y-%m-%d')}")
    for table in (versions_table, relaxation_table, training_table):
        print("\n" + "\n".join(table(rows)))


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=Path, default=CACHE, help="folder of the environments, problems and results")
    parser.add_argument("--python", default=sys.executable, help="interpreter that makes the environments")
    parser.add_argument("--peers", nargs="+", default=list(REQUIREMENTS), choices=REQUIREMENTS)
    parser.add_argument("--source", nargs="*", default=[], metavar="PEER=REQUIREMENT", help="what pip installs instead")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--gains", nargs="+", type=float, default=[1.0, 2.0])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 64, 1024])
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing, for each method")
    parser.add_argument("--architecture", nargs="+", type=int, default=list(SIZES["tiny"]), help="that is trained")
    parser.add_argument("--batch", type=int, default=64, help="of training")
    parser.add_argument("--epochs", type=int, default=10, help="at least two")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=1.0, help="ms a batch under equal time")
    parser.add_argument("--core", type=int, default=0, help="which of the allowed cores")
    parser.add_argument("--no-relaxation", action="store_true")
    parser.add_argument("--no-training", action="store_true")
    parser.add_argument("--quick", action="store_true", help="784-40-20-10, gain 1, batch 64; 3 epochs, one seed")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.sizes, chosen.gains, chosen.batches = ["tiny"], [1.0], [64]
        chosen.seconds, chosen.epochs, chosen.seeds = 0.5, 3, 1
    return chosen


def install(folder, requirement, python):
    """The environment's interpreter, made and filled if it is not there; or None and why not."""
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "installed.txt"
    if done.exists() and done.read_text() == " ".join(requirement):
        return inside, None
    print(f"installing {folder.name} ...", file=sys.stderr)
    if python == sys.executable:
        venv.create(folder, with_pip=True, clear=True)
    else:
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    pip = subprocess.run(
        [inside, "-m", "pip", "install", "-q", *requirement], check=False, capture_output=True, text=True
    )
    if pip.returncode:
        complaints = [line.strip() for line in pip.stderr.splitlines()]
        pointed = [line for mark in ("fatal:", "ERROR:", "rror:") for line in complaints if mark in line]
        return None, (pointed or complaints or ["pip failed"])[0][:200]
    done.write_text(" ".join(requirement))
    return inside, None


def prepare_problem(envs, size, gain, batch):
    """Weights, data, the minima of the scored samples and the tuned settings, in one file that is kept."""
    code = b"".join((HERE / name).read_bytes() for name in ("problem.py", "run.py"))
    name = f"{size}, gain {gain:g}, batch {batch}"
    path = envs / f"{size}-{gain:g}-{batch}-{hashlib.sha256(code).hexdigest()[:8]}.npz"
    if path.exists():
        return path
    print(f"preparing {name} ...", file=sys.stderr)
    rng = np.random.default_rng(0)
    net = network(SIZES[size], gain, rng)
    x, y = samples(batch, SIZES[size], rng)
    whole, scored, probe = Bulk(net, x, y), Bulk(net, x[:64], y[:64]), Bulk(net, x[:16], y[:16])
    if size == "tiny":
        probe = scored
    top = top_curvature(whole, whole.start())
    families = {"descent": {}, "momentum": {"momenta": MOMENTA}, "errors": {"errors": True}}
    tuned = {}
    for family, kind in families.items():
        tuned[family] = {str(gap): found for gap, found in fewest_steps(probe, GAPS, top=top, **kind).items()}
    np.savez(
        path,
        info=json.dumps({"name": name, "layers": len(net.weights), "tuned": tuned}),
        x=x,
        y=y,
        reference=scored.loss(minimum(scored)),
        **{f"w{k}": w for k, w in enumerate(net.weights)},
        **{f"b{k}": b for k, b in enumerate(net.biases)},
    )
    return path


def prepare_digits(envs, python, batch):
    """4,000 digits to train on, less what does not fill a batch, and 1,000 to test, from nnthermo's environment."""
    path = envs / f"digits-{batch}.npz"
    if not path.exists():
        if not python:
            raise SystemExit("the digits come from nnthermo's environment: add it to --peers, or pass --no-training")
        code = (
            "import sys, numpy as np\nfrom nnthermo.data import load\n"
            "digits, path, batch = load('digits'), sys.argv[1], int(sys.argv[2])\n"
            "x = (digits.images.reshape(len(digits.images), -1) / 255).astype(np.float32)\n"
            "y, full = np.eye(10, dtype=np.float32)[digits.labels], 4000 // batch * batch\n"
            "np.savez(path, x=x[:full], y=y[:full], x_test=x[4000:], y_test=y[4000:])\n"
        )
        subprocess.run([python, "-c", code, path, str(batch)], check=True)
    return path


def work(name, python, task, envs):
    path = envs / f"{name}-task.json"
    path.write_text(json.dumps(task))
    print(f"running {name} ...", file=sys.stderr)
    with (envs / f"{name}.log").open("w") as log:
        command = [python, HERE / "worker.py", f"with_{name}", path]
        run = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | ALONE
        )
    rows = [{"peer": name, **json.loads(line)} for line in run.stdout.splitlines() if line.startswith("{")]
    if run.returncode:
        last = (envs / f"{name}.log").read_text().strip().rpartition("\n")[2][:200]
        rows.append({"peer": name, "kind": "versions", "error": f"stopped: {last or run.returncode}"})
    with (envs / "results.jsonl").open("a") as file:
        file.writelines(json.dumps({"date": time.strftime("%Y-%m-%d %H:%M"), **row}) + "\n" for row in rows)
    return rows


def versions_table(rows):
    yield "| peer | Python | versions |\n|---|---|---|"
    for row in (row for row in rows if row["kind"] == "versions"):
        found = ", ".join(f"{name} {number}" for name, number in row.get("versions", {}).items())
        yield f"| {row['peer']} | {row.get('python', '')} | {row.get('error', found)} |"


def relaxation_table(rows):
    rows = [row for row in rows if row["kind"] == "relaxation"]
    yield "| problem | peer | method | to gap | steps | ms | least | compile s | gap | relaxed | elsewhere |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for problem in dict.fromkeys(row["problem"] for row in rows):
        for row in (row for row in rows if row["problem"] == problem):
            goal = f"{row['goal']:g}" if row.get("goal") else "shipped"
            start = f"| {problem} | {row['peer']} | {row['method']} | {goal} |"
            if "error" in row:
                yield f"{start} {row['error']} |" + " |" * 6
                continue
            if "setting" in row:
                step, momentum, count = row["setting"]
                steps = f"{count} × {step:.3g}" + (f", momentum {momentum:g}" if momentum else "")
            else:
                steps = f"tolerance {row['tolerance']:.1e}" if "tolerance" in row else ""
            quality = f"{row['gap']:.1e} | {row['relaxed']:.2%} | {row['elsewhere']:.0%}" if "gap" in row else "| |"
            times = f"{row['ms']:.3g} ± {row['ms_spread']:.1g} | {row['ms_min']:.3g} | {row['first_s']:.1f}"
            yield f"{start} {steps} | {times} | {quality} |"


def training_table(rows):
    rows = [row for row in rows if row["kind"] == "training"]
    yield "| budget | peer | accuracy % | loss at the minima | final gap | s an epoch | compile s | last setting |"
    yield "|---|---|---|---|---|---|---|---|"
    for budget, peer in sorted({(row["budget"], row["peer"]): None for row in rows}):
        runs = [row for row in rows if (row["budget"], row["peer"]) == (budget, peer)]
        good = [row for row in runs if "error" not in row]
        if not good:
            yield f"| {budget} | {peer} | {runs[0]['error']} |" + " |" * 5
            continue
        cells = [
            spread([100 * row["accuracy"] for row in good], ".1f"),
            spread([row["loss"] for row in good], ".4f") if "loss" in good[0] else "",
            f"{np.median([row['gap'] for row in good]):.1e}" if "gap" in good[0] else "",
            spread([row["epoch_s"] for row in good], ".3f"),
            f"{max(row['compile_s'] for row in good):.1f}",
            shown(good[0]["setting"]) + (f"; {len(runs) - len(good)} failed" if len(good) < len(runs) else ""),
        ]
        yield f"| {budget} | {peer} | " + " | ".join(cells) + " |"


def spread(values, form):
    """Mean and standard deviation."""
    return f"{np.mean(values):{form}} ± {np.std(values):{form}}"


def shown(setting):
    if isinstance(setting, dict):
        return ", ".join(f"{name} {value:.3g}" for name, value in setting.items())
    if setting is None:
        return ""
    step, momentum, count = setting
    return f"{count} × {step:.3g}, momentum {momentum:g}"


if __name__ == "__main__":
    main()
