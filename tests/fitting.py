"""Networks, data and comparisons for the tests of what trains and goes on."""

from __future__ import annotations

import numpy as np

import lamina as lm


def net(**keywords) -> lm.Sequential:
    made = lm.Sequential(lm.Dense(16, "relu"), lm.Dropout(0.1), lm.BatchNorm(), lm.Dense(3), seed=0)
    return made.compile("cross_entropy", keywords.pop("optimizer", lm.optim.Adam(1e-2)), **keywords)


def assert_same(a: lm.Model, b: lm.Model) -> None:
    assert list(a.parameters) == list(b.parameters)
    for name in a.parameters:
        assert np.array_equal(a.parameters[name], b.parameters[name]), name


MASKED = {
    "classes": lambda: (lm.losses.CrossEntropy(ignore_index=-1), np.repeat([-1, 0, 2, 1], [9, 3, 4, 4])),
    "values": lambda: (lm.losses.MSE(mask_nan=True), np.where(np.arange(60.0) < 25, np.nan, np.arange(60.0)).reshape(20, 3)),
    "classes of steps": lambda: (lm.losses.CrossEntropy(ignore_index=-1), np.triu(np.ones((20, 2), int) * 2, -9) - 1),
}


def two_that_leave_out(rate=0.0):
    """Two outputs whose losses leave out different samples, with data; the second has no target in the first five rows."""
    x, classes, values = np.sin(np.arange(60.0)).reshape(20, 3), MASKED["classes"]()[1], MASKED["values"]()[1].copy()
    values[:5] = np.nan
    given = lm.Input(3, dtype="float64")
    net = lm.Model(given, {"kind": lm.Dense(3)(given), "size": lm.Dense(3)(given)}, seed=0)
    losses = {"kind": MASKED["classes"]()[0], "size": MASKED["values"]()[0]}
    return net.compile(losses, lm.optim.SGD(rate), loss_weights={"kind": 1.0, "size": 0.3}), x, {"kind": classes, "size": values}


def mlp(**keywords) -> lm.Sequential:
    return lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(3), seed=0, **keywords)


def sinc(n=400):
    x = np.linspace(-10, 10, n)[:, None]
    return x, np.sinc(x / np.pi)


def small(seed=0, dtype="float32"):
    return lm.Sequential(lm.Dense(10, "tanh"), lm.Dense(1), seed=seed, dtype=dtype)
