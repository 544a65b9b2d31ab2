"""The shipped data against what is known of them, the made data against their formulas."""

from __future__ import annotations

import doctest
import hashlib
from pathlib import Path

import numpy as np
import pytest

import lamina as lm
from lamina import datasets

FOLDER = Path(datasets.__file__).parent


def test_digits_are_the_test_set_of_the_repository():
    X, y = datasets.digits()
    assert X.shape == (1797, 64)
    assert X.dtype == np.float32
    assert y.shape == (1797,)
    assert y.dtype == np.int64
    pixels = X * 16
    assert np.array_equal(pixels, np.round(pixels))
    assert (pixels.min(), pixels.max()) == (0, 16)
    # the repository's description counts the classes of optdigits.tes so
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    digest = hashlib.sha256(pixels.astype(np.uint8).tobytes() + y.astype(np.uint8).tobytes()).hexdigest()
    assert digest == "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def test_iris():
    X, y = datasets.iris()
    assert (X.shape, X.dtype, y.dtype) == ((150, 4), np.float32, np.int64)
    assert y.tolist() == [0] * 50 + [1] * 50 + [2] * 50
    # the means of Fisher's paper, table I (cm)
    assert np.allclose(X[y == 0].mean(axis=0), [5.006, 3.428, 1.462, 0.246], atol=5e-4)
    assert np.allclose(X[y == 1].mean(axis=0), [5.936, 2.770, 4.260, 1.326], atol=5e-4)
    assert np.allclose(X[y == 2].mean(axis=0), [6.588, 2.974, 5.552, 2.026], atol=5e-4)


def test_scikit_learn_has_the_same():
    theirs = pytest.importorskip("sklearn.datasets")
    for own, other, scale in ((datasets.digits, theirs.load_digits, 16), (datasets.iris, theirs.load_iris, 1)):
        X, y = own()
        X2, y2 = other(return_X_y=True)
        assert np.array_equal(X, (X2 / scale).astype(np.float32))
        assert np.array_equal(y, y2)


def test_each_call_gives_new_writable_arrays():
    for load in (datasets.digits, datasets.iris, datasets.spirals, datasets.sine):
        X, y = load()
        X[:] = -1
        y[:] = -1
        assert not np.array_equal(load()[0], X)


def test_the_files_are_small_and_their_source_is_stated():
    assert (FOLDER / "digits.npz").stat().st_size < 60_000
    assert (FOLDER / "iris.csv").stat().st_size < 5_000
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for said in ("10.24432/C50P49", "10.24432/C56C76", "CC BY 4.0", "Alpaydin", "Fisher"):
        assert said in readme


@pytest.mark.parametrize(("n", "classes"), [(1, 1), (2, 3), (300, 2), (301, 3)])
def test_spirals_without_noise_lie_on_their_arms(n, classes):
    X, y = datasets.spirals(n, classes, noise=0)
    assert (X.shape, X.dtype, y.dtype) == ((n, 2), np.float32, np.int64)
    assert y.tolist() == [i % classes for i in range(n)]
    radius = np.hypot(X[:, 0], X[:, 1], dtype=np.float64)
    np.testing.assert_allclose(radius, (np.arange(n) // classes + 0.5) / np.ceil(n / classes), atol=1e-6)
    angle = 2 * np.pi * (radius + y / classes)
    np.testing.assert_allclose(
        X, np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), atol=2e-6
    )  # radius is rounded


def test_noise_and_seed():
    exact, noisy = datasets.spirals(2000, 2, noise=0)[0], datasets.spirals(2000, 2, noise=0.1)[0]
    assert np.std(noisy - exact) == pytest.approx(0.1, rel=0.05)
    assert np.array_equal(noisy, datasets.spirals(2000, 2, noise=0.1, seed=0)[0])
    assert not np.array_equal(noisy, datasets.spirals(2000, 2, noise=0.1, seed=1)[0])


def test_sine():
    x, y = datasets.sine(1000, noise=0.2, seed=3)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((1000, 1), np.float32, (1000, 1), np.float32)
    assert np.allclose(x[[0, -1], 0], [-np.pi, np.pi])
    assert np.std(y - np.sin(x)) == pytest.approx(0.2, rel=0.1)


def test_errors():
    with pytest.raises(ValueError, match=r"\[spirals\] expected n >= 1, got 0"):
        datasets.spirals(0)
    with pytest.raises(TypeError, match=r"\[spirals\] expected classes to be a whole number"):
        datasets.spirals(10, 2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\[sine\] expected noise to be a number >= 0, got -1"):
        datasets.sine(10, noise=-1)
    for make in (datasets.sine, datasets.spirals):
        with pytest.raises(TypeError, match=rf"\[{make.__name__}\] expected seed to be a whole number >= 0, got 'x'"):
            make(10, seed="x")


def test_examples():
    result = doctest.testmod(datasets, extraglobs={"lm": lm, "np": np})
    assert result.attempted >= 4
    assert result.failed == 0
