"""Steps and predictions like those before go a quick way: they take, refuse and give what the checked ones do."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from fitting import mlp


def test_the_quick_and_the_careful_step_agree(xy):
    x, y = xy
    quick, careful = mlp().compile("cross_entropy", "adam"), mlp().compile("cross_entropy", "adam")
    a = [quick.train_step(x, y) for _ in range(5)]
    b = [careful.train_step(x.tolist(), y.tolist()) for _ in range(5)]
    assert a == b


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_wrong_labels_are_found_on_the_quick_way(dtype, xy):
    x, y = xy[0], xy[1].astype(dtype)
    net = mlp().compile("cross_entropy", "sgd")
    for _ in range(2):
        net.train_step(x, y)
    assert net._quick_step is not None
    for wrong in (3, -1 if y.dtype.kind == "i" else 255):
        bad = y.copy()
        bad[7] = wrong
        with pytest.raises(ValueError, match=str(wrong)):
            net.train_step(x, bad)
    yes = y[:, None] % 2
    net = lm.Sequential(lm.Dense(1), seed=0).compile("binary_cross_entropy", "sgd")
    for _ in range(2):
        net.train_step(x, yes)
    with pytest.raises(ValueError, match="got 2 at sample"):
        net.train_step(x, 2 * yes)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize(
    ("loss", "dtype"), [("mse", "int64"), ("binary_cross_entropy", "int32"), ("huber", "float64"), ("log_cosh", "bool")]
)
def test_whole_targets_and_vectors_for_a_column_go_the_quick_way(loss, dtype, shape, xy, monkeypatch):
    x, y = xy[0], (xy[1] % 2).astype(dtype).reshape(shape)
    quick, careful = (lm.Sequential(lm.Dense(1), seed=0).compile(loss, "sgd") for _ in range(2))
    for n in (12, 5, 5):
        assert quick.train_step(x[:n], y[:n]) == careful.train_step(x[:n].tolist(), y[:n].tolist())
    monkeypatch.setattr("lamina.models.steps.train_step", None)
    quick.train_step(x, y)
    quick.train_step(x, y.ravel())


def test_a_class_that_is_left_out_is_one_on_the_quick_way(xy):
    x, y = xy
    left = np.where(y == 2, -1, y)
    quick, careful = (mlp().compile(lm.losses.CrossEntropy(ignore_index=-1), "sgd") for _ in range(2))
    for _ in range(2):
        for given in (y, left):
            assert quick.train_step(x, given) == careful.train_step(x.tolist(), given.tolist())
    assert quick._quick_step is not None
    for wrong in (3, -2):
        with pytest.raises(ValueError, match=str(wrong)):
            quick.train_step(x, np.full_like(y, wrong))


def test_the_second_step_asks_what_the_first_one_asked():
    net = lm.Sequential(lm.Dense(3), seed=0).compile("cross_entropy", "sgd")
    x, y = np.ones((4, 2), np.float32), np.array([0, 1, 2, 0])
    net.train_step(x, y)
    before = {name: p.copy() for name, p in net.parameters.items()}
    for wrong in (np.array([0, 1, 3, 0]), np.array([0, 1, -1, 0]), np.array([0, 1, 2**40, 0])):
        with pytest.raises(ValueError, match=r"\[CrossEntropy\(\)\] expected classes from 0 to 2, got -?\d+ at sample 2"):
            net.train_step(x, wrong)
    with pytest.raises(ValueError, match=r"\[x\] expected shape \(any, 2\), got \(4, 5\)"):
        net.train_step(np.ones((4, 5), np.float32), y)
    with pytest.raises(ValueError, match=r"\[x\] expected at least one sample and one feature, got shape \(0, 2\)"):
        net.train_step(x[:0], y[:0])
    for name, p in net.parameters.items():
        assert np.array_equal(before[name], p)


def test_lists_subclasses_and_other_layouts_step_like_arrays():
    x, y = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3), np.linspace(1, 2, 4, dtype=np.float32).reshape(4, 1)

    class Tagged(np.ndarray):
        pass

    def losses(x, y):
        net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd")
        net.train_step(np.asarray(x, np.float32), np.asarray(y, np.float32))
        return [net.train_step(x, y) for _ in range(3)], net.predict(x).tolist()

    expected = losses(x, y)
    wide = np.zeros((4, 6), np.float32)
    wide[:, ::2] = x
    for a, b in ((x.tolist(), y.tolist()), (x.view(Tagged), y.view(Tagged)), (wide[:, ::2], y), (np.asfortranarray(x), y)):
        assert losses(a, b) == expected


def test_an_assigned_rate_counts_at_the_next_quick_step():
    nets = [lm.Sequential(lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(rate)) for rate in (0.1, 0.3)]
    x, y = np.ones((2, 3), np.float32), np.zeros((2, 1), np.float32)
    for net in nets:
        net.optimizer.lr = 0.1
        net.train_step(x, y)
        net.train_step(x, y)
        net.optimizer.lr = 0.02
        net.train_step(x, y)
        net.optimizer.lr = lm.schedules.Cosine(0.05, 10)
        net.train_step(x, y)
    assert nets[0].train_step(x, y) == nets[1].train_step(x, y)
    slow = lm.Sequential(lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(0.1))
    for rate in (0.1, 0.1, 0.02):
        slow.optimizer.lr = rate
        slow.train_step(x.tolist(), y)
    fast = lm.Sequential(lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(0.1))
    for rate in (0.1, 0.1, 0.02):
        fast.optimizer.lr = rate
        fast.train_step(x, y)
    assert slow.train_step(x.tolist(), y) == fast.train_step(x, y)


ODD = {
    "float16": lambda x: x.astype(np.float16),
    "big-endian": lambda x: x.astype(">f8"),
    "objects": lambda x: x.astype(object),
    "no rows": lambda x: x[:0],
    "one sample": lambda x: x[0],
    "other features": lambda x: x[:, :3],
    "complex": lambda x: x.astype(complex),
    "text": lambda x: x.astype(str),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_later_call_takes_and_refuses_what_the_first_one_does(kind, rng):
    """Also where an array that needs no look has opened the quick way."""
    x, y = rng.normal(size=(8, 5)), rng.normal(size=(8, 1))
    odd = ODD[kind](x)

    def outcome(call):
        try:
            return np.shape(call())
        except (ValueError, TypeError) as error:
            return str(error)

    net = lm.Sequential(lm.Dense(1), seed=0).build(5).compile("mse", "sgd")
    first = outcome(lambda: net.predict(odd)), outcome(lambda: net.train_step(odd, y[: len(odd)]))
    for _ in range(2):
        net.predict(x)
        net.train_step(x, y)
    assert first == (outcome(lambda: net.predict(odd)), outcome(lambda: net.train_step(odd, y[: len(odd)])))


def network_of_several(dtype="float32"):
    """Numbers and an Embedding in, a value and a class out."""
    numbers, words = lm.Input(4, dtype=dtype), lm.Input(3, dtype="int64")
    h = lm.Dense(8, "tanh")(lm.concatenate([numbers, lm.Flatten()(lm.Embedding(6, 2, dtype=dtype)(words))], axis=1))
    return lm.Model([numbers, words], [lm.Dense(2)(h), lm.Dense(5)(h)], seed=0)


def samples_of_several(rng, n=9):
    x = [rng.normal(size=(n, 4)).astype("float32"), rng.integers(0, 6, (n, 3))]
    return x, [rng.normal(size=(n, 2)).astype("float32"), rng.integers(0, 5, n)]


@pytest.mark.parametrize("rate", [0.01, lm.schedules.Cosine(0.1, steps=40)], ids=["constant", "scheduled"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_quick_step_is_the_checked_one(weighted, rate, rng):
    """Of several inputs, targets and weights, by their places or names; what is no array goes the other way."""
    quick, named, slow = (
        network_of_several().compile(["mse", "cross_entropy"], lm.optim.Adam(rate), loss_weights=[1, 0.5]) for _ in range(3)
    )
    planned = None
    for n in (9, 9, 4, 9, 1):
        x, y = samples_of_several(rng, n)
        weight = rng.uniform(0.5, 2, n).astype("float32") if weighted else None
        tables = {"input_2": x[1], "input_1": x[0]}
        lists = [a.tolist() for a in x]
        loss = slow.train_step(lists, [a.tolist() for a in y], weight)
        assert loss == quick.train_step(tuple(x), y, weight)
        assert loss == named.train_step(tables, dict(zip(named.output_names, y, strict=True)), weight)
        planned = planned or (quick._quick_step, named._quick_step)
        assert None not in planned and (quick._quick_step, named._quick_step) == planned and slow._quick_step is None
        for a, b, c in zip(quick.predict(x), named.predict(tables), slow.predict(lists), strict=True):
            assert np.array_equal(a, c) and np.array_equal(b, c)
    for name, a in slow.parameters.items():
        assert np.array_equal(quick.parameters[name], a) and np.array_equal(named.parameters[name], a)


@pytest.mark.parametrize("several", [False, True])
def test_arrays_by_name_go_the_quick_way(several, monkeypatch, rng):
    if several:
        net, (x, y) = network_of_several().compile(["mse", "cross_entropy"], "adam"), samples_of_several(rng)
    else:
        net = lm.Sequential(lm.Dense(2), seed=0).build(4).compile("mse", "adam")
        x, y = [rng.normal(size=(9, 4))], [rng.normal(size=(9, 2))]
    given, target = dict(zip(net.named_inputs, x, strict=True)), dict(zip(net.output_names, y, strict=True))
    for _ in range(2):
        net.train_step(given, target)
        net.predict(given)
        for name in ("train_step",) if several else ("train_step", "predict"):  # whole numbers are looked at
            monkeypatch.setattr(f"lamina.models.steps.{name}", None)  # a second call that asked it would fail


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -1, 1], "expected weights >= 0"),
        ([0, 0, 0], "not all 0"),
        ([1, np.nan, 1], "finite"),
        ([1, np.inf, 1], "finite"),
        ([1e30, 1, 1], "weights whose largest"),
        ([1e-40, 0, 0], "weights whose largest"),
        ([1, 1], r"expected shape \(3,\)"),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_later_step_looks_at_its_weights(weight, message, dtype, rng):
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd")
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(3, 1))
    net.train_step(x, y, np.ones(3, dtype))
    before = net.parameters["dense_1.weight"]
    with pytest.raises(ValueError, match=message):
        net.train_step(x, y, np.array(weight, dtype))
    assert np.array_equal(net.parameters["dense_1.weight"], before)
    assert net.train_step(x, y, np.array([2, 0, 1], dtype)) != net.train_step(x, y)


def test_a_later_step_of_several_looks_at_each_array(rng):
    net = network_of_several().compile(["mse", "cross_entropy"], "sgd")
    x, y = samples_of_several(rng)
    net.train_step(x, y)
    before = net.parameters["dense_2.weight"]
    wrong = {
        "classes": (x, [y[0], y[1] + 4]),
        "words": ([x[0], x[1] + 9], y),
        "rows of x": ([x[0], x[1][:4]], y),
        "rows of y": (x, [y[0], y[1][:4]]),
        "features": ([x[0][:, :3], x[1]], y),
        "one input": ([x[0]], y),
        "one target": (x, [y[0]]),
        "no list": (x[0], y),
        "three": ([*x, x[0]], y),
        "fractions": ([x[0], x[1] + 0.5], y),
    }
    for what, (xs, ys) in wrong.items():
        with pytest.raises((ValueError, TypeError), match=r"^\[.*expected .*, got"):
            net.train_step(xs, ys)
        assert np.array_equal(net.parameters["dense_2.weight"], before), what
    assert np.isfinite(net.train_step(x, y)) and net._quick_step is not None


def test_quick_predictions_of_several_have_their_rows(rng):
    numbers = [lm.Input(2), lm.Input(3)]
    h = lm.Dense(4, "tanh")(lm.concatenate(numbers, axis=1))
    net = lm.Model(numbers, [lm.Dense(1)(h), lm.Dense(2)(h)], seed=0)
    x = [rng.normal(size=(n, width)).astype("float32") for n, width in ((7, 2), (7, 3))]
    first, again = net.predict(x), net.predict(tuple(x))
    assert net._quick_predict is not None and [a.shape for a in again] == [(7, 1), (7, 2)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for wrong in ([x[0], x[1][:3]], [x[1], x[0]], x[:1], x[0]):
        with pytest.raises((ValueError, TypeError), match=r"^\[.*expected .*, got"):
            net.predict(wrong)
    many = [np.repeat(a, 2000, 0) for a in x]
    assert all(np.array_equal(a[::2000], b) for a, b in zip(net.predict(many), first, strict=True))


def test_a_list_that_changes_while_its_arrays_are_read_is_read_as_it_was(rng, monkeypatch):
    """Converting the first array calls NumPy, and with it whoever is next."""
    net = network_of_several().compile(["mse", "cross_entropy"], lm.optim.SGD(0.0))
    x, y = samples_of_several(rng, 4000)
    whole = x[1].astype("uint64")
    expected, real, kept = net.train_step([x[0], whole], y), np.rint, []
    assert net.train_step([x[0], whole], y) == expected and net._quick_step is not None
    words, numbers = lm.Input(3, dtype="int64"), lm.Input(4)
    h = lm.Dense(2)(lm.concatenate([lm.Flatten()(lm.Embedding(6, 2)(words)), numbers], axis=1))
    net = lm.Model([words, numbers], h, seed=0).compile("mse", lm.optim.SGD(0.0))
    net.train_step([whole, x[0].copy()], y[0])
    expected, given = net.train_step([whole, x[0].copy()], y[0]), [whole, x[0].copy()]

    def rint(array):
        monkeypatch.setattr(np, "rint", real)
        given.clear()
        kept.extend(np.full_like(x[0], 1e6) for _ in range(3))
        return real(array)

    monkeypatch.setattr(np, "rint", rint)
    assert net.train_step(given, y[0]) == expected and not given
