"""Levenberg-Marquardt against its formula in NumPy: damping, scaling, acceleration, curvature of errors, stops."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import lamina as lm
from fitting import sinc, small
from lamina import _core as core
from lamina.optim.least_squares import Primal


@pytest.mark.parametrize("n", [1, 5, 8, 40])
def test_the_curvature_that_a_step_shows(n, rng):
    """(H + S) s = y after it, with as little of a change as can be."""
    a, b = rng.normal(size=(2, n, n))
    h, before, step = a @ a.T, b + b.T, rng.normal(size=n)
    y = h @ step + 0.3 * rng.normal(size=n)
    y *= np.sign(step @ y)
    upper = np.triu_indices(n)
    packed = before[upper]
    core.secant(packed, h[upper], step, y)
    s = np.zeros((n, n))
    s[upper] = s.T[upper] = packed
    np.testing.assert_allclose((h + s) @ step, y, rtol=0, atol=1e-12 * np.abs(y).max() * n)
    np.testing.assert_allclose(s, change_of_gradient(before, step, y, h), rtol=1e-9, atol=1e-11 * np.abs(s).max())


def damping_factor(before, after, promised):
    """Of mu after a step from a loss to a lower one, where the model had promised `promised`."""
    return max(0.1, min(0.7, 1 - (2 * (before - after) / (before - promised) - 1) ** 3))


def change_of_gradient(s, step, y, h):
    """S after a step over which the gradient changed by y."""
    if step @ y <= 1e-8 * np.linalg.norm(step) * np.linalg.norm(y):
        return s
    missing = y - h @ step
    kept = min(1, abs(step @ missing) / abs(step @ s @ step)) if s.any() else 1
    r = missing - kept * s @ step
    return kept * s + (np.outer(r, y) + np.outer(y, r)) / (y @ step) - (step @ r) * np.outer(y, y) / (y @ step) ** 2


def descent(f, theta, model, g, d, mu, j):
    """The loss and the weights after a step, and the next mu; j: J where the step is to be accelerated."""
    e = f(theta)
    while True:
        if np.linalg.eigvalsh(model + mu * d)[0] > 0:
            step = -np.linalg.solve(model + mu * d, g)
            ends = [theta + step]
            if j is not None:
                half = -np.linalg.solve(model + mu * d, j.T @ (f(theta + step) - e - j @ step))
                longest = 0.5 * np.sqrt(step @ d @ step)
                ends.append(theta + step + half * min(1, longest / np.sqrt(half @ d @ half)))
            loss, end = min(((f(end) @ f(end), end) for end in ends), key=lambda found: found[0])
            if loss < e @ e:
                return loss, end, mu * damping_factor(e @ e, loss, e @ e + 2 * g @ step + step @ model @ step)
        mu *= 2


def marquardt_in_numpy(f, jac, theta, epochs, scaling, mu, curvature, acceleration=True):
    """The same rules in plain NumPy: losses after each step, the last weights, and how many steps J^T J + S made."""
    losses, largest, won = [], np.zeros_like(theta), 0
    mus, s, last = [mu, mu], np.zeros((len(theta), len(theta))), None
    leads, left, pause = 0, 0, 1
    for _ in range(epochs):
        e, j = f(theta), jac(theta)
        h, g, here = j.T @ j, j.T @ e, e @ e
        largest = np.maximum(0.97 * largest, np.diag(h))
        scale = largest.max() * (np.maximum(largest, 0.01 * largest.max()) / largest.max()) ** 0.4
        d = np.diag({"identity": np.ones_like(theta), "marquardt": scale, "diagonal": largest}[scaling])
        paused, left = left > 0, max(left - 1, 0)
        found = []
        for which in (leads, 1 - leads):
            if which == 1:
                s, last = s if last is None else change_of_gradient(s, theta - last[0], g - last[1], h), (theta, g)
            ahead = j if acceleration and which == 0 else None
            loss, there, mus[which] = descent(f, theta, h + which * s, g, d, mus[which], ahead)
            found.append((loss, which, there))
            if loss <= 0.95 * here or paused or not curvature:
                break
        if found[0][0] <= 0.95 * here:
            leads, left, pause = 0, 0, 1
        elif len(found) == 2:
            worth = here - found[1][0] > 1.3 * (here - found[0][0])
            leads, left, pause = (1 - leads, 0, 1) if worth else (leads, pause, min(2 * pause, 16))
        loss, which, theta = min(found, key=lambda step: step[0])
        losses.append(loss)
        won += which
    return losses, theta, won


@pytest.mark.parametrize("acceleration", [False, True])
@pytest.mark.parametrize("scaling, mu", [("identity", 1e-3), ("marquardt", 0.1), ("diagonal", 0.1)])
def test_levenberg_marquardt_follows_its_formula(scaling, mu, acceleration):
    n = 50
    x = np.linspace(-2, 2, n)[:, None]
    y = np.sin(2 * x)
    weight = np.linspace(0.5, 2, n)
    net = lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(1), seed=3, dtype="float64").build(1)
    start = np.concatenate([p.ravel() for p in net.parameters.values()])
    root = np.sqrt(weight / weight.sum())

    def f(t):
        return root * ((np.tanh(x * t[:4] + t[4:8]) @ t[8:12] + t[12]) - y[:, 0])

    def jac(t):
        h = np.tanh(x * t[:4] + t[4:8])
        d = (1 - h * h) * t[8:12]
        return root[:, None] * np.concatenate([d * x, d, h, np.ones((n, 1))], 1)

    optimizer = lm.optim.LevenbergMarquardt(scaling=scaling, curvature=False, acceleration=acceleration)
    history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=12, sample_weight=weight, verbose=0)
    want, theta, _ = marquardt_in_numpy(f, jac, start, 12, scaling, mu, False, acceleration)
    np.testing.assert_allclose(history.history["loss"], want, rtol=1e-6)  # normal equations: cond(J)^2 eps
    np.testing.assert_allclose(np.concatenate([p.ravel() for p in net.parameters.values()]), theta, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("scaling, mu, acceleration", [("identity", 1e-3, True), ("marquardt", 0.1, False)])
def test_the_curvature_of_errors_follows_its_formula(scaling, mu, acceleration, rng):
    x = rng.normal(size=(60, 1))
    y = np.sin(2 * x[:, 0]) + rng.normal(size=60)  # noise: the errors stay large
    net = lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(1), seed=3, dtype="float64").build(1)
    start = np.concatenate([p.ravel() for p in net.parameters.values()])

    def f(t):
        return (np.tanh(x * t[:4] + t[4:8]) @ t[8:12] + t[12] - y) / np.sqrt(60)

    def jac(t):
        h = np.tanh(x * t[:4] + t[4:8])
        d = (1 - h * h) * t[8:12]
        return np.concatenate([d * x, d, h, np.ones((60, 1))], 1) / np.sqrt(60)

    optimizer = lm.optim.LevenbergMarquardt(scaling=scaling, acceleration=acceleration)
    history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=25, verbose=0)
    want, _, won = marquardt_in_numpy(f, jac, start, 25, scaling, mu, True, acceleration)
    assert 2 <= won < 25
    np.testing.assert_allclose(history.history["loss"], want, rtol=1e-6)


@pytest.mark.parametrize("epochs", [60, 100])
def test_the_curvature_of_errors_helps_where_noise_is_fitted(epochs, rng):
    """Seeds 0 to 19: a lower loss after as many steps, in the median."""
    x, y = rng.normal(size=(200, 3)), rng.normal(size=200)
    ratios = []
    for seed in range(20):
        losses = []
        for curvature in (False, True):
            optimizer = lm.optim.LevenbergMarquardt(curvature=curvature)
            history = small(seed).fit(x, y, loss="mse", optimizer=optimizer, epochs=epochs, verbose=0)
            losses.append(history.history["loss"][-1])
        ratios.append(losses[1] / losses[0])
    assert np.median(ratios) < 0.97


def test_the_acceleration_of_a_regularized_step(rng):
    jacobian, e, theta, there = (rng.normal(size=size) for size in ((20, 5), 20, 5, (20, 1)))
    h, one, solver = jacobian.T @ jacobian, np.eye(5), core.PositiveSystem(5)
    plain = Primal(h[np.tri(5, dtype=bool).T], jacobian.T @ e, e @ e, lambda z: jacobian.T @ z[:, 0], solver)
    system = plain.penalized(0.3, 2.0, theta)
    d = system.step(0.1)
    np.testing.assert_allclose(d, np.linalg.solve(2 * h + 0.4 * one, -2 * jacobian.T @ e - 0.3 * theta))
    expected = np.linalg.solve(2 * h + 0.4 * one, -2 * jacobian.T @ (there[:, 0] - e - jacobian @ d))
    np.testing.assert_allclose(system.half_acceleration(0.1, d, theta + d, there), expected)


def test_the_stops():
    x, y = sinc()
    for options, reason in [
        ({"goal": 1e-3}, "goal"),
        ({"min_grad": 1e3}, "gradient"),
        ({"max_seconds": 1e-9}, "time"),
        ({"mu": 1e-300, "mu_max": 1e-300}, "mu"),
    ]:
        net, optimizer = small(), lm.optim.LevenbergMarquardt()
        for name, value in options.items():
            setattr(optimizer, name, value)
        history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=100, verbose=0)
        assert optimizer.stop_reason == reason
        assert len(history) < 100 and (history["loss"][:-1] > optimizer.goal).all()
    net = small()
    net.fit(x, y, loss="mse", optimizer=lm.optim.LevenbergMarquardt(), epochs=3, verbose=0)
    assert net.optimizer.stop_reason is None
    net = lm.Sequential(lm.Dense(1), seed=0, dtype="float64").build(1).compile("mse", "sgd")
    size = np.linalg.norm([g.item() for g in net.gradients(x, y).values()])
    for share, reason in ((1.01, "gradient"), (0.99, None)):
        optimizer = lm.optim.LevenbergMarquardt(1e-19, mu_dec=1e-9, min_grad=share * size, curvature=False)
        net.fit(x, y, optimizer=optimizer, verbose=0)
        assert optimizer.stop_reason == reason
    assert optimizer.state["mu"].value == 1e-20  # at 0 no try would have a larger one than the last


class Exponential(lm.Layer):
    """scale exp(a - x exp(-b))"""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def build(self, x):
        self.a, self.b = (self.parameter(name, (), "zeros") for name in "ab")

    def forward(self, x):
        return self.scale * lm.exp(self.a - x * lm.exp(-self.b))


@pytest.mark.parametrize("unit", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("rows", [80, 1])
def test_a_gradient_is_flat_beside_its_targets(unit, rows):
    """Currents in amperes: J and errors are small both, and dL/dtheta is 1e-7 long far from any minimum."""
    x = np.linspace(0, 3, rows * 2)[:, None]
    y = unit * np.exp(0.7 - x / 1.5) * (1 + 0.05 * np.sin(40 * x) * (rows > 1))
    found = []
    for size in (1.0, unit):
        net = lm.Sequential(Exponential(size), dtype="float64")
        net.fit(x, y * size / unit, loss="mse", optimizer="levenbergmarquardt", epochs=100, verbose=0)
        assert net.optimizer.stop_reason in ("gradient", "mu")
        found.append(list(net.parameters.values()))
    np.testing.assert_allclose(*found, atol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1e-12])
@pytest.mark.parametrize("current", [1e-12, 1e-11])
def test_parameters_of_a_formula_may_have_units_of_any_size(unit, current):
    """A diode's currents by its voltages: I = s (exp(v / u) - 1)."""

    class Diode(lm.Layer):
        def build(self, v):
            start = lm.initializers.constant
            self.s, self.u = self.parameter("s", (), start(current / unit)), self.parameter("u", (), start(0.034))
            self.nothing = self.parameter("nothing", (), "zeros")

        def forward(self, v):
            return unit * self.s * (lm.exp(v / self.u) - 1) + 0 * self.nothing

    v = np.linspace(0.3, 0.7, 60)[:, None]
    net = lm.Sequential(Diode(), dtype="float64")
    rule = lm.optim.LevenbergMarquardt(scaling="diagonal")
    net.fit(v, 2e-12 * (np.exp(v / 0.035) - 1), loss="mse", optimizer=rule, epochs=100, verbose=0)
    s, u, _ = (float(p) for p in net.parameters.values())
    assert rule.stop_reason == "gradient" and (s * unit, u) == pytest.approx((2e-12, 0.035), rel=1e-6)  # min_grad: 1e-7


def test_small_targets_of_more_weights_than_data_are_fitted(rng):
    x, y = rng.normal(size=(10, 3)), 1e-6 * rng.normal(size=10)
    net = small(dtype="float64")
    net.fit(x, y, loss="mse", optimizer="levenbergmarquardt", epochs=300, verbose=0)
    assert net.evaluate(x, y)["loss"] < 1e-6 * y.var()


@pytest.mark.parametrize("options", [{"mu": 1e12}, {"mu_max": 0.05}, {"mu": 2.0, "mu_max": 1.0, "bayesian": True}])
def test_a_damping_beyond_the_largest_one_is_refused(options):
    with pytest.raises(ValueError, match=r"\[optim.LevenbergMarquardt\] expected mu to be .*, got"):
        lm.optim.LevenbergMarquardt(**options)


@pytest.mark.parametrize("curvature", [False, True])
def test_a_damping_assigned_takes_effect_at_the_next_step(curvature):
    x, y = sinc(60)
    net, optimizer = small(dtype="float64"), lm.optim.LevenbergMarquardt(scaling="identity", curvature=curvature)
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=3, verbose=0)
    assert repr(optimizer) == f"LevenbergMarquardt(scaling='identity'{'' if curvature else ', curvature=False'})"
    optimizer.mu = 1e5
    assert optimizer.mu == 1e5 and optimizer.config()["mu"] == 1e5
    before = np.concatenate([p.ravel() for p in net.parameters.values()])
    gradient = np.concatenate([g.ravel() for g in net.gradients(x, y).values()])
    net.fit(x, y, epochs=1, verbose=0)
    step = np.concatenate([p.ravel() for p in net.parameters.values()]) - before
    np.testing.assert_allclose(step, -gradient / 2e5, rtol=1e-3, atol=1e-12)  # J^T J is nothing beside 1e5
    copied = copy.deepcopy(net)
    assert copied.optimizer.mu == 1e5
    np.testing.assert_array_equal(*(n.fit(x, y, epochs=3, verbose=0)["loss"] for n in (net, copied)))
    with pytest.raises(ValueError, match="expected mu to be a number in"):
        optimizer.mu = 1e11


def test_float32_and_float64_networks_take_the_same_way():
    """float64 inside: rounded weights make no difference to the path."""
    x, y = sinc()
    losses = {}
    for dtype in ("float32", "float64"):
        net = small(dtype=dtype)
        net.build(1)
        for name, value in small().build(1).parameters.items():
            net.parameters[name] = value
        losses[dtype] = net.fit(x, y, loss="mse", optimizer=lm.optim.LevenbergMarquardt(), epochs=15, verbose=0).history["loss"]
    np.testing.assert_array_equal(losses["float32"], losses["float64"])


def test_fewer_residuals_than_weights(rng):
    """J J^T instead of J^T J: interpolates 20 points with 300 weights."""
    x, y = rng.normal(size=(20, 4)), rng.normal(size=20)
    net = lm.Sequential(lm.Dense(50, "tanh"), lm.Dense(1), seed=0)
    history = net.fit(x, y, loss="mse", optimizer=lm.optim.LevenbergMarquardt(goal=1e-12), epochs=50, verbose=0)
    assert history.history["loss"][-1] <= 1e-12
    net, x = lm.Sequential(lm.Dense(1), seed=0), rng.normal(size=(3, 40000)) / 200  # J^T J would have 13 GB
    assert net.fit(x, y[:3], loss="mse", optimizer=lm.optim.LevenbergMarquardt(), epochs=4, verbose=0)["loss"][-1] < 1e-6


def test_several_outputs_weights_and_missing_targets(rng):
    x = lm.Input(2)
    h = lm.Dense(5, "tanh")(x)
    net = lm.Model(x, {"a": lm.Dense(1)(h), "b": lm.Dense(2)(h)}, seed=0)
    net.compile(lm.losses.MSE(mask_nan=True), lm.optim.LevenbergMarquardt(), loss_weights={"a": 2.0, "b": 1.0})
    data = rng.normal(size=(40, 2))
    targets = {"a": data[:, :1] * 2, "b": np.sin(data)}
    targets["b"][::3, 0] = np.nan
    weight = rng.uniform(0.5, 2, 40)
    history = net.fit(data, targets, epochs=20, sample_weight=weight, verbose=0)
    after = net.evaluate(data, targets, sample_weight=weight)["loss"]
    np.testing.assert_allclose(after, history.history["loss"][-1], rtol=1e-3)
    assert after < 0.1 * history.history["loss"][0] or after < 1e-3


def test_a_step_far_better_than_promised_is_no_overflow():
    """L falls by 1 where the model promised 1e-150."""
    from lamina.optim.damped_steps import factor_of_mu

    model = Primal(np.zeros(1), np.array([-1.0]), 1.0, lambda z: z, core.PositiveSystem(1))
    assert factor_of_mu(1.0, np.array([1e-150]), 1.0, 1.0, model) == 0.0


def test_levenberg_marquardt_takes_sequences_of_the_length_that_the_data_have(rng):
    """Its errors are those of all positions, as of a network for this length alone."""

    def fitted(length):
        x = lm.placeholder((None, length, 3))
        h = lm.Dense(4, "tanh")(x)
        net = lm.Model(x, [lm.Dense(2)(h), h[:, -1]], seed=0)
        y = [rng.normal(size=(30, 5, 2)), rng.normal(size=(30, 4))]
        return net.fit(X, y, loss="mse", optimizer=lm.optim.LevenbergMarquardt(), epochs=4, verbose=0).history["loss"]

    X = rng.normal(size=(30, 5, 3))
    state = rng.bit_generator.state
    free = fitted("T")
    rng.bit_generator.state = state
    np.testing.assert_allclose(free, fitted(5), rtol=1e-10)
    assert free[-1] < free[0]
