"""Optimizers that take all data at once, against NumPy's formulas and SciPy's minima; and the rows of Jacobians they rest on."""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina.graph.flat import FlatNetwork
from lamina.graph.inference import resolved
from lamina.graph.samplewise import is_samplewise
from lamina.models import feed
from lamina.optim.least_squares import LeastSquares, Primal, Squares, even_part
from lamina.optim.wolfe import Point, cubic_minimum, search
from lamina.training import problems
from lamina.training.all_data import AllData
from lamina.training.sources import with_finite_targets
from running import jacobian_rows


def networks():
    """Graphs whose weights are used in many ways, with the number of inputs."""
    x = lm.Input(3)
    h = lm.Dense(4, "tanh")(x)
    yield "dense", x, lm.Dense(2)(h)
    x = lm.Input(3)
    shared = lm.Dense(3, "sigmoid")
    yield "shared", x, lm.Dense(1)(shared(shared(x)) + x)
    x = lm.Input(3)
    scale = lm.Parameter(np.array([0.5, -1.0, 2.0], "float32"), name="scale")
    power = lm.Parameter(np.float32(1.5), name="power")
    h = lm.LayerNorm()(lm.Dense(3)(x * scale))
    yield "elements", x, lm.Dense(2, bias=False)(lm.tanh(h / power - power))
    x = lm.Input(4, 3)
    yield "sequence", x, lm.Dense(2)(lm.mean(lm.Dense(5, "tanh")(x), axis=1))
    x = lm.Input(3)
    w = lm.Parameter(np.arange(6.0, dtype="float32").reshape(2, 3) / 5, name="w")
    yield "transposed", x, lm.tanh(x @ w.T)
    x = lm.Input(3)
    yield "product of weights", x, lm.tanh(x @ (w.T @ w))[:, :2]
    x = lm.Input(3)
    t = lm.stack([w, lm.pad(w[::-1], ((0, 0), (1, 0)))[:, :3]])  # of operations on weights alone
    t = lm.concatenate([lm.transpose(t, (2, 0, 1)), lm.softmax(t, axis=0)[:, :, :2][[0, 1, 0]]], 0)
    shares = lm.softmax(lm.reshape(t, (3, -1)) / lm.sqrt(lm.sum(w * w))) * lm.logsumexp(w, axis=0, keepdims=True).T
    yield "made of weights", x, lm.tanh(x @ shares + lm.max(w, axis=1)[0])[:, :2] + lm.broadcast_to(w[:, 0], (x.shape[0], 2))
    x = lm.Input(3)
    yield "factor of weights", x, lm.tanh(x[:, :2] @ lm.linalg.cholesky(w @ w.T + lm.eye(2)))
    x = lm.Input(3)
    u = lm.Dense(4, "tanh")(lm.Dense(4, "tanh")(x))
    k, m = (lm.Parameter(np.full(shape, 0.3, "float32"), name=name) for name, shape in (("k", ()), ("m", (3, 1))))
    slope = lm.grad(lm.sum(lm.Dense(1)(u)), x)  # with the weights transposed, twice and thrice
    curvature = lm.grad(lm.sum(slope[:, 0]), x)[:, :1]
    slope = slope * lm.reshape(m * m * lm.tanh(m), (1, 3))
    yield "derivatives", x, lm.concatenate([slope, lm.exp(2 * k) * curvature - lm.where(k > 0, k, 0.0)], 1)
    x = lm.Input(4, 3)
    scale = lm.Parameter(np.array([0.5, -1.0, 2.0], "float32"), name="scale")
    turn = lm.Parameter(np.array([[0.5, -1.0], [0.3, 0.8]], "float32"), name="turn")
    h = lm.reshape(turn @ lm.reshape(x, (-1, 2, 1)), (-1, 3))  # of the rows of all samples, two by two
    yield "rows", x, lm.sum(lm.reshape(lm.Dense(2, "tanh")(h * scale), (-1, 4, 2)), axis=1)
    x = lm.Input(3)
    yield "dropout and batch norm", x, lm.Dense(1)(lm.Dropout(0.5)(lm.BatchNorm()(lm.Dense(3, "relu")(x))))


CASES = {name: (x, y) for name, x, y in networks()}
UNKNOWN = {"factor of weights"}  # no rule: sample by sample


def flat_problem(x, y, n, seed=0, may_be_dual=False, weights=None):
    net = lm.Model(x, y, seed=seed)
    parameters = net.programs.trainable
    theta = lm.Parameter(np.zeros(sum(int(np.prod(p.shape)) for p in parameters)), dtype="float64", trainable=False)
    network = FlatNetwork(net.inputs, net.outputs, parameters, theta, lm.Parameter(np.zeros(1), dtype="float64", trainable=False))
    network.load()
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, *net.inputs[0].shape[1:]))
    target = rng.normal(size=(n, net.outputs[0].shape[1]))
    scale = np.ones_like(target) if weights is None else weights
    return LeastSquares(network, Squares([data], target, scale), may_be_dual=may_be_dual), network, data, target


def numeric_jacobian(network, data, target):
    """de/dtheta by central differences, residuals of an output in turn."""
    theta, e = network.theta.value, []
    f = lm.function(network.inputs, network.outputs[0])
    for i in range(len(theta)):
        sides = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[i] += sign * 1e-6
            network.theta.value = moved
            sides.append((f(data) - target).T.ravel())
        e.append((sides[0] - sides[1]) / 2e-6)
    network.theta.value = theta
    return np.array(e).T, (f(data) - target).T.ravel()


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_what_a_step_needs(name, dual, alone, monkeypatch):
    """H = J^T J, g = J^T e and the step, in both ways, against J by finite differences; each output by a pass of its own, or all
    outputs of copies of the samples by one.
    """
    if alone:
        monkeypatch.setattr("lamina.optim.least_squares.LONG", 0)
        monkeypatch.setattr("lamina.optim.least_squares.USES", 0)
    problem, network, data, target = flat_problem(*CASES[name], 2 if dual else 37, may_be_dual=dual)
    j, e = numeric_jacobian(network, data, target)
    theta = network.theta.value
    assert problem.residuals < problem.size or not dual
    assert problem.dual == dual
    system = problem.linearize(theta)
    np.testing.assert_allclose(system.value, e @ e, rtol=1e-10)
    np.testing.assert_allclose(problem.value(theta), e @ e, rtol=1e-10)
    scale = np.abs(j.T @ j).max()
    if dual:
        np.testing.assert_allclose(system.kernel, j @ j.T, atol=1e-7 * np.abs(j @ j.T).max())
    else:
        upper = np.triu_indices(problem.size)
        np.testing.assert_allclose(system.h, (j.T @ j)[upper], atol=1e-7 * scale)
    np.testing.assert_allclose(system.g, j.T @ e, atol=1e-7 * scale)
    want = -np.linalg.solve(j.T @ j + 0.1 * np.eye(len(theta)), j.T @ e)
    step = system.step(0.1)
    np.testing.assert_allclose(step, want, rtol=1e-5, atol=1e-6)
    there = theta + 0.5 * step  # somewhere else: any errors will do
    value, errors = problem.errors(there)
    assert value == problem.value(there) == pytest.approx((errors**2).sum(), rel=1e-12)
    half = -np.linalg.solve(j.T @ j + 0.1 * np.eye(len(theta)), j.T @ (errors.T.ravel() - e - j @ step))
    np.testing.assert_allclose(system.half_acceleration(0.1, step, there, errors), half, rtol=1e-5, atol=1e-6)
    weights = network.weights
    known = jacobian_rows(network.outputs[0][:, 0], weights) is not None
    assert known == (name not in UNKNOWN)


@pytest.mark.parametrize("samples", [20, 1])  # more residuals than weights, and fewer
def test_a_loop_over_steps_of_time_takes_one_backward_pass(samples):
    """An oscillator's rates, from its path: passes for 60 outputs made tens of thousands of nodes, which took seconds to plan."""
    rates = lm.Parameter(np.array([0.3, 2.0]), name="rates")
    c, k = rates[0], rates[1]
    s = lm.Input(70, dtype="float64")
    x, v, path = lm.Dense(1)(s), s[:, :1] * 0.5, []
    for _ in range(60):
        v = v - 0.05 * (c * v + k * x)
        x = x + 0.05 * v
        path.append(x)
    problem, network, data, target = flat_problem(s, lm.concatenate(path, 1), samples, may_be_dual=True)
    assert problem.dual == (samples == 1)
    errors = [problem._error[:, i] for i in range(60)]
    terms = [problem._kernel(errors)] if problem.dual else problem._normal.terms
    assert len(core.topological([t.node for t in terms])) < 10_000
    j, e = numeric_jacobian(network, data, target)
    system = problem.linearize(network.theta.value)
    want, got = (j @ j.T, system.kernel) if problem.dual else ((j.T @ j)[np.triu_indices(problem.size)], system.h)
    np.testing.assert_allclose(got, want, atol=1e-6 * np.abs(want).max())
    np.testing.assert_allclose(system.g, j.T @ e, atol=1e-6 * np.abs(j.T @ e).max())


def test_several_outputs_of_few_samples_take_no_jacobian():
    """J J^T of products of activations and of deltas: of 40 samples with 100 outputs J was most of the time."""
    x = lm.Input(5)
    problem, *_ = flat_problem(x, lm.Dense(3)(lm.Dense(20, "tanh")(x)), 4, may_be_dual=True)
    assert problem.dual and problem.residuals == 12
    kernel = problem._kernel([problem._error[:, i] for i in range(3)])
    shapes = [n.shape for n in core.topological([kernel.node])]
    assert max(s[1] for s in shapes if len(s) == 2 and isinstance(s[1], int)) == 21  # 20 units and a one


@pytest.mark.parametrize("samples", [37, 3000])  # at once, and in chunks
@pytest.mark.parametrize("name", sorted(CASES.keys() - UNKNOWN))
def test_what_hangs_on_data_alone_is_computed_once(name, samples, monkeypatch):
    first, *_ = flat_problem(*CASES[name], samples)
    monkeypatch.setattr("lamina.optim.least_squares.ONCE_BYTES", 0)
    second, *_ = flat_problem(*CASES[name], samples)
    made = {"dense": 2, "dropout and batch norm": 3}.get(name, 0)
    assert (len(first._once.values), len(second._once.values)) == (made, 0)
    for shift in (0.0, 0.25):
        theta = first.network.theta.value + shift
        some, others = first.linearize(theta), second.linearize(theta)
        for a, b in ((some.h, others.h), (some.g, others.g), (some.value, others.value)):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n", [1, 2, 442, 500, 511, 512, 513, 1021, 2000, 2001, 10_000, 104_729])
def test_samples_are_taken_in_equal_parts_where_they_can_be(n):
    part = even_part(n, 512)
    fewest = -(-n // 512)
    divisors = [n // p for p in range(fewest, 2 * fewest + 1) if n % p == 0]
    assert part == (divisors[0] if divisors else -(-n // fewest))
    assert 1 <= part <= 512


@pytest.mark.parametrize("optimizer", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS])
def test_a_network_without_weights_is_at_its_minimum(optimizer):
    x = lm.Input(3)
    net = lm.Model(x, lm.tanh(x))
    history = net.fit(np.ones((4, 3)), np.ones((4, 3)), loss="mse", optimizer=optimizer(), epochs=5, verbose=0)
    assert net.optimizer.stop_reason == "gradient"
    np.testing.assert_allclose(history.history["loss"], [(1 - np.tanh(1)) ** 2], rtol=1e-6)


def test_uses_of_one_weight_meet_in_one_product():
    """Those of a network unrolled in time are many: outer products of each take twice as long to prepare, and to run."""
    x, layer = lm.Input(3), lm.Dense(3, "tanh")
    y = layer(layer(layer(x)))
    lm.Model(x, y, seed=0)
    rows = jacobian_rows(lm.sum(y, axis=1), list(layer.parameters.values()))
    assert [node.op for node in resolved([rows])].count("row_outer") == 0
    data = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    slope = lm.function(x, lm.grad(lm.sum(y), layer.weight))
    want = [slope(data[i : i + 1]).ravel() for i in range(4)]
    np.testing.assert_allclose(lm.function(x, rows)(data)[:, :9], want, rtol=1e-5, atol=1e-6)


def test_samples_that_mix_are_seen():
    x = lm.Input(3)
    rows = lm.reshape(x, (-1, 1))
    mixed = [x - lm.mean(x, axis=0), lm.flip(x, 0), x @ (x.T @ x), lm.softmax(x, axis=0), x * lm.size(x, 0), x * lm.size(rows, 0)]
    mixed += [lm.full((x.shape[0], x.shape[0]), 1.0) @ x, lm.softmax(x[:, 0])]
    square = lm.full((x.shape[0], x.shape[0]), 1.0) * x[:, :1]
    mixed += [
        lm.sum(square, axis=0),
        square.T,
        square + x[:, 0],
        square @ x,
        x @ lm.expand_dims(x, 2),
        lm.take(x, lm.argmax(x, 1), 1),
    ]
    mixed += [lm.pad(x, ((1, 0), (0, 0)))[:-1], lm.concatenate([x[1:], x[:1]])]
    mixed += [lm.take(x, lm.argmax(x, 1), 0), lm.reshape(lm.flip(rows, 0), (-1, 3)), lm.reshape(lm.reshape(x, (3, -1)), (-1, 3))]
    for y in mixed:
        assert not is_samplewise(resolved([y]))
    pairs = lm.Tensor(core.make("row_outer", [x.node, x.node], {}))
    for y in (square, lm.sum(square, 1), lm.take(x, [2, 0], 1), lm.pad(x, ((0, 0), (0, 1))), lm.reshape(lm.tanh(rows), (-1, 3))):
        assert is_samplewise(resolved([y]))
    for y in (pairs, lm.softmax(x), x[:, ::-1], lm.concatenate([x, x * 2], 1), x.reshape(-1, 3) * 2, lm.max(x, axis=1)):
        assert is_samplewise(resolved([y]))
    net = lm.Model(x, lm.Dense(1)(x - lm.mean(x, axis=0)))
    with pytest.raises(ValueError, match="sum of shape .* may mix those of a batch"):
        net.fit(np.ones((4, 3)), np.ones(4), loss="mse", optimizer=lm.optim.LevenbergMarquardt(), verbose=0)


@pytest.mark.parametrize("n", [1, 7, 8, 33, 100, 256, 257, 290])
def test_the_solver(n, rng):
    j, b, shift = rng.normal(size=(2 * n, n)), rng.normal(size=n), rng.uniform(0.1, 1, n)
    h, system = j.T @ j, core.PositiveSystem(n)
    first = system.solve(h, shift, b)
    assert system.solve(h, -2 * np.trace(h), b) is None  # not positive definite
    assert system.solve(h, shift, np.where(np.arange(n) == 0, np.inf, b)) is None
    with pytest.raises(ValueError, match=f"diagonal for {n} unknowns"):
        system.solve(h, np.ones(n + 1), b)
    upper = h[np.triu_indices(n)]
    for whole in (h, upper):
        with pytest.raises(ValueError, match=f"matrix for {n} unknowns"):
            system.solve(whole, shift, b, more=np.ones(len(upper) + 1))
    packed = system.solve(upper, shift, b, 2.0, more=upper)
    third = system.solve(h, shift, b, 2.0, more=h.T)
    assert packed.tobytes() == third.tobytes()
    second = system.solve(h, 0.5, b, 3.0)  # in the same memory
    factor, other = system.factor(), rng.normal(size=n)
    np.testing.assert_allclose(factor, np.linalg.cholesky(3 * h + 0.5 * np.eye(n)).T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(system.again(other), np.linalg.solve(3 * h + 0.5 * np.eye(n), other), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(first, np.linalg.solve(h + np.diag(shift), b), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(second, np.linalg.solve(3 * h + 0.5 * np.eye(n), b), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(third, np.linalg.solve(4 * h + np.diag(shift), b), rtol=1e-9, atol=1e-12)


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
        scale = largest.max() * (np.maximum(largest, 0.01 * largest.max()) / largest.max()) ** 0.6
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
    np.testing.assert_allclose(np.concatenate([p.ravel() for p in net.parameters.values()]), theta, rtol=1e-4, atol=1e-6)


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


@pytest.mark.parametrize("epochs", [30, 100])
def test_the_curvature_of_errors_helps_where_noise_is_fitted(epochs, rng):
    """Seeds 0 to 4: a lower loss after as many steps, in the median."""
    x, y = rng.normal(size=(200, 3)), rng.normal(size=200)
    ratios = []
    for seed in range(5):
        losses = []
        for curvature in (False, True):
            optimizer = lm.optim.LevenbergMarquardt(curvature=curvature)
            history = small(seed).fit(x, y, loss="mse", optimizer=optimizer, epochs=epochs, verbose=0)
            losses.append(history.history["loss"][-1])
        ratios.append(losses[1] / losses[0])
    assert np.median(ratios) < 0.97


def sinc(n=400):
    x = np.linspace(-10, 10, n)[:, None]
    return x, np.sinc(x / np.pi)


def small(seed=0, dtype="float32"):
    return lm.Sequential(lm.Dense(10, "tanh"), lm.Dense(1), seed=seed, dtype=dtype)


def descent_of(net, x, y):
    """What `fit` would drive."""
    source = AllData(net, with_finite_targets(net, feed.samples(net, x, y, None)), {})
    source.prepare()
    return source.descent


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


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS], ids=["lm", "lbfgs"])
def test_a_learning_rate_is_refused(make, tmp_path):
    x, y = sinc(60)
    net, optimizer = small(), make()
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=3, verbose=0)
    with pytest.raises(ValueError, match="expected no learning rate, got lr = 5; each step finds its own length"):
        optimizer.lr = 5
    net.save(tmp_path / "net", optimizer=True)
    loaded = lm.load(tmp_path / "net")
    np.testing.assert_array_equal(*(n.fit(x, y, epochs=3, verbose=0)["loss"] for n in (net, loaded)))
    with pytest.raises(ValueError, match="expected an optimizer with a learning rate"):
        net.fit(x, y, epochs=9, callbacks=lm.callbacks.ReduceLROnPlateau("loss", patience=0, threshold=1.0), verbose=0)


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS], ids=["lm", "lbfgs"])
def test_the_stop_by_validation_puts_the_best_weights_back(make, rng):
    x = rng.normal(size=(30, 3))
    y = rng.normal(size=30)  # noise: what is learned is of no use
    net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), seed=0)
    optimizer = make(max_fail=3)
    history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=100, validation_split=0.3, verbose=0)
    assert optimizer.stop_reason == "validation"
    losses = history.history["val_loss"]
    assert len(losses) == int(np.argmin(losses)) + 4
    assert net.evaluate(x, y)["loss"] >= history.history["loss"].min()


@pytest.mark.parametrize(("options", "stops"), [({}, False), ({"max_fail": 3}, True), ({"bayesian": False, "max_fail": 0}, False)])
def test_validation_ends_a_bayesian_fit_only_where_it_is_asked_to(options, stops, rng):
    """As in trainbr: its factors need steps, over which val_loss may rise for a while."""
    x, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    optimizer = lm.optim.LevenbergMarquardt(**{"bayesian": True, **options})
    net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), seed=0)
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=40, validation_split=0.3, verbose=0)
    assert (optimizer.stop_reason == "validation") == stops


@pytest.mark.parametrize("goal", [1e-2, 0.0])
def test_a_fit_that_goes_on_after_its_stop_knows_why_it_stopped(goal, tmp_path, capsys):
    x = np.linspace(-1, 1, 30)[:, None]
    fit = {"loss": "mse", "epochs": 50, "callbacks": lm.callbacks.Checkpoint(tmp_path / "net")}
    for resume in (None, tmp_path / "net"):
        net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), seed=0)
        rule = lm.optim.LevenbergMarquardt(goal=goal, min_grad=1e-3)
        history = net.fit(x, x**2, optimizer=rule, resume=resume, verbose=resume is not None, **fit)
        assert rule.stop_reason == ("goal" if goal else "gradient") and len(history) < 50
    assert capsys.readouterr().err == f"stopped after epoch {len(history)}: {rule.stop_reason}\n"


def test_a_stop_of_ones_own_takes_the_place_of_that_by_validation_if_it_watches_the_same(rng):
    x, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    lengths = []
    for stop in (
        None,
        lm.callbacks.EarlyStopping("loss", patience=50),
        lm.callbacks.EarlyStopping("val_loss", patience=8),
    ):
        optimizer = lm.optim.LevenbergMarquardt(max_fail=3)
        net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), seed=0)
        net.fit(x, y, loss="mse", optimizer=optimizer, epochs=100, validation_split=0.3, callbacks=stop, verbose=0)
        assert optimizer.stop_reason == "validation"
        lengths.append(len(net.history))
    assert lengths[0] == lengths[1] < lengths[2]
    net.fit(x, y, epochs=50, callbacks=lm.callbacks.EarlyStopping("loss", patience=1, min_delta=1e3), verbose=0)
    assert len(net.history) == 2 and optimizer.stop_reason is None


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
    np.testing.assert_allclose(losses["float32"], losses["float64"], rtol=1e-3)


@pytest.mark.parametrize("threads_used", [1, 2])
def test_bits_do_not_depend_on_threads(threads, threads_used):
    threads(threads_used)
    x, y = sinc(3000)
    net = small()
    net.fit(x, y, loss="mse", optimizer=lm.optim.LevenbergMarquardt(), epochs=4, verbose=0)
    key = "weights"
    weights = np.concatenate([p.ravel() for p in net.parameters.values()])
    kept = test_bits_do_not_depend_on_threads.__dict__.setdefault(key, weights)
    np.testing.assert_array_equal(weights, kept)


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


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS], ids=["lm", "lbfgs"])
def test_without_a_target_there_is_no_fit(make, rng):
    x, y, one = rng.normal(size=(20, 3)), np.full(20, np.nan), np.arange(20) == 0
    loss = lm.losses.MSE(mask_nan=True)
    for targets, weight in ((y, None), (np.where(one, np.nan, 1.0), one.astype(float))):
        net = lm.Sequential(lm.Dense(1), seed=0)
        with pytest.raises(ValueError, match=r"\[fit\] expected a target that counts for output 'output', got none"):
            net.fit(x, targets, sample_weight=weight, loss=loss, optimizer=make(), verbose=0)


def test_options_that_are_assigned_are_checked_and_kept(tmp_path):
    x, y = sinc(60)
    bayesian = lm.optim.LevenbergMarquardt()
    bayesian.bayesian = True  # on which defaults hang
    assert (bayesian.mu, bayesian.max_fail) == (5e-3, 0)
    small().fit(x, y, loss="mse", optimizer=bayesian, verbose=0)
    assert "curvature" not in bayesian.state  # it knows nothing of the penalty
    for make, good, bad, kept in (
        (lm.optim.LevenbergMarquardt, {"goal": 0.01, "scaling": "identity", "mu": 0.02}, {"mu_inc": 0.5, "goall": 1}, "curvature"),
        (lm.optim.LBFGS, {"goal": 0.01, "max_evaluations": 7}, {"tol_grad": -1, "histori": 2}, "history"),
    ):
        net, optimizer = small(), make()
        changed = type(optimizer)(**{kept: 3 if kept == "history" else False})
        setattr(optimizer, kept, getattr(changed, kept))  # before the first step
        assert repr(optimizer) == repr(changed)
        net.fit(x, y, loss="mse", optimizer=optimizer, epochs=2, verbose=0)
        for name, value in good.items():
            setattr(optimizer, name, value)
        for name, value in bad.items():
            with pytest.raises((ValueError, AttributeError), match=r"\[optim\.\w+\] expected"):
                setattr(optimizer, name, value)
        with pytest.raises(ValueError, match=f"expected {kept} to stay .*; make a new optimizer"):
            setattr(optimizer, kept, 20 if kept == "history" else True)
        net.save(tmp_path / "net.safetensors", optimizer=True)
        for again in (lm.load(tmp_path / "net.safetensors"), copy.deepcopy(net)):
            assert repr(again.optimizer) == repr(optimizer) == repr(make(**good, **{kept: getattr(optimizer, kept)}))
            again.fit(x, y, epochs=1, verbose=0)
        net.fit(x, y, epochs=1, verbose=0)
        np.testing.assert_array_equal(net.predict(x), again.predict(x))


@pytest.mark.parametrize("way", ["weights", "mask_nan"])
def test_what_carries_no_weight_is_no_data(way, rng):
    """300 rows that are left out change neither how many weights the data determine nor the weights."""
    x, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    more, left_out = np.concatenate([x, rng.normal(size=(300, 2))]), np.repeat([False, True], [60, 300])
    targets = np.concatenate([y, rng.normal(size=300)])
    arguments = {"sample_weight": np.where(left_out, 0.0, 1.0)} if way == "weights" else {}
    targets[left_out] = np.nan if way == "mask_nan" else targets[left_out]
    found = []
    for data, options in (((x, y), {}), ((more, targets), arguments)):
        net = lm.Sequential(lm.Dense(5, "tanh"), lm.Dense(1), seed=0, dtype="float64")
        optimizer = lm.optim.LevenbergMarquardt(bayesian=True)
        net.fit(*data, loss=lm.losses.MSE(mask_nan=way == "mask_nan"), optimizer=optimizer, epochs=20, verbose=0, **options)
        found.append([optimizer.effective_parameters, *np.concatenate([p.ravel() for p in net.parameters.values()])])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS], ids=["lm", "lbfgs"])
@pytest.mark.parametrize("within", [False, True])
def test_layers_freeze_between_and_within_fits(make, within, tmp_path):
    x, y = sinc(60)
    net = small()
    frozen = {}

    def freeze(epoch, logs):
        if epoch == 2:
            net.layers[0].trainable = False
            frozen.update(net.parameters.items())

    callbacks = [lm.callbacks.LambdaCallback(on_epoch_end=freeze), lm.callbacks.Checkpoint(tmp_path / "net")]
    net.fit(x, y, loss="mse", optimizer=make(), epochs=6 if within else 3, callbacks=callbacks, verbose=0)
    if not within:
        net.fit(x, y, epochs=3, verbose=0)
    assert net.optimizer.steps == 6
    for name, value in net.parameters.items():
        assert np.array_equal(value, frozen[name]) == name.startswith("dense_1")
    fresh = lm.load(tmp_path / "net") if within else None
    net.layers[0].trainable = True
    before = net.history["loss"][-1]
    assert net.fit(x, y, epochs=3, verbose=0)["loss"][-1] < before
    assert fresh is None or fresh.optimizer.steps == 6


def test_after_freezing_the_state_is_that_of_a_first_fit():
    x, y = sinc(60)
    losses = []
    for first in (0, 3):
        net = small(dtype="float64").build(1).compile("mse", lm.optim.LevenbergMarquardt())
        start = dict(net.parameters.items())
        net.fit(x, y, epochs=first, verbose=0)
        net.parameters.update(start)
        net.layers[0].trainable = False
        losses.append(net.fit(x, y, epochs=3, verbose=0)["loss"])
    np.testing.assert_array_equal(*losses)


def test_more_weights_than_there_is_room_for_are_refused_before_anything_is_made():
    resource = pytest.importorskip("resource")
    net = lm.Sequential(lm.Dense(200, "tanh"), lm.Dense(200, "tanh"), lm.Dense(1), seed=0)
    x = np.ones((50_000, 1))
    with pytest.raises(ValueError, match=r"expected at most 32768 weights, got 40801: it keeps 4 times P\^2 numbers .* 53.3 GB"):
        net.fit(x, x, loss="mse", optimizer=lm.optim.LevenbergMarquardt(), verbose=0)
    net = lm.Sequential(lm.Dense(100, "tanh"), lm.Dense(100, "tanh"), lm.Dense(1), seed=0).build(1)
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 31), before[1]))  # less than the 3.46 GB wanted
        with pytest.raises(MemoryError, match=r"\[optim.LevenbergMarquardt\] .* 3.46 GB, got none; use LBFGS or Adam"):
            net.fit(x, x, loss="mse", optimizer=lm.optim.LevenbergMarquardt(), verbose=0)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    history = net.fit(x[:50], x[:50], loss="mse", optimizer=lm.optim.LevenbergMarquardt(), epochs=2, verbose=0)
    assert len(history) == 2  # n < P: no matrix of P^2


def test_other_losses_and_batches_are_refused():
    x, y = sinc(20)
    with pytest.raises(ValueError, match="expected the loss 'mse'"):
        small().fit(x, y, loss="mae", optimizer=lm.optim.LevenbergMarquardt(), verbose=0)
    with pytest.raises(TypeError, match="expected all data at once"):
        small().compile("mse", lm.optim.LevenbergMarquardt()).train_step(x, y)


@pytest.mark.parametrize("optimizer", ["lbfgs", "levenbergmarquardt"])
def test_what_shows_a_network_works_without_steps_by_batch(optimizer, tmp_path):
    x, y = np.linspace(-1, 1, 20).reshape(10, 2), np.linspace(0, 1, 10)[:, None]
    net = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(1), seed=0).compile("mse", optimizer)
    for call in (lambda: net.train_step(x, y), lambda: net.fit([(x, y)], verbose=0)):
        with pytest.raises(
            TypeError, match=r"got a batch, which train_step and an iterable of batches give; call net.fit\(x, y, epochs=1\)"
        ):
            call()
    adam = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(1), seed=0).compile("mse", "adam")
    assert all(np.array_equal(g, adam.gradients(x, y)[name]) for name, g in net.gradients(x, y).items())
    assert net.evaluate(x, y) == adam.evaluate(x, y) and net.summary() == adam.build(2).summary()
    for level in ("shapes", "values", "derive"):
        assert "dW" in net.explain(x, y, level=level)
    net.draw(tmp_path / "net.svg", x, y)
    assert len(net.trace(x, y).backward) == len(adam.trace(x, y).backward) and "W1" in net.inspect(x, y)
    before = {name: net.parameters[name] for name in net.parameters}
    profile, forward = net.profile(x, y, repeats=2), net.profile(x, repeats=2)
    assert profile.about["program"] == "gradients" and profile.flops > 2 * forward.flops
    assert "gradients" in str(profile) and net.profile(x, y, np.ones(10), repeats=2).flops >= profile.flops
    assert all(np.array_equal(net.parameters[name], value) for name, value in before.items()) and net.optimizer.steps == 0
    net.fit(x, y, epochs=2, verbose=0)
    net.save(tmp_path / "net.safetensors", optimizer=True)
    assert lm.load(tmp_path / "net.safetensors").profile(x, y, repeats=2).about["program"] == "gradients"


def test_callbacks_metrics_and_an_interruption():
    x, y = sinc()
    seen = []

    def stop(epoch, logs):
        seen.append(logs)
        if epoch == 4:
            raise KeyboardInterrupt

    net = small()
    callback = lm.callbacks.LambdaCallback(on_epoch_end=stop)
    optimizer = lm.optim.LevenbergMarquardt()
    history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=50, metrics=["mae"], callbacks=[callback], verbose=0)
    assert history.interrupted
    assert {"loss", "mae"} <= set(seen[-1])
    np.testing.assert_allclose(net.evaluate(x, y)["loss"], history.history["loss"][-1], rtol=1e-3)
    before = history.history["loss"][-1]
    assert net.fit(x, y, epochs=3, verbose=0).history["loss"][-1] < before


@pytest.mark.parametrize(
    "make",
    [
        lm.optim.LevenbergMarquardt,
        lambda: lm.optim.LevenbergMarquardt(scaling="identity", curvature=False),
        lambda: lm.optim.LBFGS(history=4),
    ],
    ids=["lm", "trainlm", "lbfgs"],
)
def test_a_checkpoint_goes_on_with_the_same_bits(make, tmp_path):
    x, y = sinc()
    path = tmp_path / "at.safetensors"

    def train(epochs, within=None, **options):
        net = small()
        checkpoint = lm.callbacks.Checkpoint(path, every_batches=within, every=1 if within is None else 99)
        net.fit(x, y, loss="mse", optimizer=make(), epochs=epochs, verbose=0, callbacks=[checkpoint], **options)
        return dict(net.parameters.items())

    whole = train(12)
    for within in (None, 1):  # 1: between the step and the end of its epoch
        train(6, within)
        for name, value in train(12, resume=path).items():
            np.testing.assert_array_equal(value, whole[name])


# ---- L-BFGS ---------------------------------------------------------------------------------------------------------------------


def two_loops(pairs, g):
    """-H g as Nocedal and Wright's algorithm 7.4 has it."""
    q, alphas = g.copy(), []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (s @ y))
        q -= alphas[-1] * y
    s, y = pairs[-1]
    q *= (s @ y) / (y @ y)
    for (s, y), a in zip(pairs, reversed(alphas), strict=True):
        q += s * (a - (y @ q) / (s @ y))
    return -q


@pytest.mark.parametrize("unit", [1e-25, 1.0, 1e25, 1e38, 1e45])  # of the gradient: it, or products of two are beyond float32
@pytest.mark.parametrize("most", [1, 2, 5])
def test_directions_are_those_of_the_two_loops(most, unit, rng):
    def compare():
        want = two_loops(kept, g)
        np.testing.assert_allclose(pairs.direction(), want, rtol=0, atol=2e-5 * np.abs(want).max())  # the pairs are in float32

    pairs, kept, g = core.CurvaturePairs(most, 8), [], unit * rng.normal(size=8)
    curvature = unit * np.diag(rng.uniform(0.1, 10, 8))
    pairs.start_at(g)
    np.testing.assert_array_equal(pairs.direction(), -g)
    for _ in range(23):
        s = rng.normal(size=8)
        y = curvature @ s
        g = g + y
        pairs.add(s, g)
        kept = [*kept, (s, y)][-most:]
        compare()
    g = g - unit * s
    pairs.add(s, g)  # no positive curvature
    assert len(pairs) == most
    compare()


@pytest.mark.parametrize("unit, step", [(1e60, 1.0), (1e40, 1e-20), (1e30, 1e39), (1e-30, 1e39), (1e154, 1.0), (1e200, 1e20)])
def test_pairs_that_float32_cannot_hold_are_left_out(unit, step, rng):
    pairs, g, curvature = core.CurvaturePairs(3, 8), unit * rng.normal(size=8), unit / step * rng.uniform(0.1, 10, 8)
    pairs.start_at(g)
    for _ in range(7):
        s = step * rng.normal(size=8)
        g = g + curvature * s
        pairs.add(s, g)
        d = pairs.direction()
        assert np.isfinite(d).all() and all(np.isfinite(a).all() for a in pairs.arrays())
        assert float((d / np.abs(d).max()) @ (g / np.abs(g).max())) < 0


def test_pairs_are_the_same_on_any_number_of_threads_and_taken_up_again(rng, threads):
    """Of so many weights that their rows are shared out."""
    size, most = 20_011, 20
    steps, curvature = rng.normal(size=(2 * most + 3, size)), rng.uniform(0.1, 10, size)
    directions = []
    for count in (1, 2, 5):
        threads(count)
        pairs, g = core.CurvaturePairs(most, size), np.ones(size)
        pairs.start_at(g)
        for s in steps:  # so many that they are moved to the front
            g = g + curvature * s
            pairs.add(s, g)
        again = core.CurvaturePairs(most, size)
        again.take(*pairs.arrays())
        again.start_at(g)
        assert len(again) == most and again.largest == np.abs(g).max()
        np.testing.assert_allclose(again.direction(), pairs.direction(), rtol=1e-4, atol=1e-5)
        directions.append(pairs.direction())
    kept = [(s, curvature * s) for s in steps[-most:]]
    np.testing.assert_allclose(directions[0], two_loops(kept, g), rtol=0, atol=1e-4 * np.abs(directions[0]).max())
    assert all(np.array_equal(d, directions[0]) for d in directions)


def test_pairs_refuse_what_is_of_another_size():
    pairs, g = core.CurvaturePairs(2, 3), np.ones(3)
    pairs.start_at(g)
    for call in (
        lambda: pairs.start_at(np.ones(2)),
        lambda: pairs.add(np.ones(2), g),
        lambda: pairs.add(g, np.ones(4)),
        lambda: pairs.take(np.ones((2, 1, 4), "float32"), np.ones((2, 1, 1))),
        lambda: pairs.take(np.ones((2, 3, 3), "float32"), np.ones((2, 3, 3))),
        lambda: core.CurvaturePairs(0, 3),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
    np.testing.assert_array_equal(pairs.direction(), -g)
    pairs.start_at(np.array([1.0, np.nan, 2.0]))
    assert np.isnan(pairs.largest)


def test_a_pair_of_which_one_is_nothing_in_float32_beside_the_other_is_left_out():
    for step, count in ((1e-20, 0), (1e-3, 1)):
        pairs = core.CurvaturePairs(4, 3)
        pairs.start_at(np.zeros(3))
        pairs.add(np.full(3, step), np.full(3, 1e38))
        assert len(pairs) == count
        np.testing.assert_allclose(pairs.direction(), [-step if count else -1e38] * 3, rtol=1e-6)


@pytest.mark.parametrize(("along", "count"), [(1e-9, 1), (1e-11, 0), (-1.0, 0)])
def test_a_pair_across_each_other_says_nothing_about_curvature(along, count):
    pairs = core.CurvaturePairs(4, 2)
    pairs.start_at(np.zeros(2))
    pairs.add(np.array([1.0, 0.0]), np.array([along, 1.0]))
    assert len(pairs) == count


def test_lbfgs_takes_gradients_beyond_float32():
    x = 1e20 * np.linspace(-1, 1, 20)[:, None]
    net = lm.Sequential(lm.Dense(1, bias=False), seed=0)
    losses = net.fit(x, 3 * x, loss="mse", optimizer=lm.optim.LBFGS(), epochs=20, verbose=0)["loss"]
    assert losses[-1] < 1e-6 * losses[0]
    np.testing.assert_allclose(net.parameters["dense_1.weight"], 3, rtol=1e-6)


def test_where_rounding_has_spoilt_the_pairs_a_step_goes_along_minus_g():
    x, y = sinc(100)
    net = small(dtype="float64")
    optimizer = lm.optim.LBFGS()
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=9, verbose=0)
    descent = descent_of(net, x, y)
    descent.advance()
    theta, f, g = descent.at
    assert len(descent.pairs) == 10

    class Spoilt(core.CurvaturePairs):
        def direction(self):
            return g

    spoilt = Spoilt(100, len(g))
    spoilt.take(*descent.pairs.arrays())
    spoilt.start_at(g)
    descent.pairs = spoilt
    assert descent.advance() < f
    step = descent.at[0] - theta
    np.testing.assert_allclose(step @ g, -np.linalg.norm(step) * np.linalg.norm(g))
    assert len(descent.pairs) == 1


def test_lbfgs_finds_the_minimum_of_a_quadratic(rng):
    """A linear network with mse: the minimum is that of least squares."""
    x = rng.normal(size=(60, 5)) * np.array([1, 3, 10, 0.3, 1])
    y = rng.normal(size=60)
    net = lm.Sequential(lm.Dense(1), seed=0, dtype="float64")
    net.fit(x, y, loss="mse", optimizer=lm.optim.LBFGS(), epochs=100, verbose=0)
    best = np.linalg.lstsq(np.c_[x, np.ones(60)], y, None)[0]
    np.testing.assert_allclose(net.parameters["dense_1.weight"][:, 0], best[:5], atol=1e-6)
    assert net.optimizer.stop_reason in ("gradient", "change")


def test_every_step_satisfies_the_wolfe_conditions():
    x, y = sinc(100)
    descent = descent_of(small(dtype="float64").build(1).compile("mse", lm.optim.LBFGS()), x, y)
    descent.advance()
    for _ in range(40):
        theta, f, g = descent.at
        assert descent.advance() == descent.at[1]
        new, f_new, g_new = descent.at
        step = new - theta
        assert f_new <= f + 1e-4 * (g @ step)
        assert abs(g_new @ step) <= 0.9 * abs(g @ step)


def test_a_search_takes_what_is_lower_and_stays_where_the_loss_is_a_number():
    def along(f, slope):
        return lambda t: Point(t, f(t), slope(t), np.zeros(1), np.zeros(1))

    def found(f, slope, first, most=25):
        at = along(f, slope)
        return search(at, at(0.0), first, most)

    assert found(lambda t: abs(t), lambda t: -1.0 if t == 0 else 1.0, 1.0) is None
    for center, first in ((3.0, 1.0), (3.0, 40.0), (3.0, 1e-4), (1e-3, 5.0)):
        point = found(lambda t: (t - center) ** 4 - t, lambda t: 4 * (t - center) ** 3 - 1, first)  # noqa: B023
        assert point.f < center**4 and abs(point.slope) <= 0.9 * (4 * center**3 + 1)
    assert cubic_minimum(*map(along(lambda t: -t - t**3, lambda t: -1 - 3 * t**2), (0.0, 1.0))) is None


@pytest.mark.parametrize(("scale", "center", "reason"), [(1.0, 0.1, "change"), (1e3, 0.1, None), (1e-3, 3.0, None)])
def test_a_change_is_small_where_both_that_of_weights_and_that_of_the_loss_are(scale, center, reason):
    net = lm.Sequential(lm.Dense(1, bias=False, weight_init="zeros"), dtype="float64")
    optimizer = lm.optim.LBFGS(tol_change=0.5)
    net.fit([[1.0]], [[center]], loss=lambda p, t: scale * (p - t) ** 2, optimizer=optimizer, verbose=0)
    assert optimizer.stop_reason == reason


def test_a_step_to_where_the_loss_is_no_number_is_too_long():
    net = lm.Sequential(lm.Dense(1, bias=False, weight_init=lm.initializers.constant(0.5)), dtype="float64")
    net.fit([[1.0]], [[0.0]], loss=lambda p, t: p - 0.1 * lm.log(p), optimizer="lbfgs", epochs=30, verbose=0)
    assert net.parameters["dense_1.weight"].item() == pytest.approx(0.1)


@pytest.mark.parametrize("optimizer", ["lbfgs", "levenbergmarquardt"])
def test_a_step_begins_at_the_weights_that_a_callback_wrote(optimizer, rng):
    x = rng.normal(size=(30, 1))

    def write(epoch, logs):
        if epoch == 1:
            net.parameters["dense_1.weight"] = [[7.0]]

    net = lm.Sequential(lm.Dense(1, "tanh"), lm.Dense(1), seed=0, dtype="float64")
    callback = lm.callbacks.LambdaCallback(on_epoch_end=write)
    losses = net.fit(x, np.tanh(x), loss="mse", optimizer=optimizer, epochs=60, callbacks=callback, verbose=0)["loss"]
    assert losses[2] > losses[1] > 1e3 * losses[-1]


def test_lbfgs_beside_scipy():
    """At least as good a minimum as SciPy's L-BFGS-B in no more evaluations, in the median of ten problems."""
    minimize = pytest.importorskip("scipy.optimize").minimize
    ratios, spent = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, (100, 2))
        y = np.sin(3 * x[:, 0]) * x[:, 1]
        net = lm.Sequential(lm.Dense(6, "tanh"), lm.Dense(1), seed=seed, dtype="float64").build(2)
        start = np.concatenate([p.ravel() for p in net.parameters.values()])
        optimizer = lm.optim.LBFGS()
        history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=150, verbose=0)
        loss = descent_of(net, x, y).value
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150, "ftol": 0, "gtol": 0})
        ratios.append(history.history["loss"][-1] / found.fun)
        spent.append(optimizer.evaluations / found.nfev)
    assert np.median(ratios) <= 1
    assert np.median(spent) <= 1.02


def test_lbfgs_takes_any_loss_and_says_when_it_is_not_finite():
    x, y = lm.datasets.digits()
    net = lm.Sequential(lm.Dense(10), seed=0)
    history = net.fit(x[:500], y[:500], loss="cross_entropy", optimizer="lbfgs", epochs=40, metrics=["accuracy"], verbose=0)
    assert history.history["loss"][-1] < 0.02
    assert history.history["accuracy"][-1] == 1
    net = lm.Sequential(lm.Dense(1), seed=0)
    with pytest.raises(FloatingPointError, match="expected a finite loss"):
        net.fit(np.ones((3, 1)), np.ones(3), loss=lambda p, t: lm.log(p * 0 - 1), optimizer="lbfgs", verbose=0)


@pytest.mark.parametrize("samples", [3, 30])  # fewer than weights, and more
@pytest.mark.parametrize("optimizer", ["lbfgs", "levenbergmarquardt"])
def test_a_gradient_that_is_not_finite_where_the_loss_is(optimizer, samples, rng):
    x = lm.Input(3)
    net = lm.Model(x, lm.norm(lm.Dense(4, bias=False)(x), -1, keepdims=True), seed=0)
    data = rng.normal(size=(samples, 3))
    data[1] = 0
    with pytest.raises(FloatingPointError, match=r"one of the gradient, as a norm's at 0 \(the loss is finite\); the"):
        net.fit(data, np.ones((samples, 1)), loss="mse", optimizer=optimizer, epochs=5, verbose=0)


def test_lbfgs_goes_below_zero(rng):
    """A likelihood has no least value; a goal may be any number."""
    x = rng.normal(size=(200, 2))
    y = 0.1 * rng.normal(size=200) + x[:, 0]  # at best ln(0.1) + 1/2 = -1.8
    for goal, reached in ((None, -1.7), (-1.0, -1.0)):
        inputs = lm.Input(2)
        outputs = lm.concatenate([lm.Dense(1)(inputs), lm.Dense(1, "softplus")(inputs)], 1)
        net = lm.Model(inputs, outputs, seed=0)
        optimizer = lm.optim.LBFGS(goal=goal)
        losses = net.fit(x, y, loss="gaussian_nll", optimizer=optimizer, epochs=200, verbose=0)["loss"]
        assert losses[-1] <= reached
        assert (optimizer.stop_reason == "goal") == (goal is not None)
        assert goal is None or losses[-2] > goal
    with pytest.raises(ValueError, match="goal"):
        lm.optim.LBFGS(goal=np.inf)
    with pytest.raises(ValueError, match="goal"):
        lm.optim.LevenbergMarquardt(goal=-1.0)


@pytest.mark.parametrize("samples", [20, 3000])
@pytest.mark.parametrize(
    "make",
    [
        lm.optim.LevenbergMarquardt,
        lambda: lm.optim.LevenbergMarquardt(1e-8, scaling="identity", acceleration=False),
        lm.optim.LBFGS,
    ],
)
def test_a_step_to_where_a_matrix_has_no_factor_is_too_long(make, samples, rng):
    x = lm.Input(1, dtype="float64")
    a = lm.Parameter(np.ones((1, 1)), name="a", dtype="float64")
    net = lm.Model(x, x @ lm.linalg.cholesky(a), dtype="float64")
    data = rng.normal(size=(samples, 1))
    losses = net.fit(data, 0.01 * data, loss="mse", optimizer=make(), epochs=50, verbose=0).history["loss"]
    assert losses[-1] < 1e-12
    np.testing.assert_allclose(net.parameters["a"], [[1e-4]], rtol=1e-3)
    net.parameters["a"] = [[-1.0]]  # not where the way begins
    with pytest.raises(lm.linalg.LinAlgError, match=r"\[cholesky\] expected a positive definite matrix"):
        net.fit(data, 0.01 * data, epochs=1, verbose=0)


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS])
@pytest.mark.filterwarnings("error")
def test_gradients_whose_squares_are_beyond_float64_pass_without_warnings(make, rng):
    x = lm.Input(1, dtype="float64")
    net = lm.Model(x, x * lm.Parameter(np.ones(1), name="a", dtype="float64") * 1e80, dtype="float64")
    history = net.fit(rng.normal(size=(20, 1)), np.zeros((20, 1)), loss="mse", optimizer=make(), epochs=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_lbfgs_ends_at_once_where_there_is_nothing_to_learn():
    net = lm.Sequential(lm.Activation("tanh"), seed=0)
    history = net.fit(np.ones((3, 1)), np.zeros((3, 1)), loss="mse", optimizer=lm.optim.LBFGS(), epochs=2, verbose=0)
    assert net.optimizer.stop_reason == "gradient" and len(history) == 1
    net.fit(np.ones((3, 1)), np.zeros((3, 1)), optimizer=lm.optim.LBFGS(goal=float(history["loss"][0])), verbose=0)
    assert net.optimizer.stop_reason == "goal"


# ---- Muon -----------------------------------------------------------------------------------------------------------------------


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


def test_configurations_make_equal_optimizers():
    for optimizer in (
        lm.optim.LevenbergMarquardt(1e-2, bayesian=True),
        lm.optim.LBFGS(history=7),
        lm.optim.Muon(0.02, momentum=0.9),
    ):
        again = type(optimizer).from_config(optimizer.config())
        assert repr(again) == repr(optimizer)
        assert isinstance(lm.optim.get(type(optimizer).__name__.lower()), type(optimizer))


def test_a_step_far_better_than_promised_is_no_overflow():
    """L falls by 1 where the model promised 1e-150."""
    from lamina.optim.damped_steps import factor_of_mu

    model = Primal(np.zeros(1), np.array([-1.0]), 1.0, lambda z: z, core.PositiveSystem(1))
    assert factor_of_mu(1.0, np.array([1e-150]), 1.0, 1.0, model) == 0.0


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lambda: lm.optim.LBFGS(history=4)], ids=["lm", "lbfgs"])
@pytest.mark.parametrize("ending", ["epochs", "interruption", "error"])
def test_after_a_fit_a_network_is_copied_and_goes_on_with_the_same_bits(make, ending):
    x, y = sinc(60)
    copies = []

    def end(epoch, logs):
        copies.append(copy.deepcopy(net))  # and within one
        if epoch == 4 and ending != "epochs":
            raise KeyboardInterrupt if ending == "interruption" else OSError

    net = small()
    with contextlib.suppress(OSError):
        callback = lm.callbacks.LambdaCallback(on_epoch_end=end)
        net.fit(x, y, loss="mse", optimizer=make(), epochs=5, callbacks=[callback], verbose=0)
    several = [net, pickle.loads(pickle.dumps(net)), copy.deepcopy(net), copies[-1]]
    assert len(copies) == 5
    losses = [n.fit(x, y, epochs=4, verbose=0)["loss"] for n in several]
    for other in losses[1:]:
        np.testing.assert_array_equal(other, losses[0])


@pytest.mark.parametrize("optimizer", [lm.optim.LevenbergMarquardt(), lm.optim.LBFGS()], ids=["lm", "lbfgs"])
def test_after_a_fit_nothing_holds_its_data(optimizer):
    x, y = sinc(60)
    net = small(dtype="float64")
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=2, verbose=0)
    data = weakref.ref(x)
    del x
    gc.collect()
    assert data() is None


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


def test_a_layer_frozen_by_another_thread_as_a_fit_begins(monkeypatch):
    """The state had room for all weights, the network's math for those of the other layer: "do not fill"."""
    net = lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(1), seed=0).build(2)
    build = problems.squared_errors
    freezes = threading.Thread(target=setattr, args=(net.layers[0], "trainable", False))

    def late(*of):
        if not freezes.ident:
            freezes.start()
            freezes.join(0.3)
        return build(*of)

    monkeypatch.setattr(problems, "squared_errors", late)
    x = np.linspace(-1, 1, 40).reshape(20, 2)
    losses = net.fit(x, x[:, :1], loss="mse", optimizer=lm.optim.LevenbergMarquardt(), epochs=3, verbose=0).history["loss"]
    freezes.join()
    assert losses[-1] < losses[0] and not net.layers[0].trainable
