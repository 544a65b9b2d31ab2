"""Bad input to functions, layers, losses, optimizers and networks that are being made: what the message of each mistake holds.

A row is (what is called, parts that the message must hold).
"""

from __future__ import annotations

import copy
import pickle
from unittest.mock import Mock

import numpy as np
import pytest

import lamina as lm
from mistakes import CLASSES, FEATURES, ONES, N, X, Y, check_message, classifier, fit_with, regressor

P = lm.placeholder((N, FEATURES))
PAIR, WHOLE, TRUTH = lm.placeholder((2,)), lm.placeholder((2,), "int64"), lm.placeholder((2,), "bool")
W = lm.Parameter(np.zeros(3))


class Alone(lm.optim.Optimizer):
    def __init__(self):
        self.rate = 1.0


class ShortUpdate(lm.optim.Optimizer):
    def update(self, w, g):
        return w - g, {}


def foreign(value):
    """A function of another library, as far as its module says."""


foreign.__module__ = "torch.nn.functional"
ONE_HIDDEN = np.ma.masked_array([1.0, 2.0], [True, False])


class ToZeros(lm.optim.Optimizer):
    def update(self, w, g, state, lr, t):
        return np.zeros(tuple(w.shape)), {}


class ByPlace(lm.Layer):
    def __init__(self, units, /):
        self.units = units


class WithOptions(lm.Layer):
    def __init__(self, units, **options):
        self.units = units


class WithoutConstructor(lm.Layer):
    def forward(self, x):
        return x


class PassesOn(lm.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)


def all_frozen(net: lm.Sequential) -> lm.Sequential:
    net.trainable = False
    return net


def with_two_outputs(**options) -> None:
    x = lm.Input(FEATURES)
    net = lm.Model(x, {"size": lm.Dense(1)(x), "kind": lm.Dense(CLASSES)(x)}, seed=0)
    net.fit(
        X, {"size": X[:, 0], "kind": Y}, **{"loss": {"size": "mse", "kind": "cross_entropy"}, **options}, optimizer="sgd", verbose=0
    )


def made_twice() -> None:
    x = lm.Input(2)
    u = lm.Dense(1)(lm.concatenate([x[:, :1], x[:, 1:]], 1))
    lm.grad(lm.sum(u), x[:, :1])


FREE = {
    "a slice made twice": (made_twice, ["[grad] expected a tensor that y is computed from", "second slice", "make it once"]),
    "layers in a list": (lambda: lm.Sequential([lm.Dense(1)]), ["Sequential(*layers)"]),
    "a layer's class": (lambda: lm.Sequential(lm.Dense), ["write Dense(...)"]),
    "an activation's name as a layer": (lambda: lm.Sequential("relu"), ["Activation('relu')"]),
    "a function as a layer": (lambda: lm.Sequential(lm.relu), ["Lambda(function)"]),
    "a layer that was not called": (lambda: lm.Model(lm.Input(3), lm.Dense(3)), ["as output", "lm.Dense(3)(x)"]),
    # what comes from other libraries
    "Keras's cross-entropy": (lambda: fit_with("sparse_categorical_crossentropy"), ["did you mean 'cross_entropy'"]),
    "Keras's order of compile": (
        lambda: lm.Sequential(lm.Dense(1)).compile("adam", "mse"),
        ["[compile] expected a loss first, got the optimizer 'adam'", "compile(loss, optimizer)"],
    ),
    "PyTorch's sizes of a layer": (lambda: lm.Dense(4, 8), ["[Dense] expected an activation after units, got 8", "from the data"]),
    "PyTorch's parameters": (lambda: classifier().parameters(), ["[parameters]", "without parentheses", "optimizer"]),
    "an activation as a layer": (lambda: lm.Sequential(lm.activations.relu), ["write Activation('relu')"]),
    "Keras's size of the input": (lambda: lm.Dense(8, input_shape=(4,)), ["got the argument 'input_shape'", "from the data"]),
    "Keras's bias": (
        lambda: lm.Dense(8, use_bias=False),
        ["[Dense] expected Dense(units, activation=None", "did you mean 'bias'?"],
    ),
    "PyTorch's axis of Flatten": (lambda: lm.Flatten(start_dim=1), ["[Flatten] expected Flatten(), got the argument 'start_dim'"]),
    "a number for what takes nothing": (lambda: lm.Add(1), ["[Add] expected Add(), got too many", "call it with nothing"]),
    "the value of zeros": (lambda: lm.initializers.zeros(3), ["[zeros] expected zeros(), got too many", "with nothing"]),
    "an argument for a layer without a constructor": (
        lambda: WithoutConstructor(name="head"),
        ["[WithoutConstructor] expected WithoutConstructor(), got the argument 'name'", "layer.named('head')"],
    ),
    "options that no base takes": (
        lambda: PassesOn(3, name="head"),
        ["[PassesOn] expected its __init__ to call super().__init__() with nothing, got name; leave it out"],
    ),
    "Keras's rate of dropout": (lambda: lm.Dropout(rate=0.2), ["[Dropout] expected Dropout(p=0.5)", "did you mean 'p'?"]),
    "Keras's learning rate": (lambda: lm.optim.Adam(learning_rate=0.1), ["[Adam] expected Adam(lr=0.001", "did you mean 'lr'?"]),
    "Keras's rest of the best": (
        lambda: lm.callbacks.EarlyStopping(restore_best_weights=True),
        ["[EarlyStopping] expected EarlyStopping(monitor='val_loss'", "did you mean 'restore_best'?"],
    ),
    "Keras's name of a log": (
        lambda: lm.callbacks.CSVLogger(filename="log.csv"),
        ["[CSVLogger] expected CSVLogger(path, *, append=False), got the argument 'filename'", "did you mean 'path'?"],
    ),
    "a log without a name": (
        lambda: lm.callbacks.CSVLogger(),
        ["[CSVLogger] expected CSVLogger(path", "missing a required argument"],
    ),
    # functions
    "Keras's slope": (lambda: lm.activations.leaky_relu(X, alpha=0.2), ["[leaky_relu]", "'alpha'", "did you mean 'slope'?"]),
    "PyTorch's dim of an activation": (lambda: lm.activations.softmax(X, dim=-1), ["[softmax]", "did you mean 'axis'?"]),
    "PyTorch's relu in place": (lambda: lm.activations.relu(X, inplace=True), ["[relu] expected relu(x)", "leave it out"]),
    "PyTorch's other gelu": (lambda: lm.activations.gelu(X, approximate="tanh"), ["lm.activations.gelu_tanh"]),
    "NumPy's name of a value": (lambda: lm.full(shape=(2,), fill_value=1.0), ["[full]", "did you mean 'value'?"]),
    "NumPy's start": (lambda: lm.arange(start=2, stop=10), ["[arange] expected arange(n", "start + step * lm.arange(n)"]),
    "a shape that is drawn": (lambda: lm.random_uniform(shape=(2,)), ["[random_uniform]", "its shape is that of x"]),
    "zeros of another type": (lambda: lm.zeros_like(X, dtype="int64"), ["[zeros_like] expected zeros_like(x)", "'dtype'"]),
    "nothing to stop": (lambda: lm.stop_gradient(), ["[stop_gradient] expected stop_gradient(x), missing"]),
    "NumPy's order of products": (lambda: lm.einsum("i,i", X[0], X[0], optimize=True), ["[einsum]", "'optimize'", "leave it out"]),
    **{
        f"a network as a list, {how}": (call, ["[Sequential] expected a list of layers, got the network", "net.layers"])
        for how, call in {
            "by a number": lambda: classifier()[0],
            "by a name": lambda: classifier()["dense_1"],
            "in a loop": lambda: [layer for layer in classifier()],  # noqa: C416
            "after a star": lambda: lm.Sequential(*classifier(), lm.Dense(1)),
        }.items()
    },
    "NumPy's stop": (
        lambda: lm.arange(2, 10),
        ["[arange] expected bool, int64", "as dtype, got 10", "start + step * lm.arange(n)"],
    ),
    "NumPy's columns": (lambda: lm.eye(3, 4), ["[eye] expected bool, int64", "as dtype, got 4", "square", "lm.eye(4)[:3]"]),
    "half an identity": (lambda: lm.eye(3, "float16"), ["[eye] expected bool, int64", "got float16; pass dtype='float32'"]),
    "a half input": (lambda: lm.Input(3, dtype="float16"), ["[Input] expected bool, int64", "got float16; cast the data first"]),
    "a half parameter": (lambda: lm.Parameter(ONES, dtype="float16"), ["[Parameter] expected bool, int64", "got float16"]),
    "a parameter's name": (lambda: lm.Parameter(ONES, name=3), ["[Parameter] expected a text as name, got 3"]),
    "an input's name": (lambda: lm.Input(8, name=3), ["[Input] expected a text as name, got 3; pass one such as 'x'"]),
    "a placeholder's name": (lambda: lm.placeholder((8,), name=3), ["[placeholder] expected a text as name, got 3"]),
    "an array as a shape that does not fit": (
        lambda: lm.reshape(ONES, np.array([5, 2])),
        ["[reshape] (12,)", "do not fill (5, 2); pass a shape of as many elements, with -1 for one length"],
    ),
    **{
        f"{name} of several lengths": (
            call,
            [f"[{where}] expected an array, or lists of equal lengths, got [[1], [1, 2]]; pad the"],
        )
        for name, where, call in (
            ("weights of a metric of values", "mae", lambda: lm.metrics.mae(Y, Y, [[1], [1, 2]])),
            ("weights of a metric of classes", "accuracy", lambda: lm.metrics.accuracy(Y, Y, [[1], [1, 2]])),
            ("ones like rows", "ones_like", lambda: lm.ones_like([[1], [1, 2]])),
            ("zeros like rows", "zeros_like", lambda: lm.zeros_like([[1], [1, 2]])),
            ("what is no gradient's", "stop_gradient", lambda: lm.stop_gradient([[1], [1, 2]])),
            ("the size of rows", "size", lambda: lm.size([[1], [1, 2]])),
        )
    },
    "repeats of several lengths": (lambda: lm.repeat(ONES, [[1], [1, 2]]), ["[repeat] expected repeats to be a whole number >= 0"]),
    "places of several lengths": (
        lambda: lm.split(ONES, [[1], [1, 2]]),
        ["[split] expected a place to be a whole number, got [1]"],
    ),
    "an index of several lengths": (
        lambda: lm.ops.getitem(X, [[0, 1], [2]]),
        ["[index] expected an array, or lists of equal lengths, got [[0, 1], [2]]; pad the shorter ones"],
    ),
    "a configuration as JSON": (
        lambda: lm.Dense.from_config('{"units": 3}'),
        ["[Dense] expected a dict of arguments by name, as config() gives it, got '{\"units\": 3}'; pass one"],
    ),
    "a dict as an axis": (lambda: lm.sum(X, axis={}), ["[sum] expected a whole number, several or None as axis, got {}", "axis=0"]),
    "an empty text as an axis": (lambda: lm.sum(P, axis=""), ["[sum] expected a whole number, several or None as axis, got ''"]),
    "a dict as the axis of rows": (lambda: lm.softmax(X, axis={}), ["[softmax] expected an axis from -2 to 1, got {}"]),
    "a dict as a number of classes": (lambda: lm.one_hot(Y, {}), ["[one_hot] expected classes to be a whole number >= 0, got {}"]),
    "Keras's mode of a layer": (
        lambda: lm.Dropout(0.2)(lm.Input(3), training=True),
        ["[Dropout(0.2)] expected inputs alone, got the argument 'training'", "net.predict does not"],
    ),
    "a layer's input by name": (lambda: lm.Dense(2)(x=lm.Input(3)), ["[Dense(2)] expected inputs alone, got the argument 'x'"]),
    "PyTorch's dim of a method": (lambda: P.sum(dim=0), ["[sum] expected sum(axis=None", "did you mean 'axis'?"]),
    "a shape by its name": (lambda: P.reshape(shape=(-1,)), ["[reshape] expected reshape(*shape)", "pass it by its place"]),
    "a loss's option, given to the loss": (
        lambda: lm.losses.huber(delta=2),
        ["[Huber()] expected Huber()(pred, target, weight=None), got the argument 'delta'", "lm.losses.Huber(delta=...)"],
    ),
    "PyTorch's reduction": (lambda: lm.losses.mse(reduction="sum"), ["'reduction'; a loss is the mean over what counts"]),
    "complex numbers": (lambda: lm.linalg.inv(np.eye(2) + 1j), ["expected real numbers", "complex128", ".real and .imag"]),
    "a loss that is called to be made": (
        lambda: lm.losses.mse(),
        ["[MSE()] expected predictions and targets, got a call of nothing"],
    ),
    "a network of nothing": (lambda: lm.Sequential(lm.Dense(1))(), ["[Sequential] expected an input, got none", "net(x)"]),
    "masked values": (
        lambda: lm.exp(np.ma.masked_array([1.0, 2.0], [True, False])),
        ["[exp] expected an array without masked values, got a masked array", "x.filled(value)"],
    ),
    "a network told not to train": (
        lambda: lm.Sequential(lm.Dense(1))(X, training=False),
        ["[Sequential] expected inputs alone, got the argument 'training'", "net.predict(x) predict"],
    ),
    "a network of one input, called with two": (
        lambda: lm.Sequential(lm.Dense(1))(X, X),
        ["[Sequential] expected 1 input, got 2; pass all rows in one array"],
    ),
    "a loss without a target": (lambda: lm.losses.mse(X), ["[MSE()] expected MSE()(pred, target", "required argument: 'target'"]),
    "PyTorch's dim": (lambda: lm.sum(X, dim=1), ["[sum] expected sum(x, axis=None, keepdims=False)", "did you mean 'axis'?"]),
    "PyTorch's dim, of a tensor": (lambda: lm.softmax(P, dim=1), ["expected softmax(x, axis=-1)", "did you mean 'axis'?"]),
    "PyTorch's keepdim": (lambda: lm.mean(X, 0, keepdim=True), ["[mean] expected mean(x, ", "did you mean 'keepdims'?"]),
    "arrays one by one": (
        lambda: lm.concatenate(X, X),
        ["[concatenate] expected all tensors in one list", "write concatenate([a, b])"],
    ),
    "tensors one by one": (lambda: lm.stack(lm.Input(3), lm.Input(3)), ["[stack] expected all tensors in one list"]),
    "PyTorch's dim of a list": (lambda: lm.concatenate([X, X], dim=1), ["expected concatenate(tensors, axis=0)", "mean 'axis'?"]),
    "an operand too few": (lambda: lm.add(X), ["[add] expected add(a, b), missing a required argument: 'b'"]),
    "an operand too many": (lambda: lm.add(X, X, X), ["[add] expected add(a, b), got too many positional arguments"]),
    "a rate for fit": (
        lambda: lm.Sequential(lm.Dense(1)).fit(X, Y, lr=0.1),
        [
            "[fit] expected fit(x, y=None, *, loss=None",
            "got the argument 'lr'; it is the optimizer's: optimizer=lm.optim.Adam(lr=1e-3)",
        ],
    ),
    "Keras's steps of an epoch": (
        lambda: classifier().fit(iter([(X, Y)]), steps_per_epoch=10),
        ["got the argument 'steps_per_epoch'; an epoch is all that x gives", "itertools.islice(generator, 10)"],
    ),
    "an option of other optimizers": (
        lambda: lm.optim.LevenbergMarquardt(clip_norm=1.0),
        ["got the argument 'clip_norm'; leave it out"],
    ),
    "scikit-learn's early_stopping": (lambda: fit_with("mse", early_stopping=True), ["pass callbacks=lm.callbacks.EarlyStopping("]),
    "scikit-learn's random_state": (lambda: lm.Sequential(random_state=0), ["'random_state'; did you mean 'seed'?"]),
    "scikit-learn's random_state of fit": (lambda: fit_with("mse", random_state=0), ["each network has a seed of its own"]),
    "a shape that is no tuple": (lambda: lm.Sequential(lm.Flatten()).build(28, 28), ["the shape is one argument: build((28, 28))"]),
    "MATLAB's logsig": (lambda: lm.Dense(1, "logsig"), ["did you mean 'sigmoid'?"]),
    "MATLAB's purelin": (lambda: lm.Dense(1, "purelin"), ["did you mean 'linear'?"]),
    "MATLAB's trainbr": (lambda: lm.optim.get("trainbr"), ["'trainbr'; write lm.optim.LevenbergMarquardt(bayesian=True). Known: "]),
    "MATLAB's traingdx": (lambda: lm.optim.get("traingdx"), ["did you mean 'sgd'?"]),
    "MATLAB's trainscg": (lambda: lm.optim.get("trainscg"), ["did you mean 'lbfgs'?"]),
    "MATLAB's time": (lambda: lm.optim.LevenbergMarquardt(time=60), ["got the argument 'time'; did you mean 'max_seconds'?"]),
    "MATLAB's epochs": (lambda: lm.optim.LevenbergMarquardt(epochs=9), ["'epochs'; it is fit's: net.fit(..., epochs=1000"]),
    "MATLAB's goal": (lambda: fit_with("mse", goal=1e-6), ["'goal'; it is the optimizer's: ", "LevenbergMarquardt(goal=1e-6)"]),
    "scikit-learn's epochs": (lambda: fit_with("mse", max_iter=3), ["got the argument 'max_iter'; did you mean 'epochs'?"]),
    "compile without an optimizer": (
        lambda: lm.Sequential(lm.Dense(1)).compile("mse"),
        ["[compile] expected compile(loss, optimizer, metrics=(), *, loss_weights=None), missing", "'optimizer'"],
    ),
    "Keras's verbose": (lambda: classifier().evaluate(X, Y, verbose=0), ["[evaluate] expected evaluate(x, y=None", "'verbose'"]),
    "PyTorch's weight that stays": (
        lambda: lm.Parameter((2, 2), requires_grad=False),
        ["[Parameter] expected Parameter(value_or_shape", "did you mean 'trainable'?"],
    ),
    "a placeholder's type": (lambda: lm.placeholder((2,), type="int64"), ["[placeholder] expected placeholder(shape, dtype="]),
    "NumPy's clip": (lambda: lm.clip(X, a_min=0, a_max=1), ["[clip] expected clip(x, low, high)", "did you mean 'low'?"]),
    "Keras's model": (lambda: lm.Model(input=P, output=P), ["[Model] expected Model(inputs, outputs, *", "did you mean 'inputs'?"]),
    "Keras's name of a net": (
        lambda: lm.Sequential(name="a"),
        ["[Sequential] expected Sequential(*layers, seed=None", "'name'; a network has no name"],
    ),
    "Keras's build": (
        lambda: lm.Sequential(lm.Dense(1)).build(input_dim=3),
        ["[build] expected build(input_shape=None, *, dtype=None)", "did you mean 'input_shape'?"],
    ),
    "load without a path": (lambda: lm.load(), ["[load] expected load(path), missing a required argument: 'path'"]),
    "scikit-learn's accuracy": (
        lambda: lm.metrics.accuracy(Y, Y, normalize=False),
        ["[accuracy] expected accuracy(y_true, y_pred, sample_weight=None, *, threshold=0.0), got the argument 'normalize'"],
    ),
    "grad of nothing": (lambda: lm.grad(P), ["[grad] expected grad(y, xs, seed=None), missing a required argument: 'xs'"]),
    "Keras's shape of an input": (lambda: lm.Input(shape=(4,)), ["[Input] expected Input(*shape", "lm.Input(8), lm.Input(28, 28)"]),
    "Keras's sizes of an Embedding": (
        lambda: lm.Embedding(input_dim=9, output_dim=4),
        ["got the argument 'input_dim'; did you mean 'num_embeddings'?"],
    ),
    "PyTorch's length of a schedule": (
        lambda: lm.schedules.Cosine(1e-3, T_max=30),
        ["[Cosine] expected Cosine(lr, steps, ", "got the argument 'T_max'; did you mean 'steps'?"],
    ),
    "an argument that nothing is like": (
        lambda: lm.Lambda(lm.relu, output_shape=(4,)),
        ["got the argument 'output_shape'; leave it"],
    ),
    "an array as a batch size": (
        lambda: classifier().predict(X, np.zeros((99, 9))),
        ["got an array of shape (99, 9); pass an int"],
    ),
    "an option by its place": (
        lambda: lm.optim.SGD(0.1, 0.9),
        ["[SGD] expected SGD(lr=0.001, *, momentum=0.0", "got too many positional arguments; name what stands after the star"],
    ),
    "a hook that there is not": (lambda: lm.callbacks.LambdaCallback(on_epoch=print), ["did you mean 'on_epoch_end'?"]),
    "scikit-learn's k": (lambda: lm.metrics.top_k(Y, X, 3), ["a sample_weight for each of", "got 3;", "options by their names"]),
    "an option twice": (lambda: lm.optim.Adam(0.1, lr=0.2), ["got multiple values for argument 'lr'", "each once"]),
    "Keras's decay of a rate": (lambda: lm.optim.Adam(decay=1e-6), ["got the argument 'decay'; a rate that decays is a schedule"]),
    "a place by its name": (lambda: ByPlace(units=3), ["[ByPlace] expected ByPlace(units, /), got 'units' by its name;"]),
    "options alone": (lambda: WithOptions(size=3), ["WithOptions(units, **options), missing a required argument: 'units'"]),
    "a loss of one's own, called without weights": (
        lambda: lm.losses.get(type("L1", (lm.losses.Loss,), {"__call__": lambda self, p, t: lm.mean(abs(p - t))})),
        ["[L1()] expected __call__(pred, target, weight), got (p, t); write elements(pred, target)"],
    ),
    "elements of a prediction alone": (
        lambda: lm.losses.get(type("L1", (lm.losses.Loss,), {"elements": lambda self, p: abs(p)})),
        ["[L1()] expected elements(self, pred, target), got (p); give it these parameters"],
    ),
    **{
        f"elements that are {name}": (
            lambda f=f: type("L1", (lm.losses.Loss,), {"elements": lambda self, p, t: f(p - t)})()(X, X),
            ["[L1()] expected elements of shape (batch, ...), got " + got, "leave the mean to the loss"],
        )
        for name, f, got in (("a sum", lm.sum, "()"), ("none", lambda t: None, "None"), ("a row", lambda t: lm.sum(t, 0), "(4,)"))
    },
    **{
        f"an update with {name}": (
            lambda d=definitions: fit_with("cross_entropy", optimizer=type("Own", (lm.optim.Optimizer,), d)(0.1)),
            messages,
        )
        for name, definitions, messages in (
            (
                "the name of a slot alone",
                {"slots": "m"},
                ["[optim.Own] expected the names of slots, got 'm'; write slots = ('m',)"],
            ),
            (
                "a slot of another shape",
                {"slots": ("m",), "update": lambda self, w, g, state, lr, t: (w, {"m": lm.sum(g)})},
                ["[optim.Own] expected float32 of shape", "from update for dense_1.weight.m, got float32 of shape ()"],
            ),
            (
                "a weight of another type",
                {"update": lambda self, w, g, state, lr, t: (lm.cast(w, "float64"), {})},
                ["[optim.Own] expected float32 of shape", "from update for dense_1.weight, got float64 of shape"],
            ),
        )
    },
    "PyTorch's class as a loss": (
        lambda: lm.Sequential(lm.Dense(1)).compile(lm.optim.Adam, "mse"),
        ["[compile] expected a loss first, got the optimizer"],
    ),
    "no units": (lambda: lm.Dense(), ["[Dense] expected Dense(units, ", "missing a required argument: 'units'"]),
    "Keras's square": (lambda: fit_with("mean_squared_error"), ["did you mean 'mse'"]),
    "PyTorch's initializer": (lambda: lm.Dense(1, weight_init="kaiming_normal")(lm.Input(2)), ["did you mean 'he_normal'"]),
    "a number to begin with": (lambda: lm.Dense(1, weight_init=0.5)(lm.Input(2)), ["lm.initializers.constant(0.5)"]),
    "an array to begin with": (lambda: lm.Dense(1, weight_init=np.ones((2, 1)))(lm.Input(2)), ["net.parameters['dense_1.weight']"]),
    "a name for accuracy": (lambda: lm.callbacks.EarlyStopping("val_acc"), ["say which is better, or monitor 'val_accuracy'"]),
    "a schedule as a callback": (
        lambda: fit_with("cross_entropy", callbacks=lm.schedules.Constant(0.1)),
        ["[callbacks] expected callbacks", "lm.optim.Adam(schedule)"],
    ),
    "a series as rows": (lambda: lm.Sequential(lm.Dense(1)).predict(X[:, 0]), ["[dense_1]", "x.reshape(-1, 1)"]),
    "one sample": (lambda: lm.Sequential(lm.Dense(1)).predict(X[0]), ["[dense_1]", "one sample is a row: np.asarray(x)[None]"]),
    "a copy of a built layer": (lambda: copy.deepcopy(classifier().layers[0]), ["[dense_1.weight]", "copy.deepcopy(net)"]),
    "a tensor in a pickle": (lambda: pickle.dumps(lm.Input(3)), ["[tensor]", "pickle.dumps(net)"]),
    **{
        f"a function that is to be {what}": (lambda go=go: go(lm.function([P], P * 2)), ["[function]", f"<Function {P.shape} ->"])
        for what, go in {"pickled": pickle.dumps, "copied deep": copy.deepcopy}.items()
    },
    "the array of a parameter": (lambda: np.asarray(classifier().layers[0].weight), ["[dense_1.weight]", ".value"]),
    "all is frozen": (lambda: all_frozen(classifier()).fit(X, Y, verbose=0), ["layers are frozen; thaw one"]),
    "all is frozen, at once": (
        lambda: all_frozen(regressor()).fit(X, X[:, :2], optimizer=lm.optim.LBFGS(), verbose=0),
        ["layers are frozen; thaw one"],
    ),
    "a metric of another output": (
        lambda: with_two_outputs(metrics=["accuracy"]),
        ["[size_accuracy] [accuracy] expected classes"],
    ),
    "a loss of another output": (lambda: with_two_outputs(loss="cross_entropy"), ["[y['size']] [CrossEntropy()]"]),
    # hyper-parameters
    "units zero": (lambda: lm.Dense(0), ["Dense", "units", "0"]),
    "units a fraction": (lambda: lm.Dense(2.5), ["Dense", "units", "2.5"]),
    "units text": (lambda: lm.Dense("relu"), ["Dense", "units", "relu"]),
    "dropout above one": (lambda: lm.Dropout(1.5), ["Dropout", "p", "1.5"]),
    "dropout negative": (lambda: lm.Dropout(-0.1), ["Dropout", "p", "-0.1"]),
    "lr negative": (lambda: lm.optim.Adam(-1e-3), ["Adam", "lr", "-0.001"]),
    "lr nan": (lambda: lm.optim.SGD(float("nan")), ["SGD", "lr", "nan"]),
    "lr text": (lambda: lm.optim.SGD("fast"), ["SGD", "lr", "fast"]),
    "momentum negative": (lambda: lm.optim.SGD(momentum=-1), ["SGD", "momentum", "-1"]),
    "nesterov without momentum": (lambda: lm.optim.SGD(nesterov=True), ["SGD", "nesterov", "momentum"]),
    "beta of one": (lambda: lm.optim.Adam(betas=(1.0, 0.999)), ["Adam", "beta", "1.0"]),
    "steps without end": (lambda: lm.optim.Muon(ns_steps=2**63), ["[optim.Muon] expected ns_steps <= 99, got 9223372036854775808"]),
    "one beta": (lambda: lm.optim.Adam(betas=0.9), ["Adam", "betas", "0.9"]),
    "eps negative": (lambda: lm.optim.Adam(eps=-1e-8), ["Adam", "eps"]),
    "weight decay negative": (lambda: lm.optim.AdamW(weight_decay=-1), ["AdamW", "weight_decay", "-1"]),
    "clip_norm negative": (lambda: lm.optim.SGD(clip_norm=-1), ["SGD", "clip_norm", "-1"]),
    "clip_value zero": (lambda: lm.optim.SGD(clip_value=0), ["SGD", "clip_value", "0"]),
    "label smoothing of two": (lambda: lm.losses.CrossEntropy(label_smoothing=2), ["CrossEntropy", "label_smoothing", "2"]),
    "huber delta zero": (lambda: lm.losses.Huber(0), ["Huber", "delta", "0"]),
    "several quantiles": (lambda: lm.losses.Quantile([0.1, 0.9]), ["[losses.Quantile]", "one number", "an output for each"]),
    "quantile of two": (lambda: lm.losses.Quantile(2), ["Quantile", "q", "2"]),
    "schedule of zero steps": (lambda: lm.schedules.Cosine(0.1, 0), ["Cosine", "steps", "0"]),
    "unknown keyword": (lambda: lm.Dense(3, activaton="relu"), ["activaton"]),
    # names
    "unknown activation": (lambda: lm.Dense(3, "rellu"), ["rellu", "relu"]),
    "unknown loss": (lambda: lm.Sequential(lm.Dense(1)).compile("cross_entrpy", "sgd"), ["cross_entrpy", "cross_entropy"]),
    "unknown optimizer": (lambda: lm.Sequential(lm.Dense(1)).compile("mse", "adm"), ["adm", "adam"]),
    "unknown initializer": (lambda: lm.Dense(3, weight_init="he_unifrom"), ["he_unifrom", "he_uniform"]),
    "unknown activation in ops": (lambda: lm.activation("geluu", np.zeros(3)), ["geluu", "gelu"]),
    # structure
    "not a layer": (lambda: lm.Sequential(lm.Dense(3), "relu"), ["Sequential", "relu"]),
    "dtype": (lambda: lm.Sequential(lm.Dense(3), dtype="float16"), ["float16", "float32"]),
    "seed of 2^64": (lambda: lm.Sequential(lm.Dense(3), seed=2**64), ["Sequential", "seed", str(2**64)]),
    "seed of a model": (lambda: lm.Model(x := lm.Input(3), lm.Dense(1)(x), seed=-1), ["Model", "seed", "-1"]),
    "an input twice": (lambda: lm.Model([x := lm.Input(3), x], x * 2.0), ["[Model] expected each input once", "input 2"]),
    "an input twice by name": (lambda: lm.Model({"a": (x := lm.Input(3)), "b": x}, x * 2.0), ["[Model] expected each input once"]),
    "an argument twice": (lambda: lm.function([P, P], P * 2.0), ["[function] expected each input once", "input 2"]),
    "unconnected": (lambda: lm.Model(lm.Input(3), lm.Dense(1)(lm.Input(3))), ["input"]),
    "input sizes": (lambda: lm.Input(-3), ["Input", "-3"]),
    "two widths for one layer": (lambda: [lm.Input(4), d := lm.Dense(2), d(lm.Input(4)), d(lm.Input(5))], ["4", "5"]),
    "add of two shapes": (lambda: lm.Add()(lm.Input(3), lm.Input(4)), ["3", "4"]),
    "concatenate of one that does not fit": (lambda: lm.Concatenate()(lm.Input(3), lm.Input(4, 5)), []),
    "dense on floats of int": (lambda: lm.Embedding(5, 2)(lm.Input(3)), ["Embedding", "int"]),
    # too early
    "fit without a loss": (lambda: lm.Sequential(lm.Dense(1)).fit(X, X[:, :1], verbose=0), ["expected a loss"]),
    "fit without an optimizer": (
        lambda: lm.Sequential(lm.Dense(1)).fit(X, X[:, :1], loss="mse", verbose=0),
        ["expected an optimizer", "optimizer='adam'"],
    ),
    "train_step without compile": (lambda: lm.Sequential(lm.Dense(1)).train_step(X, X[:, :1]), ["compile"]),
    "parameters before data": (lambda: lm.Sequential(lm.Dense(1)).parameters, ["build"]),
    "threads": (lambda: lm.set_num_threads(0), ["[set_num_threads] expected count", "0"]),
    "many threads": (lambda: lm.set_num_threads(10**12), ["[set_num_threads] expected count", "256"]),
    "threads text": (lambda: lm.set_num_threads("many"), ["[set_num_threads] expected count", "whole number", "many"]),
    "threads a fraction": (lambda: lm.set_num_threads(1.5), ["[set_num_threads] expected count", "whole number", "1.5"]),
    "a word that is an array": (
        lambda: lm.optim.Adam(eps_mode=X),
        ["[optim.Adam] expected eps_mode to be one of", "got an array of shape (12, 4)"],
    ),
    "an activation behind its tensor": (
        lambda: lm.activation(P, "relu"),
        ["[activation] expected a name before the tensor, got Tensor(", "write lm.activation('relu', x)"],
    ),
    "an activation that is none": (lambda: lm.activation(None, P), ["[activation] unknown name None", "relu"]),
    # shapes
    "an array as a length": (
        lambda: lm.placeholder((2, ONES)),
        ["[placeholder] expected whole numbers, None or names as lengths", "array("],
    ),
    "an array as a length of reshape": (
        lambda: lm.reshape(P, (2, np.ones(1))),
        ["[reshape] expected whole numbers", "array([1.])"],
    ),
    "a fraction as a length": (lambda: lm.reshape(P, (2, 1.5)), ["[reshape] expected whole numbers", "1.5"]),
    "a number as a shape": (lambda: lm.placeholder(3), ["[placeholder] expected the length of each axis, got 3", "(2, 3)"]),
    "no word as a length of reshape": (lambda: lm.reshape(P, "2*T"), ["[reshape] expected names between *", "'2*T'; write 'T'"]),
    "a tensor to concatenate": (lambda: lm.concatenate(lm.Input(3)), ["[Tensor] expected a first axis", "(B, 3)", "in a list"]),
    "nothing to concatenate": (lambda: lm.concatenate(), ["[concatenate] expected concatenate(tensors, axis=0), missing"]),
    "nothing to take": (lambda: lm.take(X), ["[take] expected take(x, indices, axis=0), missing"]),
    "nothing to activate": (lambda: lm.activation("relu"), ["[activation] expected activation(name, x, *params), missing"]),
    "a loss by its kind": (lambda: lm.losses.get(name="mse"), ["[losses.get] expected losses.get(loss), got the argument 'name'"]),
    "a figure by its number": (lambda: lm.metrics.direction(3), ["[metrics.direction] expected the name of a figure, got 3"]),
    "a schedule that is a dict": (lambda: lm.optim.Adam({1: 2, "a": 3}), ["[schedules] expected", "[1, 'a']", "pass a name"]),
    "labels of a plot that are one number": (
        lambda: lm.metrics.plot_confusion([0, 1], [0, 1], labels=2),
        ["[plot_confusion] expected 2 labels, got 2; pass a list"],
    ),
    "a weight of a class that is a text": (
        lambda: lm.losses.BinaryCrossEntropy(pos_weight=np.array("a")),
        ["[losses.BinaryCrossEntropy] expected pos_weight", "'a'"],
    ),
    "several averages": (lambda: lm.metrics.f1([0, 1], [0, 1], average=np.ones(2)), ["[f1] expected average to be one of"]),
    "several types": (lambda: lm.Sequential(dtype=np.ones(2)), ["[Sequential] expected dtype 'float32' or 'float64'", "pass one"]),
    "a third truth value": (lambda: lm.Dense(3, bias="no"), ["[Dense] expected bias", "'no'; pass one of the two"]),
    "no word as a length": (lambda: lm.placeholder((None, "T+1")), ["[placeholder]", "expected a word", "'T+1'", "'T'"]),
    "text as a shape": (lambda: lm.placeholder("ab"), ["[placeholder] expected the length of each axis, got 'ab'"]),
    "a number to broadcast to": (lambda: lm.broadcast_to(P, 3), ["[broadcast_to] expected the length of each axis, got 3"]),
    "nothing as a shape": (lambda: lm.full(None, 1.0), ["[full] expected the length of each axis, got None"]),
    "text as a value": (lambda: lm.full((2,), "one"), ["[full] expected a number as value, got 'one'"]),
    "a fraction of classes": (lambda: lm.one_hot(lm.Input(dtype="int64"), 2.7), ["[one_hot] expected classes", "2.7"]),
    "a fraction of rows": (lambda: lm.eye(2.5), ["[eye] expected n", "2.5"]),
    "widths that are a number": (lambda: lm.pad(P, 1), ["[pad] expected (before, after)", "got 1"]),
    "a number to stack": (lambda: lm.stack(3), ["[stack] expected several tensors or arrays, got 3", "a list"]),
    "an axis instead of an order": (lambda: lm.transpose(P, 7), ["[transpose] expected an axis", "7"]),
    "no dtype": (lambda: lm.cast(P, None), ["[cast] expected bool, int64, float32 or float64 as dtype, got None; pass 'float32'"]),
    # parameters
    "a bound that is nothing": (lambda: lm.clip(X, 0, None), ["[clip] expected a number or an array, got None", "np.inf"]),
    "nothing": (lambda: lm.exp(None), ["[exp] expected a number or an array, got None; a function without `return`"]),
    "an initializer by a wrong name": (lambda: lm.Parameter((2,), init="one"), ["[initializers]", "'one'", "'ones'"]),
    "a parameter of nothing": (lambda: lm.Parameter(None), ["[Parameter] expected numbers, got None"]),
    "a parameter of complex numbers": (lambda: lm.Parameter(1j, name="w"), ["[w] expected numbers, got 1j"]),
    "a parameter of a negative size": (lambda: lm.Parameter((2, -1), init="zeros"), ["[Parameter]", "(2, -1)"]),
    "a parameter that is trained perhaps": (lambda: lm.Parameter(ONES, trainable="no"), ["[Parameter] expected trainable", "'no'"]),
    "freezing by a text": (
        lambda: setattr(lm.Parameter(ONES), "trainable", "False"),
        ["[Parameter] expected trainable", "'False'"],
    ),
    # what is no tensor
    "state of a number": (lambda: lm.update_state(P, 3, P), ["[update_state] expected tensors, got int", "lm.Parameter"]),
    "random numbers like text": (lambda: lm.random_uniform("x"), ["[random_uniform] expected a tensor, got str"]),
    "product by nothing": (
        lambda: lm.hessian_vector_product(lm.sum(P), None, None),
        ["[hessian_vector_product]", "as xs, got None"],
    ),
    "product by an empty list": (lambda: lm.hessian_vector_product(lm.sum(P), [], []), ["[hessian_vector_product]", "got none"]),
    "a seed that is an array": (lambda: lm.grad(P, P, X), ["[grad] seed: expected tensors, got ndarray"]),
    "gradient by all parameters": (
        lambda: lm.grad(lm.sum(P), classifier().parameters),
        ["[grad] xs: expected tensors, got Parameters", "pass [net.parameters.tensor(name) for name in net.parameters]"],
    ),
    "gradient by the array of a weight": (
        lambda: lm.grad(lm.sum(P), classifier().parameters["dense_1.weight"]),
        ["[grad] xs: expected tensors, got ndarray", "layer.weight, or net.parameters.tensor(name)"],
    ),
    "results by name": (
        lambda: lm.function([P], {"twice": 2.0 * P}),
        ["[function] outputs: expected tensors, got dict, which holds names; pass list(d.values())"],
    ),
    "arguments by name": (lambda: lm.function({"p": P}, P), ["[function] inputs: expected tensors, got dict"]),
    # indices
    "a mask as an index": (lambda: P[P > 1], ["[index]", "dtype=bool) for axis 0; keep the shape: lm.where(mask, x, 0)"]),
    "a mask of rows": (lambda: P[X[:, 0] > 0], ["[index]", "lm.take(x, np.flatnonzero(mask), axis=0)"]),
    "a mask to take": (lambda: lm.take(P, P > 1), ["[take] expected whole numbers", "got bool; write lm.where(mask, x, 0)"]),
    "an integer tensor for the second axis": (
        lambda: P[:, lm.placeholder((2,), "int64")],
        ["[index]", "an integer tensor alone, got Tensor", "for axis 1; write lm.take(x, i, axis=1)"],
    ),
    "windows of the second axis": (
        lambda: P[:, np.arange(4)[:, None] + np.arange(2)],
        ["got array([[0, 1], [1, 2], [2, 3], [3, 4]]) for axis 1; write lm.take(x, i, axis=1)"],
    ),
    "a list for the second axis": (lambda: P[:, [0, 1]], ["got [0, 1] for axis 1; write lm.take(x, i, axis=1)"]),
    "a fraction as an index": (lambda: P[1.5], ["[index] expected whole numbers", "got 1.5 for axis 0; pass one of these"]),
    # names of operations
    **{
        f"shapes that do not fit in {name}": (
            lambda name=name: getattr(lm, name)(np.ones((3, 4)), np.ones(3)),
            [f"[{name}] (3, 4) and (3,) do not broadcast"],
        )
        for name in (
            "subtract",
            "multiply",
            "divide",
            "power",
            "less",
            "equal",
            "logical_and",
            "logical_or",
            "maximum",
            "arctan2",
            "mod",
        )
    },
    "an axis of a number": (lambda: lm.max(np.float64(3), axis=0), ["[max] expected an array with an axis 0, got a scalar"]),
    "rows of a number": (lambda: lm.softmax(3.0), ["[softmax] expected an array with an axis -1, got a scalar"]),
    # schedules, optimizers and layers of one's own
    "a rate that is not finite": (
        lambda: fit_with("cross_entropy", lm.optim.SGD(lambda t: t * np.nan)),
        ["[schedules] expected finite rates >= 0 from Function(<lambda>), got nan at step 0"],
    ),
    "a rate that falls below 0": (lambda: lm.schedules.get(lambda t: 0.1 - 0.1 * t)([0, 1, 2]), ["got -0.1 at step 2"]),
    "a rate that is text": (lambda: lm.schedules.get(lambda t: "fast")(0), ["[schedules] expected rates", "'fast'"]),
    "a rate that is complex": (lambda: lm.schedules.get(lambda t: t * 1j)(0), ["[schedules] expected rates", "0.+0.j"]),
    "an update of an array": (
        lambda: fit_with("cross_entropy", ToZeros(0.1)),
        ["[optim.ToZeros] expected tensors from update, got ndarray", "return math"],
    ),
    "several tensors for the next layer": (
        lambda: lm.Sequential(lm.Lambda(lambda x: (x, x)), lm.Dense(1)).predict(X),
        ["[Sequential] expected one tensor from lambda_1, got 2", "Model"],
    ),
    "a list of one tensor for the next layer": (
        lambda: lm.Sequential(lm.Lambda(lambda x: [x]), lm.Dense(1)).predict(X),
        ["[Sequential] expected one tensor from lambda_1, got 1 in a list"],
    ),
    "a shape that is a number": (lambda: lm.Dense(1).parameter("w", 3, "zeros"), ["[w] expected the length of each axis, got 3"]),
    "a shape with the batch": (
        lambda: lm.Dense(1).parameter("w", (lm.Input(3).shape[0],), "zeros"),
        ["[w] expected known sizes, got (B,)"],
    ),
    "a layer of more units than can be": (
        lambda: lm.Sequential(lm.Dense(2**62)).build(4),
        ["[weight] expected sizes from 0 to 2^62 - 1, got (4, 4611686018427387904)"],
    ),
    "a shape with a length below 0": (
        lambda: lm.Parameter((2, -1), init="zeros"),
        ["[Parameter] expected sizes from 0 to 2^62 - 1, got (2, -1)"],
    ),
    "fractions for an Embedding": (
        lambda: lm.Sequential(lm.Embedding(5, 2), lm.Flatten(), lm.Dense(3)).compile("cross_entropy", "sgd").train_step(X, Y),
        ["[x] expected whole numbers for an integer input", "at row 0"],
    ),
    "fractions for an Embedding in batches": (
        lambda: lm.Sequential(lm.Embedding(5, 2), lm.Flatten(), lm.Dense(3)).fit(
            [(X, Y)], loss="cross_entropy", optimizer="sgd", verbose=0
        ),
        ["[batch 0] [x] expected whole numbers"],
    ),
    "features of the second batch": (
        lambda: lm.Sequential(lm.Dense(3)).fit([(X, Y), (X[:, :2], Y)], loss="cross_entropy", optimizer="sgd", verbose=0),
        ["[batch 1] [x] expected shape (any, 4), got (12, 2)"],
    ),
    # weights of losses and metrics of arrays
    "a negative weight of a loss": (
        lambda: lm.losses.mse([[1.0], [2.0]], [[0.0], [0.0]], [1, -1]),
        ["[MSE()] expected weights >= 0 of shape (2,)", "-1"],
    ),
    "one weight for two losses": (
        lambda: lm.losses.mse([[1.0], [2.0]], [[0.0], [0.0]], [1.0]),
        ["[MSE()] expected weights >= 0 of shape (2,)", "array([1.])"],
    ),
    "text as weights of a loss": (lambda: lm.losses.mse([[1.0]], [[0.0]], "x"), ["[MSE()] expected numbers", "<U1"]),
    "text as weights of a metric": (
        lambda: lm.metrics.accuracy([0, 1], [0, 1], ["a", "b"]),
        ["[accuracy]", "sample_weight", "<U1"],
    ),
    # losses of one's own
    "a loss of an array": (
        lambda: fit_with(lambda p, t: np.zeros(3)),
        ["[FunctionLoss(<lambda>)] expected a tensor from the loss function, got ndarray"],
    ),
    "a loss without a slope": (
        lambda: fit_with(lambda p, t: lm.mean(lm.argmax(p, axis=-1))),
        ["[loss] expected a loss with a gradient", "nothing would be learned"],
    ),
    "a loss without predictions, of all data": (
        lambda: fit_with(lambda p, t: lm.mean(lm.cast(t, "float32")), optimizer="lbfgs"),
        ["[loss] expected a loss with a gradient", "nothing would be learned"],
    ),
    "weights for a loss of columns": (
        lambda: fit_with(lambda p, t: lm.mean(p**2, axis=0), sample_weight=ONES),
        ["[FunctionLoss(<lambda>)] expected losses per sample to weight them, of shape (B,), got (3,)"],
    ),
    # functions
    "rows of several lengths": (
        lambda: lm.function([P], P)([[1, 2], [3]]),
        ["[function] expected an array, or lists of equal lengths, as argument 1, got [[1, 2], [3]]"],
    ),
    "fractions to whole numbers": (
        lambda: lm.function([n := lm.placeholder((2,), "int64")], n)([1.0, 2.5]),
        ["[function] expected whole numbers as argument 1, got array([1. , 2.5])"],
    ),
    "no elements, but axes beyond memory": (
        lambda: lm.function([n := lm.placeholder((0, 1, 1))], lm.broadcast_to(n, (0, 2**40, 2**40)))(np.zeros((0, 1, 1))),
        ["shape:", "more than memory can address; make an axis shorter"],
    ),
    "whole numbers that int64 lacks": (
        lambda: lm.function([n := lm.placeholder((1,), "int64")], n)(np.array([2**63], np.uint64)),
        ["[function] expected whole numbers as argument 1, got array([922337", "keep them below 2^63"],
    ),
    "nan to whole numbers": (lambda: lm.function([n := lm.placeholder((1,), "int64")], n)([np.nan]), ["whole numbers", "nan"]),
    "infinity to whole numbers": (lambda: lm.function([n := lm.placeholder((1,), "int64")], n)([np.inf]), ["whole numbers", "inf"]),
    "no array for a function": (lambda: lm.function([P], P)(), ["[function] expected 1 arrays, got 0; pass one for each input"]),
    "a shape that is not the function's": (lambda: lm.function([P], P)(X[:, :1]), [", 1); pass one of that shape"]),
    "a placeholder that is no input": (lambda: lm.function([], 2.0 * P), ["that is not among the inputs; add it to them"]),
    "text to a function": (lambda: lm.function([P], P)("x"), ["[function] expected an array of", "got <U1"]),
    "nothing to a function": (lambda: lm.function([P], P)(None), ["[function] expected an array of", "got object"]),
    "an argument of a data set": (lambda: lm.datasets.digits(3), ["[digits] expected digits(), got too many positional arguments"]),
    "gradients without targets": (lambda: classifier().gradients(X), ["[gradients] expected gradients(x, y, ", "'y'"]),
    "threads without a number": (lambda: lm.set_num_threads(), ["[set_num_threads] expected set_num_threads(count), missing"]),
    "vectors of two lengths": (
        lambda: lm.matmul(np.ones(3), np.ones(4)),
        ["[matmul] (3,), (4,): ", "the only axis of the right, 4; make them equal"],
    ),
    "a vector and too many rows": (
        lambda: lm.matmul(np.ones(3), np.ones((4, 2))),
        ["[matmul] (3,), (4, 2): ", "the next to last of the right, 4; make them equal, or transpose the matrix"],
    ),
    "matrices side by side": (lambda: P @ P, ["[matmul] (12, 4), (12, 4): ", "of the right, 12; transpose one of them"]),
    "a weight before its rows": (lambda: lm.matmul(np.ones((4, 2)), X), ["[matmul] (4, 2), (12, 4): ", "right, 12; swap them"]),
    "a weight of other rows": (lambda: P @ np.ones((3, 2)), ["[matmul] (12, 4), (3, 2): ", "of the right, 3; make them equal"]),
    "lengths that divide nothing": (lambda: P.reshape(5, -1), ["48 elements", "parts of 5; pass lengths that divide them"]),
    "fewer axes than there are": (lambda: lm.broadcast_to(P, (4,)), ["[broadcast_to] (12, 4)", "to (4,); keep its axes"]),
    "columns of other rows": (
        lambda: lm.concatenate([P, lm.placeholder((3, 4))], axis=1),
        ["[concatenate] (12, 4), (3, 4): ", "must be equal; reshape them, or pass another axis"],
    ),
    "two lengths of one letter": (lambda: lm.einsum("ij,jk", np.ones((2, 3)), np.ones((4, 5))), ["for letter 'j', got 3 and 4"]),
    "an activation of text": (lambda: lm.activations.gelu("a"), ["[activation] expected numbers"]),
    "a loss as a metric": (
        lambda: fit_with("mse", metrics=[lm.losses.Quantile(0.9)]),
        [
            "[metrics] expected a function (y_true, y_pred, ",
            "got Quantile(0.9), which takes the prediction first",
            "lambda true, pred",
        ],
    ),
    "no flag for the optimizer": (
        lambda: classifier().save("no.safetensors", optimizer="no"),
        ["[save] expected optimizer to be True or False, got 'no'"],
    ),
    "a tensor as a number": (lambda: float(lm.sum(P)), ["a tensor holds no numbers; compute it", "lm.exp, not math.exp"]),
    "a parameter as a whole number": (lambda: int(lm.Parameter(np.ones(()))), ["its numbers are its .value"]),
    "a tensor to a function": (lambda: lm.function([P], P)(P), ["a tensor holds no numbers"]),
    "function of a number": (lambda: lm.function([lm.Input(3)], 3.0), ["[function] outputs", "float"]),
    "function from a number": (lambda: lm.function(3.0, [lm.Input(3)]), ["[function] inputs", "float"]),
    "jacobian by a list": (lambda: lm.jacobian(P, [P]), ["[jacobian]", "one tensor as x", "got list", "for each"]),
    "jacobian of nothing": (lambda: lm.jacobian(lm.placeholder((0,)), P), ["[jacobian]", "got shape (0,)", "np.zeros"]),
    "jacobian of a tuple": (lambda: lm.jacobian((P, P), P), ["[jacobian]", "one tensor as y", "got tuple", "for each"]),
    "jacobian by an array": (lambda: lm.jacobian(P, X), ["[jacobian]", "one tensor as x", "got ndarray", "lm.placeholder"]),
    "product with a list": (
        lambda: lm.jacobian_vector_product([P], P, X),
        ["[jacobian_vector_product]", "one tensor as y", "list"],
    ),
    "gradient by a number": (lambda: lm.grad(lm.sum(lm.Input(3)), 3.0), ["[grad] xs: expected tensors, got float"]),
    # paths
    **{
        f"a path of {what}": (call, [f"[{where}] expected {name} to be text or a pathlib.Path, got", "pass the name of a file"])
        for what, where, name, call in [
            ("load", "load", "path", lambda: lm.load(3)),
            ("load of the bytes of a file", "load", "path", lambda: lm.load(b"\0" * 1000)),
            ("save", "save", "path", lambda: classifier().save(None)),
            ("draw", "draw", "path", lambda: classifier().draw(["net.svg"], X, Y)),
            ("fit", "fit", "resume", lambda: classifier().fit(X, Y, resume=True, verbose=0)),
            ("Checkpoint", "Checkpoint", "path", lambda: lm.callbacks.Checkpoint(5)),
            ("CSVLogger", "CSVLogger", "path", lambda: lm.callbacks.CSVLogger(None)),
            ("to_csv", "history", "path", lambda: classifier().fit(X, Y, verbose=0).to_csv(1)),  # 1: what print writes to
            ("to_json", "trace", "path", lambda: classifier().trace(X, Y).to_json(1)),
        ]
    },
    "load of no file": (lambda: lm.load("no such file.safetensors"), []),
    # masked values
    **{
        f"masked values to {what}": (call, ["expected an array without masked values", f"pass {name}.filled(value)"])
        for what, name, call in [
            ("a loss", "y", lambda: lm.losses.mse(np.ones(2), ONE_HIDDEN)),
            ("a metric", "y_true", lambda: lm.metrics.mae(ONE_HIDDEN, np.ones(2))),
            ("a metric of classes", "y_pred", lambda: lm.metrics.accuracy([1, 0], np.ma.masked_array([1, 0], [0, 1]))),
            ("a metric as weights", "sample_weight", lambda: lm.metrics.mse(np.ones(2), np.ones(2), ONE_HIDDEN)),
            ("a parameter", "array", lambda: lm.Parameter(ONE_HIDDEN)),
            ("a function", "x", lambda: lm.function([PAIR], lm.sum(PAIR))(ONE_HIDDEN)),
        ]
    },
    # functions and gradients
    "updates that are one pair": (lambda: lm.function([], W, (W, W + 1.0)), ["[function] updates: expected pairs", "[(p, value)]"]),
    "updates of nothing": (lambda: lm.function([], W, [None]), ["[function] updates: expected pairs", "got None"]),
    "training by a text": (lambda: lm.function([P], P, training="no"), ["[function] expected training to be True or False"]),
    "an array by name": (lambda: lm.function([P], P)(x=X), ["[function] expected arrays in the order of its inputs", "x by name"]),
    "a derivative of one argument": (lambda: lm.jacobian(P), ["[jacobian] expected jacobian(y, x)", "'x'"]),
    "a direction by another name": (lambda: lm.hessian_vector_product(lm.sum(P), P, v=X), ["did you mean 'vs'"]),
    "gradient by whole numbers": (
        lambda: lm.grad(lm.sum(lm.cast(WHOLE, "float32")), WHOLE),
        ["[grad] expected tensors of floats to differentiate by, got int64"],
    ),
    "curvature of a loss of another output": (
        lambda: lm.gauss_newton_product(lm.sum(PAIR**2), PAIR * 2.0, PAIR, np.ones(2)),
        ["[gauss_newton_product] expected a loss that is computed from `output`", "call the network once"],
    ),
    "half a truth": (
        lambda: lm.function([TRUTH], lm.where(TRUTH, 1.0, 0.0))([0.5, 1.0]),
        ["[function] expected truth values as argument 1", "x != 0"],
    ),
    # operators and indices
    "one divided by whole numbers": (lambda: WHOLE**-1, ["[power] expected floats or", "got -1 and whole numbers", "write -1.0"]),
    "a power of truths": (lambda: lm.power(TRUTH, -2), ["[power] expected floats or", "got -2 and whole numbers", "write -2.0"]),
    "bits of whole numbers": (lambda: WHOLE & 3, ["[&] expected tensors of bool, got int64", "lm.logical_and"]),
    "bits the other way round": (lambda: np.array([1, 2]) | WHOLE, ["[|] expected tensors of bool", "lm.logical_or"]),
    "bits turned over": (lambda: ~WHOLE, ["[~] expected tensors of bool, got int64", "lm.logical_not"]),
    "a step of 0": (lambda: P[::0], ["[index] expected a step other than 0 in the slice of axis 0"]),
    "a fraction as a bound": (lambda: P[:, 0:1.5], ["[index] expected whole numbers in the slice of axis 1, got 1.5"]),
    "a text as a step": (lambda: lm.Input(3)[::"a"], ["[index] expected whole numbers in the slice of axis 0, got 'a'"]),
    "an index beyond the end": (lambda: P[N], [f"[index] expected -{N} to {N - 1} along axis 0", f"got {N}"]),
    # functions of one's own and of others
    "a loss of one argument": (lambda: lm.losses.get(lambda p: p), ["[losses] expected a function of (pred, target)", "(p)"]),
    "a loss that is a number": (lambda: lm.losses.FunctionLoss(3), ["[losses] expected a function of (pred, target), got 3"]),
    "a loss of another library": (
        lambda: lm.losses.get(Mock(__module__="torch.nn", spec=["__module__", "__call__"])),
        ["[losses] expected lamina's math", "of torch"],
    ),
    "an activation of another library": (lambda: lm.Dense(2, foreign), ["[activations] expected lamina's math", "of torch"]),
    "an activation of two": (lambda: lm.Dense(2, lambda a, b: a), ["[activations] expected a function of a tensor", "(a, b)"]),
    "an initializer of one": (lambda: lm.Dense(2, weight_init=lambda s: 0), ["[initializers] expected a function of (shape, rng"]),
    "an optimizer without its base": (Alone, ["[optim.Alone] expected its __init__ to call super().__init__(lr)"]),
    "an update of two": (lambda: ShortUpdate(0.1), ["[optim.ShortUpdate] expected a method update(self, w, g, state, lr, t)"]),
    # losses and metrics on arrays
    "negative weights of a function": (
        lambda: lm.losses.get(lambda p, t: abs(p - t))(np.ones(2), np.ones(2), [-1.0, 2.0]),
        ["expected weights >= 0 of shape (2,)"],
    ),
    "a loss of numbers": (
        lambda: lm.losses.get(lambda p, t: abs(p - t))(1.0, 2.0),
        ["expected predictions with a row for each sample, got one number"],
    ),
    "a matrix of too many classes": (
        lambda: lm.metrics.confusion_matrix([0, 20_000], [0, 1]),
        ["[confusion_matrix] expected at most 8192 classes", "got 20001"],
    ),
    "classes numbered like ids": (lambda: lm.metrics.f1([0, 2**33], [0, 1]), ["[f1] expected at most", "number the classes"]),
    "weights beyond all sums": (
        lambda: lm.metrics.mse([1.0, 2.0], [1.0, 2.0], [1e300, 1.0]),
        ["[mse] expected sample weights up to 1.34078e+154", "only their ratios count"],
    ),
    "a step number that is a text": (lambda: lm.schedules.Cosine(0.1, 10)("a"), ["expected step numbers, got 'a'"]),
    # whole numbers beyond 64 bits
    "a number of 70 bits": (lambda: P + 2**70, ["[add] expected whole numbers below 2^63", "as a float"]),
    "a length of 70 bits": (
        lambda: lm.placeholder((2**70,)),
        ["expected a length below 2^62, got one of more than 64 bits"],
    ),
    "a shape of 70 bits": (lambda: P.reshape(2**70, -1), ["expected a length below 2^62"]),
    "a parameter of 70 bits": (lambda: lm.Parameter((2**70,), init="zeros"), ["[Parameter]", "1180591620717411303424"]),
    "classes of 70 bits": (lambda: lm.one_hot(WHOLE, 2**70), ["[one_hot] expected another value of 'classes'", "below 2^63"]),
    "data beyond float64": (lambda: classifier().predict([[10**400] * FEATURES]), ["[x] expected numbers", "below 1.8e308"]),
    # flags
    "SciPy's trans": (lambda: lm.linalg.solve_triangular(np.eye(2), ONES[:2], transposed="N"), ["transposed to be True or False"]),
    "axes kept by a text": (lambda: lm.linalg.norm(np.eye(2), keepdims="no"), ["[norm] expected keepdims to be True or False"]),
    **{
        f"{op.__name__} over axes by a text": (lambda op=op: op(ONES, -1, keepdims="no"), [f"[{op.__name__}] expected keepdims"])
        for op in (lm.sum, lm.max, lm.min, lm.mean, lm.var, lm.std, lm.norm, lm.logsumexp)
    },
    "a picture by a text": (lambda: lm.metrics.plot_confusion([0, 1], [0, 1], normalize="no"), ["expected normalize to be"]),
    "an axis that is an array": (lambda: lm.sum(ONES, np.array(0)), ["[sum] expected an axis from -1 to 0, got array(0)"]),
    "an axis that is a tensor": (lambda: lm.max(ONES, axis=P), ["[max] expected an axis from -1 to 0, got Tensor("]),
    "a choice of arrays": (lambda: lm.in_training(ONES, ONES), ["[in_training] expected a tensor among the operands, got none"]),
    # names
    "a layer named by a number": (lambda: setattr(lm.Dense(2), "name", 3), ["[Dense(2)] expected a name, got 3", "such as 'head'"]),
    "a parameter named by a number": (lambda: setattr(lm.Parameter([1.0]), "name", 3), ["[Parameter] expected a text as name"]),
    "half of a surrogate as a layer's name": (
        lambda: lm.Dense(2).named("\ud800"),
        ["[Dense(2)] expected a name, got '\\ud800'; pass a string such as 'head'"],
    ),
    "half of a surrogate as an input's name": (
        lambda: lm.Input(2, name="\ud800"),
        ["[Input] expected a text as name, got '\\ud800'"],
    ),
    "half of a surrogate as a parameter's name": (
        lambda: lm.Parameter([1.0], name="\ud800"),
        ["[Parameter] expected a text as name, got '\\ud800'; pass one such as 'x'"],
    ),
    "half of a surrogate as a path": (
        lambda: lm.load("\ud800.st"),
        ["[load] expected path to be text or a pathlib.Path, got '\\ud800.st'; pass the name of a file"],
    ),
    "a layer's parameter of a list": (lambda: lm.Dense(1).parameter(["w"], (1,), "zeros"), ["a parameter name", "got ['w']"]),
    "a layer's parameter of a number": (lambda: lm.Dense(1).parameter(3, (1,), "zeros"), ["expected a parameter name", "got 3"]),
}

LARGE = {"list": [0.5] * 10**6, "array": np.zeros(500), "number": 10**5000, "negative number": -(10**5000)}
TAKERS = [
    *(lm.losses.get, lm.optim.get, lm.metrics.get, lm.initializers.get, lm.activations.get, lm.Lambda, lm.Dropout),
    *(lm.schedules.Function, lm.Sequential, lm.History().__getitem__, lambda value: lm.einsum(value, P, P)),
    *(lambda value: lm.Dense(1).named(value), lambda value: lm.sum(P, axis=value), lambda value: lm.optim.Adam(betas=value)),
    *(lambda value: lm.Sequential(seed=value), lambda value: lm.Parameter(value, init="zeros")),
]


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("call", TAKERS)
def test_an_error_quotes_a_value_of_any_size_on_one_line(call, value):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(value)
    message = str(caught.value)
    assert message.startswith("[") and "expected" in message
    assert len(message) < 400 and "\n" not in message, message[:500]


@pytest.mark.parametrize("name", FREE)
def test_mistake_without_a_net(name):
    call, parts = FREE[name]
    with pytest.raises((ValueError, TypeError, FileNotFoundError)) as caught:
        call()
    check_message(caught.value, parts)
