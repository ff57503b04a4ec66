"""MNIST and Fashion-MNIST through tensorflow-datasets (TFDS) without TensorFlow.

TFDS reads without TensorFlow, but its MNIST builder prepares with it, in three places: unpacking gzip, opening the
IDX file, encoding PNG. The builder here replaces those three and keeps name, version, features, addresses and
checksums, so it writes the very directory that the stock reader opens.
"""

import contextlib
import hashlib
import importlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from nnthermo._checks import check, extra
from nnthermo.data.cache import cached
from nnthermo.data.dataset import Dataset
from nnthermo.data.idx import read_pair

FULL_SETS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
"""Name of each full set, and of its builder in TFDS."""

VERSION = "3.0.1"
FORMAT = "array_record"  # a data source cannot read tfrecord, and the parquet writer drops rows
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
PROBE_SECONDS = 5
BATCH = 1_000


def prepare(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> Path:
    """Make a full set ready for `load`, from its four original files; their sizes and SHA-256 are verified.

    The files are train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and
    t10k-labels-idx1-ubyte.gz. A set that is already prepared is left as it is.

    Args:
        name: "mnist" or "fashion_mnist".
        data_dir: where to; `NNTHERMO_DATA` in the environment or tensorflow-datasets' own place by default.
        source: the folder with the four files; by default `data_dir`/downloads/manual/`name` or
            `data_dir`/downloads/manual, whichever holds more of them.
        download: fetch the files that are not there, after a short probe of the connection.

    Returns:
        The prepared directory, `data_dir`/`name`/3.0.1.

    Raises:
        ImportError: a package is missing; says which `pip install` brings it.
        FileNotFoundError: files are missing; says which and where they go.
        ConnectionError: `download` without a connection.
        ValueError: unknown name, a file that is not the original one, or a prepared directory that is not whole.
    """
    check("name", f"be one of {', '.join(FULL_SETS)}", name in FULL_SETS, repr(name))
    check("download", "be False where `source` is given", not (download and source is not None), download)
    return _prepare(name, _builder_class, data_dir=data_dir, source=source, download=download)


def full_set(name: str, split: str, data_dir: str | os.PathLike[str] | None) -> Dataset:
    """A split of a full set, prepared first if its files are at hand; see `load`."""
    path = _folder(name, data_dir).with_name(f"decoded-{VERSION}-{split}.npz")
    images, labels = cached(path, lambda: _decode(prepare(name, data_dir=data_dir), split))
    source = f"{FULL_SETS[name]} {VERSION}, split {split}, through tensorflow-datasets and in its order"
    return Dataset(images, labels, classes=10, name=name, split=split, source=source)


def _prepare(
    name: str,
    builder_class: Callable[[str], Any],
    *,
    data_dir: str | os.PathLike[str] | None,
    source: str | os.PathLike[str] | None,
    download: bool,
) -> Path:
    """`prepare` with the builder `builder_class(name)`, whose `url_infos` say what the original files are."""
    folder = _folder(name, data_dir)
    if _is_prepared(folder):
        return folder
    files = _files(name, data_dir, source)
    missing = [file for file in FILES if not (files / file).is_file()]
    if missing and not download:
        raise FileNotFoundError(
            f"`{files}` must hold the four original files of {name}, but got no {', '.join(missing)}. Put them there "
            f"and load again, or name their folder: nnthermo.data.prepare({name!r}, source=FOLDER); to fetch them, "
            f"nnthermo.data.prepare({name!r}, download=True)"
        )
    tfds, builder = _tfds(), builder_class(name)
    for url, original in builder.url_infos.items():
        if original.filename not in missing:
            _verify(files / original.filename, original)
        else:
            _probe(url)
    config = tfds.download.DownloadConfig(manual_dir=files, try_download_gcs=False, force_checksums_validation=True)
    try:
        with _quiet(tfds, bars=bool(missing)):
            builder(data_dir=_root(data_dir)).download_and_prepare(download_config=config, file_format=FORMAT)
    except tfds.core.download.download_manager.NonMatchingChecksumError as error:
        raise ValueError(f"`download` must fetch the original files of {name}, but got others: {error}") from error
    return folder


def _root(data_dir: str | os.PathLike[str] | None) -> Path:
    environment = os.environ.get("NNTHERMO_DATA") or os.environ.get("TFDS_DATA_DIR")
    return Path(data_dir or environment or "~/tensorflow_datasets").expanduser()


def _folder(name: str, data_dir: str | os.PathLike[str] | None) -> Path:
    return _root(data_dir) / name / VERSION


def _files(name: str, data_dir: str | os.PathLike[str] | None, source: str | os.PathLike[str] | None) -> Path:
    """The folder of the original files. The two sets use the same four names, hence a folder for each."""
    if source is not None:
        return Path(source).expanduser()
    manual = _root(data_dir) / "downloads" / "manual"
    return max(manual / name, manual, key=lambda folder: sum((folder / file).is_file() for file in FILES))


def _is_prepared(folder: Path) -> bool:
    if not folder.exists():
        return False
    whole = (folder / "dataset_info.json").is_file() and any(folder.glob(f"*.{FORMAT}*"))
    got = "something else: remove it, or use another `data_dir`"
    check(str(folder), f"hold a data set prepared as {FORMAT}", whole, got)
    return True


def _verify(path: Path, original: Any) -> None:
    """Refuse a file that is not the original one; TFDS verifies too, but names no file and gives no advice."""
    size = path.stat().st_size
    check(str(path), f"be the original file of {int(original.size)} bytes", size == original.size, f"{size} bytes")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    check(str(path), f"be the original file of SHA-256 {original.checksum}", digest == original.checksum, digest)


def _probe(url: str) -> None:
    """Ask for `url` once: TFDS would ask, silently, for minutes."""
    requests = extra("requests", "data")
    try:
        with requests.get(url, stream=True, timeout=PROBE_SECONDS) as response:
            response.raise_for_status()
    except requests.exceptions.RequestException as error:
        raise ConnectionError(
            f"`download` must be False without a connection to {url}, but got True: {error}"
        ) from error


def _tfds() -> ModuleType:
    for needed in ("importlib_resources", "PIL", "array_record"):  # TFDS needs them, and declares not all
        extra(needed, "data")
    return extra("tensorflow_datasets", "data")


def _builder_class(name: str, *, url: str | None = None, url_infos: dict[str, Any] | None = None) -> Any:
    """TFDS's builder of the set without TensorFlow; `url` and `url_infos` replace the addresses and checksums."""
    tfds, pillow = _tfds(), importlib.import_module("PIL.Image")
    stock = getattr(tfds.image_classification, FULL_SETS[name])

    class WithoutTensorFlow(stock, skip_registration=True):  # type: ignore[call-arg, misc, valid-type]
        def _split_generators(self, dl_manager: Any) -> Any:
            return super()._split_generators(SimpleNamespace(download_and_extract=dl_manager.download))

        def _generate_examples(self, num_examples: int, data_path: Any, label_path: Any) -> Iterator[Any]:
            del num_examples  # the checksums fix it
            images, labels = read_pair(data_path, label_path)
            for index in _progress(range(len(images)), f"Preparing {self.name}"):
                yield index, {"image": pillow.fromarray(images[index]), "label": int(labels[index])}

    WithoutTensorFlow.name = stock.name
    WithoutTensorFlow.VERSION = tfds.core.Version(VERSION)
    WithoutTensorFlow.URL = url or stock.URL
    WithoutTensorFlow.url_infos = url_infos or stock.url_infos
    return WithoutTensorFlow


def _decode(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """All images (n, 28, 28) uint8 and labels (n,) uint8 of a split, in the order of the stock reader."""
    tfds, pillow = _tfds(), importlib.import_module("PIL.Image")
    try:
        builder = tfds.builder_from_directory(folder)
        examples = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        n = builder.info.splits[split].num_examples
        images, labels = np.empty((n, 28, 28), np.uint8), np.empty(n, np.uint8)
        for start in _progress(range(0, n, BATCH), f"Decoding {folder.parent.name}"):
            batch = range(start, min(start + BATCH, n))
            for index, example in zip(batch, examples.__getitems__(batch), strict=True):
                images[index] = pillow.open(io.BytesIO(example["image"]))
                labels[index] = example["label"]
    except Exception as error:  # the kinds depend on which file is damaged, and how
        raise ValueError(f"`{folder}` must be readable, but got: {error}. Remove it and prepare again") from error
    return images, labels


@contextlib.contextmanager
def _quiet(tfds: ModuleType, *, bars: bool) -> Iterator[None]:
    """Without what TFDS prints, and without its progress bars too unless `bars`."""
    before = getattr(tfds.core.utils.tqdm_utils, "_active", True)
    tfds.display_progress_bar(before and bars)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(before)


def _progress(steps: Iterable[int], description: str) -> Iterable[int]:
    """`steps` with a progress line from the second second on, if tqdm is there."""
    try:
        from tqdm import tqdm
    except ImportError:
        return steps
    return tqdm(steps, desc=description, delay=1.0, leave=False)
