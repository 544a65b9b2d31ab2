"""What every test shares: the repository's root, a seeded generator, and thread counts put back."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests import reference.py, projection.py and their kin by name

import lamina as lm

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture
def threads():
    """set_num_threads, put back after the test."""
    before = lm.get_num_threads()
    yield lm.set_num_threads
    lm.set_num_threads(before)
