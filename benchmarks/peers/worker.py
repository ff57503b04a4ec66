"""What every worker does with its library: relax and train as told, print one JSON line for each result.

A worker file offers, for the names in its `FAMILIES` ("descent", "momentum" or "errors", see `problem.descent`),

    PACKAGES                                   whose versions matter
    defaults(net, x, y) -> {label: call}       relaxation as shipped; a call takes nothing and returns hidden layers
    tuned(family, net, x, y, setting) -> call  relaxation by the library's machinery with a given step and step count
    Trainer(net, rate, batch)                  .epoch(xs, ys, setting), as shipped if the setting is None; .net();
                                               .state; .compiled_in(setting), what each program is compiled for

or, if it chooses its steps itself, `tolerant(net, x, y, tolerance, max_steps)` and `train(...)` instead.
"""

import importlib
import json
import os
import platform
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path

import numpy as np
from problem import (
    MOMENTA,
    STEPS,
    Bulk,
    Net,
    Setting,
    fewest_steps,
    lowest_loss,
    minimum,
    network,
    score,
    top_curvature,
)
from problem import accuracy as accuracy_of

TOLERANCES = [10 ** (-k / 4) for k in range(29)]
SCORED = 64
FEW_AND_MANY = 10, 60
COMPILED = {}  # seconds, by what a program was compiled for


def main():
    peer, task = importlib.import_module(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[task["core"]]})
    versions = {name: version(name) for name in peer.PACKAGES}
    report(kind="versions", python=platform.python_version(), versions=versions)
    for path in task.get("problems", ()):
        relaxation(peer, path, task)
    if "training" in task:
        training(peer, task["training"])


def report(**row):
    print(json.dumps(row), flush=True)


def attempt(function, **row):
    """Report what the function adds to the row, or why it could not."""
    try:
        report(**row, **function())
    except Exception as error:
        traceback.print_exc()
        report(**row, error=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300])


def clock(call, seconds=2.0, most=60):
    """What a call returns; its first time, then median, minimum and half the distance of the quartiles in ms."""
    start = time.perf_counter()
    result = call()
    first = time.perf_counter() - start
    call()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < most):
        start = time.perf_counter()
        result = call()
        times.append(1e3 * (time.perf_counter() - start))
    low, middle, high = np.percentile(times, [25, 50, 75])
    return result, {"first_s": first, "ms": middle, "ms_min": min(times), "ms_spread": (high - low) / 2}


def joined(layers):
    return np.concatenate([np.asarray(layer, np.float64) for layer in layers], 1)


def relaxation(peer, path, task):
    with np.load(path, allow_pickle=False) as file:
        info = json.loads(str(file["info"]))
        net = Net([file[f"w{k}"] for k in range(info["layers"])], [file[f"b{k}"] for k in range(info["layers"])])
        x, y, reference = file["x"], file["y"], file["reference"]
    bulk = Bulk(net, x[:SCORED], y[:SCORED])
    given = (net.astype(np.float32), x.astype(np.float32), y.astype(np.float32))

    def judged(call):
        """Its gap, infinite if any sample diverges, and the seconds of this first call."""
        start = time.perf_counter()
        layers = call()
        first = time.perf_counter() - start
        found = joined(layers)
        return score(bulk, found[:SCORED], reference).gap if np.isfinite(found).all() else np.inf, first

    def measured(call, scored=True, **more):
        result, times = clock(call, task["seconds"])
        quality = score(bulk, joined(result)[:SCORED], reference)._asdict() if scored else {}
        return times | quality | more  # `more` may hold the first time, if there was a call before

    about = {"kind": "relaxation", "problem": info["name"]}
    try:
        shipped = peer.defaults(*given)
    except Exception as error:
        traceback.print_exc()
        report(**about, method="shipped defaults", error=f"{type(error).__name__}: {error}"[:300])
        shipped = {}
    for label, call in shipped.items():
        attempt(lambda c=call: measured(c, getattr(peer, "SCORED", True)), **about, method=label)
    for goal in task["gaps"]:
        for family in getattr(peer, "FAMILIES", ()):
            attempt(
                lambda f=family, g=goal: measured_with_fewest_steps(peer, f, given, info, g, judged, measured),
                **about,
                method=f"tuned {family}",
                goal=goal,
            )
        if hasattr(peer, "tolerant"):
            attempt(
                lambda g=goal: measured_with_tolerance(peer, given, g, judged, measured),
                **about,
                method="relax",
                goal=goal,
            )


def measured_with_fewest_steps(peer, family, given, info, goal, judged, measured):
    """The tuned setting, with more steps if float32 or the rest of the batch asks for them."""
    if info["tuned"][family][str(goal)] is None:
        raise RuntimeError("no step of the grid reaches this gap")
    setting = Setting(*info["tuned"][family][str(goal)])
    for _ in range(12):
        call = peer.tuned(family, *given, setting)
        gap, first_s = judged(call)
        if gap <= goal:
            return measured(call, setting=setting, first_s=first_s)
        setting = setting._replace(count=setting.count + 1 + setting.count // 10)
    raise RuntimeError(f"gap not reached in {setting.count} steps of {setting.step:.3g}, momentum {setting.momentum}")


def measured_with_tolerance(peer, given, goal, judged, measured):
    tolerance = widest_tolerance(lambda t: judged(peer.tolerant(*given, t))[0] <= goal)
    return measured(peer.tolerant(*given, tolerance), tolerance=tolerance)


def widest_tolerance(enough):
    low, high = 0, len(TOLERANCES) - 1  # bisection: TOLERANCES[high] is taken to be enough
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(TOLERANCES[middle]) else (middle + 1, high)
    return TOLERANCES[low]


def training(peer, task):
    with np.load(task["data"]) as file:
        data = {name: file[name] for name in ("x", "y", "x_test", "y_test")}
    budgets = ([["defaults", None]] if hasattr(peer, "DEFAULT_TRAINING") else []) + (
        task["budgets"] if hasattr(peer, "train") or getattr(peer, "FAMILIES", ()) else []
    )
    for kind, amount in budgets:
        kept = {}  # what is measured once and serves all seeds
        for seed in range(task["seeds"]):
            run = trained_by_itself if hasattr(peer, "train") else trained_batch_by_batch
            attempt(
                lambda r=run, k=kind, a=amount, s=seed, c=kept: r(peer, task, data, k, a, s, c),
                kind="training",
                budget=kind if amount is None else f"{kind} {amount:g}",
                seed=seed,
            )


def affordable(budget, few, many):
    """Steps that fit into so many ms, from the seconds that FEW_AND_MANY take."""
    a, b = FEW_AND_MANY
    return int(np.clip(a + (budget / 1e3 - few) * (b - a) / max(many - few, 1e-9), 1, STEPS))


def initial(task, seed):
    return network(task["sizes"], 1.0, np.random.default_rng(seed), bias=0.0).astype(np.float32)


def probe_of(data, count):
    return data["x"][:count], data["y"][:count]


def quality(net, data, scored=True):
    """Of a trained network: accuracy on the test set, bulk loss at the minima of 1,000 training samples."""
    net = net.astype(np.float64)
    found = {"accuracy": accuracy_of(net, data["x_test"], data["y_test"])}
    if scored:
        bulk = Bulk(net, data["x"][:1000].astype(np.float64), data["y"][:1000].astype(np.float64))
        found["loss"] = float(bulk.loss(minimum(bulk, 1e-7)).mean())
    return found


def final_gap(net, data, relaxed):
    bulk = Bulk(net.astype(np.float64), *(a.astype(np.float64) for a in probe_of(data, SCORED)))
    return score(bulk, joined(relaxed()), bulk.loss(minimum(bulk))).gap


def trained_batch_by_batch(peer, task, data, kind, amount, seed, kept):
    trainer, batch = peer.Trainer(initial(task, seed), task["rate"], task["batch"]), task["batch"]
    momenta = MOMENTA if "momentum" in peer.FAMILIES else (0.0,)
    family = "momentum" if "momentum" in peer.FAMILIES else "descent"
    rng, run_s, used, setting = np.random.default_rng(seed), [], set(), None

    def batches(rng):
        rows = rng.permutation(len(data["x"])).reshape(-1, batch)
        return data["x"][rows], data["y"][rows]

    def prepare(xs, ys, setting):
        """Compile if need be, which takes the first call less the second, both on a state that is put back."""
        program = trainer.compiled_in(setting)
        used.add(program)
        if program in COMPILED:
            return
        state, times = trainer.state, []
        for _ in range(2):
            start = time.perf_counter()
            trainer.epoch(xs, ys, setting)
            times.append(time.perf_counter() - start)
            trainer.state = state
        COMPILED[program] = max(times[0] - times[1], 0.0)

    def seconds_a_batch(xs, ys, setting):
        prepare(xs, ys, setting)
        state, times = trainer.state, []
        for _ in range(5):
            start = time.perf_counter()
            trainer.epoch(xs, ys, setting)
            times.append((time.perf_counter() - start) / len(xs))
            trainer.state = state
        return min(times)

    if kind == "time" and "count" not in kept:
        few, many = (
            seconds_a_batch(*batches(np.random.default_rng()), Setting(0.1, momenta[0], n)) for n in FEW_AND_MANY
        )
        kept["count"] = affordable(amount, few, many)
    for _ in range(task["epochs"]):
        xs, ys = batches(rng)
        if kind != "defaults":
            net = trainer.net().astype(np.float64)
            bulk = Bulk(net, *(a.astype(np.float64) for a in probe_of(data, 16)))
            if kind == "time":
                setting = lowest_loss(bulk, kept["count"], momenta=momenta)
            else:
                found = fewest_steps(bulk, (amount,), momenta=momenta)[amount]
                setting = found or Setting(0.9 / top_curvature(bulk, bulk.start()), 0.0, 1000)
        prepare(xs, ys, setting)
        start = time.perf_counter()
        trainer.epoch(xs, ys, setting)
        run_s.append(time.perf_counter() - start)
    net = trainer.net()
    found = quality(net, data, getattr(peer, "SCORED", True))
    if getattr(peer, "SCORED", True):
        given = (net.astype(np.float32), *probe_of(data, SCORED))
        if setting is None:
            relaxed = peer.defaults(*given)[peer.DEFAULT_TRAINING]
        else:
            relaxed = peer.tuned(family, *given, setting)
        found["gap"] = final_gap(net, data, relaxed)
    return found | {"epoch_s": float(np.median(run_s)), "compile_s": sum(COMPILED[p] for p in used), "setting": setting}


def trained_by_itself(peer, task, data, kind, amount, seed, kept):
    net, pair = initial(task, seed), (data["x"], data["y"])

    def run(net, epochs=task["epochs"], **options):
        return peer.train(net, *pair, task["rate"], epochs, task["batch"], seed, **options)

    def gap_within(net, tolerance):
        relaxed = peer.tolerant(net.astype(np.float32), *probe_of(data, SCORED), tolerance)
        return final_gap(net, data, relaxed) <= amount

    if kind == "defaults":
        kept["options"] = {}
    elif kind == "gap" and "options" not in kept:  # one tolerance that is enough at the start and at the end
        ends = net, run(net, tolerance=1e-4)[0]
        tolerance = widest_tolerance(lambda t: all(gap_within(end, t) for end in ends))
        kept["options"] = {"tolerance": tolerance}
    elif kind == "time" and "options" not in kept:
        batches = len(data["x"]) // task["batch"]
        few, many = (
            min(run(net, epochs=6, tolerance=1e-7, max_steps=n)[1] for _ in range(3)) / batches for n in FEW_AND_MANY
        )
        kept["options"] = {"tolerance": 1e-7, "max_steps": affordable(amount, few, many)}
    options = kept["options"]
    net, epoch_s, compile_s = run(net, **options)
    relaxed = peer.tolerant(net.astype(np.float32), *probe_of(data, SCORED), **{"tolerance": None} | options)
    return quality(net, data) | {
        "gap": final_gap(net, data, relaxed),
        "epoch_s": epoch_s,
        "compile_s": compile_s,
        "setting": options,
    }


if __name__ == "__main__":
    main()
