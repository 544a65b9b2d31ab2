"""What every test shares: the repository's root, a seeded generator, data that fits, and thread counts put back."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests import reference.py, projection.py and their kin by name

import lamina as lm
import matrices

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture(autouse=True)
def the_same_matrices() -> None:
    """Each test begins with the same ones, whatever ran before it."""
    matrices.begin()


@pytest.fixture
def xy(rng):
    """20 rows of 4 numbers, each with one of 3 classes."""
    return rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 3, 20)


@pytest.fixture
def data(rng):
    """103 rows of 4 numbers, and the one of 3 classes that a linear function gives."""
    x = rng.normal(size=(103, 4)).astype(np.float32)
    return x, (x @ rng.normal(size=(4, 3))).argmax(axis=1)


@pytest.fixture
def threads():
    """set_num_threads, put back after the test."""
    before = lm.get_num_threads()
    yield lm.set_num_threads
    lm.set_num_threads(before)
