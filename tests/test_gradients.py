"""First and second derivatives of every operation by random projection in float64, and the list of those that have none."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from matrices import begin, normal, rng
from projection import check_gradient, check_second, directional
from reference_activations import ACTIVATIONS

# Ops through which no gradient flows, written down: adding one means deciding so.
NO_GRADIENT = {
    *("sign", "floor", "argmax", "argmin", "eq", "ne", "lt", "le", "gt", "ge", "stop_gradient", "one_hot", "random_uniform"),
    *("iota", "fill", "constant", "size", "input", "variable", "rule_constants", "rule_update", "assign", "host"),
    "row_outer_upper",
}

begin(5)


def positive(*shape):
    return rng.uniform(0.5, 2, shape)


def spread(*shape):
    """Distinct values at least .05 apart, shuffled: no maximum changes hands within a finite difference."""
    n = int(np.prod(shape))
    return (rng.permutation(n) * 0.05 - 0.025 * n + 0.0125).reshape(shape)


IDX = np.array([0, 3, 1, 3])
CONDITION = rng.random((4, 5)) < 0.5

# op of the core -> cases (function of tensors, points)
CASES: dict[str, list] = {
    "neg": [(lambda x: -x, [normal(3, 4)])],
    "abs": [(lm.abs, [spread(3, 4)])],
    "exp": [(lm.exp, [normal(3, 4)])],
    "log": [(lm.log, [positive(3, 4)])],
    "log1p": [(lm.log1p, [positive(3, 4)])],
    "expm1": [(lm.expm1, [normal(3, 4)])],
    "sqrt": [(lm.sqrt, [positive(3, 4)])],
    "sin": [(lm.sin, [normal(3, 4)])],
    "cos": [(lm.cos, [normal(3, 4)])],
    "arctan": [(lm.arctan, [normal(3, 4)]), (lm.arctan2, [normal(4, 5), normal(5)])],
    "erf": [(lm.erf, [normal(3, 4)])],
    "add": [(lambda x, y: x + y, [normal(3, 4), normal(4)]), (lambda x, y: x + y, [normal(3, 1), normal(2, 1, 4)])],
    "sub": [(lambda x, y: x - y, [normal(3, 4), normal(3, 1)]), (lambda x, y: x - y, [normal(), normal(5)])],
    "mul": [
        (lambda x, y: x * y, [normal(3, 4), normal(4)]),
        (lambda x: x * x, [normal(5)]),
        (lambda x, y: x * y, [normal(), normal(2, 3)]),
        (lm.outer, [normal(4), normal(3)]),
    ],
    "div": [(lambda x, y: x / y, [normal(3, 4), positive(4)]), (lambda x: 1 / x, [positive(5)])],
    "pow": [
        (lambda x: x**3, [normal(7)]),
        (lambda x: x**1.5, [positive(7)]),
        (lambda x, y: x**y, [positive(3, 4), normal(4)]),
        (lambda y: 2.0**y, [normal(3)]),
    ],
    "maximum": [(lm.maximum, [spread(3, 4), 0.01 + spread(3, 4)]), (lambda x: lm.maximum(x, 0.0), [spread(9)])],
    "minimum": [(lm.minimum, [spread(3, 4), 0.01 + spread(4)])],
    "where": [(lambda x, y: lm.where(CONDITION, x, y), [normal(4, 5), normal(5)])],
    "clip": [
        (lambda x: lm.clip(x, -0.3, 0.4), [spread(4, 6)]),
        (lambda x, low, high: lm.clip(x, low - 0.5, high + 0.503), [spread(4, 6), 0.001 + spread(4, 6), 0.002 + spread(6)]),
        (lambda x, low, high: lm.clip(x, low + 0.5, high - 0.503), [spread(4, 6), 0.001 + spread(4, 6), 0.002 + spread(6)]),
    ],
    "cast": [(lambda x: lm.cast(lm.cast(x, "float64"), "float64") * 2, [normal(4)])],
    "sum": [
        (lambda x, a=a, k=k: lm.sum(x, axis=a, keepdims=k), [normal(3, 4, 2)]) for a in (None, 0, -1, (0, 2)) for k in (False, True)
    ],
    "max": [
        (lambda x, a=a, k=k: lm.max(x, axis=a, keepdims=k), [spread(3, 4, 2)]) for a in (None, 0, -1, (0, 2)) for k in (False, True)
    ],
    "min": [(lambda x, a=a: lm.min(x, axis=a), [spread(3, 4, 2)]) for a in (None, 0, -1)],
    "softmax": [(lm.softmax, [normal(3, 5)])],
    "log_softmax": [(lm.log_softmax, [normal(3, 5)])],
    "logsumexp": [(lm.logsumexp, [normal(3, 5)])],
    "matmul": [
        (lm.matmul, [normal(3, 4), normal(4, 2)]),
        (lambda x, y: x.T @ y.T, [normal(4, 3), normal(2, 4)]),
        (lm.matmul, [normal(2, 3, 4), normal(4, 2)]),
        (lm.matmul, [normal(3, 4), normal(2, 4, 5)]),
        (lm.matmul, [normal(2, 1, 3, 4), normal(5, 4, 2)]),
        (lm.matmul, [normal(3, 4), normal(4)]),
        (lm.matmul, [normal(4), normal(4, 3)]),
        (lm.matmul, [normal(4), normal(4)]),
        (lambda x: x @ x, [normal(4, 4)]),
        (lambda x: x.T @ x, [normal(5, 3)]),
        (lm.matmul, [normal(17, 33), normal(33, 9)]),
    ],
    "row_outer": [
        (lambda *xs: lm.Tensor(core.make("row_outer", [x.node for x in xs], {})), [normal(5, n) for n in ns])
        for ns in ((3, 4), (1, 6), (3, 2, 3, 2), (2, 9, 2, 9, 2, 9))
    ],
    "reshape": [(lambda x: lm.reshape(x, (-1, 6)) ** 2, [normal(3, 4)])],
    "transpose": [(lambda x: lm.transpose(x, (2, 0, 1)) ** 2, [normal(2, 3, 4)])],
    "broadcast_to": [(lambda x: lm.broadcast_to(x, (3, 2, 4)) ** 2, [normal(2, 1)])],
    "slice": [
        (lambda x: x[1:4:2, ::-1] ** 2, [normal(5, 4)]),
        (lambda x: x[::-2, 1] ** 2, [normal(6, 4)]),
        (lambda x: x[4:0:-3] ** 2, [normal(6, 4)]),
        (lambda x: x[2:2] ** 2, [normal(6, 4)]),
        (lambda x: x[0] * x[1:], [normal(6, 4)]),
    ],
    "pad": [(lambda x: lm.pad(x, ((1, 2), (0, 3))) ** 2, [normal(3, 4)])],
    "contiguous": [(lambda x: lm.Tensor(core.make("contiguous", [x.T.node], {})) ** 2, [normal(3, 4)])],
    "concatenate": [(lambda x, y: lm.concatenate([x, y, x], axis=1) ** 2, [normal(3, 2), normal(3, 4)])],
    "take": [
        (lambda x: lm.take(x, IDX) ** 2, [normal(4, 3)]),
        (lambda x: lm.take(x, IDX.reshape(2, 2)) ** 2, [normal(4, 3)]),
        (lambda x: lm.take(x, IDX, axis=1) ** 2, [normal(2, 4)]),
    ],
    "in_training": [(lambda x, y: core_pair(x, y), [normal(3), normal(3)])],
    "update_state": [
        (lambda x: lm.update_state(x * x, lm.Parameter(np.zeros(3), trainable=False, dtype="float64"), x), [normal(3)])
    ],
}


RESOLVED = {"cast", "in_training", "update_state"}  # settled before a program is planned: a dump holds what they stand for


def core_pair(x, y):
    return lm.in_training(x * y, x + y)


def ops_in(tensors) -> set[str]:
    return {n["op"] for n in core.dump([t.node for t in tensors], True)}


@pytest.mark.parametrize(("op", "i"), [(op, i) for op in CASES for i in range(len(CASES[op]))])
def test_gradient(op, i):
    build, points = CASES[op][i]
    inputs = [lm.placeholder(p.shape, "float64") for p in map(np.asarray, points)]
    assert op in ops_in([build(*inputs)]) or op in RESOLVED, f"the case does not use {op}"
    check_gradient(build, points)


@pytest.mark.parametrize(("op", "i"), [(op, i) for op in CASES for i in range(len(CASES[op]))])
def test_second_derivative(op, i):
    build, points = CASES[op][i]
    check_second(lambda *xs: build(*xs) ** 2, points)


def away_from_kinks(name: str, n: int = 33) -> np.ndarray:
    x = rng.uniform(-7, 7, n)
    for kink in ACTIVATIONS[name].kinks:
        x = np.where(np.abs(x - kink) < 0.05, kink + 0.06, x)
    return x


@pytest.mark.parametrize("name", core.activation_names())
def test_activation_gradient(name):
    check_gradient(lambda x: lm.activation(name, x), [away_from_kinks(name)])


@pytest.mark.parametrize("name", core.activation_names())
def test_activation_second_derivative(name):
    check_second(lambda x: lm.activation(name, x), [away_from_kinks(name)])


@pytest.mark.parametrize("name", core.activation_names())
def test_activation_slope_against_its_formula(name):
    entry = ACTIVATIONS[name]
    x = np.concatenate([rng.uniform(-9, 9, 40), [-1000.0, -50, 50, 1000]])
    t = lm.placeholder(x.shape, "float64")
    slope = lm.function([t], lm.grad(lm.sum(lm.activation(name, t)), t))(x)
    with np.errstate(over="ignore", invalid="ignore"):
        want = np.nan_to_num(entry.slope(x, *entry.params))
    np.testing.assert_allclose(slope, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["relu", "relu6", "hard_tanh", "hard_sigmoid", "hard_swish"])
def test_nothing_comes_back_from_where_an_activation_is_flat(name, dtype):
    """Of a root, a logarithm or a quotient there: 0, and not 0 times infinity."""
    x = np.array([-9.0, -7, -5, -4, 8])
    low = ACTIVATIONS[name].value(x, *ACTIVATIONS[name].params)[0]
    t = lm.placeholder(x.shape, dtype)
    above = lm.activation(name, t) - low
    for y in (lm.sqrt(above), lm.log(above), 1 / above, above**-0.5, above**0.25):
        slope = lm.grad(lm.sum(y), t)
        first, second = lm.function([t], [slope, lm.grad(lm.sum(slope), t)])(x.astype(dtype))
        assert not first[:4].any() and not second[:4].any() and np.isfinite([*first, *second]).all()


KINKED = {n: a.kinks for n, a in ACTIVATIONS.items() if a.kinks and n not in {"softplus", "softsign"}}


@pytest.mark.parametrize("name", KINKED)
def test_slope_at_the_kink(name):
    """relu'(0) = 0, and so for its kin."""
    entry = ACTIVATIONS[name]
    x = np.array(entry.kinks, np.float64)
    t = lm.placeholder(x.shape, "float64")
    slope = lm.function([t], lm.grad(lm.sum(lm.activation(name, t)), t))(x)
    np.testing.assert_allclose(slope, entry.slope(x, *entry.params), rtol=1e-12)


@pytest.mark.parametrize("name", core.activation_names())
def test_activation_gradient_in_f32(name):
    entry = ACTIVATIONS[name]
    x = away_from_kinks(name, 257).astype(np.float32)
    t = lm.placeholder(x.shape, "float32")
    slope = lm.function([t], lm.grad(lm.sum(lm.activation(name, t)), t))(x)
    assert slope.dtype == np.float32
    np.testing.assert_allclose(slope, entry.slope(x.astype(np.float64), *entry.params), rtol=0, atol=2e-6)


COMPOSED = {
    "mlp": (lambda x, w, v: lm.tanh(x @ w) @ v, [normal(4, 3), normal(3, 5), normal(5, 2)]),
    "layer norm": (
        lambda x: (x - lm.mean(x, axis=-1, keepdims=True)) / lm.sqrt(lm.var(x, axis=-1, keepdims=True) + 1e-5),
        [normal(3, 6)],
    ),
    "norm": (lambda x: lm.norm(x, axis=1), [positive(3, 4)]),
    "std": (lambda x: lm.std(x, axis=0), [normal(5, 3)]),
    "cross entropy": (lambda x: -lm.mean(lm.sum(lm.log_softmax(x) * lm.one_hot(IDX, 5, dtype="float64"), axis=1)), [normal(4, 5)]),
    **{f.__name__: (f, [normal(3, 4)]) for f in (lm.tan, lm.sinh, lm.cosh)},
    **{f.__name__: (f, [rng.uniform(-0.9, 0.9, (3, 4))]) for f in (lm.arcsin, lm.arccos)},
    "mod": (lambda x, y: lm.mod(x * y, y) * x, [rng.integers(-4, 4, (3, 4)) + rng.uniform(0.2, 0.8, (3, 4)), positive(4)]),
    "roll": (lambda x: lm.roll(x, (1, -2), (0, 1)) * lm.roll(x, 5) * x, [normal(3, 4)]),
    "repeat": (lambda x: (lm.repeat(x, 2, 1) ** 3)[:2] * lm.repeat(x, [1, 0, 1], 0)[:, :1], [normal(3, 4)]),
    "tile": (lambda x: lm.tile(x, (2, 3)) ** 3, [normal(3, 4)]),
    "split": (lambda x: [a * b for a, b in zip(lm.split(x, 2, 1), lm.split(x, [2], 1), strict=True)], [normal(3, 4)]),
    "diff": (lambda x: lm.diff(x, 2) ** 3 + lm.diff(x, axis=0)[:1, :2], [normal(3, 4)]),
    "cumsum": (lambda x: lm.cumsum(x, 1) ** 3 * lm.cumsum(x, 0), [normal(3, 5)]),
    "stack, flip, squeeze": (
        lambda x, y: lm.flip(lm.stack([x, y], 1), 0)[:, 0] * lm.squeeze(lm.expand_dims(y, 1), 1),
        [normal(3, 2), normal(3, 2)],
    ),
    **{
        f"{f.__name__} along axis {axis} of 3": (lambda x, f=f, axis=axis: f(x, axis=axis), [normal(3, 4, 2)])
        for f in (lm.softmax, lm.log_softmax, lm.logsumexp)
        for axis in (0, 1)
    },
    "used many times": (lambda x: x * lm.exp(x) + lm.sum(x) * x - x / (1 + x * x), [normal(4)]),
    "size 1": (lambda x, y: lm.sum(x * y, axis=0) ** 2, [normal(1, 1), normal(1, 3)]),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_composed(name):
    build, points = COMPOSED[name]
    check_gradient(build, points)
    check_second(build, points)


def test_every_differentiable_op_has_a_case():
    activations = set(core.activation_names())
    backward = {f"{n}_backward" for n in activations}  # reached by the second derivatives of activations
    covered = set(CASES) | activations | backward | {"scatter_add"}  # scatter_add: second derivative of take
    missing = set(core.op_names()) - covered - NO_GRADIENT
    assert not missing, f"no gradient case for {sorted(missing)}; add one, or name them in NO_GRADIENT"
    assert not NO_GRADIENT & covered
    declared = {op for op in core.op_names() if not core.differentiable(op)}
    assert declared <= NO_GRADIENT, (
        f"{sorted(declared - NO_GRADIENT)} have no gradient in the core; name them here if that is meant"
    )


FLAT = {
    "sign": lm.sign,
    "floor": lm.floor,
    "stop_gradient": lm.stop_gradient,
    "argmax": lambda x: lm.cast(lm.argmax(x), "float64"),
    "comparison": lambda x: lm.where(x > 0, 1.0, 2.0),
    "size": lambda x: lm.size(x) * 1.0,
}


@pytest.mark.parametrize("f", FLAT.values(), ids=FLAT)
def test_no_gradient_is_zero(f):
    x = lm.placeholder((5,), "float64")
    gradient = lm.function([x], lm.grad(lm.sum(f(x)), x))(spread(5))
    assert gradient.shape == (5,) and np.all(gradient == 0)


def test_ties_share_or_pick_but_sum_to_one():
    """At a tie of max any convex choice is a subgradient."""
    x = lm.placeholder((4,), "float64")
    gradient = lm.function([x], lm.grad(lm.max(x), x))(np.array([1.0, 3.0, 3.0, 0.0]))
    assert gradient.sum() == pytest.approx(1) and gradient[0] == gradient[3] == 0 and np.all(gradient >= 0)


def test_hessian_vector_product():
    """H v = d/dx (grad . v), against a finite difference of the gradient and against the matrix where it is known."""
    a = normal(5, 5)
    x, v = lm.placeholder((5,), "float64"), lm.placeholder((5,), "float64")
    y = lm.sum(x * (a @ x)) + lm.sum(lm.exp(x))
    hv = lm.grad(lm.sum(lm.grad(y, x) * v), x)
    at, along = normal(5), normal(5)
    want = (a + a.T + np.diag(np.exp(at))) @ along
    np.testing.assert_allclose(lm.function([x, v], hv)(at, along), want, rtol=1e-12)


def test_third_derivative():
    x = lm.placeholder((7,), "float64")
    y = lm.sum(lm.sin(x) * x)
    for _ in range(3):
        y = lm.sum(lm.grad(y, x))
    at = normal(7)
    third = -3 * np.sin(at) - at * np.cos(at)
    np.testing.assert_allclose(lm.function([x], y)(at), third.sum(), rtol=1e-12)


def test_gradient_of_a_derivative_in_a_loss():
    """The input derivative of a net inside a loss, differentiated by the weights."""

    def loss(w, v):
        x = lm.placeholder((6, 2), "float64", name="x")
        du = lm.grad(lm.sum(lm.tanh(x @ w) @ v), x)
        return lm.mean(du**2), x

    w, v = lm.placeholder((2, 4), "float64"), lm.placeholder((4, 1), "float64")
    value, x = loss(w, v)
    run = lm.function([x, w, v], [value, *lm.grad(value, [w, v])])
    at, points = normal(6, 2), [normal(2, 4), normal(4, 1)]
    _, gw, gv = run(at, *points)
    directions = [normal(2, 4), normal(4, 1)]
    numeric = directional(lambda *p: float(run(at, *p)[0]), points, directions)
    assert float((gw * directions[0]).sum() + (gv * directions[1]).sum()) == pytest.approx(numeric, rel=1e-8)


def test_zeros_where_an_input_does_not_matter():
    x, y = lm.placeholder((3,), "float64"), lm.placeholder((2, 2), "float64")
    gx, gy = lm.grad(lm.sum(x * x), [x, y])
    a, b = lm.function([x, y], [gx, gy])(np.arange(3.0), np.ones((2, 2)))
    assert np.array_equal(a, 2 * np.arange(3.0)) and np.array_equal(b, np.zeros((2, 2)))


def test_zeros_by_an_intermediate_tensor_that_is_held():
    x = lm.placeholder((3,))
    z = x[1:]
    np.testing.assert_array_equal(lm.function([x], lm.grad(lm.sum(lm.stop_gradient(z) * x[:2]), z))(np.ones(3)), [0, 0])


def test_gradient_by_an_intermediate_tensor():
    x = lm.placeholder((3,), "float64")
    h = x * x
    g = lm.function([x], lm.grad(lm.sum(h * h * h), h))(np.arange(3.0))
    np.testing.assert_allclose(g, 3 * np.arange(3.0) ** 4)


@pytest.mark.parametrize("name", core.activation_names())
def test_slope_of_a_slope_behind_a_minus(name):
    """log_sigmoid's slope is sigmoid(-x): two signs, written as none, left x out of it, and its derivative was 0."""
    x, z = lm.placeholder((4,), "float64"), lm.placeholder((4,), "float64")

    def second(y, by):
        return lm.grad(lm.sum(lm.grad(lm.sum(lm.activation(name, y)), by)), by)

    at = np.array([-2.0, -0.5, 0.7, 2.5])
    got = lm.function([x], second(-x, x))(at)
    np.testing.assert_allclose(got, lm.function([z], second(z, z))(-at), rtol=1e-12, atol=1e-14)


# name -> (made of x, what is differentiated by it once x is a tensor of its own): math that a rule could write with one node less
INTERMEDIATES = {
    "transposed": (lambda x: x.T, lambda y, a: lm.sum(lm.grad(lm.sum((a @ y) ** 2), a) ** 2)),
    "negated": (lambda x: -x.T, lambda y, a: lm.sum(lm.sin(lm.grad(-a.T[:, :3], a, seed=y)))),
    "axes moved": (lambda x: lm.transpose(x, (1, 0)), lambda y, a: lm.sum(lm.grad(lm.transpose(a[:3]), a, seed=y) ** 3)),
}


@pytest.mark.parametrize("name", INTERMEDIATES)
def test_second_gradient_by_an_intermediate_tensor(name):
    """A rule that wrote (x^T)^T as x, or -(-x), had the tensor in between no part in what it wrote."""
    make, build = INTERMEDIATES[name]
    x, a = lm.placeholder((3, 2), "float64"), lm.placeholder((4, 2), "float64")
    between, alone = make(x), lm.placeholder((2, 3), "float64")
    at, factor = normal(3, 2), normal(4, 2)
    got = lm.function([x, a], lm.grad(build(between, a), between))(at, factor)
    own = lm.function([x], make(x))(at)
    want = lm.function([alone, a], lm.grad(build(alone, a), alone))(own, factor)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert np.abs(want).max() > 0.1


@pytest.mark.parametrize("seed", [lm.zeros_like, lm.ones_like, lambda y: lm.full(y.shape, 2.0, "float64")], ids=["0", "1", "2"])
@pytest.mark.parametrize("optimize", [True, False])
def test_a_derivative_forwards_is_two_backwards(seed, optimize):
    """The gradient by the seed: where its numbers are 0 or 1, what they are added to or multiplied by must not stand for both."""
    x, u = lm.placeholder((3,), "float64"), lm.placeholder((3,), "float64")
    y = lm.sin(x) * x + x
    v = seed(y)
    forwards = lm.grad(lm.grad(y, x, v), v, u)
    at, along = np.array([0.3, -1.0, 2.0]), np.array([1.0, 2.0, -3.0])
    (got,) = core.Program([x.node, u.node], [forwards.node], optimize=optimize).run([at, along])
    np.testing.assert_allclose(got, (np.cos(at) * at + np.sin(at) + 1) * along, rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (3, 2)], ids=str)
def test_a_seed_has_the_shape_of_what_is_differentiated(shape):
    x = lm.placeholder((2,), "float64")
    with pytest.raises(ValueError, match=r"\[grad\] expected a seed of shape \(2,\)"):
        lm.grad(x * 2, x, seed=lm.full(shape, 1.0, "float64"))


def test_jacobian():
    x = lm.placeholder((3,), "float64")
    a, at = normal(4, 3), normal(3)
    jacobian = lm.function([x], lm.jacobian(lm.tanh(a @ x), x))(at)
    np.testing.assert_allclose(jacobian, (1 - np.tanh(a @ at) ** 2)[:, None] * a, rtol=1e-12)


def test_a_power_of_zero_has_no_slope_anywhere():
    x, p = lm.placeholder((3,), "float64"), lm.placeholder((3,), "float64")
    by_x = lm.grad(lm.sum(x**p), x)
    f = lm.function([x, p], [by_x, lm.grad(lm.sum(by_x), x)])
    first, second = f(np.array([0.0, 0.0, 2.0]), np.array([0.0, 3.0, 0.0]))
    assert first.tolist() == second.tolist() == [0.0, 0.0, 0.0]
    assert lm.function([x], lm.grad(lm.sum(x**0), x))(np.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    by_p = lm.function([x, p], lm.grad(lm.sum(x**p), p))
    assert by_p(np.array([0.0, 0.0, 1.0]), np.array([2.0, 0.5, 3.0])).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("order", "pads"),
    [(range(6), 0), (range(5, -1, -1), 0), ([2, 3, 4], 1), ([0, 5], 2), ([0, 1, 1, 2], 3)],
    ids=["forwards", "backwards", "a part", "apart", "twice"],
)
def test_gradients_of_neighbouring_slices_stand_side_by_side(order, pads):
    """So a loop over the steps of x writes its gradient once; what overlaps, or is apart, is added."""
    x, at = lm.placeholder((3, 6), "float64"), normal(3, 6)
    f = lm.function([x], lm.grad(lm.sum(sum(lm.sin(x[:, k] * float(k + 1)) for k in order)), x))
    want = np.zeros_like(at)
    for k in order:
        want[:, k] += np.cos(at[:, k] * (k + 1)) * (k + 1)
    np.testing.assert_allclose(f(at), want, rtol=1e-12)
    assert sum(step.split("+").count("pad") for step in f.program.steps) == pads


def test_gradients_of_blocks_along_other_axes_are_added():
    x, at = lm.placeholder((None, 4), "float64"), normal(3, 4)
    y = lm.sum(x[:, :2] ** 2) + lm.sum(x[:, 2:] ** 3) + lm.sum(x[1:] ** 2) + lm.sum(x[:, ::2] ** 2)
    want = np.concatenate([2 * at[:, :2], 3 * at[:, 2:] ** 2], 1)
    want[1:] += 2 * at[1:]
    want[:, ::2] += 2 * at[:, ::2]
    np.testing.assert_allclose(lm.function([x], lm.grad(y, x))(at), want, rtol=1e-12)
