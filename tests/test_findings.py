"""Numbers in the sentences of docs/site/findings are those of the studies' results."""

import json
from functools import cache
from math import log10
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@cache
def results(study):
    return json.loads((DOCS / study / "results.json").read_text(encoding="utf-8"))


def numbers(study, key, start):
    """Numbers of a statement whose labels start so."""
    statement = next(statement for statement in results(study)["statements"] if statement["key"] == key)
    found = [number for number in statement["numbers"] if number["label"].startswith(start)]
    assert found, f"{study}, {key}: {start}"
    return found


def mean(study, key, start):
    return numbers(study, key, start)[0]["mean"]


def means(study, key, start):
    return [number["mean"] for number in numbers(study, key, start)]


def seeds(study, key, start):
    """Of every seed, of all networks."""
    return [value for number in numbers(study, key, start) for value in number["per_seed"]]


def span(values):
    ordered = sorted(values)
    return ordered[0], ordered[-1]


def correlation(study, score, *, epoch=0, beta=None, of="all"):
    """A correlation with the accuracy reached: of all activations, of one, or beyond the number of parameters."""
    row = next(
        c
        for c in results(study)["correlations"]
        if c["score"] == score and c["epoch"] == epoch and (beta is None or c["beta"] == beta)
    )
    return (row["activations"] | row)[of]["value"]


EQUAL, FEWER = "architectures", "architectures_parameters"
FIVE = EQUAL, FEWER, "architectures_mnist", "architectures_fashion", "architectures_fashion_parameters"


def section_10():
    told = results("reproduction")["settings"]
    yield "three seeds of each, {:,} epochs", told["epochs"]
    yield "on {:,} real digits", results("reproduction")["samples"]
    yield "learning rate {}, batches of {}", told["learning_rate"], told["batch_size"]
    assert len(told["seeds"]) == 3


def bulk_loss():
    study, told = "comparison", results("comparison")["settings"]
    yield (
        "{:,} epochs on {:,} digits at learning rate {}",
        told["epochs"],
        results(study)["samples"],
        told["learning_rate"],
    )
    differences = seeds(study, "similar accuracy", "test accuracy, bulk minus")
    differences += seeds(study, "similar in equal time", "test accuracy in equal time, bulk minus")
    yield "Accuracy on {:,} held-out digits is the same within {:.3f}", told["test_samples"], max(map(abs, differences))
    lower = [10**-value for value in seeds(study, "similar losses", "log10 of U_∂, bulk over")]
    yield "{:.0f} to {:.0f} times lower", *span(lower)
    assert min(seeds(study, "many flat directions", "share of flat directions")) > 0.99
    assert min(means(study, "fewer flat, own weights", "flat directions, bulk over")) > 0.995
    kinds = "the hidden neurons", "random hidden neurons", "as many principal components"
    shares = [100 * mean(study, "beyond supervised", f"read-out of {kind}, deep") for kind in kinds]
    yield (
        "{:.0f} % after training the deep network, {:.0f} % from the random weights it started with, {:.0f} %",
        *shares,
    )


def laws():
    study = "laws"
    yield "three seeds for {:,} epochs", results(study)["settings"]["epochs"]
    falls = seeds(study, "second law, exact, window, constant β", "total change of S")
    falls += seeds(study, "second law, exact, box, constant β", "total change of S")
    yield "falls by {:.1f} to {:.1f} nats", -max(falls), -min(falls)
    assert min(seeds(study, "second law, Gaussian without mean (5.14), constant β", "total change of S")) > 0
    grown = [log10(run["beta"]["loss"][-1] / run["beta"]["loss"][0]) for run in results(study)["runs"]]
    assert [round(orders) for orders in grown] == [4] * 6
    left = seeds(study, "first law as printed, constant β", "Σ|dU - T dS| / Σ|dU|")
    yield "leaves {:.0f} to {:.0f} % of dU", *(100 * value for value in span(left))
    assert min(seeds(study, "first law with work, Gaussian (5.9)", "ΔU, whole run, constant β")) > 0


def architectures():
    told = [results(study) for study in FIVE]
    yield "{} ways", told[0]["architectures"]
    yield "all {:,} of them (five seeds) are trained for {} epochs", told[0]["networks"], told[0]["settings"]["epochs"]
    destroyed = "entropy_destruction"
    yield "better, as claimed (ρ = {:.2f})", correlation(EQUAL, destroyed, beta=0.25)
    yield "is the larger ({:.2f})", correlation(EQUAL, destroyed, beta=1.4)
    yield (
        "tanh {:.2f}, sigmoid {:.2f})",
        *(correlation(EQUAL, destroyed, beta=10.0, of=name) for name in ("tanh", "sigmoid")),
    )
    yield "here (ρ = {:.2f})", correlation(EQUAL, "parameters")
    left = [correlation(EQUAL, score, beta=1.4 if "la" in score else None, of="beyond_parameters") for score in LEFT]
    yield "{:.1f} to {:.1f} is left of ΔF and μ₂", *span(map(abs, left))
    yield "{:.2f} (-0.09 to 0.31) of μ₃", correlation(EQUAL, "mu3", of="beyond_parameters")
    yield "and {:.2f} of the trace of the tangent kernel", correlation(EQUAL, "kernel_trace", of="beyond_parameters")

    yield "three seeds, {} epochs, {} networks", told[1]["settings"]["epochs"], told[1]["networks"]
    each = [correlation(FEWER, destroyed, beta=1.4, of=name) for name in ("tanh", "relu", "sigmoid")]
    yield "(at β = 1.4, tanh {:.2f}, relu {:.2f}, sigmoid {:.2f})", *each
    yield "has ρ = {:.2f} before training", correlation(FEWER, "weight_laplacian", beta=1.4)
    yield "({:.2f} by itself)", correlation(FEWER, "weighted_links")
    beside = [
        mean(FEWER, "the Laplacian in the weights", f"ρ of the same at a fixed connections × f'(0)², {name}")
        for name in ("tanh", "relu", "sigmoid")
    ]
    yield "{:.2f} (tanh), {:.2f} (relu) and {:.2f} (sigmoid) are left", *beside
    yield "({:.2f} after 3 epochs)", correlation(FEWER, "weight_laplacian", epoch=3, beta=1.4)

    full = FIVE[2:4]
    yield "-ΔF in λ has ρ = {:.2f} and {:.2f} at β = 1.4", *(correlation(study, destroyed, beta=1.4) for study in full)
    yield "{:.2f} and {:.2f} at β = 0.25", *(correlation(study, destroyed, beta=0.25) for study in full)
    yield "the number of parameters {:.2f} and {:.2f}", *(correlation(study, "parameters") for study in full)
    falls = [correlation(study, "weight_laplacian", beta=1.4) for study in (FEWER, FIVE[4])]
    yield "falls from {:.2f} to {:.2f} and has nothing left for tanh", *falls
    yield "for tanh ({:.2f})", correlation(FIVE[4], "weight_laplacian", beta=1.4, of="tanh")
    yield "the tangent kernel keeps {:.2f}", correlation(FIVE[4], "kernel_condition")


LEFT = "entropy_destruction", "log_laplacian", "weight_laplacian", "mu2"


def mechanics():
    study, told = "mechanics", results("mechanics")["settings"]
    yield "ensembles of {:,} networks (49-4-10, {} weights)", told["replicas"], results(study)["parameters"]
    yield "on {:,} digits", told["samples"]
    yield (
        "variation of {:.2f} to {:.2f} beyond",
        *span(seeds(study, "density", "largest total variation beyond sampling")),
    )
    half = span(seeds(study, "balance", "|ΔS - produced - learned| over |ΔS|, half way"))
    yield "within {:.1f} to {:.1f} % of it", *(100 * value for value in half)
    end = span(seeds(study, "balance", "|ΔS - produced - learned| over |ΔS|, end"))
    steps = span(seeds(study, "balance", "what the size of the steps makes of it, end"))
    yield "within {:.0f} to {:.0f} %, of which", *(100 * value for value in end)
    yield "explains {:.0f} to {:.0f}.", *(100 * value for value in steps)
    ratios = span(seeds(study, "sign of ħ²", "(ħ/M)² over -4D², batch"))
    average = mean(study, "size of ħ²", "(ħ/M)² over -4D², mean over batch sizes")
    yield "-4D² times {:.2f} to {:.2f}, {:.2f} on average", *ratios, average
    yield "standard error of one value: {:.1f})", mean(study, "sign of ħ²", "largest standard error")
    yield "ħ² ∝ B^{:.2f}", mean(study, "size of ħ²", "power of the batch size")


def gravity():
    study = "gravity"
    small = seeds(study, "second law", "mean change of S along the training, nats, small")
    yield "falls in {} of {} small networks", sum(change < 0 for change in small), len(small)
    assert min(seeds(study, "second law", "mean change of S along the training, nats, hidden")) > 0
    times = [[100 * share for share in means(study, "time", start)] for start in ("share where", "share, T =")]
    yield (
        "time-like at {:.0f} and {:.0f} % of the points, with training time at {:.0f} and {:.0f} %",
        *times[0],
        *times[1],
    )
    assert set(seeds(study, "cooling", "share where log β is time-like")) == {1.0}
    left = [100 * share for share in means(study, "Einstein's equations", "median")]
    yield "leave {:.0f} to {:.0f} % of the Ricci tensor", *span(left[:4])
    yield "{:.0f} to {:.0f} % of the Ricci tensor are left", *span(left[4:])
    turned = means(study, "geodesics", "median turning")
    yield "turns {:.1f} to {:.1f} radians away", *span(turned[:4])
    yield "lines turn by {:.2f} to {:.2f}", *span(turned[4:])
    cosmological = [n["mean"] for n in numbers(study, "Λ and N", "median Λ") if n["label"].endswith("along log β")]
    yield "Λ is {:.2f} to {:.2f} times", *span(cosmological)
    yield "goes with N^{:.2f}", mean(study, "Λ and N", "power of N")
    errors = sorted(run["curvature_error"] for run in results(study)["runs"])
    assert errors[-2] < 0.08
    yield "in the median of {} networks, and by {:.0f} % in one", len(errors) - 1, 100 * errors[-1]


@pytest.mark.parametrize("told", [section_10, bulk_loss, laws, architectures, mechanics, gravity])
def test_sentences_have_the_numbers_of_the_results(told):
    page = DOCS / "site" / "findings" / f"{told.__name__.replace('_', '-')}.md"
    text = " ".join(page.read_text(encoding="utf-8").split())
    for sentence, *values in told():
        assert sentence.format(*values) in text
