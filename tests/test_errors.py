"""Bad input: each mistake raises ValueError or TypeError before anything runs, says where, expected, got, leaves the net usable.

A row is (what is called with a trained net, parts that the message must hold). Without a net: test_errors_without_a_net.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sized
from pathlib import Path

import numpy as np
import pytest

import lamina as lm
from mistakes import CLASSES, FEATURES, ONES, N, X, Y, check_message, classifier, regressor, with_value


def errors_by_class(y, prediction):
    return np.bincount(y[prediction.argmax(1) != y], minlength=CLASSES)


def monitors(figure: str) -> lm.callbacks.EarlyStopping:
    return lm.callbacks.EarlyStopping(figure, mode="max")


CLASSIFIER = {
    **{
        f"{name} = {value!r}": (lambda net, n=name, v=value: setattr(net, n, v), [f"[Sequential] expected {name}", got])
        for name, value, got in [
            ("seed", -1, "-1"),
            ("seed", "abc", "'abc'"),
            ("epochs_done", 1.5, "1.5"),
            ("columns", None, "None"),
            ("columns", {"x": "age"}, "age"),
            ("dtype", "int8", "'int8'"),
        ]
    },
    "all that is held out weighs nothing": (
        lambda net: net.fit(X, Y, validation_split=0.25, sample_weight=ONES * (np.arange(N) < N // 2), verbose=0),
        ["[validation_split] expected a target that counts", "weighs 0"],
    ),
    "weights whose sum is infinite": (
        lambda net: net.evaluate(X, Y, sample_weight=ONES * 1e37),
        ["[weights] expected weights whose largest is from", "as sums are in float32", "only their ratios count"],
    ),
    # shapes
    "too many features": (lambda n: n.train_step(np.zeros((N, 7)), Y), ["4", "7"]),
    "too few features": (lambda n: n.predict(np.zeros((N, 3))), ["4", "3"]),
    "predict a vector": (lambda n: n.predict(np.zeros(FEATURES)), ["4", "pass np.asarray(x)[None]"]),
    "predict three axes": (lambda n: n.predict(np.zeros((2, FEATURES, 1))), ["4"]),
    "predict a number": (lambda n: n.predict(3.0), ["4"]),
    "fit with other features": (lambda n: n.fit(np.zeros((N, 7)), Y, verbose=0), ["4", "7"]),
    "evaluate with other features": (lambda n: n.evaluate(np.zeros((N, 7)), Y), ["4", "7"]),
    "gradients with other features": (lambda n: n.gradients(np.zeros((N, 7)), Y), ["4", "7"]),
    # lengths
    "fewer labels": (lambda n: n.train_step(X, Y[:-1]), ["12", "11"]),
    "fewer labels in fit": (lambda n: n.fit(X, Y[:-1], verbose=0), ["12", "11"]),
    "fewer labels in evaluate": (lambda n: n.evaluate(X, Y[:-1]), ["12", "11"]),
    "fewer weights": (lambda n: n.fit(X, Y, sample_weight=ONES[:-1], verbose=0), ["12", "11", "weight"]),
    "weights of another shape": (lambda n: n.train_step(X, Y, np.ones((N, 2))), ["weight", "12"]),
    "validation lengths": (lambda n: n.fit(X, Y, validation_data=(X, Y[:-1]), verbose=0), ["12", "11"]),
    # empty
    "empty batch": (lambda n: n.train_step(X[:0], Y[:0]), []),
    "empty fit": (lambda n: n.fit(X[:0], Y[:0], verbose=0), []),
    "empty evaluate": (lambda n: n.evaluate(X[:0], Y[:0]), []),
    "no labels": (lambda n: n.fit(X, verbose=0), []),
    # batches
    "validation data without labels": (lambda n: n.fit(X, Y, validation_data=X, verbose=0), ["[validation_data] expected (x, y)"]),
    "gradients of batches": (lambda n: n.gradients(iter([(X, Y)]), None), ["list_iterator", "fit and evaluate take an iterable"]),
    "evaluate without labels": (lambda n: n.evaluate(X), ["[y] expected targets"]),
    # types
    "text": (lambda n: n.predict(np.array([["a"] * FEATURES])), ["4"][:0]),
    "objects": (lambda n: n.predict(np.array([[None] * FEATURES])), []),
    "ragged": (lambda n: n.predict([[1, 2, 3, 4], [1, 2]]), []),
    "complex": (lambda n: n.predict(X + 1j), ["complex"]),
    "dates": (lambda n: n.predict(np.zeros((2, FEATURES), "datetime64[s]")), ["datetime"]),
    "text labels": (lambda n: n.fit(X, np.array(["cat"] * N), verbose=0), []),
    "None": (lambda n: n.predict(None), []),
    # labels
    "label too large": (lambda n: n.fit(X, with_value(Y, 3), verbose=0), ["3"]),
    "label negative": (lambda n: n.fit(X, with_value(Y, -1), verbose=0), ["-1"]),
    "label too large in train_step": (lambda n: n.train_step(X, with_value(Y, 99)), ["99"]),
    "label too large in evaluate": (lambda n: n.evaluate(X, with_value(Y, 99)), ["99"]),
    "two columns of labels": (lambda n: n.fit(X, np.stack([Y, Y], 1), verbose=0), ["2"]),
    "probabilities of too few classes": (lambda n: n.fit(X, np.ones((N, 2)) / 2, verbose=0), ["2", "3"]),
    # values
    "nan in the data": (lambda n: n.fit(with_value(X, np.nan), Y, verbose=0), ["nan", "row 1", "column 1"]),
    "infinity in the data": (lambda n: n.fit(with_value(X, np.inf), Y, verbose=0), ["inf", "row 1", "column 1"]),
    "negative weight": (lambda n: n.fit(X, Y, sample_weight=with_value(ONES, -1), verbose=0), ["weight", "-1"]),
    "weight nan": (lambda n: n.fit(X, Y, sample_weight=with_value(ONES, np.nan), verbose=0), ["weight", "nan"]),
    "weights all zero": (lambda n: n.fit(X, Y, sample_weight=0 * ONES, verbose=0), ["weight"]),
    # arguments of fit
    "epochs negative": (lambda n: n.fit(X, Y, epochs=-1, verbose=0), ["epochs", "-1"]),
    "epochs a fraction": (lambda n: n.fit(X, Y, epochs=1.5, verbose=0), ["epochs", "1.5"]),
    "batch size zero": (lambda n: n.fit(X, Y, batch_size=0, verbose=0), ["batch_size", "0"]),
    "batch size a fraction": (lambda n: n.fit(X, Y, batch_size=2.5, verbose=0), ["batch_size", "2.5"]),
    "batch size of predict": (lambda n: n.predict(X, batch_size=-3), ["batch_size", "-3"]),
    "validation split of one": (lambda n: n.fit(X, Y, validation_split=1.0, verbose=0), ["validation_split", "1"]),
    "validation split of nothing": (lambda n: n.fit(X, Y, validation_split=None, verbose=0), ["[validation_split]", "got None"]),
    "validation split of a list": (lambda n: n.fit(X, Y, validation_split=[0.2], verbose=0), ["[validation_split]", "got [0.2]"]),
    "features of the validation data": (
        lambda n: n.fit(X, Y, validation_data=(X[:, :3], Y), verbose=0),
        ["[validation_data] [x] expected shape (any, 4), got (12, 3)"],
    ),
    "labels of the validation data": (lambda n: n.fit(X, Y, validation_data=(X, Y + 1), verbose=0), ["[validation_data]", "got 3"]),
    "validation split negative": (lambda n: n.fit(X, Y, validation_split=-0.1, verbose=0), ["validation_split", "-0.1"]),
    "unknown metric": (lambda n: n.fit(X, Y, metrics=["acuracy"], verbose=0), ["acuracy", "accuracy"]),
    "unknown metric of evaluate": (lambda n: n.evaluate(X, Y, metrics=["acuracy"]), ["acuracy", "accuracy"]),
    "class weight of an unknown class": (lambda n: n.fit(X, Y, class_weight={0: 1.0, 7: 2.0}, verbose=0), ["class_weight", "7"]),
    "balanced batches": (
        lambda n: n.fit([(X, Y)], class_weight="balanced", verbose=0),
        ["[class_weight] expected {class: weight} for batches", "balanced", "count the classes"],
    ),
    "class weight negative": (lambda n: n.fit(X, Y, class_weight={0: -1.0}, verbose=0), ["class_weight", "-1"]),
    "class weight a text": (lambda n: n.fit(X, Y, class_weight={0: "heavy"}, verbose=0), ["[class_weight]", "got 'heavy'"]),
    "class weight nothing": (lambda n: n.fit(X, Y, class_weight={0: None}, verbose=0), ["[class_weight]", "got None"]),
    "class weight beyond all numbers": (lambda n: n.fit(X, Y, class_weight={0: 10**400}, verbose=0), ["[class_weight]", "1000"]),
    "class weight of a text": (lambda n: n.fit(X, Y, class_weight={"0": 1.0}, verbose=0), ["[class_weight]", "as keys, got '0'"]),
    "class weight of a text for batches": (lambda n: n.fit([(X, Y)], class_weight={"0": 1.0}, verbose=0), ["as keys, got '0'"]),
    "class weights all 0": (
        lambda n: n.fit(X, Y, class_weight={0: 0, 1: 0, 2: 0}, verbose=0),
        ["[class_weight] expected a class with a weight above 0", "{0: 0, 1: 0, 2: 0}"],
    ),
    "a number as metric": (lambda n: n.fit(X, Y, metrics=5, verbose=0), ["[metrics] expected a name or a function, got 5"]),
    "an array as metric": (lambda n: n.evaluate(X, Y, metrics=np.ones(2)), ["[metrics] expected a name or a function, got"]),
    "callback of another kind": (lambda n: n.fit(X, Y, callbacks=[3], verbose=0), ["callback", "3"]),
    "a callback twice": (
        lambda n: n.fit(X, Y, callbacks=[lm.callbacks.EarlyStopping("loss")] * 2, verbose=0),
        ["[callbacks] expected each callback once, got the same EarlyStopping twice"],
    ),
    "a number alone as callback": (lambda n: n.fit(X, Y, callbacks=3, verbose=0), ["[callbacks] expected callbacks, got 3"]),
    "a function as callback": (lambda n: n.fit(X, Y, callbacks=print, verbose=0), ["[callbacks]", "LambdaCallback(on_epoch_end="]),
    "a class as callback": (lambda n: n.fit(X, Y, callbacks=lm.callbacks.EarlyStopping, verbose=0), ["EarlyStopping() with paren"]),
    "a name as callback": (lambda n: n.fit(X, Y, callbacks="stop", verbose=0), ["[callbacks]", "got 'stop'"]),
    "an array is monitored": (
        lambda n: n.fit(X, Y, metrics=["confusion_matrix"], callbacks=monitors("confusion_matrix"), verbose=0),
        ["[EarlyStopping] expected a number as 'confusion_matrix'", "array of shape (3, 3)", "another figure"],
    ),
    "an array in the name of a file": (
        lambda n: n.fit(
            X,
            Y,
            validation_data=(X, Y),
            metrics=["confusion_matrix"],
            callbacks=lm.callbacks.Checkpoint("{val_confusion_matrix}"),
            verbose=0,
        ),
        ["[Checkpoint] expected fields of epoch, loss, val_loss in the path", "got val_confusion_matrix, an array"],
    ),
    "a metric of one argument": (
        lambda n: n.fit(X, Y, metrics=[lambda y: 1.0], verbose=0),
        ["[metrics]", "(y_true, y_pred, sample_weight=None)", "got (y)"],
    ),
    "a metric that returns text": (lambda n: n.evaluate(X, Y, metrics=[lambda y, p: "good"]), ["[metrics]", "got 'good'"]),
    # parameters
    "parameter of another shape": (
        lambda n: n.parameters.update({"dense_1.weight": np.ones((3, 3))}),
        ["dense_1.weight", "(4, 5)", "(3, 3)"],
    ),
    "parameter of text": (lambda n: n.parameters.update({"dense_1.bias": ["a"] * 5}), ["[dense_1.bias] expected numbers, got ['a"]),
    "parameter of complex numbers": (
        lambda n: setattr(n.layers[0].bias, "value", np.ones(5) * 1j),
        ["[dense_1.bias] expected numbers", "complex128"],
    ),
    "parameter of rows of several lengths": (
        lambda n: n.parameters.update({"dense_1.bias": [[1], [1, 2]]}),
        ["[dense_1.bias] expected an array, or lists of equal lengths"],
    ),
    "PyTorch's weights as they are": (
        lambda n: n.parameters.update({"dense_1.weight": np.ones((5, 4))}),
        ["[dense_1.weight] expected shape (4, 5), got (5, 4); transpose it"],
    ),
    "a weight as a vector": (
        lambda n: n.parameters.update({"dense_1.weight": np.ones(20)}),
        ["[dense_1.weight] expected shape (4, 5), got (20,); reshape it: array.reshape((4, 5))"],
    ),
    "a value as a column": (
        lambda n: setattr(n.layers[0].bias, "value", np.ones((5, 1))),
        ["[dense_1.bias] expected shape (5,), got (5, 1); reshape it: array.reshape((5,))"],
    ),
    "a value of another size": (
        lambda n: setattr(n.layers[0].bias, "value", 1.0),
        ["[dense_1.bias] expected shape (5,), got (); assign an array of that shape"],
    ),
    "parameters that are no dict": (lambda n: n.parameters.update([1, 2]), ["[parameters] expected a dict", "got [1, 2]"]),
    "parameter by its number": (lambda n: n.parameters[0], ["[parameters] unknown name 0", "dense_1.bias"]),
    "a value of a trace by its number": (lambda n: n.trace(X, Y)[0], ["[trace] unknown name 0"]),
    "a theme that is none": (lambda n: n.draw("net.svg", X, Y, theme=None), ["[draw: theme] unknown name None", "dark"]),
    "a level that is an array": (lambda n: n.explain(X, Y, level=X), ["[explain: level] unknown name an array of shape (12, 4)"]),
    "ascii that is text": (lambda n: n.explain(X, Y, ascii="no"), ["[explain] expected ascii to be True or False, got 'no'"]),
    "unknown parameter": (lambda n: n.parameters["dense_1.wieght"], ["dense_1.wieght", "dense_1.weight"]),
    "build for another shape": (lambda n: n.build((9,)), ["4", "9"]),
    "build for a text": (lambda n: n.build("4"), ["[Sequential] expected the shape", "got '4'"]),
    "build for a fraction": (lambda n: n.build((4.5,)), ["[Sequential] expected the shape", "(4.5,)"]),
    "build for a number that is not whole": (lambda n: n.build(4.0), ["[Sequential] expected the shape", "4.0"]),
    "build for a batch axis": (lambda n: n.build((None, 4)), ["without the batch axis", "(None, 4)"]),
    "build for data": (lambda n: n.build(X), ["without the batch axis", "an array of shape (", "predict on data"]),
}  # fmt: skip

AFTER_AN_EPOCH = {
    "an array of one's own is monitored": (
        lambda n: n.fit(X, Y, metrics=[errors_by_class], callbacks=monitors("errors_by_class"), verbose=0),
        ["[EarlyStopping] expected a number as 'errors_by_class'", "array of shape", "another figure"],
    ),
    "an array of one's own in the name of a file": (
        lambda n: n.fit(X, Y, metrics=[errors_by_class], callbacks=lm.callbacks.Checkpoint("{errors_by_class}"), verbose=0),
        ["[Checkpoint] expected fields of epoch, loss in the path", "got errors_by_class, an array"],
    ),
    "a metric that returns nothing": (
        lambda n: n.fit(X, Y, metrics=[lambda y, p: None], verbose=0),
        ["[metrics] expected a number or an array from '<lambda>', got None"],
    ),
    "a figure by its place": (lambda n: n.fit(X, Y, verbose=0)[0], ["[history] expected the name of a figure, got 0", "names()"]),
}  # fmt: skip

REGRESSOR = {
    "targets of another width": (lambda n: n.train_step(X, X[:, :3]), ["2", "3"]),
    "a vector of targets": (lambda n: n.train_step(X, X[:, 0]), ["2"]),
    "targets broadcast": (lambda n: n.fit(X, X[:, :1], verbose=0), ["2", "1"]),
    "class weights of values": (lambda n: n.fit(X, X[:, :2], class_weight={0: 2.0}, verbose=0), ["class_weight", "row 0", "one 1"]),
    "nan in a target": (lambda n: n.fit(X, with_value(X[:, :2], np.nan), verbose=0), ["nan"]),
    "text targets": (lambda n: n.train_step(X, np.full((N, 2), "a")), []),
    "weights of either sign": (
        lambda n: n.fit(X, X[:, :2], sample_weight=X[:, 0], verbose=0),
        ["[sample_weight]", "loss of your own"],
    ),
    "a function that makes batches": (lambda n: n.fit(lambda: iter([(X, X[:, :2])]), verbose=0), ["[x] expected", "call it"]),
}  # fmt: skip


def state(net: lm.Sequential) -> dict[str, np.ndarray]:
    return dict(net.parameters)


def assert_untouched_and_usable(net, before, x, y) -> None:
    after = state(net)
    assert all(np.array_equal(before[k], after[k]) for k in before), "a mistake changed weights"
    loss = net.train_step(x, y)
    assert np.isfinite(loss)
    assert np.all(np.isfinite(net.predict(x)))


@pytest.mark.parametrize("name", CLASSIFIER)
def test_mistake_with_a_classifier(name):
    call, parts = CLASSIFIER[name]
    net = classifier()
    before = state(net)
    with pytest.raises((ValueError, TypeError, KeyError)) as caught:
        call(net)
    assert isinstance(caught.value, (ValueError, TypeError)), f"{type(caught.value).__name__} instead of ValueError"
    check_message(caught.value, parts)
    assert_untouched_and_usable(net, before, X, Y)


@pytest.mark.parametrize("name", REGRESSOR)
def test_mistake_with_a_regressor(name):
    call, parts = REGRESSOR[name]
    net = regressor()
    before = state(net)
    with pytest.raises((ValueError, TypeError)) as caught:
        call(net)
    check_message(caught.value, parts)
    assert_untouched_and_usable(net, before, X, X[:, :2])


@pytest.mark.parametrize("name", AFTER_AN_EPOCH)
def test_mistake_that_an_epoch_shows(name):
    call, parts = AFTER_AN_EPOCH[name]
    net = lm.Sequential(lm.Dense(3), seed=0).compile("cross_entropy", "sgd")
    with pytest.raises((ValueError, TypeError)) as caught:
        call(net)
    check_message(caught.value, parts)
    assert np.isfinite(net.train_step(X, Y))


def test_a_network_counts_as_no_list():
    net = classifier()
    assert net
    assert not isinstance(net, (Iterable, Sized))
    assert np.array([net, net]).shape == (2,)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_full_disk(tmp_path, suffix):
    path = tmp_path / f"net.{suffix}"
    path.symlink_to("/dev/full")
    if suffix == "png":
        pytest.importorskip("typst")
    with pytest.raises(
        OSError, match=r"^\[draw\] expected a path that can be written, got '.*': No space left.*; pass another path$"
    ):
        classifier().draw(path, X, Y)


def test_a_name_beyond_what_systems_take(tmp_path):
    long = "q" * 10_000
    net = classifier()
    for call in (
        lambda: net.save(tmp_path / long),
        lambda: net.draw(f"{long}.svg"),
        lambda: net.draw(long),
        lambda: lm.load(long),
        lambda: net.fit(X, Y, resume=long),
        lambda: net.fit(**{long: 1}),
        lambda: lm.Sequential(long),
        lambda: lm.reshape(X, long),
        lambda: lm.callbacks.EarlyStopping(long),
        lambda: net.fit(X, Y, callbacks=[lm.callbacks.EarlyStopping(long, mode="min")]),
        lambda: lm.Model([lm.Input(2, name=long), lm.Input(2, name=long)], lm.Input(2)),
    ):
        with pytest.raises((ValueError, TypeError, OSError), match=r"(?s)^\[.*expected.*; ") as caught:
            call()
        assert len(str(caught.value)) < 700, str(caught.value)[:100]
    with pytest.raises(AttributeError, match=r"q\.\.\.q") as missing:
        getattr(lm, long)
    assert len(str(missing.value)) < 200


def test_a_folder_where_a_file_is_written(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"\[save .*\] expected the name of a file, got a folder; name a file in it"):
        classifier().save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_remedies_for_gradients_by_weights_work():
    net = classifier()
    loss = lm.sum(net(net.inputs[0]))
    weights = [net.parameters.tensor(name) for name in net.parameters]
    assert [tuple(g.shape) for g in lm.grad(loss, weights)] == [a.shape for a in net.parameters.values()]
    assert weights[0] is net.layers[0].weight


def test_a_layer_error_names_the_layer():
    net = lm.Sequential(lm.Dense(5), lm.Dense(2), seed=0)
    net.predict(X)
    with pytest.raises(ValueError, match=r"\[x\] expected shape \(any, 4\), got \(2, 9\)"):
        net.predict(np.zeros((2, 9)))
    x = lm.Input(4)
    shared = lm.Dense(3)
    shared(x)
    with pytest.raises(ValueError, match=r"\[.*[Dd]ense.*\]"):
        shared(lm.Input(6))


class Nameless(lm.Layer):
    def build(self, x):
        self.weight = self.parameter(*((3,), "ones", "w")[: x.shape[-1]])


def test_arguments_that_are_left_out_are_named():
    for size, said in ((2, r"\[parameter\] expected parameter\(name, shape, init,.*missing .*'init'"), (3, "name that is a word")):
        with pytest.raises((TypeError, ValueError), match=said):
            Nameless()(lm.Input(size))
    net = regressor()
    with pytest.raises(ValueError, match=r"\[y\] expected targets, got None; pass an array"):
        net.train_step(X)


def test_a_mistake_in_the_first_call_leaves_the_net_unbuilt():
    net = lm.Sequential(lm.Dense(3), seed=0)
    net.compile("cross_entropy", "sgd")
    with pytest.raises(ValueError, match=r"\[data\] expected as many samples in each array, got: x has 12, y has 11"):
        net.fit(X, Y[:-1], verbose=0)
    for call in (net.train_step, net.evaluate, net.gradients, net.trace):
        with pytest.raises(TypeError, match=r"\[CrossEntropy\(\)\] expected integer classes \(B,\) or probabilities \(B, 3\)"):
            call(X, Y + 0.5)
        assert not net.built
    assert np.isfinite(net.train_step(X[:, :2], Y))  # another width is still free


def test_an_exception_in_a_users_loss_passes_through():
    def broken(pred, target):
        raise RuntimeError("mine")

    net = lm.Sequential(lm.Dense(3), seed=0)
    net.compile(broken, "sgd")
    with pytest.raises(RuntimeError, match="mine"):
        net.train_step(X, X[:, :3])
    net.compile("mse", "sgd")
    assert np.isfinite(net.train_step(X, X[:, :3]))


FAMILIES = [lm.activations, lm.initializers, lm.losses, lm.metrics, lm.optim, lm.schedules]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda module: module.__name__)
def test_names_are_told_and_taken_in_any_case(family):
    names = family.names()
    assert isinstance(names, list) and len(names) > 5 and all(isinstance(name, str) for name in names)
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        found = []
        for written in (name, name.upper(), name.lower(), name.title()):
            try:
                found.append(repr(family.get(written)))
            except TypeError as error:  # a schedule, or `constant`, has no value without arguments
                found.append(str(error).partition(";")[2])
        assert len(set(found)) == 1, found
    with pytest.raises(ValueError, match=rf"unknown name .*{names[0]}"):
        family.get("no such name")


def test_a_network_made_by_names_in_any_case():
    net = lm.Sequential(lm.Dense(3, "ReLU", weight_init="He_Normal"), lm.Dense(1), seed=0).compile("MSE", "ADAM", ["MAE", "R2"])
    other = lm.Sequential(lm.Dense(3, "relu", weight_init="he_normal"), lm.Dense(1), seed=0).compile("mse", "adam", ["mae", "r2"])
    assert net.fit(X, X[:, :1], verbose=0).last() == other.fit(X, X[:, :1], verbose=0).last()


def test_what_a_network_was_built_with_cannot_be_assigned():
    """Another value would change nothing in the network: it would train on as before, and nobody would know."""
    net = classifier()
    for name, value, remedy in (
        ("weight", np.zeros((FEATURES, 5)), "layer.weight.value = array"),
        ("bias", None, "layer.bias.value = array"),
        ("units", 7, "as the network was built, 5, got 7; make a new network"),
        ("activation", "tanh", "as the network was built, 'relu', got 'tanh'"),
        ("use_bias", False, "as the network was built, True, got False"),
        ("dtype", "float64", "as the network was built, 'float32', got 'float64'"),
    ):
        before = state(net)
        with pytest.raises(AttributeError, match=rf"\[dense_1\] expected .*{remedy}"):
            setattr(net.layers[0], name, value)
        assert_untouched_and_usable(net, before, X, Y)
    for name, call in (
        ("loss", "net.compile(loss"),
        ("optimizer", "net.compile(net.loss"),
        ("parameters", "net.parameters.update"),
    ):
        with pytest.raises(AttributeError, match=rf"\[Sequential\] expected a call, got {name} assigned; write {re.escape(call)}"):
            setattr(net, name, "adam")
    net.layers[0].units = np.int64(5)  # as it is
    net.layers[0].note = "anything else"


def test_losses_and_metrics_tell_whose_parameters_are_turned():
    """A pinball loss in Keras's order would be that of the other quantile, without a word."""
    for loss in (lambda y_true, y_pred: lm.mean(y_true - y_pred), lambda target, pred: lm.mean(target - pred)):
        with pytest.warns(
            UserWarning, match=r"\[losses\] .* got a lambda, whose first parameter is called as if it were the target"
        ):
            classifier().compile(loss, "sgd")
    for metric in (lambda pred, target: 0.0, lambda y_pred, y_true, sample_weight=None: 0.0):
        with pytest.warns(UserWarning, match=r"\[metrics\] .* as '<lambda>', got one whose first parameter is called as if it"):
            classifier().compile("mse", "sgd", [metric])


def test_batches_are_of_their_own_size():
    net = lm.Sequential(lm.Dense(1), seed=0)
    with pytest.warns(UserWarning, match=r"\[fit\] expected no batch_size for batches, which stay as they come, got 2;"):
        net.fit([(X, X[:, :1])], loss="mse", optimizer="sgd", batch_size=2, verbose=0)
