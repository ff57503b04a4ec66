import subprocess
import sys

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from nnthermo import LogSpectrum, plotting, two_level_laplacian
from nnthermo.experiments import drawing
from nnthermo.experiments.histories import fixed_count_complexity
from nnthermo.experiments.reproduce import figures
from nnthermo.experiments.reproduce.settings import MILESTONES, Settings
from nnthermo.experiments.reproduce.statements.laws import line
from nnthermo.experiments.reproduce.statements.record import late

xarray = pytest.importorskip("xarray")


slope = jax.jit(jax.grad(lambda x, beta: two_level_laplacian(x, beta, gamma=1 / 3, size=854)))
curvature = jax.jit(jax.grad(slope))


def new_axes():
    return Figure().subplots()


def by_label(ax, label):
    found = [curve for curve in ax.lines if curve.get_label() == label]
    assert len(found) == 1, [curve.get_label() for curve in ax.lines]
    return found[0]


def arrows(ax):
    return [text for text in ax.texts if text.get_text().startswith("gap")]


def random_history(seeds=3, epochs=9):
    r = np.random.default_rng(4)
    boundary = np.exp(-np.linspace(0, 3, epochs) + 0.05 * r.normal(size=(seeds, epochs)))
    return np.arange(epochs), boundary * 0.3, boundary


def test_two_level_draws_the_function_itself():
    ax = plotting.two_level((0.25, 0.73), ax=new_axes())
    curve = by_label(ax, "β = 0.73")
    x = np.linspace(-8, 5, 2601)
    np.testing.assert_array_equal(curve.get_xdata(), x)
    # (9.3) typed anew; a few roundings of numbers up to N = 854
    expected = 854 * 0.73 / 2 * (1 / 3 / (1 + 0.73 * np.exp(x)) ** 2 + 2 / 3 / (1 + 0.73 * np.exp(-x / 2)) ** 2)
    np.testing.assert_allclose(curve.get_ydata(), expected, rtol=20 * np.finfo(float).eps)


@given(beta=st.floats(0.08, 0.98))
def test_marked_points_are_stationary(beta):
    points = plotting.stationary_points(np.linspace(-8, 5, 2601), beta, 1 / 3)
    exact = 2 * np.log((1 - beta) / beta)
    # linear interpolation on spacing h = 0.005 errs by h²/8 · |β''/β'|, and β''/β' lies between -1/2 and 1/2
    np.testing.assert_allclose(points, [0.0, exact], atol=0.005**2 / 8)
    for point in points:
        # the slope there is the error of the point times the second derivative; 1e-12 for rounding where both vanish
        near = max(abs(float(curvature(point + d, beta))) for d in (-0.01, 0.0, 0.01))
        assert abs(float(slope(point, beta))) <= 0.005**2 / 8 * near + 1e-12


def test_no_second_stationary_point_from_one_on():
    for beta in (1.0, 1.4, 10.0):
        np.testing.assert_array_equal(plotting.stationary_points(np.linspace(-30, 30, 6001), beta, 1 / 3), [0.0])


def test_the_misprint_is_marked_apart_from_the_exact_points():
    ax = plotting.two_level(ax=new_axes())
    printed = [by_label(ax, f"second one by (9.4), as printed, β = {b:.2f}").get_xdata()[0] for b in (0.25, 0.73, 1.0)]
    expected = [3 * np.log(-0.5 + np.sqrt(0.25 + 1 / b)) for b in (0.25, 0.73, 1.0)]
    np.testing.assert_allclose(printed, expected, rtol=1e-14)
    assert [round(x, 2) for x in printed] == [1.34, -0.77, -1.44]  # by hand
    exact = by_label(ax, "stationary points of (9.3), β = 0.73")
    np.testing.assert_allclose(exact.get_xdata(), [0, 2 * np.log(0.27 / 0.73)], atol=0.005**2)
    assert exact.get_marker() != by_label(ax, "second one by (9.4), as printed, β = 0.73").get_marker()


def test_two_level_phases_counts_minima_and_draws_the_boundaries():
    gamma, beta = np.array([0.1, 0.4, 0.5, 0.9]), np.array([0.2, 0.45, 0.55, 0.7, 3.0])
    ax = plotting.two_level_phases(gamma=gamma, beta=beta, ax=new_axes())
    ell = np.linspace(-60, 60, 60_002)  # minima: where its slope turns from - to +, plateaus have none
    counted = np.zeros((5, 4), int)
    for i, b in enumerate(beta):
        for j, g in enumerate(gamma):
            k = g / (1 - g)
            near, far = (v - 3 * np.logaddexp(0, np.log(b) + v) for v in (ell, -k * ell))
            rises = far > near  # logarithms of the two terms of the slope
            counted[i, j] = np.sum(~rises[:-1] & rises[1:])
    mesh = ax.collections[0]
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(5, 4), counted)
    assert set(counted.ravel()) >= {1, 2}
    fold = by_label(ax, "fold: other stationary points vanish").get_ydata()
    assert np.isnan(fold[[0, 3]]).all()
    np.testing.assert_allclose(fold[1:3], [0.2**0.2 * 0.8**0.8, 0.5])
    np.testing.assert_array_equal(by_label(ax, "log λ = 0 turns stable").get_ydata(), [0.5] * 4)
    np.testing.assert_allclose(by_label(ax, "−ΔF(0) = −ΔF(−∞)").get_ydata(), gamma**-0.5 - 1)
    np.testing.assert_allclose(by_label(ax, "−ΔF(0) = −ΔF(∞)").get_ydata(), (1 - gamma) ** -0.5 - 1)
    assert ax.get_yscale() == "log"


def test_two_level_phases_by_default_and_bad_axes():
    ax = plotting.two_level_phases(ax=new_axes())
    minima = np.asarray(ax.collections[0].get_array())
    assert minima.size == 160 * 160
    assert (minima.min(), minima.max()) == (1, 2)
    assert len(ax.get_legend().get_texts()) == 6
    for bad in ({"gamma": [0.0, 0.5]}, {"gamma": [0.5, 0.2]}, {"beta": [1.0]}):
        with pytest.raises(ValueError, match=f"`{next(iter(bad))}` must be increasing numbers"):
            plotting.two_level_phases(**bad, ax=new_axes())


def test_losses_are_logarithms_first_seed_in_front():
    epochs, bulk, boundary = random_history()
    ax = plotting.losses(epochs, bulk, boundary, medians=(bulk / 9, boundary / 9), ax=new_axes())
    front = by_label(ax, "bulk loss $U$")
    np.testing.assert_array_equal(front.get_ydata(), np.log(bulk[0]))
    np.testing.assert_array_equal(by_label(ax, "boundary loss $U_\\partial$").get_ydata(), np.log(boundary[0]))
    np.testing.assert_array_equal(by_label(ax, "bulk, median sample").get_ydata(), np.log(bulk[0] / 9))
    np.testing.assert_array_equal(by_label(ax, "boundary, median sample").get_ydata(), np.log(boundary[0] / 9))
    behind = [
        curve for curve in ax.lines if curve.get_color() == front.get_color() and curve.get_label().startswith("_")
    ]
    assert len(behind) == 2
    assert {tuple(curve.get_ydata()) for curve in behind} == {tuple(np.log(row)) for row in bulk[1:]}
    assert all(c.get_linewidth() < front.get_linewidth() and c.get_zorder() < front.get_zorder() for c in behind)


def test_one_run_may_be_a_vector():
    epochs, bulk, boundary = random_history()
    ax = plotting.losses(epochs, bulk[0], boundary[0], ax=new_axes())
    assert len(ax.lines) == 2


def test_bulk_against_boundary_marks_epochs_and_plateau():
    epochs, bulk, boundary = random_history()
    ax = plotting.bulk_against_boundary(bulk, boundary, epochs=epochs, marks=(2, 7), plateau=(4, 6), ax=new_axes())
    np.testing.assert_array_equal(by_label(ax, "first seed").get_xdata(), np.log(boundary[0]))
    np.testing.assert_array_equal(by_label(ax, "first seed").get_ydata(), np.log(bulk[0]))
    np.testing.assert_array_equal(by_label(ax, "epochs 4 to 6").get_ydata(), np.log(bulk[0, 4:7]))
    assert {t.get_text(): t.xy for t in ax.texts} == {
        str(k): (np.log(boundary[0, k]), np.log(bulk[0, k])) for k in (2, 7)
    }


def test_histogram_counts_every_eigenvalue_and_mirrors_the_first_seed():
    values = np.array([-2.0, -1.9, -0.3, 0.0, 0.01, -0.02, 0.5, 1.1, 1.1, 1.5])
    ax = plotting.eigenvalue_histogram(np.stack([values, values + 0.02]), ax=new_axes())
    bars = {
        round(bar.get_x() + bar.get_width() / 2, 9): bar.get_height()
        for bar in ax.patches
        if hasattr(bar, "get_height")
    }
    assert sum(bars.values()) == len(values)
    assert bars[0.0] == 3  # a bin is centred on 0
    assert bars[-2.0] == 2
    assert bars[1.0] == 2
    stairs = {patch.get_label(): patch.get_data().values for patch in ax.patches if hasattr(patch, "get_data")}
    np.testing.assert_array_equal(stairs["mirrored"], [bars[k] for k in sorted(bars, reverse=True)])
    assert stairs["other seeds"].sum() == len(values)
    np.testing.assert_array_equal(by_label(ax, "eigenvalues").get_xdata(), values)


@settings(max_examples=15)
@given(st.sampled_from([5, 16]), st.integers(0, 10**6), st.floats(1.5, 6))
def test_a_wide_gap_and_only_a_wide_gap_has_an_arrow(count, seed, contrast):
    values = 1.5 * np.random.default_rng(seed).normal(size=count)
    gap = LogSpectrum(jnp.asarray(np.sort(values)[::-1].copy())).gap()
    ax = plotting.eigenvalue_histogram(values, contrast=contrast, ax=new_axes())
    assert len(arrows(ax)) == int(float(gap.contrast) > contrast)
    for arrow in arrows(ax):
        assert arrow.xy == (float(gap.centre), 0)


def test_arrow_at_the_centre_of_the_gap():
    values = [-3.4, -3.3, -1.9, -1.8, -1.7, -1.6, -1.5, -1.4, 1.0, 2.0, 3.0, 4.0]
    (arrow,) = arrows(plotting.eigenvalue_histogram(values, ax=new_axes()))
    assert arrow.xy == pytest.approx((-2.6, 0))
    assert arrow.get_text() == "gap −2.6"
    even = [-3.4, -3.0, -2.6, -2.2, -1.8, -1.4, -1.0, -0.6, 1.0, 2.0, 3.0, 4.0]  # contrast 1
    assert not arrows(plotting.eigenvalue_histogram(even, ax=new_axes()))
    assert not arrows(plotting.eigenvalue_histogram([0.5, 1.0, 3.0], contrast=0.5, ax=new_axes()))  # none is negative


def test_complexities_are_drawn_as_given():
    epochs, bulk, _ = random_history()
    complexities = {20: 770 + bulk, 834: 765 + 2 * bulk}
    ax = plotting.complexity_history(epochs, complexities, total=(854, 784.77), ax=new_axes())
    for n, values in complexities.items():
        np.testing.assert_array_equal(by_label(ax, f"$C_{{{n}}}$").get_ydata(), values[0])
    assert by_label(ax, "$C_{854}$ = 784.8, constant").get_ydata()[0] == 784.77


@settings(max_examples=12)
@given(rise=st.floats(-3, 3), intercept=st.floats(700, 800))
def test_fitted_lines_in_the_legend_are_those_of_the_data(rise, intercept):
    _, bulk, _ = random_history()
    fitted = np.arange(9) > 1
    values = intercept + rise * np.log(bulk)
    values[:, ~fitted] += 50  # the transient must not count
    ax = plotting.complexity_against_loss(bulk, {20: values}, fitted=fitted, paper={20: (1.25, 769.0)}, ax=new_axes())
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    written = texts[0].replace("−", "-").replace(" ", "")
    start, rest = written.removeprefix("$C_{20}$=").removesuffix("log$U$")[:5], written[len("$C_{20}$=") + 5 :]
    # printed with one and with two decimals: half a unit of the last, and rounding of the fit besides
    assert float(start) == pytest.approx(intercept, abs=0.0501)
    assert float(rest.removesuffix("log$U$")) == pytest.approx(rise, abs=0.00501)
    assert texts[1] == "paper: 769 + 1.25 log $U$"
    drawn = by_label(ax, ax.lines[-2].get_label())
    x = drawn.get_xdata()
    np.testing.assert_allclose(drawn.get_ydata(), intercept + rise * x, atol=1e-9)  # 800 × 1e-16 × cond of the fit
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), 769 + 1.25 * x, rtol=1e-14)


def test_lines_are_averaged_over_seeds_and_nan_is_left_out():
    _, bulk, _ = random_history()
    values = np.stack([770 + 1.0 * np.log(bulk[0]), 772 + 2.0 * np.log(bulk[1]), np.full(9, np.nan)])
    values[1, -1] = np.nan
    ax = plotting.complexity_against_loss(bulk, {834: values}, ax=new_axes())
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["$C_{834}$ = 771.0 + 1.50 log $U$"]


def test_errors_of_approximations_are_drawn_as_given():
    errors = {"window": [0.2, 0.1, -0.1], "gaussian": [0.0, -0.02, 0.0], "other": [1.0, 2.0, 3.0]}
    ax = plotting.approximation_errors([0.1, 1.0, 10.0], errors)
    lines = {line.get_label(): line for line in ax.lines}
    for label, name in (("window for box, (5.8)", "window"), ("(5.9) for the window", "gaussian"), ("other", "other")):
        assert lines[label].get_ydata() == pytest.approx(errors[name])
        assert lines[label].get_xdata() == pytest.approx([0.1, 1.0, 10.0])
    assert ax.get_xscale() == "log"
    with pytest.raises(ValueError, match="`betas` must be one vector of positive numbers"):
        plotting.approximation_errors([0.0, 1.0], {})
    with pytest.raises(ValueError, match="have shape"):
        plotting.approximation_errors([1.0, 2.0], {"window": [1.0]})


def test_pictures_without_axes_make_their_own():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    ax = plotting.two_level((0.3,))
    assert len(pyplot.get_fignums()) == len(before) + 1
    pyplot.close(ax.figure)
    plotting.two_level((0.3,), ax=new_axes())
    assert pyplot.get_fignums() == before


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda ax: plotting.losses([0, 1], np.ones((2, 3)), np.ones(2), ax=ax), "bulk"),
        (lambda ax: plotting.losses([0, 1], np.ones(2), np.ones((2, 2, 2)), ax=ax), "boundary"),
        (lambda ax: plotting.bulk_against_boundary(np.ones(3), np.ones(2), ax=ax), "bulk"),
        (lambda ax: plotting.bulk_against_boundary(np.ones(2), np.ones(2), marks=(1,), ax=ax), "epochs"),
        (lambda ax: plotting.eigenvalue_histogram([np.nan, np.nan], ax=ax), "log_eigenvalues"),
        (lambda ax: plotting.eigenvalue_histogram([0.0, 1.0], width=0.0, ax=ax), "width"),
        (lambda ax: plotting.complexity_against_loss(np.ones(3), {20: np.ones(3)}, fitted=[True], ax=ax), "fitted"),
        (lambda ax: plotting.two_level((0.5,), log_eigenvalue=0.0, ax=ax), "log_eigenvalue"),
        (lambda ax: plotting.two_level((-0.5,), ax=ax), "beta"),
    ],
)
def test_bad_arguments_are_named(call, name):
    with pytest.raises(ValueError, match=rf"`{name}.*` must .*, but got"):
        call(new_axes())


def test_matplotlib_is_imported_late_and_missed_by_name():
    code = """
import sys
sys.modules["matplotlib.pyplot"] = sys.modules["matplotlib"] = None
import nnthermo.plotting
try:
    nnthermo.plotting.two_level()
except ImportError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "matplotlib is not installed: pip install 'nnthermo[plot]'"


def histories(choice, *, seeds=2, dynamical=30):
    """Two made-up trainings whose spectra spread, with everything the figures need."""
    r = np.random.default_rng(7)
    epochs = np.array(choice.observe_at)
    found = {}
    for name in ("deep", "shallow"):
        spread = r.normal(size=(seeds, 1, dynamical)) * np.log1p(epochs)[None, :, None] / 4
        spectra = -np.sort(-(spread - spread.mean(-1, keepdims=True)), axis=-1)
        boundary = 1 / (1 + epochs) * np.exp(0.02 * r.normal(size=(seeds, len(epochs))))
        pairs = {"bulk_loss": 0.1, "boundary_loss": 1, "median_bulk_loss": 0.01, "median_boundary_loss": 0.02}
        variables = {key: (("seed", "epoch"), factor * boundary) for key, factor in pairs.items()}
        variables["log_eigenvalues"] = (("seed", "epoch", "eigenvalue"), spectra)
        found[name] = xarray.Dataset(variables, coords={"epoch": epochs, "seed": np.arange(seeds)})
    return found


SETTINGS = Settings(epochs=40, seeds=(0, 1), observations=4)


def test_figures_are_written_to_the_same_bytes(tmp_path):
    data = histories(SETTINGS)
    with mpl.rc_context({"axes.facecolor": "pink", "font.size": 31, "svg.fonttype": "none"}):  # a user's own style
        files = figures.draw(data, SETTINGS, tmp_path / "once")
        assert mpl.rcParams["font.size"] == 31
    assert [f.name for f in files] == [f"figure-{k}.{kind}" for k in range(1, 8) for kind in ("png", "svg")]
    assert all(f.stat().st_size > 5000 for f in files)
    with drawing.style():
        again = drawing.save(figures._spectra(data["deep"], SETTINGS, "deep"), tmp_path / "figure-5")
    for file in again:
        assert file.read_bytes() == (tmp_path / "once" / file.name).read_bytes()
    assert b"<dc:date>" not in again[1].read_bytes()


def test_figure_7_fits_what_the_statement_fits():
    data = histories(SETTINGS)
    ax = figures._figure_7(data["deep"], SETTINGS, figures._complexities(data["deep"])).axes[0]
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    for n, text in zip((20, 834), texts[::2], strict=True):
        fits = []
        for seed in range(2):
            run = data["deep"].isel(seed=seed)
            keep = late(run, SETTINGS)
            fits.append(line(np.log(run.bulk_loss.values[keep]), fixed_count_complexity(run, n)[keep])[:2])
        slope, intercept = np.mean(fits, axis=0)
        sign = "−" if slope < 0 else "+"
        assert text == f"$C_{{{n}}}$ = {intercept:.1f} {sign} {abs(slope):.2f} log $U$"


def test_figures_of_a_run_that_broke_off():
    data = histories(SETTINGS)
    data["deep"] = data["deep"].where((data["deep"].seed == 0) | (data["deep"].epoch < 10))
    begun = data["deep"].where(data["deep"].epoch < 1)
    with drawing.style():
        assert len(figures._figure_3(data["deep"], SETTINGS).axes) == 2
        assert len(figures._figure_3(begun, SETTINGS).axes) == 1
        assert figures._spectra(data["deep"], SETTINGS, "deep").axes


def test_figure_3_points_out_where_the_boundary_loss_stands_still():
    data = histories(SETTINGS)["deep"]
    epochs = data.epoch.values
    data["boundary_loss"][0] = np.where(epochs < 15, 2.0, 1.0) + 0.01 / (1 + epochs)
    data["bulk_loss"][0] = np.exp(-epochs / 10)
    for ax in figures._figure_3(data, SETTINGS).axes:
        (still,) = [curve for curve in ax.lines if curve.get_label().startswith("epochs ")]
        began = epochs[epochs >= 15][0]
        assert still.get_label() == f"epochs {began} to 40"
        np.testing.assert_array_equal(still.get_ydata(), np.log(data["bulk_loss"].values[0, epochs >= 15]))
    data["bulk_loss"][0] = 1 + 0 * epochs
    for ax in figures._figure_3(data, SETTINGS).axes:
        assert not [curve for curve in ax.lines if curve.get_label().startswith("epochs ")]


def test_the_papers_gaps_are_shown_at_the_papers_epochs_only():
    full = Settings(epochs=10_000, seeds=(0, 1), observations=3)
    assert full.milestones() == MILESTONES
    panels = figures._spectra(histories(full)["deep"], full, "deep").axes
    assert [by_label(ax, "gap in the paper").get_xdata()[0] for ax in panels] == [-2.3, -2.5, -3.0]
    tenth = Settings(epochs=1000, seeds=(0, 1), observations=3)
    assert tenth.milestones()[1] == 100  # one of the paper's epochs, by accident
    for choice, name in ((tenth, "deep"), (full, "shallow")):
        panels = figures._spectra(histories(choice)[name], choice, name).axes
        assert not [curve for ax in panels for curve in ax.lines if curve.get_label() == "gap in the paper"]
