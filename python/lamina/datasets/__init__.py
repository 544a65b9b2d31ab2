"""Small data sets: two real ones that are shipped in this folder (README.md has sources and licences), two made by formula."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lamina.base import checks
from lamina.base import names as _names
from lamina.base.calls import explained

__all__ = ["digits", "iris", "sine", "spirals"]

IRIS_FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")  # cm
IRIS_SPECIES = ("setosa", "versicolor", "virginica")

_HERE = os.path.dirname(__file__)


@explained
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """1797 real handwritten digits of 8x8 pixels, and which digit each one is.

    X = pixel / 16, so 0 is paper and 1 is ink; a row of X is an image read line by line (`X[i].reshape(8, 8)` shows it).
    Returns X, float32 (1797, 64), and y, int64 (1797,) of 0..9. The arrays are new ones at each call: write to them freely.

    Source: E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits (its test set), UCI Machine Learning
    Repository, doi:10.24432/C50P49. Licence: CC BY 4.0.

    >>> X, y = lm.datasets.digits()
    >>> X.shape, y.shape, float(X.max()), y[:5].tolist()
    ((1797, 64), (1797,), 1.0, [0, 1, 2, 3, 4])
    """
    with np.load(os.path.join(_HERE, "digits.npz"), allow_pickle=False) as file:
        pixels, labels = file["pixels"], file["labels"]
    X = pixels.reshape(len(pixels), 64).astype(np.float32) / np.float32(16)
    return X, labels.astype(np.int64)


@explained
def iris() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Fisher's 150 iris flowers: four lengths in cm each, and the species.

    Returns X, float32 (150, 4) in the order of `IRIS_FEATURES`, and y, int64 (150,) of 0..2 in the order of `IRIS_SPECIES`.
    The rows are sorted by species: shuffle before `validation_split`, which takes the last rows.

    Source: R. A. Fisher (1936), Iris, UCI Machine Learning Repository, doi:10.24432/C56C76. Licence: CC BY 4.0.

    >>> X, y = lm.datasets.iris()
    >>> X[0].tolist(), np.bincount(y).tolist()
    ([5.099999904632568, 3.5, 1.399999976158142, 0.20000000298023224], [50, 50, 50])
    """
    with open(os.path.join(_HERE, "iris.csv"), encoding="utf-8") as file:
        rows = [line.strip().split(",") for line in file][1:]
    X = np.array([row[:4] for row in rows], dtype=np.float64).astype(np.float32)
    return X, np.array([IRIS_SPECIES.index(row[4]) for row in rows], dtype=np.int64)


@explained
def spirals(n: int = 300, classes: int = 2, *, noise: float = 0.03, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points on interleaved spiral arms, one arm a class: no straight line separates them.

    Sample i lies on arm c = i mod classes, t = (i div classes + 1/2) / ceil(n / classes) of the way out:
    x = t (cos a, sin a) + noise * N(0, 1), with a = 2 pi (t + c / classes).
    Returns X, float32 (n, 2), and y, int64 (n,) of 0..classes-1. Equal arguments give equal data.
    Errors: ValueError for n or classes below 1, or a negative noise or seed; TypeError for what is no number.

    >>> X, y = lm.datasets.spirals(6, 3)
    >>> X.shape, y.tolist()
    ((6, 2), [0, 1, 2, 0, 1, 2])
    """
    n, classes = checks.integer("spirals", "n", n), checks.integer("spirals", "classes", classes)
    noise, seed = checks.number("spirals", "noise", noise, 0), checks.integer("spirals", "seed", seed, 0)
    i = np.arange(n)
    arm = i % classes
    t = (i // classes + 0.5) / -(-n // classes)
    angle = 2 * np.pi * (t + arm / classes)
    X = t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    X += noise * np.random.default_rng(seed).standard_normal((n, 2))
    return X.astype(np.float32), arm.astype(np.int64)


@explained
def sine(n: int = 200, *, noise: float = 0.1, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One period of a sine with noise on it: the smallest regression.

    x evenly spaced over [-pi, pi], y = sin x + noise * N(0, 1). Returns X, float32 (n, 1), and y, float32 (n, 1).
    Errors: ValueError for n below 1 or a negative noise or seed; TypeError for what is no number.

    >>> X, y = lm.datasets.sine(3, noise=0)
    >>> X.shape, bool(np.abs(y).max() < 1e-6)
    ((3, 1), True)
    """
    n, noise = checks.integer("sine", "n", n), checks.number("sine", "noise", noise, 0)
    seed = checks.integer("sine", "seed", seed, 0)
    x = np.linspace(-np.pi, np.pi, n)[:, None]
    y = np.sin(x) + noise * np.random.default_rng(seed).standard_normal((n, 1))
    return x.astype(np.float32), y.astype(np.float32)


if not TYPE_CHECKING:
    __getattr__, __dir__ = _names.attributes(__name__, __all__)
