"""Initializers: the distribution that each formula promises, by moments and bounds; shapes, seeds, names, mistakes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest

import lamina as lm
from lamina import initializers
from lamina.base.config import plain

IN, OUT = 300, 200
# Of n draws the standard deviation is within 4 sigma = 4 std / sqrt(2 n) (a normal's; a uniform's is less), the mean within
# 4 std / sqrt(n).
DRAWS = IN * OUT
STD_ERROR, MEAN_ERROR = 4 / math.sqrt(2 * DRAWS), 4 / math.sqrt(DRAWS)


@dataclass
class Moments:
    init: object
    std: float
    uniform: bool = False
    mean: float = 0.0


ORACLES = {
    "constant": [Moments(initializers.constant(0.3), 0.0, mean=0.3)],
    "zeros": [Moments(initializers.zeros(), 0.0)],
    "ones": [Moments(initializers.ones(), 0.0, mean=1.0)],
    "uniform": [
        Moments(initializers.uniform(), 1 / math.sqrt(12), True, 0.5),
        Moments(initializers.uniform(-2, 4), 6 / math.sqrt(12), True, 1.0),
    ],
    "normal": [Moments(initializers.normal(), 1.0), Moments(initializers.normal(3, 0.1), 0.1, mean=3.0)],
    "glorot_uniform": [
        Moments(initializers.glorot_uniform(), math.sqrt(2 / 500), True),
        Moments(initializers.glorot_uniform("tanh"), 5 / 3 * math.sqrt(2 / 500), True),
    ],
    "glorot_normal": [Moments(initializers.glorot_normal(2.0), 2 * math.sqrt(2 / 500))],
    "he_uniform": [
        Moments(initializers.he_uniform(), math.sqrt(2 / 300), True),
        Moments(initializers.he_uniform("selu", mode="fan_out"), 0.75 / math.sqrt(200), True),
    ],
    "he_normal": [
        Moments(initializers.he_normal(), math.sqrt(2 / 300)),
        Moments(initializers.he_normal("leaky_relu"), math.sqrt(2 / (1 + 0.01**2) / 300)),
    ],
    "lecun_uniform": [Moments(initializers.lecun_uniform(), 1 / math.sqrt(300), True)],
    "lecun_normal": [Moments(initializers.lecun_normal(), 1 / math.sqrt(300))],
    "orthogonal": [
        Moments(initializers.orthogonal(), 1 / math.sqrt(300)),
        Moments(initializers.orthogonal("relu"), math.sqrt(2 / 300)),
    ],
}
CASES = [pytest.param(case, id=f"{name} {i}") for name, cases in ORACLES.items() for i, case in enumerate(cases)]


def test_every_initializer_has_an_oracle():
    assert set(ORACLES) == set(initializers.CLASSES)
    assert all(type(case.init).__name__ == name for name, cases in ORACLES.items() for case in cases)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_moments(case, dtype, rng):
    w = case.init((IN, OUT), rng, dtype)
    assert w.shape == (IN, OUT) and w.dtype == dtype
    w = w.astype(np.float64)
    assert abs(w.std() - case.std) <= case.std * STD_ERROR + 1e-7  # f32 rounds a constant
    assert abs(w.mean() - case.mean) <= case.std * MEAN_ERROR + 1e-7
    half = math.sqrt(3) * case.std
    if case.uniform:
        assert half * 0.999 < np.abs(w - case.mean).max() <= half * (1 + 1e-6)
    elif case.std and not isinstance(case.init, initializers.orthogonal):
        assert np.abs(w - case.mean).max() > 3.5 * case.std  # a normal, not truncated


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (2, 3, 4), (1, 3)])
def test_orthogonal(shape, rng):
    w = initializers.orthogonal(2.0)(shape, rng, "float64").reshape(-1, shape[-1])
    rows, columns = w.shape
    gram = w.T @ w if rows >= columns else w @ w.T
    np.testing.assert_allclose(gram, 4 * np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_is_drawn_evenly(rng):
    """Haar measure: a 1 x 1 matrix is +1 and -1 equally often, which QR alone does not give."""
    signs = [float(initializers.orthogonal()((1, 1), rng, "float64")[0, 0]) for _ in range(400)]
    assert set(signs) == {-1.0, 1.0} and abs(np.mean(signs)) < 0.2  # 4 sigma


@pytest.mark.parametrize("name", initializers.CLASSES)
def test_the_seed_decides(name):
    init = initializers.get("zeros") if name == "constant" else initializers.get(name)
    a, b, c = (init((8, 8), np.random.default_rng(seed), "float32") for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert np.array_equal(a, c) == (name in {"constant", "zeros", "ones"})


def test_fans():
    assert initializers.fans((3, 4)) == (3, 4)
    assert initializers.fans((5, 6, 3, 4)) == (5 * 6 * 3, 5 * 6 * 4)


def test_gains():
    want = {"linear": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / 1.0001), "selu": 0.75}
    assert want == initializers.GAINS and initializers.gain(1.5) == 1.5


def test_get():
    assert isinstance(initializers.get(initializers.ones), initializers.ones)
    init = initializers.he_normal()
    assert initializers.get(init) is init

    def own(shape, rng, dtype):
        return np.full(shape, 7, dtype)

    assert initializers.get(own) is own


@pytest.mark.parametrize("case", CASES)
def test_config(case):
    again = initializers.get(json.loads(json.dumps(plain(case.init))))
    assert repr(again) == repr(case.init)


MISTAKES = {
    "unknown name 'he_nromal'; did you mean 'he_normal'?": lambda: initializers.get("he_nromal"),
    "expected a value for 'constant'; pass lm.initializers.constant(value)": lambda: initializers.get("constant"),
    "expected a name or an initializer, got 3": lambda: initializers.get(3),
    "expected a weight of shape (in, out) to count its fans, got (5,)": lambda: initializers.he_normal()(
        (5,), np.random.default_rng(0)
    ),
    "[initializers.normal] expected std to be a number >= 0, got -1": lambda: initializers.normal(0, -1),
    "[initializers.uniform] expected high to be a number >= 1, got 0": lambda: initializers.uniform(1, 0),
    "[initializers.gain] unknown name 'rleu'; did you mean 'relu'?": lambda: initializers.he_normal("rleu"),
    "[initializers] expected gain to be a number > 0, got 0": lambda: initializers.orthogonal(0),
    "expected mode to be one of 'fan_in', 'fan_out', got 'fan'": lambda: initializers.he_uniform(mode="fan"),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake(text):
    with pytest.raises((ValueError, TypeError)) as caught:
        MISTAKES[text]()
    assert text in str(caught.value) and str(caught.value).startswith("[initializers")


def test_a_parameter_takes_an_initializer_by_name():
    """As a layer's does: it was called, a text, where the network was built."""
    x = lm.Input(3)
    net = lm.Model(x, x * lm.Parameter((3,), init="ones", name="scale"), seed=0)
    assert np.array_equal(net.parameters["scale"], np.ones(3))


def test_the_shape_of_a_parameter_may_be_read_but_once():
    assert lm.Parameter((n for n in (2, 3)), init="ones").shape == (2, 3)
