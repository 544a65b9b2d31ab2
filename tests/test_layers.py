"""Layers against plain NumPy: values while training and predicting, first weights, shapes, state, and what a bad call says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, make_dataclass

import numpy as np
import pytest

import lamina as lm
from projection import check_gradient
from running import fill, run

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}  # f32: sums of up to 24 terms of size 1..10, a division and a root


@dataclass
class Case:
    layer: lm.Layer
    shapes: tuple  # of the inputs, without the batch axis
    predict: object  # (parameters, *inputs) -> output in NumPy
    train: object = None  # the same while training, where it differs
    integers: int = 0  # inputs are integers below this


def dense(p, x):
    return x @ p["weight"] + p["bias"]


def batch_norm(p, x, eps=1e-5):
    return (x - p["running_mean"]) / np.sqrt(p["running_var"] + eps) * p["weight"] + p["bias"]


def batch_norm_training(p, x, eps=1e-5):
    rows = tuple(range(x.ndim - 1))
    return (x - x.mean(rows)) / np.sqrt(x.var(rows) + eps) * p["weight"] + p["bias"]


def layer_norm(p, x, eps=1e-5):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * p["weight"] + p["bias"]


ORACLES: dict[str, list] = {
    "Dense": [
        lambda: Case(lm.Dense(3), ((4,),), dense),
        lambda: Case(lm.Dense(3, bias=False), ((4,),), lambda p, x: x @ p["weight"]),
        lambda: Case(lm.Dense(3, "tanh"), ((4,),), lambda p, x: np.tanh(dense(p, x))),
        lambda: Case(lm.Dense(2, lambda z: z * z), ((5, 4),), lambda p, x: dense(p, x) ** 2),
    ],
    "Readout": [
        lambda: Case(lm.Readout(3), ((4,),), dense),
        lambda: Case(lm.Readout(2, l2=0.1, bias=False), ((5, 4),), lambda p, x: x @ p["weight"]),
    ],
    "Activation": [lambda: Case(lm.Activation("relu"), ((4, 2),), lambda p, x: np.maximum(x, 0))],
    "Dropout": [
        lambda: Case(lm.Dropout(0.5), ((6,),), lambda p, x: x),  # its training: test_dropout
        lambda: Case(lm.Dropout(0.0), ((6,),), lambda p, x: x),
    ],
    "BatchNorm": [
        lambda: Case(lm.BatchNorm(), ((4,),), batch_norm, batch_norm_training),
        lambda: Case(
            lm.BatchNorm(eps=0.1), ((3, 4),), lambda p, x: batch_norm(p, x, 0.1), lambda p, x: batch_norm_training(p, x, 0.1)
        ),
        lambda: Case(
            lm.BatchNorm(affine=False),
            ((4,),),
            lambda p, x: (x - p["running_mean"]) / np.sqrt(p["running_var"] + 1e-5),
            lambda p, x: (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5),
        ),
    ],
    "LayerNorm": [
        lambda: Case(lm.LayerNorm(), ((5,),), layer_norm),
        lambda: Case(lm.LayerNorm(eps=0.1), ((2, 5),), lambda p, x: layer_norm(p, x, 0.1)),
        lambda: Case(
            lm.LayerNorm(affine=False),
            ((5,),),
            lambda p, x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5),
        ),
    ],
    "Flatten": [
        lambda: Case(lm.Flatten(), ((2, 3, 4),), lambda p, x: x.reshape(len(x), -1)),
        lambda: Case(lm.Flatten(), ((5,),), lambda p, x: x),
    ],
    "Reshape": [
        lambda: Case(lm.Reshape(4, 3), ((12,),), lambda p, x: x.reshape(-1, 4, 3)),
        lambda: Case(lm.Reshape((4, 3)), ((12,),), lambda p, x: x.reshape(-1, 4, 3)),
        lambda: Case(lm.Reshape(2, -1), ((3, 4),), lambda p, x: x.reshape(-1, 2, 6)),
    ],
    "Embedding": [
        lambda: Case(lm.Embedding(7, 3), ((5,),), lambda p, i: p["weight"][i], integers=7),
        lambda: Case(lm.Embedding(7, 3), ((),), lambda p, i: p["weight"][i], integers=7),
    ],
    "Concatenate": [
        lambda: Case(lm.Concatenate(), ((3,), (4,), (1,)), lambda p, *xs: np.concatenate(xs, -1)),
        lambda: Case(lm.Concatenate(axis=1), ((2, 3), (4, 3)), lambda p, *xs: np.concatenate(xs, 1)),
    ],
    "Add": [lambda: Case(lm.Add(), ((3,), (3,), (3,)), lambda p, a, b, c: a + b + c)],
    "Lambda": [lambda: Case(lm.Lambda(lambda a, b: a * lm.exp(b)), ((3,), (3,)), lambda p, a, b: a * np.exp(b))],
}

CASES = [pytest.param(case, id=f"{name} {i}") for name, cases in ORACLES.items() for i, case in enumerate(cases)]
DETERMINISTIC = [c for c in CASES if c.id != "Dropout 0"]  # test_dropout
REAL = [c for c in CASES if not c.id.startswith("Embedding")]


def test_every_layer_has_an_oracle():
    assert set(ORACLES) == set(lm.layers.CLASSES)


def test_every_layer_is_public():
    assert {*lm.layers.CLASSES} <= {*lm.layers.__all__} & {*lm.__all__}
    assert all(getattr(lm, name) is kind for name, kind in lm.layers.CLASSES.items())


BOTH_MODES = [*((make, False) for make in CASES), *((make, True) for make in DETERMINISTIC)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("make", "training"),
    [pytest.param(m.values[0], t, id=f"{m.id} {'training' if t else 'predicting'}") for m, t in BOTH_MODES],
)
def test_values(make, training, dtype, rng):
    case = make()
    case.layer.dtype = dtype
    kind = "int64" if case.integers else dtype
    inputs = [lm.Input(*shape, dtype=kind) for shape in case.shapes]
    out = case.layer(*inputs)
    parameters = fill(case.layer, rng)
    assert all(p.dtype == dtype for p in case.layer.parameters.values())
    oracle = case.train if training and case.train else case.predict
    for rows in (6, 1, 9) if not training else (6, 9):  # one program for every batch size
        arrays = [
            rng.integers(case.integers, size=(rows, *s)) if case.integers else rng.normal(size=(rows, *s)).astype(dtype)
            for s in case.shapes
        ]
        (got,) = run([out], dict(zip(inputs, arrays, strict=True)), training=training)
        want = oracle(parameters, *(a if case.integers else a.astype(np.float64) for a in arrays))
        assert got.dtype == dtype and got.shape == want.shape
        assert tuple(out.shape[1:]) == want.shape[1:]
        np.testing.assert_allclose(got, want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("make", REAL)
def test_gradients_by_inputs(make, rng):
    """At a fixed batch, in float64."""
    case = make()
    case.layer.dtype = "float64"
    points = [rng.normal(size=(5, *shape)) for shape in case.shapes]
    points = [np.where(np.abs(p) < 0.05, 0.1, p) for p in points]  # away from relu's kink
    case.layer(*(lm.placeholder(p.shape, "float64") for p in points))
    fill(case.layer, rng)
    check_gradient(lambda *xs: case.layer(*xs), points)


# ---- first weights ---------------------------------------------------------------------------------------------------------------


def test_dense_starts_as_pytorch_does(rng):
    layer = lm.Dense(400)
    layer(lm.Input(100))
    for p in layer.parameters.values():
        p.initialize(rng)
        assert p.dtype == "float32"
        assert 0.099 < np.abs(p.value).max() <= 0.1  # U(-1/sqrt(100), 1/sqrt(100)); of 400 values one is within 1% of the end
    assert abs(layer.weight.value.std() - 0.1 / math.sqrt(3)) < 1e-3
    assert layer.weight.shape == (100, 400) and layer.bias.shape == (400,)


def test_other_first_weights(rng):
    layer = lm.Dense(3, weight_init="ones", bias_init=lm.initializers.constant(2.0))
    layer(lm.Input(4))
    for p in layer.parameters.values():
        p.initialize(rng)
    assert np.all(layer.weight.value == 1) and np.all(layer.bias.value == 2)


def test_embedding_and_norms_start(rng):
    table, norm = lm.Embedding(1000, 20), lm.BatchNorm()
    table(lm.Input(3, dtype="int64"))
    norm(lm.Input(4))
    for p in [*table.parameters.values(), *norm.parameters.values()]:
        p.initialize(rng)
    weight = table.weight.value
    assert abs(weight.mean()) < 0.03 and abs(weight.std() - 1) < 0.03  # 20,000 draws: 4 sigma
    assert {n: (p.value.tolist(), p.trainable) for n, p in norm.parameters.items()} == {
        "weight": ([1] * 4, True),
        "bias": ([0] * 4, True),
        "running_mean": ([0] * 4, False),
        "running_var": ([1] * 4, False),
    }


# ---- state and randomness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.1, 0.6, 1.0])
def test_batch_norm_running_statistics(momentum, rng):
    """running = (1 - momentum) running + momentum batch; the variance unbiased; predicting changes nothing."""
    x = lm.Input(2, 3, dtype="float64")
    layer = lm.BatchNorm(momentum=momentum)
    out = layer(x)
    fill(layer, rng)
    mean, var = layer.running_mean.value, layer.running_var.value
    for _ in range(4):
        batch = rng.normal(1, 2, size=(5, 2, 3))
        run([out], {x: batch}, training=True)
        mean = (1 - momentum) * mean + momentum * batch.mean((0, 1))
        var = (1 - momentum) * var + momentum * batch.var((0, 1), ddof=1)
        run([out], {x: batch})
    np.testing.assert_allclose(layer.running_mean.value, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.value, var, rtol=1e-12)


@pytest.mark.parametrize("calls", ["in a row", "side by side", "turned round"])
def test_batch_norm_called_twice(calls, rng, tmp_path):
    """Both calls move the running statistics, in the order in which they were made; so they do in a file's network."""
    layer, x = lm.BatchNorm(momentum=0.25), lm.Input(3, dtype="float64")
    first = layer(x)
    other = first * first if calls == "in a row" else lm.tanh(x) * 2
    second = layer(other)
    net = lm.Model(x, second - first if calls == "turned round" else first + 2 * second, dtype="float64")
    net.build()
    fill(layer, rng)
    net.save(tmp_path / "net.safetensors")
    loaded = lm.load(tmp_path / "net.safetensors")
    for trained in (net, loaded):
        mean, var = (trained.parameters[f"batch_norm_1.running_{name}"] for name in ("mean", "var"))
        p = {name.split(".")[1]: value for name, value in trained.parameters.items()}
        trained.compile("mse", lm.optim.SGD(0.0))
        for _ in range(2):
            batch = rng.normal(1, 2, size=(5, 3))
            trained.train_step(batch, batch)
            normed = batch_norm_training(p, batch)
            for seen in (batch, normed**2 if calls == "in a row" else 2 * np.tanh(batch)):
                mean = 0.75 * mean + 0.25 * seen.mean(0)
                var = 0.75 * var + 0.25 * seen.var(0, ddof=1)
        np.testing.assert_allclose(trained.parameters["batch_norm_1.running_mean"], mean, rtol=1e-10)
        np.testing.assert_allclose(trained.parameters["batch_norm_1.running_var"], var, rtol=1e-10)


def test_batch_norm_of_one_row_stays_finite(rng):
    x = lm.Input(3)
    layer = lm.BatchNorm()
    out = layer(x)
    fill(layer, rng)
    (y,) = run([out], {x: np.ones((1, 3), np.float32)}, training=True)
    np.testing.assert_allclose(y[0], layer.bias.value, rtol=1e-6)
    assert np.all(np.isfinite(layer.running_var.value))


def test_dropout():
    """Elements are 0 or x / (1 - p), in the right share, anew at each step; the gradient has the same mask."""
    p, n = 0.3, 20_000
    x = lm.Input(n)
    out = lm.Dropout(p)(x)
    slope = lm.grad(lm.sum(out), x)
    from lamina import _core as core

    program = core.Program([x.node], [out.node, slope.node], [], True)
    array = np.full((1, n), 2.0, np.float32)
    first, mask = program.run([array])
    second, _ = program.run([array])
    np.testing.assert_allclose(np.unique(first), [0, 2 / (1 - p)], rtol=1e-6)
    np.testing.assert_allclose(mask, first / 2, rtol=1e-6)
    assert abs((first == 0).mean() - p) < 0.015  # sigma is sqrt(p (1 - p) / n) = .0032
    assert not np.array_equal(first, second)


# ---- layers as objects -----------------------------------------------------------------------------------------------------------


def test_a_shared_layer_has_one_set_of_parameters(rng):
    layer, a, b = lm.Dense(3), lm.Input(3, dtype="float64"), lm.Input(3, dtype="float64")
    out = layer(layer(a)) + layer(b)
    assert list(layer.parameters) == ["weight", "bias"]
    p = fill(layer, rng)
    x, y = rng.normal(size=(2, 4, 3))
    np.testing.assert_allclose(run([out], {a: x, b: y})[0], dense(p, dense(p, x)) + dense(p, y), rtol=1e-12)


def test_a_layer_of_ones_own(rng):
    class Scale(lm.Layer):
        def __init__(self, by=2.0):
            self.by = by

        def build(self, x):
            self.weight = self.parameter("weight", np.array(x.shape[-1:]), lm.initializers.ones)  # NumPy's integers are sizes
            self.shift = lm.Parameter(np.zeros(x.shape[-1]), dtype="float64")

        def forward(self, x):
            return self.by * x * self.weight + self.shift

    layer, x = Scale(by=3.0), lm.Input(4, dtype="float64")
    out = layer(x)
    assert list(layer.parameters) == ["weight", "shift"] and layer.config() == {"by": 3.0} and repr(layer) == "Scale(3.0)"
    p, array = fill(layer, rng), rng.normal(size=(5, 4))
    np.testing.assert_allclose(run([out], {x: array})[0], 3 * array * p["weight"] + p["shift"], rtol=1e-12)


def test_nodes_know_their_layer_call():
    layer, x = lm.Dense(3, "relu"), lm.Input(4)
    out = layer(x)
    call = out.node.scope
    assert call.layer is layer and call.inputs[0] is x
    assert call.outputs == (out.node.serial,) and call.shapes == (out.shape,)
    assert x.node.scope is None


def test_several_inputs_may_come_in_a_list():
    a, b = lm.Input(3), lm.Input(3)
    assert tuple(lm.Add()([a, b]).shape[1:]) == (3,)


def test_names():
    layer = lm.Dense(3)
    assert layer.name is None and not layer.named_by_user
    assert layer.named("head") is layer and layer.name == "head" and layer.named_by_user


CONFIGS = {
    lm.Dense(
        3, "relu", weight_init=lm.initializers.he_normal("tanh", mode="fan_out")
    ): "Dense(3, 'relu', weight_init=he_normal('tanh', mode='fan_out'))",
    lm.Dense(3, lm.activations.gelu, bias=False): "Dense(3, gelu, bias=False)",
    lm.Readout(3, l2=0.1): "Readout(3, l2=0.1)",
    lm.Activation("tanh"): "Activation('tanh')",
    lm.Dropout(0.25): "Dropout(0.25)",
    lm.BatchNorm(momentum=0.2): "BatchNorm(momentum=0.2)",
    lm.LayerNorm(affine=False): "LayerNorm(affine=False)",
    lm.Flatten(): "Flatten()",
    lm.Reshape(3, -1): "Reshape(3, -1)",
    lm.Embedding(5, 2): "Embedding(5, 2)",
    lm.Concatenate(1): "Concatenate(1)",
    lm.Add(): "Add()",
}


@pytest.mark.parametrize("layer", CONFIGS, ids=str)
def test_config_makes_an_equal_layer(layer):
    import json

    assert repr(layer) == CONFIGS[layer]
    config = json.loads(json.dumps(layer.config()))
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.config())) == config


def test_every_layer_but_lambda_has_a_config():
    assert {type(layer).__name__ for layer in CONFIGS} == set(lm.layers.CLASSES) - {"Lambda"}


def test_restore():
    layer = lm.Dense(2)
    weight, bias = lm.Parameter(np.ones((3, 2), np.float32)), lm.Parameter(np.zeros(2, np.float32))
    layer.restore({"weight": weight, "bias": bias})
    layer(lm.Input(3))
    assert layer.parameters == {"weight": weight, "bias": bias}


# ---- mistakes --------------------------------------------------------------------------------------------------------------------


def called_twice():
    layer = lm.Dense(3)
    layer(lm.Input(4))
    layer.name = "dense_2"
    return layer(lm.Input(5))


MISTAKES = {
    "arrays": (
        lambda: lm.Dense(3)(np.ones((2, 3))),
        TypeError,
        "[Dense(3)] expected tensors, got ndarray; call the layer on lm.Input",
    ),
    "other features": (called_twice, ValueError, "[dense_2] expected 4 inputs, got 5"),
    "integers": (
        lambda: lm.Dense(3)(lm.Input(4, dtype="int64")),
        TypeError,
        "[Dense(3)] expected floating-point inputs, got int64",
    ),
    "no features": (lambda: lm.Dense(3)(lm.Input()), ValueError, "[Dense(3)] expected an input of shape (batch, ..., features)"),
    "units": (lambda: lm.Dense(0), ValueError, "[Dense] expected units >= 1, got 0"),
    "l2": (lambda: lm.Readout(1, l2=-1), ValueError, "[Readout] expected l2 to be a number >= 0, got -1"),
    "units of bool": (lambda: lm.Dense(True), TypeError, "[Dense] expected units to be a whole number >= 1, got True"),
    "units of float": (lambda: lm.Dense(3.0), TypeError, "[Dense] expected units to be a whole number >= 1, got 3.0"),
    "bias": (lambda: lm.Dense(3, bias=0.5), TypeError, "[Dense] expected bias to be True or False, got 0.5"),
    "activation": (lambda: lm.Dense(3, "rellu"), ValueError, "[activations] unknown name 'rellu'; did you mean 'relu'?"),
    "activation type": (lambda: lm.Dense(3, 7), TypeError, "[Dense] expected an activation after units, got 7"),
    "dropout": (lambda: lm.Dropout(1.0), ValueError, "[Dropout] expected p to be a number in [0, 1), got 1.0"),
    "momentum": (lambda: lm.BatchNorm(momentum=2), ValueError, "[BatchNorm] expected momentum to be a number in [0, 1], got 2"),
    "eps": (lambda: lm.LayerNorm(eps=-1), ValueError, "[LayerNorm] expected eps to be a number >= 0, got -1"),
    "reshape": (lambda: lm.Reshape(5)(lm.Input(6)), ValueError, "[Reshape(5)] expected samples of 5 elements"),
    "reshape of two unknowns": (lambda: lm.Reshape(-1, -1), ValueError, "[Reshape] expected sizes > 0 and at most one -1"),
    "embedding": (
        lambda: lm.Embedding(5, 2)(lm.Input(3)),
        TypeError,
        "[Embedding(5, 2)] expected integers from 0 to 4, got float32",
    ),
    "embedding's dtype": (
        lambda: lm.Embedding(5, 2, dtype="int64"),
        ValueError,
        "[Embedding] expected dtype to be one of 'float32', 'float64', got 'int64'",
    ),
    "concatenate of the batch": (lambda: lm.Concatenate(0), ValueError, "[Concatenate] expected an axis of the samples, got 0"),
    "the batch from the end": (
        lambda: lm.Concatenate(-2)(lm.Input(3), lm.Input(3)),
        ValueError,
        "[Concatenate(-2)] expected tensors of equally many axes with an axis -2 after the batch",
    ),
    "concatenate of one": (
        lambda: lm.Concatenate()(lm.Input(3)),
        ValueError,
        "[Concatenate()] expected at least two tensors, got 1",
    ),
    "add": (lambda: lm.Add()(lm.Input(3), lm.Input(1)), ValueError, "[Add()] expected tensors of one shape"),
    "lambda": (lambda: lm.Lambda(3), TypeError, "[Lambda] expected a function of tensors, got 3"),
    "lambda without tensor": (lambda: lm.Lambda(lambda x: 3)(lm.Input(3)), TypeError, "expected tensors from forward, got int"),
    "an input too many": (
        lambda: lm.Dense(3)(lm.Input(2), lm.Input(2)),
        TypeError,
        "[Dense(3)] expected tensors for forward(x), got 2; call the layer on as many as it takes",
    ),
    "no input": (lambda: lm.Dropout()(), TypeError, "[Dropout()] expected tensors for forward(x), got 0"),
    "no forward": (lambda: lm.Layer()(lm.Input(3)), TypeError, "[Layer()] expected a method forward"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    call, kind, text = MISTAKES[name]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


def test_a_failed_build_leaves_the_layer_new():
    layer = lm.Dense(3)
    with pytest.raises(TypeError, match=r"\[Dense\(3\)\] expected floating-point inputs, got int64"):
        layer(lm.Input(4, dtype="int64"))
    assert not layer.built and layer.parameters == {}
    assert tuple(layer(lm.Input(4)).shape[1:]) == (3,)


@dataclass
class Scaled(lm.Layer):
    by: float
    twice: bool = False

    def forward(self, x):
        return x * (2 * self.by if self.twice else self.by)


@dataclass
class Rows(lm.Dense):
    units: int
    bound: float = 1.0

    def __post_init__(self):
        super().__init__(self.units, "tanh")

    def forward(self, x):
        return self.bound * super().forward(x)


@dataclass
class Power(lm.losses.Loss):
    p: float = 3.0

    def elements(self, pred, target):
        return abs(pred - target) ** self.p


@dataclass
class Momentum(lm.optim.Optimizer):
    lr: float = 0.1
    beta: float = 0.9
    slots = ("m",)

    def __post_init__(self):
        super().__init__(self.lr)

    def update(self, w, g, state, lr, t):
        m = self.beta * state["m"] + g
        return w - lr * m, {"m": m}


@dataclass
class Falling(lm.schedules.Schedule):
    first: float = 0.1

    def rate(self, t):
        return self.first / (1 + t)


@dataclass
class Notes(lm.callbacks.Callback):
    every: int = 1
    seen: list = field(default_factory=list, init=False)

    def on_epoch_end(self, epoch, logs):
        self.seen.append(epoch)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        *((Scaled, {"by": 3.0, "twice": True}), (Rows, {"units": 4, "bound": 2.0}), (Power, {"p": 2.0})),
        *((Momentum, {"lr": 0.2, "beta": 0.5}), (Falling, {"first": 0.2}), (Notes, {"every": 2})),
    ],
)
def test_a_dataclass_has_its_fields_as_its_config(kind, config):
    made = kind(**config)
    assert made.config() == config
    again = kind.from_config(made.config())
    assert again is not made and again.config() == config and repr(again) == repr(made)


def test_networks_of_dataclasses_train_and_keep_what_they_were_made_with():
    x = np.ones((4, 2))
    net, notes = lm.Sequential(Scaled(3.0, twice=True), Rows(2), seed=0), Notes()
    net.fit(x, x, loss=Power(2.0), optimizer=Momentum(Falling(0.2)), epochs=2, callbacks=notes, verbose=0)
    assert notes.seen == [0, 1] and net.optimizer.config()["lr"] == {"class": "Falling", "config": {"first": 0.2}}
    assert [layer.config() for layer in net.layers] == [{"by": 3.0, "twice": True}, {"units": 2, "bound": 1.0}]
    with pytest.raises(AttributeError, match=r"expected p to stay"):
        net.loss.p = 4.0


@pytest.mark.parametrize("base", [lm.Layer, lm.Dense, lm.optim.Optimizer, lm.callbacks.Callback], ids=lambda c: c.__name__)
def test_a_frozen_dataclass_that_has_to_change_is_refused(base):
    """A layer gets a name, an optimizer a state: what never changes may be frozen."""
    with pytest.raises(TypeError, match=r"^\[Mine\] expected a dataclass that takes .*, got a frozen one; write @dataclass$"):
        make_dataclass("Mine", [("k", int, 3)], bases=(base,), frozen=True)()
    falls = make_dataclass(
        "Falls", [("first", float, 0.5)], bases=(lm.schedules.Schedule,), namespace={"rate": Falling.rate}, frozen=True
    )
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(falls()))
    assert net.train_step(np.ones((4, 2)), np.ones((4, 1))) > 0


@pytest.mark.parametrize(
    "base", [lm.Dense, lm.losses.MSE, lm.optim.Optimizer, lm.callbacks.EarlyStopping], ids=lambda c: c.__name__
)
def test_a_dataclass_that_leaves_out_the_constructor_of_its_base_is_refused(base):
    mine = make_dataclass("Mine", [("k", int, 3)], bases=(base,))
    with pytest.raises(TypeError, match=r"^\[Mine\] expected a __post_init__ that calls super\(\).__init__, .*; write one"):
        mine()


def test_what_the_constructors_of_a_layer_of_ones_own_take_stays_once_it_is_built():
    class Mine(lm.Dense):
        def __init__(self, units, by=1.0, name=None):
            super().__init__(units)
            self.by, self.calls = by, 0
            self.name = name

        def forward(self, x):
            self.by, self.calls = self.by * 1.0, self.calls + 1
            return super().forward(x) * self.by

    layer = Mine(2, 3.0)
    layer.by = 4.0
    net = lm.Sequential(layer, seed=0).build(3)
    for name, value in (("by", 5.0), ("units", 7), ("activation", "relu"), ("use_bias", False), ("dtype", "float64")):
        with pytest.raises(AttributeError, match=rf"^\[mine_1\] expected {name} to stay as the network was built, .*; make a new"):
            setattr(layer, name, value)
    layer.by, layer.units, layer.name, layer.calls, layer.trainable = 4.0, 2, "head", 9, False
    assert net.layers[0].name == "head" and layer(lm.Input(3)).shape[1:] == (2,) and layer.calls == 10


@pytest.mark.parametrize(
    ("layer", "name", "value", "as_made"),
    [
        (lambda: lm.Dense(3), "units", 7, lm.Dense(7)),
        (lambda: lm.Dense(3, "relu"), "activation", "tanh", lm.Dense(3, "tanh")),
        (lambda: lm.Dense(3), "bias", False, lm.Dense(3, bias=False)),
        (lambda: lm.Dense(3), "use_bias", False, lm.Dense(3, bias=False)),
        (lambda: lm.Dense(3), "weight_init", "ones", lm.Dense(3, weight_init="ones")),
        (lambda: lm.Dropout(0.5), "p", 0.1, lm.Dropout(0.1)),
        (lambda: lm.Reshape(4), "shape", (2, 2), lm.Reshape(2, 2)),
        (lambda: lm.Reshape(2, 2), "shape", 4, lm.Reshape(4)),
    ],
)
def test_what_is_assigned_before_the_first_call_is_as_if_the_layer_had_been_made_with_it(layer, name, value, as_made, tmp_path):
    changed = layer().named("head")
    setattr(changed, name, value)
    assert repr(changed) == repr(as_made) and changed.config() == as_made.config() and changed.name == "head"
    net, other = (lm.Sequential(one, seed=0).build(4) for one in (changed, as_made))
    assert [a.shape for a in net.parameters.values()] == [a.shape for a in other.parameters.values()]
    net.save(tmp_path / "net")
    assert repr(lm.load(tmp_path / "net").layers[0]) == repr(as_made)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda: lm.Dense(3), "units", -1),
        (lambda: lm.Dense(3), "activation", 1),
        (lambda: lm.Dense(3), "bias", "no"),
        (lambda: lm.Dropout(), "p", 1.0),
        (lambda: lm.BatchNorm(), "eps", -1),
        (lambda: lm.LayerNorm(), "eps", None),
        (lambda: lm.Reshape(4), "shape", "x"),
    ],
)
def test_what_a_constructor_refuses_cannot_be_assigned_before_the_first_call_either(make, name, value):
    layer = make()
    before = repr(layer), dict(vars(layer))
    with pytest.raises((TypeError, ValueError), match=rf"^\[{type(layer).__name__}\] expected .* got .*; "):
        setattr(layer, name, value)
    assert (repr(layer), vars(layer)) == before


def test_a_layer_whose_build_failed_begins_anew():
    class Half(lm.Layer):
        def build(self, x):
            self.weight = self.parameter("weight", x.shape[1:], "ones")
            if x.shape[-1] == 2:
                raise ValueError("expected another width, got 2; pass 3")

        def forward(self, x):
            return x * self.weight

    layer = Half()
    with pytest.raises(ValueError, match="expected another width"):
        layer(lm.Input(2))
    assert layer(lm.Input(3, dtype="float64")).dtype == layer.weight.dtype == "float64"


def test_an_error_of_a_class_of_ones_own_passes_a_layer_as_it_is():
    class Mine(ValueError):
        pass

    error = Mine("mine")

    def fail(x):
        raise error

    with pytest.raises(Mine) as caught:
        lm.Lambda(fail)(lm.Input(2))
    assert caught.value is error


@pytest.mark.filterwarnings("ignore:.LayerNorm. expected several features")
@pytest.mark.parametrize("make", [lm.BatchNorm, lambda: lm.BatchNorm(affine=False), lm.LayerNorm, lambda: lm.Dense(2)])
def test_a_layer_is_not_stretched_over_more_features(make):
    layer = make()
    layer(lm.Input(1))
    with pytest.raises(ValueError, match=r"expected 1 inputs, got 3 \(shape \(B, 3\)\)"):
        layer(lm.Input(3))
