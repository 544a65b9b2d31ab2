"""Activations by name and as functions: values of tests/reference_activations.py; the kernels and slopes have tests of their
own.
"""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina import activations
from reference import softmax
from reference_activations import ACTIVATIONS


def reference(name: str, *params: float):
    entry = ACTIVATIONS[name]
    return lambda x: entry.value(x, *(params or entry.params))


ORACLES = {
    **{name: reference(name) for name in core.activation_names()},
    "linear": lambda x: x,
    "swish": reference("silu"),
    "exponential": np.exp,
    "softmax": softmax,
    "log_softmax": lambda x: np.log(softmax(x)),
}
WITH_PARAMETERS = {
    "leaky_relu": (lambda x: activations.leaky_relu(x, 0.3), reference("leaky_relu", 0.3)),
    "elu": (lambda x: activations.elu(x, 0.5), reference("elu", 0.5)),
    "celu": (lambda x: activations.celu(x, 2.0), reference("celu", 2.0)),
    "softplus": (lambda x: activations.softplus(x, 3.0), reference("softplus", 3.0)),
    "softmax": (lambda x: activations.softmax(x, axis=0), lambda x: softmax(x.T).T),
}


def test_every_activation_has_an_oracle():
    assert set(activations.FUNCTIONS) == set(ORACLES)


@pytest.mark.parametrize("name", activations.FUNCTIONS)
def test_value(name, rng):
    x = rng.uniform(-8, 8, (5, 7))
    np.testing.assert_allclose(activations.get(name)(x), ORACLES[name](x), rtol=1e-12, atol=1e-14)
    t = lm.placeholder(x.shape, "float64")
    np.testing.assert_allclose(lm.function([t], activations.get(name)(t))(x), ORACLES[name](x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_parameters(name, rng):
    x = rng.uniform(-8, 8, (5, 7))
    function, oracle = WITH_PARAMETERS[name]
    np.testing.assert_allclose(function(x), oracle(x), rtol=1e-12, atol=1e-14)


def test_get():
    assert activations.get(None) is activations.linear and activations.get("relu") is activations.relu
    assert activations.get(np.tanh) is np.tanh
    with pytest.raises(ValueError, match=r"\[activations\] unknown name 'gleu'; did you mean 'gelu'\?"):
        activations.get("gleu")
    with pytest.raises(TypeError, match=r"\[activations\] expected a name or a function of a tensor, got 3"):
        activations.get(3)
    with pytest.raises(ValueError, match=r"\[activations.elu\] expected alpha to be a number > 0, got 0"):
        activations.elu(np.zeros(3), 0)
