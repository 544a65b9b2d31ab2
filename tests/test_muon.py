"""Muon against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm


def muon_in_numpy(w, gradients, lr, momentum=0.95, decay=0.1, nesterov=True):
    b = np.zeros_like(w)
    for g in gradients:
        b = momentum * b + (1 - momentum) * g
        u = (1 - momentum) * g + momentum * b if nesterov else b
        if w.ndim == 2:
            x = u.T if u.shape[0] > u.shape[1] else u
            x = x / max(np.linalg.norm(x), 1e-7)
            for _ in range(5):
                a = x @ x.T
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            u = (x.T if u.shape[0] > u.shape[1] else x) * np.sqrt(max(1, w.shape[0] / w.shape[1]))
        w = w * (1 - lr * decay) - lr * u
    return w


@pytest.mark.parametrize("shape", [(3, 5), (7, 2), (4, 4), (6,), (2, 3, 4)])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_follows_its_formula(shape, nesterov, rng):
    w = lm.Parameter(rng.normal(size=shape), name="w", dtype="float64")
    start, gradients = w.value, rng.normal(size=(10, *shape))
    g = lm.placeholder(shape, "float64")
    optimizer = lm.optim.Muon(0.02, nesterov=nesterov)
    effects = optimizer.effects([w], [g])
    program = lm._core.Program([g.node], [], [e.node for e in effects], True)
    for gradient in gradients:
        program.run([gradient])
    np.testing.assert_allclose(w.value, muon_in_numpy(start, gradients, 0.02, nesterov=nesterov), rtol=1e-9, atol=1e-12)


def test_muon_trains():
    x, y = lm.datasets.digits()
    net = lm.Sequential(lm.Dense(32, "relu"), lm.Dense(10), seed=0)
    history = net.fit(x, y, loss="cross_entropy", optimizer=lm.optim.Muon(0.02), epochs=5, verbose=0)
    assert history.history["loss"][-1] < 0.3
