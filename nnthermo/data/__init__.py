"""Images and labels to learn from: real digits without a network, and the full sets through tensorflow-datasets."""

from nnthermo.data.dataset import Dataset, one_hot
from nnthermo.data.idx import read_idx, write_idx
from nnthermo.data.loading import load
from nnthermo.data.prepared import prepare

__all__ = ["Dataset", "load", "one_hot", "prepare", "read_idx", "write_idx"]
