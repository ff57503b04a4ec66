"""Histories as data sets: dimensions, units and values, there and back through NetCDF."""

import builtins
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import network

import nnthermo as nt
from nnthermo.history import QUANTITIES, known_name

xarray = pytest.importorskip("xarray")


def history():
    rng = np.random.default_rng(0)
    return {
        "epoch": np.array([0, 3, 10]),
        "loss": np.array([np.nan, 2.0, 1.0]),
        "log_eigenvalues": rng.normal(size=(3, 5)),
        "test_log_eigenvalues": rng.normal(size=(3, 4)),
        "test_bulk_loss": rng.normal(size=3).astype(np.float32),
        "layer2_entropy": rng.normal(size=3),
        "grid": rng.normal(size=(3, 2, 6)),
        "right": np.array([True, False, True]),
    }


def test_dimensions_units_and_attributes():
    given = history()
    found = nt.to_dataset(given, seed=3, network="deep")
    assert dict(found.sizes) == {"epoch": 3, "eigenvalue": 5, "test_eigenvalue": 4, "grid_0": 2, "grid_1": 6}
    assert found["log_eigenvalues"].dims == ("epoch", "eigenvalue")
    assert found["grid"].dims == ("epoch", "grid_0", "grid_1")
    units = {name: found[name].attrs.get("units") for name in ("loss", "layer2_entropy", "test_bulk_loss", "grid")}
    assert units == {"loss": "loss", "layer2_entropy": "nat", "test_bulk_loss": "loss", "grid": None}
    assert found["epoch"].attrs["units"] == "epoch"
    assert found["layer2_entropy"].attrs["long_name"] == "S (7.1)"
    assert found.attrs == {"seed": 3, "network": "deep"}
    np.testing.assert_array_equal(found["loss"].sel(epoch=10), 1.0)
    for name, values in given.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_there_and_back_through_a_file(tmp_path):
    given = history()
    path = nt.save_history(tmp_path / "run.nc", given, seed=3)
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]
    with xarray.open_dataset(path, engine="h5netcdf") as found:
        assert found.attrs["seed"] == 3
        assert found["layer2_entropy"].attrs["units"] == "nat"
        for name, values in given.items():
            np.testing.assert_array_equal(found[name], values)
            assert found[name].dtype == values.dtype


def test_every_standard_record_has_a_unit():
    net, inputs = network(0, (3, 4, 2)), jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    observe = nt.combine(
        nt.thermodynamic_observer(state=nt.FixedState()), nt.weight_observer(), nt.equilibrium_observer(),
        states=nt.state_observer(by_layer=True),
    )  # fmt: skip
    targets = jnp.ones((4, 2))
    loss = nt.Objective(0.5, 0.5, potential=nt.QuadraticPotential(0.1))
    run = nt.train(
        net, (inputs, targets), key=jax.random.key(0), epochs=1, loss=loss, state=nt.FixedState(), observe=observe
    )
    found = run.dataset()
    missing = [name for name in found.variables if "units" not in found[name].attrs]
    assert missing == []
    used = {known_name(name) for name in found.variables}
    assert used == set(QUANTITIES)  # and no unit for what nothing records


def test_longest_standard_name():
    assert known_name("validation_relaxed_boundary_loss") == "relaxed_boundary_loss"
    assert known_name("entropy") == "entropy"
    assert known_name("myentropy") is None


def test_bad_histories_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"`history` must hold `epoch`, but got \['loss'\]"):
        nt.to_dataset({"loss": np.ones(3)})
    with pytest.raises(ValueError, match=r"`history` must have 3 rows, .* but got shape \(2,\) for 'loss'"):
        nt.to_dataset({"epoch": np.arange(3), "loss": np.ones(2)})


def test_missing_packages_name_the_command(monkeypatch, tmp_path):
    for name in ("xarray", "h5netcdf"):
        with monkeypatch.context() as patch:
            without(patch, name)
            with pytest.raises(ImportError, match=rf"{name} is not installed: pip install 'nnthermo\[history\]'"):
                nt.save_history(tmp_path / "run.nc", history())


def without(monkeypatch, package):
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(builtins, "__import__", refuse)
