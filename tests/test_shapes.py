"""Shapes are checked as nodes are built, with messages that name the operation and both shapes; the batch axis stays free."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import lamina as lm


def t(*shape, dtype="float64"):
    return lm.placeholder(shape, dtype)


# id: (function, what the message must hold)
MISTAKES = {
    "add": (lambda: t(3, 4) + t(3, 5), ["add", "3, 4", "3, 5"]),
    "multiply with batch": (lambda: t("B", 4) * t("B", 5), ["mul", "B, 4", "B, 5"]),
    "two symbols": (lambda: t("B", 4) + t("N", 4), ["add", "B", "N"]),
    "matmul": (lambda: t(3, 4) @ t(5, 6), ["matmul", "3, 4", "5, 6"]),
    "matmul batch": (lambda: t(2, 3, 4) @ t(5, 4, 6), ["matmul", "2", "5"]),
    "matmul of a scalar": (lambda: lm.matmul(t(), t(3)), ["matmul"]),
    "reshape": (lambda: lm.reshape(t(3, 4), (5, 2)), ["reshape", "3, 4", "5, 2"]),
    "reshape -1": (lambda: lm.reshape(t(3, 4), (5, -1)), ["reshape", "12", "5"]),
    "two -1": (lambda: lm.reshape(t(3, 4), (-1, -1)), ["reshape", "-1"]),
    "transpose": (lambda: lm.transpose(t(3, 4), (0, 0)), ["transpose", "each axis once", "(0, 0)"]),
    "transpose count": (lambda: lm.transpose(t(3, 4), (0, 1, 2)), ["transpose", "2"]),
    "concatenate": (lambda: lm.concatenate([t(3, 4), t(4, 4)], axis=1), ["concatenate", "3, 4", "4, 4"]),
    "concatenate nothing": (lambda: lm.concatenate([], axis=0), ["concatenate"]),
    "stack": (lambda: lm.stack([t(3), t(4)]), ["stack", "3", "4"]),
    "broadcast_to": (lambda: lm.broadcast_to(t(3, 4), (3, 5)), ["broadcast_to", "3, 4", "3, 5"]),
    "sum axis": (lambda: lm.sum(t(3, 4), axis=2), ["sum", "2"]),
    "softmax axis": (lambda: lm.softmax(t(3, 4), axis=5), ["softmax", "5"]),
    "where": (lambda: lm.where(t(3, dtype="bool"), t(4), t(4)), ["where", "3", "4"]),
    "index": (lambda: t(3, 4)[7], ["7", "3, 4"]),
    "too many indices": (lambda: t(3, 4)[0, 0, 0], ["2", "3"]),
    "squeeze": (lambda: lm.squeeze(t(3, 4), 0), ["squeeze", "3, 4"]),
    "expand_dims": (lambda: lm.expand_dims(t(3), 5), ["expand_dims", "5"]),
    "grad of a vector": (lambda: lm.grad(t(3) * 2, t(3)), ["grad", "scalar", "3"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    build, parts = MISTAKES[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        build()
    for part in parts:
        assert part in str(caught.value), f"the message does not say {part!r}: {caught.value}"


SHAPED = {
    "Input": lambda shape: lm.Input(shape).shape[1:],
    "build": lambda shape: lm.Sequential(lm.Flatten()).build(shape).inputs[0].shape[1:],
    "Reshape": lambda shape: lm.Reshape(shape)(lm.Input(6)).shape[1:],
    "reshape": lambda shape: lm.reshape(t(6), shape).shape,
    "Tensor.reshape": lambda shape: t(6).reshape(shape).shape,
    "broadcast_to": lambda shape: lm.broadcast_to(t(1), shape).shape,
    "full": lambda shape: lm.full(shape, 1.0).shape,
    "placeholder": lambda shape: lm.placeholder(shape).shape,
    "Parameter": lambda shape: lm.Parameter(shape, init="zeros").shape,
    "parameter": lambda shape: lm.Dense(1).parameter("w", shape, "zeros").shape,
}


@pytest.mark.parametrize("name", SHAPED)
def test_a_shape_may_be_of_numpy_and_holds_no_truth_values(name):
    shaped = SHAPED[name]
    for shape in ((2, 3), [np.int64(2), np.int32(3)], np.array([2, 3]), np.array([2, 3], "uint8"), range(2, 4)):
        found = shaped(shape)
        assert found == (2, 3) and all(type(n) is int for n in found), shape
    for shape in ([True, 6], np.array([True]), True):
        with pytest.raises(TypeError, match="expected the length of each axis, got .*True.*; pass a tuple"):
            shaped(shape)


def test_axes_may_be_of_numpy():
    assert t(2, 3, 4).transpose(np.array([2, 0, 1])).shape == t(2, 3, 4).transpose(2, 0, 1).shape == (4, 2, 3)


TYPE_MISTAKES = {
    "take by floats": lambda: lm.take(t(3, 4), t(2)),
    "unknown dtype": lambda: lm.cast(t(3), "float31"),
    "text": lambda: t(3) + "a",
    "index by text": lambda: t(3)["a"],
    "truth of a tensor": lambda: bool(t(3) > 0),
    "float of a tensor": lambda: float(t()),
}


@pytest.mark.parametrize("name", TYPE_MISTAKES)
def test_type_mistake(name):
    with pytest.raises((TypeError, ValueError)) as caught:
        TYPE_MISTAKES[name]()
    assert len(str(caught.value)) > 10


def test_a_function_checks_what_it_is_given():
    x = lm.placeholder(("B", 3), "float64", name="features")
    f = lm.function([x], x * 2)
    for bad in (np.zeros((2, 4)), np.zeros(3), np.zeros((2, 3, 1))):
        with pytest.raises(ValueError, match=r"\[features\] expected shape \(B, 3\)") as caught:
            f(bad)
        assert "3" in str(caught.value)
    with pytest.raises((TypeError, ValueError)):
        f()
    with pytest.raises((TypeError, ValueError)):
        f(np.zeros((2, 3)), np.zeros((2, 3)))
    assert np.array_equal(f(np.ones((2, 3))), 2 * np.ones((2, 3)))  # still usable


def test_two_inputs_with_one_batch_must_agree():
    x, y = lm.placeholder(("B", 3), "float64"), lm.placeholder(("B", 3), "float64")
    f = lm.function([x, y], x + y)
    with pytest.raises(ValueError, match=r"\[input 2\] expected shape \(B, 3\) with B = 2, got \(4, 3\)"):
        f(np.zeros((2, 3)), np.zeros((4, 3)))
    assert f(np.zeros((4, 3)), np.ones((4, 3))).shape == (4, 3)


def test_an_input_that_was_not_named_is_an_error():
    x, y = t(3), t(3)
    with pytest.raises(
        ValueError, match=r"\[function\] the outputs need a placeholder of shape \(3,\) that is not among the inputs"
    ):
        lm.function([x], x + y)


BATCHED = {
    "elementwise": lambda x: lm.tanh(x) * 2 + 1,
    "matmul": lambda x: x @ np.linspace(-1, 1, 15).reshape(5, 3),
    "gram": lambda x: x.T @ x,
    "outer gram": lambda x: x @ x.T,
    "rows": lambda x: lm.log_softmax(x),
    "sum rows": lambda x: lm.sum(x, axis=1),
    "sum columns": lambda x: lm.sum(x, axis=0),
    "sum all": lambda x: lm.sum(x),
    "reshape": lambda x: lm.reshape(x, (-1,)),
    "transposed": lambda x: lm.transpose(x) * 2,
    "concatenated": lambda x: lm.concatenate([x, x * 2], axis=0),
    "sliced": lambda x: x[:, 1:4],
    "reversed": lambda x: x[::-1],
    "one more axis": lambda x: lm.expand_dims(x, 1) - lm.expand_dims(x, 0),
    "gradient": lambda x: lm.grad(lm.sum(lm.tanh(x) ** 2), x),
}
NEEDS_ROWS = {
    "mean all": lambda x: lm.mean(x),
    "max columns": lambda x: lm.max(x, axis=0),
    "gradient of a mean": lambda x: lm.grad(lm.mean(x**3), x),
}


@pytest.mark.parametrize("name", [*BATCHED, *NEEDS_ROWS])
def test_one_function_for_every_batch(name, rng):
    """The same function with batches that grow, shrink and vanish equals functions built for those sizes alone."""
    build = BATCHED.get(name) or NEEDS_ROWS[name]
    x = lm.placeholder(("B", 5), "float64")
    f = lm.function([x], build(x))
    for n in (7, 1, 64, 2, *([0] if name in BATCHED else []), 33, 7):
        at = rng.normal(size=(n, 5))
        fixed = lm.placeholder((n, 5), "float64")
        want = lm.function([fixed], build(fixed))(at)
        assert np.array_equal(f(at), want) and f(at).shape == want.shape


def test_symbolic_shapes_are_shown_and_computed():
    x = lm.placeholder(("B", 3))
    assert str(x.shape[0]) == "B" and x.shape[1] == 3
    assert str(lm.concatenate([x, x], axis=0).shape[0]) in {"2*B", "2B", "2 B"}
    assert lm.reshape(x, (-1, 3)).shape == x.shape
    assert lm.Input(8, name="x").shape[1:] == (8,) and str(lm.Input(8).shape[0]) == "B"


def test_free_lengths_are_copied_and_not_pickled():
    shape = lm.placeholder((None, "T", 4)).shape
    assert copy.copy(shape[1]) == shape[1] and copy.deepcopy(shape) == shape
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match=r"\[shape\] expected a known length to pickle, got B; write None, or the number"):
            pickle.dumps(shape, protocol)


def test_a_net_takes_any_batch_in_any_order(rng):
    net = lm.Sequential(lm.Dense(16, "relu"), lm.Dense(3), seed=0, dtype="float64")
    net.compile("cross_entropy", lm.optim.SGD(0.01))
    x, y = rng.normal(size=(64, 5)), rng.integers(0, 3, 64)
    for n in (7, 64, 1, 2, 33):
        assert np.isfinite(net.train_step(x[:n], y[:n]))
        assert net.predict(x[:n]).shape == (n, 3)
    assert net.predict(x[:0]).shape == (0, 3)


def test_a_size_on_two_axes_can_be_reshaped():
    """(B, B) has no number of elements of the form c B + o, and needs none where both sides have the axes."""
    x = t("B", 3)
    square = x @ x.T
    assert [str(n) for n in lm.expand_dims(square, 1).shape] == ["B", "1", "B"]
    f = lm.function([x], [lm.expand_dims(square, 2), lm.grad(lm.sum(lm.sin(lm.expand_dims(square, 0))), [x])[0]])
    value, slope = f(np.arange(6.0).reshape(2, 3))
    assert value.shape == (2, 2, 1) and slope.shape == (2, 3)
    with pytest.raises(ValueError, match=r"\[reshape\] \(B, B, 3\): the elements of \(B, B, 3\) do not fill \(B, B, 4\)"):
        lm.reshape(t("B", "B", 3), ("B", "B", 4))


@pytest.mark.parametrize("of", [lambda x: x, lm.ones_like, lambda x: x * 0.0 + 1.0], ids=["input", "constant", "math"])
def test_rows_that_a_batch_does_not_have_are_refused(of):
    x = t("B", 3)
    f = lm.function([x], [of(x)[:4], of(x)[::-1, 1:]])
    assert [y.shape for y in f(np.ones((5, 3)))] == [(4, 3), (5, 2)]
    with pytest.raises(ValueError, match="needs elements 0 to 3 of an axis that has 2 with this batch"):
        f(np.ones((2, 3)))
    last = lm.function([x], [of(x)[-4:], of(x)[-2:-5:-1]])
    assert [y.shape for y in last(np.ones((5, 3)))] == [(4, 3), (3, 3)]
    with pytest.raises(ValueError, match="needs elements -2 to 1 of an axis that has 2 with this batch"):
        last(np.ones((2, 3)))


def test_free_lengths_multiply(rng):
    x = t("B", "T", 4)
    rows = lm.reshape(x, (-1, 4))
    assert str(rows.shape) == "(B*T, 4)"
    assert lm.reshape(rows, ("B", -1, 4)).shape == lm.reshape(rows, ("B", "T", 4)).shape == x.shape
    assert lm.reshape(rows, (-1,)).shape == lm.reshape(t("T", "B", 4), (-1,)).shape  # T*B is B*T
    three = lm.reshape(t("A", "B", "T"), (-1,))
    assert lm.reshape(three, ("T", -1, "A")).shape == t("T", "B", "A").shape
    w = lm.Parameter(rng.normal(size=(4, 3)))
    y = lm.sum(lm.tanh(x @ w))
    f = lm.function([x], [y, lm.grad(y, w), lm.mean(x, axis=1), lm.size(rows, 0)])
    for shape in ((2, 5, 4), (3, 1, 4), (1, 8, 4), (0, 3, 4), (2, 5, 4)):
        a = rng.normal(size=shape)
        total, slope, means, size = f(a)
        z = np.tanh(a @ w.value)
        np.testing.assert_allclose(total, z.sum(), atol=1e-12)
        np.testing.assert_allclose(slope, np.einsum("bti,bto->io", a, 1 - z * z), atol=1e-12)
        np.testing.assert_allclose(means, a.mean(axis=1), atol=1e-12)
        assert size == shape[0] * shape[1]


def test_weights_meet_rows_that_have_no_one_length(rng):
    """A layer on the steps of a series but the first: B (T-1) rows."""
    x, w = rng.normal(size=(3, 5, 4)), rng.normal(size=(4, 2))

    def slope(*lengths):
        a, b = t(*lengths, 4), t(4, 2)
        return lm.function([a, b], lm.grad(lm.sum(lm.tanh(a[:, 1:] @ b) ** 2), b))(x, w)

    assert np.allclose(slope("B", "T"), slope(3, 5), rtol=1e-12)  # sums in another order


def test_each_sample_has_a_gradient_of_steps_of_a_free_length(rng):
    x = lm.placeholder((None, "T", 4), "float64")
    net = lm.Model(x, lm.mean(lm.Dense(2, "tanh")(x[:, 1:]), axis=1), seed=0, dtype="float64").compile("mse", "sgd")
    data = rng.normal(size=(3, 5, 4)), rng.normal(size=(3, 2))
    whole = net.gradients(*data)
    for name, each in net.per_sample_gradients(*data).items():
        assert np.allclose(each.mean(axis=0), whole[name], rtol=1e-12)  # sums in another order
    net.fit(*data, optimizer="levenbergmarquardt", epochs=5, verbose=0)
    assert net.history["loss"][-1] < net.history["loss"][0]


def test_a_loop_over_a_free_length_is_refused():
    with pytest.raises(TypeError, match=r"\[shape\] expected a known length, got T; a loop over steps needs an input"):
        range(t("B", "T").shape[1])


def test_a_product_of_lengths_needs_names():
    for shape in ("T**B", "*", "T*B*", "*".join(["B"] * 50_000)):
        with pytest.raises(ValueError, match=r"expected names between \*|do not fill"):
            lm.reshape(t("B", "T", 4), (shape, 4))


def test_free_lengths_that_do_not_divide_are_refused():
    rows = lm.reshape(t("B", "T", 4), (-1, 4))
    assert lm.reshape(rows, ("T*B", 2, 2)).shape == lm.reshape(rows, ("B*T", 2, 2)).shape
    for shape in (("B", "N", 4), ("B", -1, 3), ("B*T", 3)):
        with pytest.raises(ValueError, match=r"B\*T"):
            lm.reshape(rows, shape)
    with pytest.raises(ValueError, match="cannot multiply"):
        lm.reshape(lm.concatenate([t("B", 4), t(1, 4)], 0), (-1, 1)).shape[0] * t("T").shape[0]


def test_lengths_that_no_batch_has_are_refused():
    b = t("B").shape[0]
    even = lm.placeholder((2 * b,))
    double = lm.function(even, 2 * even)
    assert double(np.ones(4)).tolist() == [2] * 4
    with pytest.raises(ValueError, match=r"expected shape \(2\*B,\), got \(5,\)"):
        double(np.ones(5))
    one_more = lm.concatenate([t("B"), t(1)], 0)
    assert lm.reshape(lm.concatenate([one_more, one_more], 0), (-1, b + 1)).shape[0] == 2
    with pytest.raises(ValueError, match=r"2\*B\+1 elements cannot be split into parts of B\+1"):
        lm.reshape(lm.concatenate([t("B"), one_more], 0), (-1, b + 1))


def test_more_elements_than_memory_can_address_are_refused():
    x = t("B", 1)
    wide = lm.function(x, lm.broadcast_to(x, ("B", 2**59)))
    with pytest.raises(ValueError, match="1152921504606846976 elements are more than memory can address"):
        wide(np.ones((2, 1)))
