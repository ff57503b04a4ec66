"""What a linear read-out of the hidden neurons knows of the classes, whether or not training saw them."""

import numpy as np

from nnthermo._typing import Array

Matrix = Array | np.ndarray

PENALTY = 1e-3
"""Ridge penalty, as a share of the mean variance of a feature: it matters only where features depend on each other."""


def readout_accuracy(codes: Matrix, targets: Matrix, test_codes: Matrix, test_targets: Matrix) -> float:
    """Share of test samples that ridge regression from centred codes to targets puts into the right class.

    Args:
        codes: (samples, features), what the regression learns from.
        targets: (samples, classes).
        test_codes: (test samples, features).
        test_targets: (test samples, classes).
    """
    known, new = np.asarray(codes, np.float64), np.asarray(test_codes, np.float64)
    wanted = np.asarray(targets, np.float64)
    mean = known.mean(axis=0)
    centred = known - mean
    gram = centred.T @ centred
    penalty = PENALTY * np.trace(gram) / len(gram) or 1.0  # codes that never vary: any penalty predicts the mean
    readout = np.linalg.solve(gram + penalty * np.eye(len(gram)), centred.T @ (wanted - wanted.mean(axis=0)))
    predicted = (new - mean) @ readout + wanted.mean(axis=0)
    return float(np.mean(predicted.argmax(axis=-1) == np.asarray(test_targets).argmax(axis=-1)))


def principal_components(inputs: Matrix, test_inputs: Matrix, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Both sets of inputs in the first `count` principal components of the former; (samples, count) each."""
    known, new = np.asarray(inputs, np.float64), np.asarray(test_inputs, np.float64)
    mean = known.mean(axis=0)
    _, directions = np.linalg.eigh((known - mean).T @ (known - mean))
    leading = directions[:, -count:]
    return (known - mean) @ leading, (new - mean) @ leading
