"""What the paper says of equilibrium and of the laws of learning, what these runs give, and a verdict on each."""

from functools import partial
from typing import Any

import numpy as np

from nnthermo.equilibrium import factorise
from nnthermo.experiments.claims import Claim, Evidence, judged, sound_seeds
from nnthermo.experiments.laws.measuring import NODES
from nnthermo.experiments.laws.runs import Histories
from nnthermo.experiments.laws.settings import ENSEMBLES, PATHS, TEMPERATURES, Settings
from nnthermo.experiments.verdicts import Finding, Number, Statement, graded, judge
from nnthermo.laws import second_law

NAMES = {
    "window": "exact, window", "box": "exact, box", "gaussian": "Gaussian (5.9)",
    "gaussian_without_mean": "Gaussian without mean (5.14)", "constant": "constant β", "gap": "β from the gap",
    "loss": "β from the loss",
}  # fmt: skip
"""Of ensembles and of choices of β(t), in the report."""

RESOLVED = 4.0
"""Standard errors over the blocks beyond which a change of S counts."""


def statements(histories: Histories, settings: Settings) -> list[Statement]:
    """A verdict on each of `CLAIMS`; seeds of which a training did not end with finite numbers are left out."""
    seeds, note = sound_seeds(
        settings.seeds, lambda seed: all(_sound(h.sel(seed=seed), settings) for h in histories.values())
    )
    sound = {name: h.sel(seed=seeds) for name, h in histories.items()}
    evidence = Evidence((sound, settings) if seeds else None, note)
    return judged(CLAIMS, lambda _claim: evidence)


def _sound(run: Any, settings: Settings) -> bool:
    if tuple(run.epoch.values) != settings.observe_at:
        return False
    return all(bool(np.isfinite(v).all()) for v in run.data_vars.values())


# the second law


def entropy(history: Any, ensemble: str, temperature: str, name: str = "entropy") -> np.ndarray:
    """S of the records, (seeds, records, blocks)."""
    values = history[name].sel(ensemble=ensemble, temperature=temperature)
    return values.transpose("seed", "epoch", "block").values


def _mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Over the last axis, that of the blocks; rounding is the least error."""
    error = values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
    return values.mean(axis=-1), np.maximum(error, 1e-12 * np.abs(values).max(axis=-1))


def _never_rises(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each seed: no step rises beyond its error, and the whole change is a fall beyond its own."""
    steps, errors = _mean_and_error(np.diff(s, axis=1))
    whole, error = _mean_and_error(s[:, -1] - s[:, 0])
    never = np.asarray(steps <= RESOLVED * errors + 1e-9).all(axis=1)
    return np.asarray(never), np.asarray(whole < -RESOLVED * error)


def second_law_verdict(entropies: list[np.ndarray]) -> str:
    """From S (seeds, records, blocks) of each network, by the criterion of the cards."""
    found = [_never_rises(s) for s in entropies]
    falls = all(whole.all() for _, whole in found)
    return graded(falls and all(never.all() for never, _ in found), falls)


def _second_law(ensemble: str, temperature: str, histories: Histories, settings: Settings) -> Finding:
    numbers: list[Number] = []
    for network in settings.networks:
        history = histories[network]
        s = entropy(history, ensemble, temperature)
        means = s.mean(axis=-1)
        law = second_law(np.log1p(history.epoch.values), means)
        steps, errors = _mean_and_error(np.diff(s, axis=1))
        beyond = steps > RESOLVED * errors + 1e-9
        latest = np.where(beyond, history.epoch.values[1:], 0).max(axis=1)
        numbers += [
            Number(f"total change of S / nats, {network}", None, law.change.tolist()),
            Number(f"its standard error, {network}", None, _mean_and_error(s[:, -1] - s[:, 0])[1].tolist()),
            Number(f"share of rises, {network}", None, law.rises.tolist()),
            Number(f"steps of {steps.shape[1]} that rise beyond their error, {network}", None, beyond.sum(1).tolist()),
            Number(f"epoch at which the last of them ends, 0 for none, {network}", None, latest.tolist()),
            Number(f"largest rise / nats, {network}", None, np.maximum(steps, 0).max(axis=1).tolist()),
        ]
        if len(means) > 1:
            numbers.append(Number(f"steps that rise beyond the seeds' interval, {network}", None, [law.rising.sum()]))
        if temperature != "constant":
            log_beta = np.log(history.beta.sel(temperature=temperature).transpose("seed", "epoch").values)
            alone = 0.5 * N * (log_beta[:, 0] - log_beta[:, -1])
            numbers.append(Number(f"(N/2) log β_0/β_T, the change by β alone, {network}", None, alone.tolist()))
        if ensemble != "box":
            other = entropy(history, ensemble, temperature, "shannon_entropy")
            change = (other[:, -1] - other[:, 0]).mean(axis=-1)
            numbers.append(Number(f"total change of -⟨log p⟩ / nats, {network}", None, change.tolist()))
    verdict = second_law_verdict([entropy(histories[n], ensemble, temperature) for n in settings.networks])
    comment = (
        "S = βU + log Z (7.1)." if ensemble != "box" else "S = -⟨log p⟩ = βU + log Z: the box has no window's term."
    )
    if ensemble != "box":
        other_verdict = second_law_verdict(
            [entropy(histories[n], ensemble, temperature, "shannon_entropy") for n in settings.networks]
        )
        comment += f" By -⟨log p⟩ (4.5), which has ½⟨x·x⟩ of the window besides, the verdict would be: {other_verdict}."
    if temperature == "gap":
        comment += " S goes up where β from the gap goes down, whatever the weights do."
    if temperature == "loss":
        comment += " Nearly all of the fall is that of N free modes as β rises, the same for any weights."
    return Finding(numbers, verdict, comment)


N = 854
"""Neurons of either network."""

# the first law


def path(history: Any, name: str, ensemble: str, temperature: str) -> np.ndarray:
    """A term of the first law on each step, (seeds, steps)."""
    values = history[f"law_{name}"].sel(path_ensemble=ensemble, temperature=temperature)
    return values.transpose("seed", "step").values


def relative(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Sum over steps of the sizes of one over that of the other, (seeds,)."""
    return np.abs(part).sum(axis=-1) / np.abs(whole).sum(axis=-1)


def _graded(values: list[float], fine: float, fair: float) -> str:
    return graded(max(values) <= fine, max(values) <= fair)


def _balance(ensemble: str, histories: Histories, settings: Settings) -> Finding:
    numbers, shares = [], []
    for network in settings.networks:
        history = histories[network]
        for temperature in TEMPERATURES:
            terms = {k: path(history, k, ensemble, temperature) for k in ("residual", "loss_change", "heat", "work")}
            share = relative(terms["residual"], terms["loss_change"]).tolist()
            shares += share
            label = f"{NAMES[temperature]}, {network}"
            numbers.append(Number(f"Σ|residual| / Σ|ΔU|, {label}", None, share))
            for name, symbol in (("loss_change", "ΔU"), ("heat", "heat"), ("work", "work")):
                numbers.append(Number(f"{symbol}, whole run, {label}", None, terms[name].sum(axis=-1).tolist()))
    return Finding(
        numbers,
        _graded(shares, 1e-5, 1e-2),
        "Heat is ∫ T dS, work ∫ ⟨∂H/∂(w, b)⟩ d(w, b), on straight lines between records; integrated apart from ΔU with "
        f"{NODES} nodes a step. The residual is the error of that quadrature.",
    )


def _printed(temperature: str, histories: Histories, settings: Settings) -> Finding:
    numbers, shares = [], []
    for network in settings.networks:
        for ensemble in PATHS:
            left = path(histories[network], "printed_residual", ensemble, temperature)
            change = path(histories[network], "loss_change", ensemble, temperature)
            share = relative(left, change).tolist()
            shares += share
            label = f"{NAMES[ensemble]}, {network}"
            numbers.append(Number(f"Σ|dU - T dS| / Σ|dU|, {label}", None, share))
            numbers.append(
                Number(f"left over of ΔU of the whole run, {label}", None, (left.sum(-1) / change.sum(-1)).tolist())
            )
    return Finding(
        numbers,
        _graded(shares, 0.05, 0.5),
        "T dS = T dS_0 + T dC whatever the split. What is left over is the work, which (7.10) takes for 0. "
        f"{_WHY[temperature]}",
    )


_WHY = {
    "constant": "At constant temperature it is the change of the free energy.",
    "gap": "β from the gap goes up and down, and U and S follow it whatever the weights do: a small residual here is "
    "mostly that of a law for one network at changing temperature.",
    "loss": "β rises by orders of magnitude, and then U and T dS are those of N free modes, N dT/2, for any weights: a "
    "small residual here says that T changes, not that the weights do no work.",
}


def mean_temperature(betas: np.ndarray) -> np.ndarray:
    """T of the steps between records, (..., records) to (..., records - 1): the mean over log β, exact for (7.4)."""
    ends = betas[..., :-1], betas[..., 1:]
    fall, ratio = 1 / ends[0] - 1 / ends[1], np.log(ends[1] / ends[0])
    same = np.abs(ratio) < 1e-9
    return np.where(same, 1 / ends[0], fall / np.where(same, 1.0, ratio))


def _threshold(temperature: str, histories: Histories, settings: Settings) -> Finding:
    numbers, shares = [], []
    forms = {"(6.7)": "complexity", "C_20 (10.5)": "complexity_20", "C_834 (10.5)": "complexity_all_but_20"}
    for network in settings.networks:
        at = histories[network].sel(temperature=temperature)
        rows = {
            name: at[name].transpose("seed", "epoch").values
            for name in ("gaussian_loss", "thermodynamic_entropy", "beta", "displaced_count", *forms.values())
        }
        mean_t, change = mean_temperature(rows["beta"]), np.diff(rows["gaussian_loss"], axis=1)
        for text, name in forms.items():
            heat = mean_t * (np.diff(rows["thermodynamic_entropy"], axis=1) + np.diff(rows[name], axis=1))
            share = relative(change - heat, change).tolist()
            numbers.append(Number(f"Σ|dU - T dS_0 - T dC| / Σ|dU|, C of {text}, {network}", None, share))
            if name == "complexity":
                shares += share
                for symbol, values in (("ΔU", change), ("∫T dS_0 + ∫T dC", heat)):
                    numbers.append(Number(f"{symbol}, whole run, {network}", None, values.sum(axis=-1).tolist()))
        counts = np.ptp(rows["displaced_count"], axis=1).tolist()
        numbers.append(Number(f"range of N_>, {network}", None, counts))
    return Finding(
        numbers,
        _graded(shares, 0.05, 0.5),
        "U is that of (5.14) at the mean state, S_0 that of (7.4); T of a step is its mean over "
        "log β. Verdict by C of (6.7).",
    )


# equilibrium


def _stationary(histories: Histories, settings: Settings) -> Finding:
    numbers, results = [], []
    for network in settings.networks:
        history = histories[network]
        for temperature in TEMPERATURES:
            at = history.sel(temperature=temperature)
            gradient = at.loss_gradient.transpose("seed", "epoch").values
            loss = at.average_loss.sel(ensemble="gaussian").mean("block").transpose("seed", "epoch").values
            size = history.parameter_norm.transpose("seed", "epoch").values
            slope = gradient / loss
            label = f"{NAMES[temperature]}, {network}"
            ratio = slope[:, -1] / slope[:, 0]
            numbers += [
                Number(f"|∂U|/U at the end over that at the start, {label}", None, ratio.tolist()),
                Number(f"|∂U| |(w, b)| / U at the end, {label}", None, (slope * size)[:, -1].tolist()),
            ]
            results += (ratio < 0.1).tolist()
    return Finding(
        numbers,
        judge(results),
        "U of (5.9), averaged over the measured samples, at fixed β. Training minimises another loss. At the β from "
        "the loss U is near N/2β for any weights, and so its gradient vanishes whether or not there is an equilibrium.",
    )


def _factors(histories: Histories, settings: Settings) -> Finding:
    numbers, shares = [], []
    for network in settings.networks:
        history = histories[network]
        for ensemble in history.smooth_ensemble.values:
            logs = history.window_log_partition.sel(smooth_ensemble=ensemble).transpose("seed", "epoch", "multiple")
            ends = [factorise(v) for v in logs.values[:, -settings.last_records :]]
            label = f"{NAMES[str(ensemble)]}, {network}"
            share = [float(f.share) for f in ends]
            shares += share
            numbers += [
                Number(f"share that no factors explain, last records, {label}", None, share),
                Number(f"defect / nats, last records, {label}", None, [float(f.root_mean_square) for f in ends]),
                Number(f"share, all records, {label}", None, [float(factorise(v).share) for v in logs.values]),
            ]
    return Finding(
        numbers,
        graded(max(shares) < 0.05, min(shares) < 0.05),
        f"log Z of the last {settings.last_records} records at half to twice the constant β, as a function of β plus "
        "one of the network, by least squares; the share is of the variance between networks at fixed β.",
    )


def _free_energy(histories: Histories, settings: Settings) -> Finding:
    numbers, shares = [], []
    last = settings.last_records
    for network in settings.networks:
        at = histories[network].sel(temperature="constant").isel(epoch=slice(-last, None))
        for ensemble in ENSEMBLES:
            names = ("log_partition", "average_loss")
            log_z, loss = (at[n].sel(ensemble=ensemble).transpose("seed", "epoch", "block").values for n in names)
            free, error = _mean_and_error(np.diff(-log_z / settings.beta, axis=1))
            change = np.diff(loss, axis=1).mean(axis=-1)
            share = relative(free, change).tolist()
            shares += share
            label = f"{NAMES[ensemble]}, {network}"
            numbers += [
                Number(f"Σ|ΔF| / Σ|ΔU|, {label}", None, share),
                Number(f"ΔF, {label}", None, free.sum(axis=-1).tolist()),
                Number(f"its standard error, at most, {label}", None, error.sum(axis=-1).tolist()),
            ]
    return Finding(
        numbers, _graded(shares, 0.1, 0.5), f"Between the last {last} records, at constant β = {settings.beta:g}."
    )


def _second_law_claim(ensemble: str, temperature: str) -> Claim:
    return Claim(
        f"second law, {NAMES[ensemble]}, {NAMES[temperature]}",
        "Sec. 7, (7.6)",
        f"The total entropy never increases during learning: {NAMES[ensemble]}, {NAMES[temperature]}.",
        f"No step between records raises S by more than {RESOLVED:g} standard errors, and S falls over the run, in any "
        "seed of either network (partly: it falls over every run, but some steps rise).",
        partial(_second_law, ensemble, temperature),
    )


def _balance_claim(ensemble: str) -> Claim:
    return Claim(
        f"first law with work, {NAMES[ensemble]}",
        "Sec. 7, (7.11) with the term that it leaves out",
        f"dU = T dS + work: {NAMES[ensemble]}.",
        "Σ|ΔU - heat - work| is at most 10^-5 of Σ|ΔU| for every seed, network and choice of β (partly: 10^-2).",
        partial(_balance, ensemble),
    )


def _printed_claim(temperature: str) -> Claim:
    return Claim(
        f"first law as printed, {NAMES[temperature]}",
        "Sec. 7, (7.11)",
        f"dU = T dS_0 + T dC along training: {NAMES[temperature]}.",
        "Σ|dU - T dS| is at most 5 % of Σ|dU| for every seed, network and ensemble (partly: 50 %).",
        partial(_printed, temperature),
    )


def _threshold_claim(temperature: str) -> Claim:
    return Claim(
        f"first law from the spectrum, {NAMES[temperature]}",
        "Sec. 7, (7.11) with (7.4) and (6.7)",
        f"dU = T dS_0 + T dC with S_0 and C from eigenvalues above 1/β: {NAMES[temperature]}.",
        "Σ|dU - T dS_0 - T dC| is at most 5 % of Σ|dU| for every seed and network (partly: 50 %).",
        partial(_threshold, temperature),
    )


CLAIMS = (
    *(_second_law_claim(e, t) for t in TEMPERATURES for e in ENSEMBLES),
    *(_balance_claim(e) for e in PATHS),
    *(_printed_claim(t) for t in TEMPERATURES),
    *(_threshold_claim(t) for t in TEMPERATURES),
    Claim(
        "stationary loss",
        "Sec. 6, (6.2)",
        "After long training the average loss U(β) is stationary in weights and biases.",
        "|∂U|/U at the end is below a tenth of what it is at the start, for every seed, network and choice of β "
        "(partly: for some).",
        _stationary,
    ),
    Claim(
        "factors",
        "Sec. 6, (6.3)",
        "After long training the partition function is a function of β times one of weights and biases.",
        "Less than 5 % of the variance of log Z between the last networks is left unexplained, for every seed, network "
        "and ensemble (partly: for some).",
        _factors,
    ),
    Claim(
        "constant free energy",
        "Sec. 7, (7.10)",
        "Between equilibrium states at constant temperature the free energy does not change.",
        "Σ|ΔF| is at most a tenth of Σ|ΔU| between the last records, for every seed, network and ensemble "
        "(partly: half).",
        _free_energy,
    ),
)
"""Every sentence on equilibrium and on the laws that these runs can test."""
