"""The IDX files of MNIST: a big-endian header (type, rank, shape) and then bytes, under gzip."""

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from nnthermo._checks import check, refuse

UNSIGNED_BYTE = 0x08


def read_idx(path: str | os.PathLike[str], *, ndim: int) -> np.ndarray:
    """The array in a gzip-compressed IDX file of unsigned bytes.

    Args:
        path: the file.
        ndim: the rank it must have: 3 for images, 1 for labels.

    Returns:
        Array of rank `ndim`, uint8.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not gzip, cut short, damaged, another magic number, or a length that is not the header's.
    """
    name = str(path)
    try:
        with gzip.open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"`{name}` must be a gzip-compressed IDX file, but got no such file") from None
    except EOFError as error:
        raise ValueError(f"`{name}` must be a whole gzip file, but got one that is cut short") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"`{name}` must be an undamaged gzip file, but got a damaged one: {error}") from error

    header = 4 + 4 * ndim
    check(name, f"hold a header of {header} bytes", len(content) >= header, f"{len(content)} bytes in all")
    magic = bytes([0, 0, UNSIGNED_BYTE, ndim])
    if content[:4] != magic:
        refuse(name, f"begin with the magic number {magic.hex()}", content[:4].hex())
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", count=ndim, offset=4))
    length, wanted = len(content) - header, math.prod(shape)
    check(name, f"hold {wanted} bytes after its header for shape {shape}", length == wanted, length)
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def write_idx(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write a gzip-compressed IDX file; equal arrays give equal bytes.

    Args:
        path: the file, replaced if it exists.
        array: uint8, of rank 1..255.

    Raises:
        TypeError: another dtype.
        ValueError: rank 0.
    """
    if array.dtype != np.uint8:
        raise TypeError(f"`array` must be uint8, but got dtype {array.dtype}")
    check("array", "have at least 1 dimension", array.ndim > 0, f"shape {array.shape}")
    header = bytes([0, 0, UNSIGNED_BYTE, array.ndim]) + np.asarray(array.shape, ">u4").tobytes()
    Path(path).write_bytes(gzip.compress(header + array.tobytes(), mtime=0))


def read_pair(images: str | os.PathLike[str], labels: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """A file of 28 x 28 images and the file of their labels, checked against each other.

    Returns:
        images: shape (n, 28, 28), uint8.
        labels: shape (n,), uint8, in 0..9.

    Raises:
        ValueError: as `read_idx`; images of another size, another number of labels than images, or a label above 9.
    """
    pixels, classes = read_idx(images, ndim=3), read_idx(labels, ndim=1)
    check(str(images), "hold 28 x 28 images", pixels.shape[1:] == (28, 28), f"shape {pixels.shape}")
    check(str(labels), f"hold {len(pixels)} labels, one for each image", len(classes) == len(pixels), len(classes))
    check(str(labels), "hold labels in 0..9", classes.max(initial=0) < 10, int(classes.max(initial=0)))
    return pixels, classes
