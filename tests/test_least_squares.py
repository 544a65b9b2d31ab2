"""What a step of least squares needs: rows of Jacobians, their products, in chunks of samples; the solver of damped equations."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina.graph.flat import FlatNetwork
from lamina.graph.inference import resolved
from lamina.graph.samplewise import is_samplewise
from lamina.optim.least_squares import LeastSquares, Squares, even_part
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
