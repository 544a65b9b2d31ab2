"""LevenbergMarquardt(bayesian=True): the evidence at its maximum, how many weights the data determine, when it stops."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina.optim.least_squares import Primal


@pytest.mark.parametrize(("options", "stops"), [({}, False), ({"max_fail": 3}, True), ({"bayesian": False, "max_fail": 0}, False)])
def test_validation_ends_a_bayesian_fit_only_where_it_is_asked_to(options, stops, rng):
    """As in trainbr: its factors need steps, over which val_loss may rise for a while."""
    x, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    optimizer = lm.optim.LevenbergMarquardt(**{"bayesian": True, **options})
    net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), seed=0)
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=40, validation_split=0.3, verbose=0)
    assert (optimizer.stop_reason == "validation") == stops


@pytest.mark.parametrize("hidden", [10, 20])
def test_bayesian_regularization_does_not_begin_by_holding_all_at_nothing(hidden):
    """As many weights as data and more: factors estimated from the first weights would make the penalty all there is."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-2, 2, (60, 1))
        y = np.sin(2 * x) + 0.1 * rng.normal(size=(60, 1))
        net = lm.Sequential(lm.Dense(hidden, "tanh"), lm.Dense(1), seed=seed, dtype="float64")
        history = net.fit(x, y, loss="mse", optimizer=lm.optim.LevenbergMarquardt(bayesian=True), epochs=100, verbose=0)
        assert history["loss"][-1] < 0.1 * y.var()


def test_bayesian_regularization_keeps_small_what_noise_alone_would_set(rng):
    x = np.linspace(-1, 1, 40)[:, None]
    y = np.sin(3 * x) + 0.2 * rng.normal(size=x.shape)
    grid = np.linspace(-1, 1, 200)[:, None]
    errors = {}
    for bayesian in (False, True):
        net = lm.Sequential(lm.Dense(20, "tanh"), lm.Dense(1), seed=1)
        optimizer = lm.optim.LevenbergMarquardt(bayesian=bayesian)
        net.fit(x, y, loss="mse", optimizer=optimizer, epochs=200, verbose=0)
        errors[bayesian] = float(np.mean((net.predict(grid) - np.sin(3 * grid)) ** 2))
    assert errors[True] < 0.5 * errors[False]
    assert 2 < optimizer.effective_parameters < 20


def test_bayesian_regularization_of_a_linear_network_is_the_evidence_at_its_maximum(rng):
    """Plain steps would end at a flat place after four; the factors are MacKay's where they no longer move."""
    x = rng.normal(size=(100, 8))
    y = x @ rng.normal(size=(8, 1)) + 0.5 * rng.normal(size=(100, 1))
    net, optimizer = lm.Sequential(lm.Dense(1), seed=0, dtype="float64"), lm.optim.LevenbergMarquardt(bayesian=True)
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=200, verbose=0)
    a, alpha, beta = np.c_[x, np.ones(100)], 1.0, 1.0
    for _ in range(100):
        theta = np.linalg.solve(beta * a.T @ a + alpha * np.eye(9), beta * a.T @ y[:, 0])
        spectrum = np.linalg.eigvalsh(beta * a.T @ a)
        effective = (spectrum / (spectrum + alpha)).sum()
        alpha, beta = effective / (theta @ theta), (100 - effective) / ((a @ theta - y[:, 0]) ** 2).sum()
    assert optimizer.effective_parameters == pytest.approx(effective, rel=1e-6)
    np.testing.assert_allclose(np.concatenate([p.ravel() for p in net.parameters.values()]), theta, rtol=0, atol=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 1e-3, 1e-5, 1e-7, 1e-9, 1e-13])
@pytest.mark.parametrize("n", [1, 9, 60])
def test_how_many_weights_the_data_determine(n, alpha, rng, monkeypatch):
    j = rng.normal(size=(max(n // 2, 1), n))  # of half of them
    model = Primal((j.T @ j)[np.triu_indices(n)], np.ones(n), 1.0, lambda z: z, core.PositiveSystem(n))
    spectrum = 2 * np.linalg.svd(j, compute_uv=False) ** 2
    alpha *= n * n
    if alpha > 1e-8 * spectrum.sum():  # without LAPACK, which may take a thousand times as long beside other programs
        monkeypatch.delattr(np.linalg, "eigvalsh")
    # six digits, as rounding of 1e-16 in an eigenvalue of 0 is 1e-7 of an alpha that is 1e-8 of the trace
    assert model.effective(2.0, alpha) == pytest.approx((spectrum / (spectrum + alpha)).sum(), rel=1e-6)


@pytest.mark.parametrize("min_grad", [1e-7, 0.0])
def test_data_determine_no_more_weights_than_there_are_data(min_grad, rng):
    """More weights than data, which plain steps would fit, with their noise, within five: before that factors are estimated."""
    x, test = rng.normal(size=(32, 30)), rng.normal(size=(500, 30))
    y = x[:, :1] + 0.3 * rng.normal(size=(32, 1))
    errors = []
    for bayesian in (False, True):
        net = lm.Sequential(lm.Dense(20, "tanh"), lm.Dense(1), seed=0, dtype="float64")
        optimizer = lm.optim.LevenbergMarquardt(min_grad=min_grad, bayesian=bayesian)
        net.fit(x, y, loss="mse", optimizer=optimizer, epochs=300, verbose=0)
        errors.append(float(np.mean((net.predict(test) - test[:, :1]) ** 2)))
    assert errors[1] < 0.7 * errors[0]
    assert 5 < optimizer.effective_parameters < 32.001
