"""`layer.trainable = False`: what is frozen stays, whatever it is part of, and thaws."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import lamina as lm
from lamina.models import programs
from lamina.models import steps as steps_of_models


def test_a_frozen_layer_stays_and_thaws(rng, tmp_path):
    x, y = rng.normal(size=(16, 5)), rng.normal(size=(16, 1))
    net = lm.Sequential(lm.Dense(4, "relu"), lm.BatchNorm(), lm.Dense(1), seed=0).build(5).compile("mse", "adam")

    def moved(model) -> set[str]:
        before = dict(model.parameters.items())
        model.train_step(x, y)
        return {name for name, value in model.parameters.items() if not np.array_equal(value, before[name])}

    everything = moved(net)
    assert len(everything) == 8
    net.layers[0].trainable = False
    weights = {"dense_1.weight", "dense_1.bias"}
    assert moved(net) == everything - weights and not net.layers[0].trainable
    net.save(tmp_path / "net")
    again = lm.load(tmp_path / "net").compile("mse", "adam")
    assert [layer.trainable for layer in again.layers] == [False, True, True] and moved(again) == everything - weights
    for model in (net, again):
        model.layers[0].trainable = model.layers[1].trainable = True
        assert moved(model) == everything  # the running statistics were never weights
    net.parameters.tensor("dense_2.bias").trainable = False
    assert moved(net) == everything - {"dense_2.bias"}
    with pytest.raises(ValueError, match="expected a weight to train"):
        net.parameters.tensor("batch_norm_1.running_mean").trainable = True


def test_a_whole_network_is_frozen_and_thaws(rng):
    """Also before it is built, and as a part of another one."""
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 1))
    base = lm.Sequential(lm.Dense(4, "relu"), lm.Dense(4, "relu"), seed=0)
    base.trainable = False
    net = lm.Sequential(base, lm.Dense(1), seed=0).build(3).compile("mse", "adam")
    assert not base.trainable and net.trainable
    assert [p.name for p in net.programs.trainable] == ["dense_3.weight", "dense_3.bias"]
    net.trainable = True
    before = dict(net.parameters)
    net.train_step(x, y)
    assert not any(np.array_equal(value, before[name]) for name, value in net.parameters.items())


@pytest.mark.parametrize("optimizer", [lm.optim.Adam, lm.optim.SGD, lambda: lm.optim.NAdam(lm.schedules.Cosine(1e-2, 50))])
def test_layers_that_are_trained_in_turns_take_the_programs_of_before(rng, optimizer, monkeypatch):
    """With the bits of programs that are made anew each time."""
    x, y = rng.normal(size=(8, 3)).astype("f"), rng.normal(size=(8, 1)).astype("f")
    kept, anew = (lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(1), seed=0).compile("mse", optimizer()) for _ in range(2))
    kept.build(3), anew.build(3)
    made, plan = [], programs.Programs._build_train
    monkeypatch.setattr(programs.Programs, "_build_train", lambda self, *of: made.append(self) or plan(self, *of))
    for step, trained in enumerate((True, False, True, False, True, False, False, True, True, False)):
        for net in (kept, anew):
            net.layers[0].trainable = trained
            net.layers[1].trainable = not trained or step % 4 == 2
            if step == 7:
                net.optimizer.lr = 1e-3
            if net is anew:
                net.drop_training()
        for _ in range(1 + step % 2):
            assert kept.train_step(x, y) == anew.train_step(x, y)
        assert kept.gradients(x, y).keys() == anew.gradients(x, y).keys()
    assert all(np.array_equal(value, anew.parameters[name]) for name, value in kept.parameters.items())
    assert kept.optimizer.steps == anew.optimizer.steps
    assert made.count(anew.programs) == 10
    assert made.count(kept.programs) <= 6  # one more for each set of clocks: what has rested has its own


def test_layers_that_are_trained_in_turns_step_quickly(monkeypatch):
    x, y = np.ones((4, 3), "f"), np.ones((4, 1), "f")
    net = lm.Sequential(lm.Dense(4), lm.Dense(1), seed=0).build(3).compile("mse", "adam")
    told, careful = [], []
    step, tell = steps_of_models.train_step, lm.Model.train_others
    for turn in range(6):
        net.trainable = turn % 2 == 0
        net.layers[1].trainable = True
        net.train_step(x, y)
        if turn == 3:  # whoever has rested has clocks of its own now
            monkeypatch.setattr(steps_of_models, "train_step", lambda *of: careful.append(of) or step(*of))
            monkeypatch.setattr(lm.Sequential, "train_others", lambda net: told.append(net) or tell(net))
    assert not careful and len(told) == 3
    net.compile("mse", "sgd")
    net.train_step(x, y)
    assert careful


def test_a_layer_is_frozen_in_all_its_models_whatever_they_call_equal():
    class Alike(lm.Model):
        def __eq__(self, other):
            return isinstance(other, Alike)

        __hash__ = lm.Model.__hash__

    x, y, shared = np.ones((4, 3), "f"), np.ones((4, 1), "f"), lm.Dense(2)
    inputs = [lm.Input(3), lm.Input(3)]
    nets = [Alike(i, lm.Dense(1)(shared(i)), seed=0).compile("mse", "sgd") for i in inputs]
    for net in nets:
        net.train_step(x, y)
    shared.trainable = False
    before = shared.weight.value
    for net in nets:
        net.train_step(x, y)
    assert np.array_equal(shared.weight.value, before)


def test_a_layer_frozen_by_another_thread_while_a_program_is_planned(monkeypatch):
    """The program of the other layers would be kept as that of all."""
    x, y = np.ones((4, 3), "f"), np.ones((4, 1), "f")
    net = lm.Sequential(lm.Dense(4), lm.Dense(1), seed=0).build(3).compile("mse", "sgd")
    plan = programs.Programs._build_train
    freezes = threading.Thread(target=setattr, args=(net.layers[0], "trainable", False))

    def plan_late(*of):
        freezes.start()
        freezes.join(0.3)
        return plan(*of)

    monkeypatch.setattr(programs.Programs, "_build_train", plan_late)
    net.train_step(x, y)
    freezes.join()
    monkeypatch.undo()
    assert not net.layers[0].trainable
    net.layers[0].trainable = True
    before = net.parameters["dense_1.weight"]
    net.train_step(x, y)
    assert (net.parameters["dense_1.weight"] != before).all()


def test_programs_of_what_is_trained_no_more_are_few(rng):
    x, y = np.ones((4, 3), "f"), np.ones((4, 1), "f")
    net = lm.Sequential(*(lm.Dense(3) for _ in range(7)), lm.Dense(1), seed=0).build(3).compile("mse", "sgd")
    for layer in net.layers[:-1]:
        layer.trainable = False
        net.train_step(x, y)
    assert len(net.programs._planned) == programs.MOST_SETS
    net.optimizer.momentum = 0.9
    assert not net.programs._planned


def test_what_is_frozen_and_thawed_in_turns_is_planned_once(rng, monkeypatch):
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 1))
    net = lm.Sequential(lm.Dense(4), lm.Dense(1), seed=0).build(3).compile("mse", "adam")

    def turn():
        for trained, names in ((False, {"dense_2.weight", "dense_2.bias"}), (True, set(net.parameters))):
            net.layers[0].trainable = trained
            before = dict(net.parameters)
            net.train_step(x, y)
            net.train_step(x.tolist(), y.tolist())
            net.fit([(x, y)], verbose=0)
            assert {name for name in before if not np.array_equal(before[name], net.parameters[name])} == names
            assert net.gradients(x, y).keys() == net.per_sample_gradients(x, y).keys() == names
            net.evaluate(x, y)

    for _ in range(3):
        turn()
    monkeypatch.setattr("lamina._core.Program", None)
    turn()


@pytest.mark.parametrize("when", ["before it is built", "after"])
@pytest.mark.parametrize("how", ["an attribute", "a list", "a network"])
def test_layers_within_a_frozen_layer_are_frozen(rng, how, when):
    class Outer(lm.Layer):
        def build(self, x):
            inner = lm.Dense(3).named("inner")
            self.inner = {"an attribute": inner, "a list": [inner], "a network": lm.Sequential(inner)}[how]

        def forward(self, x):
            return (self.inner[0] if how == "a list" else self.inner)(x) + x

    outer = Outer()
    net = lm.Sequential(outer, lm.Dense(2), seed=0).compile("mse", "adam")
    if when == "before it is built":
        outer.trainable = False
    net.build(3)
    if when == "after":
        outer.trainable = False
    before = dict(net.parameters)
    x, y = rng.normal(size=(4, 3)), np.ones((4, 2))
    net.train_step(x, y)
    moved = {name for name in before if not np.array_equal(before[name], net.parameters[name])}
    assert {name.rpartition(".")[0] for name in moved} == {"dense_1"}
    outer.trainable, before = True, dict(net.parameters)
    net.train_step(x, y)
    assert any("inner" in name for name in before if not np.array_equal(before[name], net.parameters[name]))


def test_a_layer_is_frozen_before_it_is_built():
    class Late(lm.Layer):
        def forward(self, x):
            return x * (self.parameters.get("scale") or self.parameter("scale", (), "ones"))

    layer, late = lm.Dense(4), Late()
    layer.trainable = late.trainable = False
    net = lm.Sequential(layer, late, lm.Dense(1), seed=0).build(3)
    assert [p.name for p in net.programs.trainable] == ["dense_2.weight", "dense_2.bias"]


def test_a_layer_without_weights_comes_back_as_one_that_is_not_frozen(tmp_path):
    lm.Sequential(lm.BatchNorm(affine=False), lm.Dense(1), seed=0).build(2).save(tmp_path / "net")
    assert all(layer.trainable for layer in lm.load(tmp_path / "net").layers)


def test_whole_numbers_are_not_trained():
    for value in (1, (2, 3), np.arange(3), True):
        with pytest.raises(TypeError, match=r"\[Parameter\] expected float32 or float64 for what is trained, got (int64|bool)"):
            lm.Parameter(value)
    assert lm.Parameter(1, dtype="float32").value == 1 and lm.Parameter((2, 3), trainable=False).dtype == "int64"
    assert lm.Parameter([2, 3], init=lm.initializers.ones).shape == (2, 3)


def test_freezing_a_layer_reaches_its_parameters_in_lists_and_dicts(rng):
    class Steps(lm.Layer):
        def build(self, x):
            self.ws = [lm.Parameter((3,), init="ones") for _ in range(2)]
            self.by_name = {"last": lm.Parameter((3,), init="ones")}

        def forward(self, x):
            return x * self.ws[0] * self.ws[1] * self.by_name["last"]

    x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    net = lm.Sequential(Steps(), lm.Dense(2), seed=0).build(3).compile("mse", "sgd")
    steps = [name for name in net.parameters if name.startswith("parameter_")]
    assert len(steps) == 3
    net.layers[0].trainable = False
    before = dict(net.parameters)
    net.train_step(x, y)
    assert {name for name in before if not np.array_equal(before[name], net.parameters[name])} == {"dense_1.weight", "dense_1.bias"}
    net.layers[0].trainable = True
    net.train_step(x, y)
    assert not any(np.array_equal(before[name], net.parameters[name]) for name in steps)


def test_freezing_ends_where_an_attribute_holds_itself():
    layer = lm.Dense(2)
    layer.notes = {}
    layer.notes["again"] = [layer.notes, layer]
    layer.trainable = False
    assert not layer.trainable
