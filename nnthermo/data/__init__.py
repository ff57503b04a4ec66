"""Images and labels to learn from: real digits without a network, and the full sets through tensorflow-datasets.

- `dataset`, `loading`: the record of images and labels; one function for every set.
- `embedded`, `prepared`: digits that come with a package; MNIST and Fashion-MNIST.
- `idx`, `cache`: the files they come in; decoded arrays kept.
"""

from nnthermo.data.dataset import Dataset, one_hot
from nnthermo.data.idx import read_idx, write_idx
from nnthermo.data.loading import load
from nnthermo.data.prepared import prepare

__all__ = ["Dataset", "load", "one_hot", "prepare", "read_idx", "write_idx"]
