"""The quick ways of arrays like those of a call before: they take nothing that checks refuse, and give what the checked ones do."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from lamina.models import quick as ways

N = 9


def own_loss(pred, target):
    return lm.abs(pred - target) ** 3


class OwnChecks(lm.losses.MSE):
    def check_values(self, y, pred_shape):
        if (y > 5).any():
            raise ValueError("[own] expected less than 5")


class OwnKeep(lm.losses.MSE):
    def keep(self, pred, target):
        return target > 0


class OwnAmounts(lm.losses.MSE):
    def amounts(self, y, pred_shape, weight):
        return weight if (y < 2.9).all() else np.arange(1.0, len(y) + 1)


KINDS = {  # loss, outputs, a target
    "mse": ("mse", 2, lambda rng: rng.normal(size=(N, 2)).astype("f4")),
    "float64": ("huber", 2, lambda rng: rng.normal(size=(N, 2))),
    "whole": ("mse", 1, lambda rng: rng.integers(0, 9, (N, 1))),
    "vector": ("mse", 1, lambda rng: rng.normal(size=N).astype("f4")),
    "classes": ("cross_entropy", 3, lambda rng: rng.integers(0, 3, N)),
    "probabilities": ("cross_entropy", 3, lambda rng: np.eye(3, dtype="f4")[rng.integers(0, 3, N)]),
    "left out": (lm.losses.CrossEntropy(ignore_index=-1), 3, lambda rng: rng.integers(-1, 3, N)),
    "yes or no": ("binary_cross_entropy", 1, lambda rng: rng.integers(0, 2, N).astype("f4")),
    "yes or no in bytes": ("binary_cross_entropy", 1, lambda rng: rng.integers(0, 2, (N, 1)).astype("u1")),
    "counts": ("poisson_nll", 2, lambda rng: rng.integers(0, 4, (N, 2)).astype("f4")),
    "masked": (lm.losses.MSE(mask_nan=True), 2, lambda rng: rng.normal(size=(N, 2)).astype("f4")),
    "halves": ("mse", 2, lambda rng: rng.normal(size=(N, 2)).astype("f2")),
    "uint64": ("mse", 2, lambda rng: rng.integers(0, 9, (N, 2)).astype("u8")),
    "big-endian": ("mse", 2, lambda rng: rng.normal(size=(N, 2)).astype(">f4")),
    "truth": ("cross_entropy", 3, lambda rng: rng.integers(0, 2, N) > 0),
    "whole one-hot": ("cross_entropy", 3, lambda rng: np.eye(3, dtype=int)[rng.integers(0, 3, N)]),
    "own keep": (OwnKeep(), 2, lambda rng: rng.normal(size=(N, 2)).astype("f4")),
    "own amounts": (OwnAmounts(), 2, lambda rng: rng.uniform(-2, 2, (N, 2)).astype("f4")),
    "own loss": (own_loss, 2, lambda rng: rng.normal(size=(N, 2)).astype("f4")),
    "own checks": (OwnChecks(), 2, lambda rng: rng.normal(size=(N, 2)).astype("f4")),
}


def with_one(array, value):
    bad = array.astype("f8") if np.issubdtype(array.dtype, np.integer) and value != int(value or 0) else array.copy()
    bad.reshape(-1)[3] = value
    return bad


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


class Sub(np.ndarray):
    pass


CHANGED = {  # of an array
    "as it was": np.copy,
    "NaN": lambda a: with_one(a.astype("f4"), np.nan),
    "infinite": lambda a: with_one(a.astype("f4"), -np.inf),
    "large": lambda a: with_one(a.astype("f8"), 1e300),
    "the largest": lambda a: with_one(a.astype("f4"), np.finfo("f4").max),
    "past the largest": lambda a: with_one(a.astype("f8"), float(np.finfo("f4").max) * (1 + 1e-9)),
    "below": lambda a: with_one(a, -2) if a.dtype.kind != "u" else with_one(a, 255),
    "above": lambda a: with_one(a, 3),
    "beyond one by rounding": lambda a: with_one(a.astype("f8"), 1 + 1e-12),
    "half": lambda a: a.astype("f2"),
    "double": lambda a: a.astype("f8"),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "truth": lambda a: a > 0,
    "uint64": lambda a: np.abs(a).astype("u8"),
    "past int64": lambda a: with_one(np.abs(a).astype("u8"), 2**63),
    "int8": lambda a: a.astype("i1"),
    "complex": lambda a: a.astype("c8"),
    "text": lambda a: a.astype(str),
    "objects": lambda a: a.astype(object),
    "a list": lambda a: a.tolist(),
    "None": lambda a: None,
    "a number": lambda a: 1.0,
    "empty": lambda a: a[:0],
    "fewer rows": lambda a: a[:4],
    "one row": lambda a: a[:1],
    "no features": lambda a: a.reshape(len(a), -1)[:, :0],
    "fewer features": lambda a: a.reshape(len(a), -1)[:, :1],
    "turned": lambda a: a.T,
    "a row": lambda a: a[0],
    "another axis": lambda a: a[..., None],
    "a column": lambda a: a.reshape(len(a), -1)[:, :1],
    "a vector": lambda a: a.reshape(len(a), -1)[:, 0],
    "backwards": lambda a: a[::-1],
    "Fortran": np.asfortranarray,
    "read-only": read_only,
    "one row again and again": lambda a: np.broadcast_to(a[:1], a.shape),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), "u1")[1:].view(a.dtype).reshape(a.shape),
    "masked": lambda a: np.ma.masked_less(a, 0),
    "a subclass": lambda a: a.view(Sub),
    "in a list": lambda a: [a],
    "in a dict": lambda a: {"input": a},
    "in a dict as the output": lambda a: {"output": a},
    "misnamed": lambda a: {"wrong": a},
}
WEIGHTS = {
    "f4": np.ones(N, "f4"),
    "f8": np.linspace(0.5, 2, N),
    "whole": np.arange(N),
    "a column": np.ones((N, 1), "f4"),
    "too few": np.ones(4, "f4"),
    "none counts": np.zeros(N, "f4"),
    "below 0": np.linspace(-1, 1, N),
    "NaN": with_one(np.ones(N, "f4"), np.nan),
    "infinite": with_one(np.ones(N, "f4"), np.inf),
    "tiny": np.full(N, 1e-40),
    "at the bound": np.full(N, float(np.sqrt(np.finfo("f4").max)) * (1 + 1e-9)),
    "below the bound": np.full(N, float(np.sqrt(np.finfo("f4").max)) * (1 - 1e-6)),
    "uint64": np.full(N, 2**63, "u8"),
    "text": np.full(N, "a"),
}


def outcome(call):
    """What it returns, or raises."""
    try:
        found = call()
    except Exception as error:
        return type(error), str(error)
    return getattr(found, "history", found)


def listed(given):
    """Arrays, also within others, as lists."""
    if isinstance(given, (list, tuple)):
        return type(given)(map(listed, given))
    if isinstance(given, dict):
        return {name: listed(a) for name, a in given.items()}
    return given.tolist() if isinstance(given, np.ndarray) else given


def outcomes(net, first, good, odd, metrics):
    """Of the odd batch after good ones, by each call that has a quick way; and what is left of the network."""
    weight = good[0][2] if good[0][2:] else None
    net.parameters.update(first)  # an odd batch may have left no numbers
    net.fit(good, metrics=metrics, verbose=0)  # so that each way is known
    net.evaluate(*good[0][:2], metrics=metrics, sample_weight=weight)
    net.gradients(*good[0])
    net.train_step(*listed(good[0]))
    x, y, *rest = odd
    named = {"sample_weight": rest[0]} if rest else {}
    found = []
    for call in (
        lambda: net.fit([*good, odd, good[0]], metrics=metrics, verbose=0),
        lambda: net.evaluate([*good, odd], metrics=metrics),
        lambda: net.evaluate(x, y, metrics=metrics, **named),
        lambda: net.gradients(x, y, **named),
        lambda: net.train_step(*listed(odd)),
        lambda: net.train_step(*odd),
    ):
        found += [outcome(call), dict(net.parameters), net.optimizer.steps, net.columns]
    return found


def assert_both_ways_agree(nets, good, odd, metrics, monkeypatch):
    quick = outcomes(*nets[0], good, odd, metrics)
    with monkeypatch.context() as patched:
        patched.setattr(ways, "call", lambda *args, **named: None)
        np.testing.assert_equal(quick, outcomes(*nets[1], good, odd, metrics))


def two(loss, *layers):
    nets = [lm.Sequential(*(layer() for layer in layers), seed=0).build(4).compile(loss, lm.optim.SGD(0.01)) for _ in range(2)]
    return [(net, dict(net.parameters)) for net in nets]


def batches_of(*arrays):
    return [tuple(a[:n] for a in arrays) for n in (N, 4, 1)]


def odd_ones(*arrays):
    """The arrays with each of them changed."""
    for i, array in enumerate(arrays):
        for name, change in CHANGED.items():
            try:
                odd = change(array)
            except (TypeError, ValueError):  # there is none
                continue
            print(i, name)  # which pytest shows of a failure
            yield (*arrays[:i], odd, *arrays[i + 1 :])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_an_odd_target_after_others_is_told_as_without_them(kind, monkeypatch, rng):
    loss, units, target = KINDS[kind]
    metrics = [] if kind in ("mse", "classes", "yes or no") else ["accuracy"] if units == 3 else ["mae"]
    x, y = rng.normal(size=(N, 4)).astype("f4"), target(rng)
    nets = two(loss, lambda: lm.Dense(5, "tanh"), lambda: lm.Dense(units))
    for odd in odd_ones(x, y):
        assert_both_ways_agree(nets, batches_of(x, y), odd, metrics, monkeypatch)


@pytest.mark.parametrize("dtype", ["f2", "f8", "i8", "u1", "u8", ">f4", "?"])
@pytest.mark.filterwarnings("ignore")
def test_an_odd_input_after_others_is_told_as_without_them(dtype, monkeypatch, rng):
    x, y = abs(rng.normal(size=(N, 4))).astype(dtype), rng.normal(size=(N, 2)).astype("f4")
    nets = two("mse", lambda: lm.Dense(5, "tanh"), lambda: lm.Dense(2))
    for odd in odd_ones(x, y):
        assert_both_ways_agree(nets, batches_of(x, y), odd, [], monkeypatch)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.filterwarnings("ignore")
def test_odd_weights_after_others_are_told_as_without_them(weight, dtype, monkeypatch, rng):
    x, y = rng.normal(size=(N, 4)).astype("f4"), rng.integers(0, 3, N)
    nets = two("cross_entropy", lambda: lm.Dense(5, "tanh"), lambda: lm.Dense(3))
    good = batches_of(x, y, rng.uniform(0.5, 2, N).astype(dtype))
    assert_both_ways_agree(nets, good, (x, y, WEIGHTS[weight]), ["accuracy"], monkeypatch)
    assert_both_ways_agree(nets, batches_of(x, y), (x, y, WEIGHTS[weight]), [], monkeypatch)


@pytest.mark.parametrize("form", [list, tuple, dict])
@pytest.mark.filterwarnings("ignore")
def test_an_odd_array_of_several_is_told_as_without_it(form, monkeypatch, rng):
    """A network that draws, keeps statistics, and has an Embedding and an input of truth values."""

    def make():
        numbers, words, flags = lm.Input(4), lm.Input(3, dtype="int64"), lm.Input(2, dtype="bool")
        h = [lm.BatchNorm()(numbers), lm.Flatten()(lm.Embedding(6, 2)(words)), lm.cast(flags, "float32")]
        h = lm.Dropout(0.2)(lm.Dense(8, "tanh")(lm.concatenate(h, axis=1)))
        net = lm.Model([numbers, words, flags], [lm.Dense(2)(h), lm.Dense(5)(h)], seed=0)
        return net.compile(["mse", "cross_entropy"], lm.optim.SGD(lm.schedules.Cosine(0.1, steps=9999)))

    nets = [(net, dict(net.parameters)) for net in (make(), make())]
    net, _ = nets[0]
    arrays = [rng.normal(size=(N, 4)).astype("f4"), rng.integers(0, 6, (N, 3)), rng.normal(size=(N, 2)) > 0]
    arrays += [rng.normal(size=(N, 2)).astype("f4"), rng.integers(0, 5, N)]

    def batch(*arrays):
        x, y = arrays[:3], arrays[3:]
        if form is dict:
            return dict(zip(net.named_inputs, x, strict=True)), dict(zip(net.output_names, y, strict=True))
        return form(x), form(y)

    good = [batch(*some) for some in batches_of(*arrays)]
    for odd in odd_ones(*arrays):
        assert_both_ways_agree(nets, good, batch(*odd), {net.output_names[0]: "mae"} if form is dict else [], monkeypatch)
    for odd in (
        (arrays[0], arrays[3]),
        (tuple(arrays[:2]), arrays[3:]),
        (arrays[:3], arrays[3:4]),
        5,
        (5, 5),
        ([], []),
        (good[0], None),
    ):
        assert_both_ways_agree(nets, good, odd if isinstance(odd, tuple) else (odd, odd), [], monkeypatch)


def test_batches_whose_outputs_count_apart_are_followed_by_others(monkeypatch, rng):
    """The loss leaves out classes, and of probabilities nothing."""

    def trained():
        x = lm.Input(4)
        net = lm.Model(x, [lm.Dense(2)(x), lm.Dense(3)(x)], seed=0)
        net.compile(["mse", lm.losses.CrossEntropy(ignore_index=0)], "sgd")
        return net.fit(hot, verbose=0).history, net.fit(classes + hot, epochs=2, verbose=0).history, dict(net.parameters)

    x, y = rng.normal(size=(N, 4)).astype("f4"), rng.normal(size=(N, 2)).astype("f4")
    labels = rng.integers(0, 3, N)
    hot, classes = [(x, (y, np.eye(3, dtype="f4")[labels]))] * 2, [(x, (y, labels))]
    quick = trained()
    monkeypatch.setattr(ways, "call", lambda *args, **named: None)
    np.testing.assert_equal(quick, trained())


# Those whose samples do not count alike, and those that are converted first.
CHECKED = {"left out", "masked", "own keep", "own amounts", "halves", "uint64", "big-endian", "truth", "whole one-hot"}


@pytest.mark.parametrize("kind", KINDS.keys() - CHECKED)
@pytest.mark.parametrize("weighted", [False, True])
def test_arrays_like_those_before_are_not_checked_in_python_again(kind, weighted, monkeypatch, rng):
    loss, units, target = KINDS[kind]
    y = target(rng)
    if weighted and kind == "own loss":
        loss = "mae"
    metrics = ["accuracy"] if units == 3 else ["mae"]
    (net, _), _ = two(loss, lambda: lm.Dense(units))
    batches = batches_of(rng.normal(size=(N, 4)).astype("f4"), y, *([np.ones(N)] if weighted else []))
    x, y, *weight = batches[0]
    named = {"sample_weight": weight[0]} if weighted else {}

    def calls():
        net.fit(batches, metrics=[] if weighted else metrics, validation_data=batches, verbose=0)  # which may refuse weights
        net.evaluate(batches, metrics=metrics)
        net.fit(iter([dict_batch(*batch) for batch in batches]), verbose=0)
        net.evaluate(batches)
        net.evaluate(x, y, **named)
        net.gradients(x, y, *weight)
        net.train_step(*listed(batches[0]))

    def dict_batch(x, y, *weight):
        return {"input": x}, {"output": y}, *weight

    calls()
    monkeypatch.setattr("lamina.inputs.data.prepare", None)
    calls()


@pytest.mark.parametrize("rate", [0.01, lm.schedules.Cosine(0.1, steps=60)], ids=["constant", "scheduled"])
@pytest.mark.filterwarnings("ignore")
def test_what_callbacks_do_between_batches_holds_for_the_next_one(rate, monkeypatch, rng):
    x, y = rng.normal(size=(40, N, 4)).astype("f4"), rng.normal(size=(40, N, 2)).astype("f4")
    x[33] *= 1e30
    batches = list(zip(x, y, strict=True))

    class Between(lm.callbacks.Callback):
        def on_batch_end(self, batch, logs):
            first, last = self.net.layers
            if batch == 5:
                first.trainable = False
            elif batch == 9:
                first.trainable = True
            elif batch == 13:
                self.net.optimizer.lr = 0.003
            elif batch == 17:
                self.net.optimizer.lr = lm.schedules.Step(0.05, every=3)
            elif batch == 21:
                last.weight.value = last.weight.value / 2
            seen.append((logs["loss"], self.net.evaluate(x[0], y[0]), self.net.gradients(x[0], y[0]), first.trainable))

    def trained():
        net = lm.Sequential(lm.Dense(5), lm.Dense(2), seed=0).compile("mse", lm.optim.SGD(rate, momentum=0.9))
        return outcome(lambda: net.fit(batches, callbacks=[Between()], verbose=0)), dict(net.parameters), net.optimizer.steps, seen

    seen = []
    quick = trained()
    assert quick[0][0] is FloatingPointError and "at batch 34 of epoch 1" in quick[0][1] and len(seen) == 33
    seen = []
    monkeypatch.setattr(ways, "call", lambda *args, **named: None)
    np.testing.assert_equal(quick, trained())


def test_a_metric_that_takes_no_weights_is_told_before_anything_is_trained(rng):
    net = lm.Sequential(lm.Dense(2), seed=0).compile("mse", "sgd")
    batches = batches_of(rng.normal(size=(N, 4)), rng.normal(size=(N, 2)), np.ones(N))
    net.fit(batches, metrics=["mae"], verbose=0)
    before = net.optimizer.steps
    with pytest.raises(TypeError, match="as the samples have weights"):
        net.fit(batches, metrics=[lambda y_true, y_pred: 0.0], verbose=0)
    assert net.optimizer.steps == before
