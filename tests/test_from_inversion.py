"""docs/from_inversion_to_training.md: what the page says is what its script computes."""

from __future__ import annotations

import runpy

import numpy as np
import pytest


@pytest.fixture
def page(root):
    return runpy.run_path(str(root / "docs" / "from_inversion_to_training.py"))


def test_both_ways_agree(page):
    np.testing.assert_allclose(*page["normal_equations"](), rtol=1e-10)
    np.testing.assert_allclose(*page["ridge"](1e-6), rtol=1e-6)


def test_a_decomposition_keeps_the_digits_that_the_product_loses(page):
    decomposed, multiplied = page["digits"](1e9)
    assert decomposed >= 7 and multiplied < 1


def test_a_step_by_hand_is_the_optimizers(page):
    np.testing.assert_allclose(*page["one_step"](), rtol=1e-9, atol=1e-11)


def test_what_is_solved_fits(page):
    assert page["readout"]() < 1e-5
    second_order, adam = page["training"]()
    assert second_order < 1e-5 * adam
