"""Decoded arrays kept in a file: a convenience whose loss, damage or absence changes nothing but time."""

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np


def cache_dir() -> Path | None:
    """The user's cache directory: `NNTHERMO_CACHE`, or `~/.cache/nnthermo`; None where there is no home."""
    if folder := os.environ.get("NNTHERMO_CACHE"):
        return Path(folder).expanduser()
    try:
        return Path.home() / ".cache" / "nnthermo"
    except RuntimeError:
        return None


def cached(
    path: Path | None, build: Callable[[], tuple[np.ndarray, np.ndarray]], *, samples: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels from the file at `path`, or from `build()`, then kept in that file.

    A damaged file is built anew, and one that cannot be written is done without; writing is atomic.

    Args:
        path: an npz file that may not exist yet; None keeps nothing.
        build: makes the images (n, 28, 28) uint8 and the labels (n,) of integers in 0..9.
        samples: the n that a file must hold to be believed; None believes any.

    Returns:
        images: shape (n, 28, 28), uint8.
        labels: shape (n,), int64.
    """
    arrays = _read(path, samples) if path else None
    if arrays is None:
        arrays = build()
        if path:
            _write(path, *arrays)
    images, labels = arrays
    return images, labels.astype(np.int64)


def _read(path: Path, samples: int | None) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:  # which leaves a damaged one open
            images, labels = file["images"], file["labels"]  # the zip format checks a CRC of each
    except Exception:  # whatever a damaged file raises: many kinds, none of which matters
        return None
    n = len(images) if samples is None else samples
    good = images.shape == (n, 28, 28) and labels.shape == (n,) and images.dtype == labels.dtype == np.uint8
    return (images, labels) if good and labels.max(initial=0) < 10 else None


def _write(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                np.savez(file, images=images, labels=labels.astype(np.uint8))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
