"""Model and Sequential: building, names, seeds, one-call uses, several inputs and outputs, layers of one's own."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest

import lamina as lm
from lamina.models import chunks, programs
from lamina.models import steps as steps_of_models


@pytest.fixture
def xy(rng):
    return rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 3, 20)


def mlp(**keywords) -> lm.Sequential:
    return lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(3), seed=0, **keywords)


# ---- building --------------------------------------------------------------------------------------------------------------------


def test_a_sequential_waits_for_data(xy):
    net = mlp()
    assert not net.built and net.inputs == () and len(net.layers) == 2
    assert net.predict(xy[0]).shape == (20, 3)
    assert net.built and tuple(net.inputs[0].shape[1:]) == (4,)


@pytest.mark.parametrize("shape", [4, (4,), [4]])
def test_build_takes_the_shape_without_the_batch(shape):
    assert list(mlp().build(shape).parameters) == ["dense_1.weight", "dense_1.bias", "dense_2.weight", "dense_2.bias"]


def test_without_layers_it_is_the_identity(xy, tmp_path):
    x = xy[0]
    net = lm.Sequential()
    net.save(tmp_path / "net.safetensors")
    for same in (net, lm.load(tmp_path / "net.safetensors"), lm.Sequential(net, lm.Sequential())):
        assert np.array_equal(same.predict(x), x)
        assert "\n0 parameters" in same.summary() and "0 parameters" in same.explain(x)
        same.draw(tmp_path / "net.svg", x)
    with pytest.raises(ValueError, match=r"\[Model\] expected something to train, got a model .*; add a layer"):
        net.fit(x, x, loss="mse", optimizer="adam", verbose=0)


def test_build_makes_whole_numbers_for_an_embedding():
    net = lm.Sequential(lm.Sequential(lm.Embedding(9, 4)), lm.Flatten(), lm.Dense(2), seed=0).build(3)
    assert net.inputs[0].dtype == "int64" and net.predict(np.array([[0, 8, 3]])).shape == (1, 2)
    assert net.predict(np.zeros((0, 3), "uint64")).shape == (0, 2)


def test_what_a_network_has_later_is_missing_to_hasattr_and_a_mistake_to_who_asks():
    net = lm.Sequential(lm.Dense(2))
    for name in ("parameters", "programs", "objective"):
        assert not hasattr(net, name)
        with pytest.raises(ValueError, match=r"\[Sequential\] expected .*; call net\."):
            getattr(net, name)
    net.build(3).compile("mse", "sgd")
    assert len(net.parameters) == 2 and hasattr(net, "objective")


def test_build_twice_is_harmless_and_for_another_shape_an_error():
    net = mlp().build(4)
    before = dict(net.parameters)
    net.build(4)
    assert all(np.array_equal(before[k], net.parameters[k]) for k in before)
    with pytest.raises(ValueError, match="5"):
        net.build(5)


def test_a_failed_build_leaves_all_layers_unbuilt():
    net = lm.Sequential(lm.Dense(8), lm.Reshape(3), lm.Dense(2))
    with pytest.raises(ValueError, match="reshape"):
        net.build(4)
    assert not any(layer.built for layer in net.layers) and not net.built


def test_the_first_element_may_be_an_input():
    net = lm.Sequential(lm.Input(4), lm.Dense(2))
    assert net.built and net.parameters["dense_1.weight"].shape == (4, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype(dtype, xy):
    net = mlp(dtype=dtype)
    assert net.predict(xy[0].astype(np.float64)).dtype == dtype
    assert all(value.dtype == dtype for value in net.parameters.values())


def test_a_models_dtype_is_that_of_its_inputs():
    def net(made="float32", **asked):
        x = lm.Input(3, dtype=made, name="features")
        return lm.Model(x, lm.Dense(2)(x), seed=0, **asked)

    for dtype in ("float32", "float64"):
        for asked in ({}, {"dtype": dtype}):
            assert net(dtype, **asked).dtype == dtype
            assert net(dtype, **asked).predict(np.ones((1, 3))).dtype == dtype
    with pytest.raises(ValueError, match=r"float64, got 'features' of float32; make it by lm.Input\(..., dtype='float64'\)"):
        net(dtype="float64")
    with pytest.raises(ValueError, match="float32, got 'features' of float64"):
        net("float64", dtype="float32")
    with pytest.raises(ValueError, match="expected dtype 'float32' or 'float64', got 'float16'"):
        net(dtype="float16")
    x, i = lm.Input(3, dtype="float64"), lm.Input(dtype="int64", name="i")
    assert lm.Model([x, i], lm.Dense(1)(x) * lm.cast(i[:, None], "float64")).dtype == "float64"
    with pytest.raises(ValueError, match="float64, got 'output' of float32; pass dtype='float64' to the Embedding"):
        lm.Model(i, lm.Embedding(4, 2)(i), dtype="float64")
    assert lm.Model(i, lm.Embedding(4, 2, dtype="float64")(i)).dtype == "float64"
    assert lm.Model(i, i + 1).dtype == "float32"


def test_a_sequentials_dtype_is_that_of_its_input():
    assert lm.Sequential(lm.Input(3, dtype="float64"), lm.Dense(2)).dtype == "float64"
    assert lm.Sequential(lm.Input(3, dtype="int64"), lm.Embedding(4, 2), dtype="float64").outputs[0].dtype == "float64"
    with pytest.raises(ValueError, match=r"expected float64, got 'input' of float32; make it by lm.Input\(..., dtype='float64'\)"):
        lm.Sequential(lm.Input(3), lm.Dense(2), dtype="float64")


def test_integers_reach_an_embedding():
    net = lm.Sequential(lm.Embedding(5, 2), lm.Flatten(), lm.Dense(1), seed=0)
    assert net.predict(np.array([[0, 1, 2], [2, 3, 4]], np.int32)).shape == (2, 1)
    assert net.inputs[0].dtype == "int64"


def test_data_by_name_before_and_after_a_sequential_is_built():
    x, y = np.ones((4, 3)), np.zeros((4, 1))
    for call in (lambda n: n.train_step({"input": x}, {"output": y}), lambda n: n.predict({"input": x})[0, 0]):
        fresh = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd")
        built = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd").build(3)
        assert call(fresh) == call(built)
    with pytest.raises(ValueError, match=r"\[x\] unknown name 'inputs'; did you mean 'input'"):
        lm.Sequential(lm.Dense(1)).predict({"inputs": x})


def test_fractions_as_indices_are_refused_at_every_step():
    x, y = np.arange(12).reshape(6, 2) % 5, np.arange(6) % 3
    net = lm.Sequential(lm.Embedding(5, 2), lm.Flatten(), lm.Dense(3), seed=0).compile("cross_entropy", "sgd")
    net.train_step(x, y)
    net.train_step(x.astype(np.int32), y)
    before = dict(net.parameters)
    for wrong in (x + 0.5, np.where(x == 0, np.nan, x), (x + 0.5).astype(np.float32)):
        for call in (net.train_step, net.gradients, net.evaluate):
            with pytest.raises(ValueError, match=r"\[x\] expected whole numbers for an integer input"):
                call(wrong, y)
    assert all(np.array_equal(before[name], value) for name, value in net.parameters.items())
    assert np.isfinite(net.train_step(x.astype(float), y))


def test_a_net_of_float64_that_is_not_built_takes_what_float64_holds():
    x = np.full((4, 3), 1e39)
    for data in ((x, x[:, :1]), ([(x, x[:, :1])],)):
        net = lm.Sequential(lm.Dense(1), seed=0, dtype="float64")
        assert np.isfinite(net.fit(*data, loss="mse", optimizer="adam", verbose=0).last()["loss"])


@pytest.mark.parametrize("wrong", [5, -1])
def test_an_embedding_refuses_what_it_does_not_have(wrong):
    net = lm.Sequential(lm.Embedding(5, 2), lm.Flatten(), lm.Dense(1), seed=0).compile("mse", "sgd").build(1, dtype="int64")
    good, bad, y = np.array([[0], [4]]), np.array([[0], [wrong]]), np.ones((2, 1))
    for _ in range(2):  # the second time by the short way
        before = dict(net.parameters.items())
        for call in (lambda: net.train_step(bad, y), lambda: net.predict(bad), lambda: net.fit(bad, y, verbose=0, batch_size=2)):
            with pytest.raises(ValueError, match=rf"expected .*from 0 to 4.*, got {wrong}"):
                call()
        assert all(np.array_equal(value, before[name]) for name, value in net.parameters.items())
        assert net.train_step(good, y) > 0 and net.predict(good).shape == (2, 1)


def test_repr_and_summary_before_and_after():
    net = lm.Sequential(lm.Dense(8, "relu"), lm.Activation("linear"), lm.BatchNorm(), lm.Dense(3), seed=0)
    assert "not built" in net.summary() and "not built" in repr(net)
    assert "float32, 1 layer, seed" in repr(lm.Sequential(lm.Dense(1)).build(2))
    text = net.build(4).summary()
    assert "dense_1" in text and "(B, 8)" in text and "40" in text
    assert "99 parameters (396 B), 83 trained, 16 not" in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_a_build_that_failed_leaves_layers_within_layers_unbuilt():
    class Residual(lm.Layer):
        def __init__(self, *inner):
            self.inner, self.by_name = inner, {"last": lm.Dense(4)}

        def forward(self, x):
            for layer in self.inner:
                x = layer(x)
            return lm.sum(x, axis=1, keepdims=True) + self.by_name["last"](x)

    deep = Residual(lm.Dense(3))
    net = lm.Sequential(Residual(lm.Dense(3), deep), lm.Lambda(lambda x: free(x)), lm.Reshape(2), seed=0)
    free = lm.Dense(4)
    with pytest.raises(ValueError, match="reshape_1"):
        net.build(5)
    assert not any(layer.built for layer in (net.layers[0], deep, deep.inner[0], deep.by_name["last"], free)) and not net.built
    other = lm.Sequential(net.layers[0], net.layers[1], seed=0).build(2)
    assert other.layers[0].inner[0].weight.shape == (2, 3)


# ---- names -----------------------------------------------------------------------------------------------------------------------


def test_names_count_by_class():
    net = lm.Sequential(lm.Dense(4), lm.BatchNorm(), lm.Dense(4), lm.BatchNorm(), lm.LayerNorm()).build(2)
    assert [layer.name for layer in net.layers] == ["dense_1", "batch_norm_1", "dense_2", "batch_norm_2", "layer_norm_1"]


def test_layers_stand_in_the_order_in_which_they_run():
    """Masks of dropout, which need no input, included."""
    x = lm.Input(4)
    net = lm.Model(x, lm.Dense(2)(lm.Dropout(0.2)(lm.LayerNorm()(lm.Dropout(0.5)(lm.Dense(3)(x))))), seed=0)
    assert [layer.name for layer in net.layers] == ["dense_1", "dropout_1", "layer_norm_1", "dropout_2", "dense_2"]
    assert [layer.p for layer in net.layers if isinstance(layer, lm.Dropout)] == [0.5, 0.2]


def test_names_of_ones_own_stay_and_are_unique():
    net = lm.Sequential(lm.Dense(4).named("head"), lm.Dense(2)).build(2)
    assert list(net.parameters) == ["head.weight", "head.bias", "dense_1.weight", "dense_1.bias"]
    with pytest.raises(ValueError, match="head"):
        lm.Sequential(lm.Dense(4).named("head"), lm.Dense(2).named("head")).build(2)


def test_a_layer_in_two_models_has_a_name_in_each():
    x = lm.Input(4)
    first, second = lm.Dense(3), lm.Dense(2)
    whole = lm.Model(x, second(first(x)), seed=0)
    before = whole.parameters["dense_1.weight"]
    z = lm.Input(3)
    tail = lm.Model(z, lm.Dense(1)(second(z)), seed=1)
    assert np.array_equal(whole.parameters["dense_1.weight"], before)
    assert np.array_equal(tail.parameters[f"{tail.layers[0].name}.weight"], whole.parameters["dense_2.weight"])
    tail.parameters[f"{tail.layers[0].name}.bias"] = [5.0, 6.0]
    assert whole.parameters["dense_2.bias"].tolist() == [5.0, 6.0]


def test_parameters_made_directly_have_names():
    x = lm.Input(2)
    scale, shift = lm.Parameter(np.ones(2, np.float32)), lm.Parameter(np.zeros(2, np.float32), name="shift")
    net = lm.Model(x, x * scale + shift)
    assert set(net.parameters) == {"parameter_1", "shift"}


# ---- parameters ------------------------------------------------------------------------------------------------------------------


def test_parameters_copy_out_and_write_in(xy):
    net = mlp().build(4)
    value = net.parameters["dense_1.bias"]
    value[:] = 7
    assert not np.array_equal(net.parameters["dense_1.bias"], value)
    before = net.predict(xy[0])
    net.parameters["dense_2.bias"] = net.parameters["dense_2.bias"] + 1
    np.testing.assert_allclose(net.predict(xy[0]), before + 1, rtol=1e-6)
    net.parameters["dense_2.bias"][0] = 7  # of the copy
    net.parameters["dense_2.bias"] -= 1  # read, changed, assigned
    np.testing.assert_allclose(net.predict(xy[0]), before, atol=1e-6)


def test_update_checks_everything_before_it_writes():
    net = mlp().build(4)
    before = dict(net.parameters)
    with pytest.raises(ValueError, match="dense_2.bias"):
        net.parameters.update({"dense_1.bias": np.zeros(8), "dense_2.bias": np.zeros(9)})
    assert all(np.array_equal(before[k], net.parameters[k]) for k in before)


# ---- seeds -----------------------------------------------------------------------------------------------------------------------


def test_the_same_seed_the_same_weights():
    a, b, c = mlp().build(4), mlp().build(4), lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(3), seed=1).build(4)
    assert all(np.array_equal(a.parameters[k], b.parameters[k]) for k in a.parameters)
    assert not np.array_equal(a.parameters["dense_1.weight"], c.parameters["dense_1.weight"])


def test_without_a_seed_one_is_drawn_and_kept():
    a = lm.Sequential(lm.Dense(3)).build(4)
    b = lm.Sequential(lm.Dense(3), seed=a.seed).build(4)
    assert a.seed != lm.Sequential(lm.Dense(3)).seed
    assert np.array_equal(a.parameters["dense_1.weight"], b.parameters["dense_1.weight"])


def test_two_dropouts_differ_and_repeat(xy):
    def losses():
        net = lm.Sequential(lm.Dropout(0.5), lm.Dropout(0.5), lm.Dense(3), seed=0)
        net.compile("cross_entropy", lm.optim.SGD(0.0))
        return [net.train_step(*xy) for _ in range(4)]

    first = losses()
    assert len(set(first)) == 4 and first == losses()
    x = lm.Input(1000)
    masks = lm.Model(x, lm.concatenate([lm.Dropout(0.5)(x), lm.Dropout(0.5)(x)], axis=1), seed=0)
    masks.compile(lambda pred, y: lm.mean(pred[:, :1000] * pred[:, 1000:]), "sgd")  # no parameters: build the loss only
    assert len(masks.wiring.random) in (1, 2)


# ---- predict ---------------------------------------------------------------------------------------------------------------------


def test_outputs_that_have_no_row_for_each_sample():
    """They are predicted at once, whatever the batch size, and no metric takes their rows."""
    x = lm.Input(3)
    data = np.arange(30.0, dtype=np.float32).reshape(10, 3)
    for out, want in ((lm.sum(x), data.sum()), (lm.sum(x, axis=0), data.sum(0)), (lm.concatenate([x, x]), np.tile(data, (2, 1)))):
        assert np.array_equal(lm.Model(x, out).predict(data, batch_size=4), want)
    fixed, many = lm.placeholder((10, 3)), np.tile(data, (500, 1))
    assert np.array_equal(lm.Model(fixed, fixed).predict(data, batch_size=4), data)
    several = lm.Model(x, [lm.max(x), x])
    for _ in range(2):  # the second time by the quick way
        assert [np.shape(out) for out in several.predict(many)] == [(), (5000, 3)]
    model = lm.Model(x, lm.Dense(2)(lm.concatenate([x, x]))).compile(lambda p, t: lm.mean(p) - lm.mean(t), "sgd", metrics=["mae"])
    with pytest.raises(ValueError, match=r"outputs with one row for each sample, got \(8, 2\) for 4 samples"):
        model.fit(data, np.ones((10, 2)), batch_size=4, verbose=0)


def test_predict_in_chunks_has_the_same_bits(xy):
    net = mlp()
    whole = net.predict(xy[0])
    for size in (1, 7, 19, 20, 100):
        assert np.array_equal(net.predict(xy[0], batch_size=size), whole)


def test_predict_takes_lists_and_other_types(xy):
    net = mlp()
    whole = net.predict(xy[0])
    assert np.array_equal(net.predict(xy[0].tolist()), whole)
    assert np.array_equal(net.predict(np.asfortranarray(xy[0])), whole)
    assert np.array_equal(net(xy[0]), whole)


def test_parameters_are_asked_for_a_name_that_they_may_lack():
    net = lm.Sequential(lm.Dense(2), seed=0).compile("mse", "sgd").build(3)
    names = net.parameters
    assert "dense_1.bias" in names
    assert "dense_9.bias" not in names
    assert 3 not in names
    assert names.get("dense_1.bias").shape == (2,)
    assert names.get("dense_9.bias") is None
    assert names.get("dense_9.bias", 5) == 5
    figures = net.inspect(np.ones((4, 3)), np.zeros((4, 2)))
    assert "W1" in figures
    assert "W9" not in figures
    assert figures.get("W9") is None


def test_a_model_on_tensors_shares_its_parameters(xy):
    net = mlp().build(4)
    x = lm.Input(4)
    twice = lm.Model(x, net(x) * 2.0)
    np.testing.assert_allclose(twice.predict(xy[0]), 2 * net.predict(xy[0]), rtol=1e-6)
    y = lm.Input(4)
    again = lm.Model(y, twice(y))
    assert np.array_equal(again.predict(xy[0]), twice.predict(xy[0]))
    net.parameters["dense_2.bias"] = np.zeros(3)
    np.testing.assert_allclose(again.predict(xy[0]), 2 * net.predict(xy[0]), rtol=1e-6)


class Both(lm.Layer):
    """Each output needs one of the inputs; a value on the way can be had, too."""

    def forward(self, a, b):
        self.inside = 2.0 * a
        return lm.tanh(self.inside), lm.exp(b)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (2,)])
def test_a_model_on_tensors_repeats_calls_of_several_inputs_and_outputs(order, xy):
    a, b, layer = lm.Input(4), lm.Input(4), Both()
    first, second = layer(lm.sin(a), lm.cos(b))
    outputs = (first, second, layer.inside)
    net = lm.Model([a, b], [outputs[i] for i in order])
    c, d = lm.Input(4), lm.Input(4)
    results = net(c, d)
    again = lm.Model([c, d], list(results) if len(order) > 1 else [results])
    for one, other in zip(*(np.atleast_3d(n.predict([xy[0], xy[0][::-1]])) for n in (net, again)), strict=True):
        assert np.array_equal(one, other)


def test_a_sequential_within_a_sequential(xy):
    inner = lm.Sequential(lm.Dense(5, "relu"), lm.Dense(4))
    net = lm.Sequential(inner, lm.Dense(3), seed=0)
    assert net.predict(xy[0]).shape == (20, 3)
    assert len(net.parameters) == 6


# ---- train_step, gradients, evaluate ---------------------------------------------------------------------------------------------


def test_train_step_returns_the_loss_before_the_update(xy):
    net = mlp().compile("cross_entropy", lm.optim.SGD(0.5))
    net.build(4)
    before = net.evaluate(*xy)["loss"]
    assert net.train_step(*xy) == pytest.approx(before, rel=1e-6)
    assert net.evaluate(*xy)["loss"] < before


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
    assert net._fast_step is not None
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


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_a_loss_that_makes_targets_of_its_own_makes_them_at_each_step(dtype, xy):
    class Signs(lm.losses.Loss):
        def check_target(self, y, pred_shape):
            return 2 * super().check_target(y, pred_shape) - 1

        def elements(self, pred, target):
            return (pred - target) ** 2

    x, y = xy[0], (xy[1] % 2).astype(dtype)
    own, plain = (lm.Sequential(lm.Dense(1), seed=0).compile(loss, "sgd") for loss in (Signs(), "mse"))
    for _ in range(3):
        assert own.train_step(x, y) == plain.train_step(x, 2 * y - 1)


def test_a_class_that_is_left_out_is_one_on_the_quick_way(xy):
    x, y = xy
    left = np.where(y == 2, -1, y)
    quick, careful = (mlp().compile(lm.losses.CrossEntropy(ignore_index=-1), "sgd") for _ in range(2))
    for _ in range(2):
        for given in (y, left):
            assert quick.train_step(x, given) == careful.train_step(x.tolist(), given.tolist())
    assert quick._fast_step is not None
    for wrong in (3, -2):
        with pytest.raises(ValueError, match=str(wrong)):
            quick.train_step(x, np.full_like(y, wrong))


def test_gradients_are_those_of_the_step_and_change_nothing(xy):
    x, y = xy
    net = lm.Sequential(lm.Dense(8), lm.BatchNorm(), lm.Dropout(0.3), lm.Dense(3), seed=0).compile(
        "cross_entropy", lm.optim.SGD(1.0)
    )
    net.build(4)
    before = dict(net.parameters)
    gradients = net.gradients(x, y)
    assert all(np.array_equal(before[k], net.parameters[k]) for k in before)
    assert set(gradients) == {k for k in before if "running" not in k}
    net.train_step(x, y)
    for name, g in gradients.items():
        np.testing.assert_allclose(before[name] - net.parameters[name], g, rtol=1e-4, atol=1e-6)


def test_gradients_against_finite_differences(rng):
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    net = lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(2), seed=0, dtype="float64").compile("mse", "sgd")
    net.build(3)
    g = net.gradients(x, y)["dense_1.weight"]
    w, h = net.parameters["dense_1.weight"], 1e-6
    step = np.zeros_like(w)
    step[1, 2] = h
    losses = []
    for sign in (1, -1):
        net.parameters["dense_1.weight"] = w + sign * step
        losses.append(net.evaluate(x, y)["loss"])
    assert g[1, 2] == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-6)


def test_sample_weights_of_zero_leave_rows_out(xy):
    x, y = xy
    weight = np.r_[np.ones(12), np.zeros(8)]
    a, b = mlp().compile("cross_entropy", lm.optim.SGD(0.1)), mlp().compile("cross_entropy", lm.optim.SGD(0.1))
    assert a.train_step(x, y, weight) == pytest.approx(b.train_step(x[:12], y[:12]), rel=1e-6)
    for name in a.parameters:
        np.testing.assert_allclose(a.parameters[name], b.parameters[name], rtol=1e-5, atol=1e-7)
    assert a.evaluate(x, y, sample_weight=weight)["loss"] == pytest.approx(b.evaluate(x[:12], y[:12])["loss"], rel=1e-5)


def test_evaluate_in_parts_is_the_mean_over_all_rows(xy):
    net = mlp().compile("cross_entropy", "sgd", metrics=["accuracy"])
    net.build(4)
    whole, parts = net.evaluate(*xy), net.evaluate(*xy, batch_size=7)
    assert whole["accuracy"] == parts["accuracy"] and whole["loss"] == pytest.approx(parts["loss"], rel=1e-6)
    assert whole["accuracy"] == lm.metrics.accuracy(xy[1], net.predict(xy[0]))


MEANS = {
    "square": lambda p, t: lm.mean((p - t) ** 2),
    "scaled and shifted": lambda p, t: 1.0 + 2.0 * lm.mean(lm.sum(lm.abs(p - t), axis=1)) / 3.0,
    "by columns": lambda p, t: lm.mean(lm.mean((p - t) ** 2, axis=0)),
    "over the number of samples": lambda p, t: lm.sum((p - t) ** 2) / p.shape[0],
    "over twice their number": lambda p, t: lm.sum((p - t) ** 2) / (2 * p.shape[0]),
    "of samples": lambda p, t: (p - t) ** 2,
}
NO_MEANS = {
    "root": (lambda p, t: lm.sqrt(lm.mean((p - t) ** 2)), lambda p, t: np.sqrt(((p - t) ** 2).mean())),
    "sum": (lambda p, t: lm.sum((p - t) ** 2), lambda p, t: ((p - t) ** 2).sum()),
    "over a mean": (lambda p, t: 1.0 / lm.mean((p - t) ** 2), lambda p, t: 1 / ((p - t) ** 2).mean()),
    "largest": (lambda p, t: lm.max(lm.abs(p - t)), lambda p, t: abs(p - t).max()),
    "centred": (lambda p, t: (p - lm.mean(p, axis=0) - t) ** 2, lambda p, t: ((p - p.mean(0) - t) ** 2).mean()),
    "product of means": (lambda p, t: lm.mean(p) * lm.mean(t), lambda p, t: p.mean() * t.mean()),
    "over the square of the number": (
        lambda p, t: lm.sum((p - t) ** 2) / (p.shape[0] * p.shape[0]),
        lambda p, t: ((p - t) ** 2).sum() / len(p) ** 2,
    ),
    "over one less": (lambda p, t: lm.sum((p - t) ** 2) / (p.shape[0] - 1), lambda p, t: ((p - t) ** 2).sum() / (len(p) - 1)),
    "rounded": (
        lambda p, t: lm.cast(lm.cast(lm.mean((p - t) ** 2), "int64"), "float64") + 0.0 * lm.mean(p),
        lambda p, t: np.floor(((p - t) ** 2).mean()),
    ),
}


def test_a_batch_compared_with_itself(rng):
    """Its logits (B, B) have one-hot rows as targets; classes, and metrics over several batches, have no number of columns."""
    x = lm.Input(3)
    net = lm.Model(x, lm.matmul(lm.Dense(4)(x), lm.transpose(lm.Dense(4)(x))), seed=0, dtype="float32").compile(
        "cross_entropy", "sgd"
    )
    a = rng.normal(size=(6, 3)).astype("f")
    z = net.predict(a).astype(float)
    assert net.train_step(a, np.eye(6)) == pytest.approx(np.mean(np.log(np.exp(z).sum(axis=1)) - np.diagonal(z)), rel=1e-5)
    with pytest.raises(ValueError, match=r"known number of classes, got logits \(B, B\); pass one-hot rows: np\.eye\(n\)\[y\]"):
        net.train_step(a, np.arange(6))
    before = net.parameters["dense_1.weight"]
    with pytest.raises(ValueError, match=r"\[metrics\] expected rows of one length in all batches, got \(B, B\)"):
        net.fit(a, np.eye(6), batch_size=6, metrics="accuracy", verbose=0)
    assert (net.parameters["dense_1.weight"] == before).all()


@pytest.mark.parametrize("name", MEANS | NO_MEANS)
def test_evaluate_gives_the_loss_over_all_rows_also_of_ones_own(name, rng, monkeypatch):
    """Rows go through in parts where that changes nothing, and all at once where the loss is no mean of what each has by itself."""
    monkeypatch.setattr(chunks, "CHUNK", 8)
    parts = []
    x, y = rng.normal(size=(20, 3)) * np.arange(20)[:, None], rng.normal(size=(20, 2))
    loss, oracle = (MEANS[name], None) if name in MEANS else NO_MEANS[name]
    net = lm.Sequential(lm.Dense(2), seed=0, dtype="float64").build(3).compile(loss, "sgd")
    want = net.evaluate(x, y, batch_size=20)["loss"]
    if oracle is not None:
        assert want == pytest.approx(oracle(net.predict(x), y), rel=1e-12)
    monkeypatch.setattr(
        steps_of_models, "parts", lambda model, n, rows, cut=steps_of_models.parts: parts.append(rows) or cut(model, n, rows)
    )
    assert net.evaluate(x, y)["loss"] == pytest.approx(want, rel=1e-12)
    assert net.fit(x, y, validation_data=(x, y), verbose=0)["val_loss"][0] == pytest.approx(net.evaluate(x, y)["loss"], rel=1e-12)
    assert parts == [8 if name in MEANS else 20] * 3


def test_evaluate_without_a_loss_gives_metrics(xy):
    net = mlp().build(4)
    assert list(net.evaluate(*xy, metrics=["accuracy"])) == ["accuracy"]
    with pytest.raises(ValueError, match="compile"):
        net.evaluate(*xy)


def test_a_changed_learning_rate_holds_at_once(xy):
    net = mlp().compile("cross_entropy", lm.optim.SGD(0.1))
    net.train_step(*xy)
    net.optimizer.lr = 0.0
    before = dict(net.parameters)
    net.train_step(*xy)
    assert all(np.array_equal(before[k], net.parameters[k]) for k in before)


def test_a_schedule_is_followed(xy):
    net = mlp().compile("cross_entropy", lm.optim.SGD(lambda t: np.where(t < 2, 0.1, 0.0)))
    for _ in range(2):
        net.train_step(*xy)
    before = dict(net.parameters)
    net.train_step(*xy)
    assert all(np.array_equal(before[k], net.parameters[k]) for k in before)


def test_compile_again_changes_the_loss(xy):
    net = mlp().compile("mse", "sgd")
    target = np.eye(3, dtype=np.float32)[xy[1]]
    a = net.train_step(xy[0], target)
    net.compile("mae", "adam")
    assert net.train_step(xy[0], target) != a and net.loss == "mae"


# ---- graphs ----------------------------------------------------------------------------------------------------------------------


def test_several_inputs_and_outputs(rng):
    a, b = lm.Input(3, name="a"), lm.Input(2, name="b")
    h = lm.Dense(6, "relu")(lm.concatenate([a, b], axis=1))
    net = lm.Model({"a": a, "b": b}, {"class": lm.Dense(3)(h), "size": lm.Dense(1)(h)}, seed=0)
    net.compile(
        {"class": "cross_entropy", "size": "mse"}, lm.optim.Adam(1e-2), metrics=[], loss_weights={"class": 1.0, "size": 0.5}
    )
    x = {"a": rng.normal(size=(30, 3)).astype(np.float32), "b": rng.normal(size=(30, 2)).astype(np.float32)}
    y = {"class": rng.integers(0, 3, 30), "size": rng.normal(size=30).astype(np.float32)}
    first = net.train_step(x, y)
    logits, size = net.predict([x["a"], x["b"]])
    assert logits.shape == (30, 3) and size.shape == (30, 1)
    history = net.fit(x, y, epochs=5, batch_size=8, verbose=0)
    assert history.history["loss"][-1] < first
    parts = [lm.losses.CrossEntropy()(*pair) for pair in [(net.predict(x)[0].astype(np.float64), y["class"])]]
    parts.append(lm.losses.MSE()(net.predict(x)[1].astype(np.float64), y["size"][:, None].astype(np.float64)))
    assert net.evaluate(x, y)["loss"] == pytest.approx(float(parts[0]) + 0.5 * float(parts[1]), rel=1e-5)
    with pytest.raises(ValueError, match="'c'"):
        net.predict({"a": x["a"], "c": x["b"]})


def test_metrics_of_each_output(rng, tmp_path):
    x = lm.Input(3)
    net = lm.Model(x, {"kind": lm.Dense(2)(x), "size": lm.Dense(1)(x)}, seed=0)
    data = rng.normal(size=(8, 3)), {"kind": np.arange(8) % 2, "size": rng.normal(size=8)}
    net.compile({"kind": "cross_entropy", "size": "mse"}, "sgd", {"kind": ["accuracy"]})
    history = net.fit(*data, metrics={"size": "mae"}, validation_data=data, verbose=0)
    named = ["loss", "kind_accuracy", "size_mae"]
    assert history.names() == [*named, *(f"val_{name}" for name in named)]
    figures = net.evaluate(*data, metrics={"size": ["mae", "r2"]})
    assert list(figures) == [*named, "size_r2"]
    assert figures["size_mae"] == lm.metrics.mae(data[1]["size"], net.predict(data[0])[1])
    net.save(tmp_path / "net.safetensors")
    assert list(lm.load(tmp_path / "net.safetensors").evaluate(*data)) == named[:2]
    with pytest.raises(ValueError, match=r"\[metrics\] unknown name 'sice'; did you mean 'size'"):
        net.fit(*data, metrics={"sice": "mae"}, verbose=0)


def test_a_shared_layer_counts_once(rng):
    a, b, shared = lm.Input(3), lm.Input(3), lm.Dense(4)
    net = lm.Model([a, b], lm.sum(shared(a) * shared(b), axis=1, keepdims=True), seed=0).compile("mse", "sgd")
    assert list(net.parameters) == ["dense_1.weight", "dense_1.bias"]
    x = rng.normal(size=(5, 3)).astype(np.float32)
    assert np.isfinite(net.train_step([x, x], np.zeros((5, 1))))


def test_a_loss_may_close_over_the_graph(rng):
    x = lm.Input(8)
    u = lm.Dense(1)(lm.Dense(50, "tanh")(x))
    du = lm.grad(lm.sum(u), x)
    pinn = lm.Model(x, u, seed=0)
    pinn.compile(loss=lambda pred, target: lm.mean((pred - target) ** 2) + 0.1 * lm.mean(du**2), optimizer=lm.optim.Adam(1e-2))
    xb = rng.normal(size=(32, 8)).astype(np.float32)
    losses = [pinn.train_step(xb, xb[:, :1]) for _ in range(50)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_loss_may_bring_parameters():
    x = lm.Input(2)
    net = lm.Model(x, lm.Dense(1)(x), seed=0)
    scale = lm.Parameter(np.zeros((), np.float32), name="log_scale")
    net.compile(lambda pred, y: lm.mean((pred - y) ** 2) * lm.exp(-scale) + scale, lm.optim.SGD(0.1))
    net.train_step(np.ones((4, 2)), np.full((4, 1), 9.0))
    assert "log_scale" in net.parameters and net.parameters["log_scale"] != 0


def test_a_loss_over_another_models_input_is_an_error():
    other = lm.Input(2)
    net = lm.Sequential(lm.Dense(1), seed=0).compile(lambda pred, y: lm.mean(pred - y) + lm.mean(other), "sgd")
    with pytest.raises(ValueError, match="input"):
        net.train_step(np.ones((4, 2)), np.ones((4, 1)))


def test_a_layer_of_ones_own(xy):
    class Scale(lm.Layer):
        def build(self, x):
            self.weight = self.parameter("weight", (x.shape[-1],), lm.initializers.ones)

        def forward(self, x):
            return x * self.weight

    net = lm.Sequential(Scale(), lm.Dense(3), seed=0).compile("cross_entropy", lm.optim.SGD(0.1))
    net.train_step(*xy)
    assert not np.array_equal(net.parameters["scale_1.weight"], np.ones(4))


def test_deep_graphs_do_not_recurse(xy):
    x = lm.Input(4)
    h = x
    for _ in range(3000):
        h = h + 0.001
    net = lm.Model(x, h)
    np.testing.assert_allclose(net.predict(xy[0]), xy[0] + 3, rtol=1e-3, atol=1e-3)


# ---- the quick way in: what is like the last batch goes straight to the core --------------------------------------------------


def test_the_second_step_asks_what_the_first_one_asked():
    net = lm.Sequential(lm.Dense(3), seed=0).compile("cross_entropy", "sgd")
    x, y = np.ones((4, 2), np.float32), np.array([0, 1, 2, 0])
    net.train_step(x, y)
    before = {name: p.copy() for name, p in net.parameters.items()}
    for wrong in (np.array([0, 1, 3, 0]), np.array([0, 1, -1, 0]), np.array([0, 1, 2**40, 0])):
        with pytest.raises(ValueError, match="class"):
            net.train_step(x, wrong)
    with pytest.raises(ValueError, match="expected"):
        net.train_step(np.ones((4, 5), np.float32), y)
    with pytest.raises(ValueError):
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


# ---- freezing --------------------------------------------------------------------------------------------------------------------


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
    made, plan = [], programs.Programs._plan_train
    monkeypatch.setattr(programs.Programs, "_plan_train", lambda self, *of: made.append(self) or plan(self, *of))
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
    plan = programs.Programs._plan_train
    freezes = threading.Thread(target=setattr, args=(net.layers[0], "trainable", False))

    def plan_late(*of):
        freezes.start()
        freezes.join(0.3)
        return plan(*of)

    monkeypatch.setattr(programs.Programs, "_plan_train", plan_late)
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
    assert len(net.programs._planned) == programs.MOST_PLANNED
    net.optimizer.momentum = 0.9
    assert not net.programs._planned


def test_types_by_numpys_names():
    assert lm.Sequential(lm.Dense(1), dtype=np.float64).dtype == lm.Model(x := lm.Input(2, dtype=np.float64), x).dtype == "float64"
    assert lm.Sequential(lm.Dense(1), dtype=np.dtype("float32")).build(2).inputs[0].dtype == "float32"
    assert lm.Model([y := lm.Input(2), x], lm.cast(y, "float64") + x).dtype == "float64"  # the wider one


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


def test_a_network_on_another_tensor_calls_the_layers_that_call_others():
    class Outer(lm.Layer):
        def build(self, x):
            self.inner = lm.Dense(2)

        def forward(self, x):
            return self.inner(x)

    base, y = lm.Sequential(Outer(), seed=0).build(3), lm.Input(3)
    assert [type(layer).__name__ for layer in lm.Model(y, base(y)).layers] == ["Outer", "Dense"]


def test_a_loss_of_another_networks_input_is_refused():
    other = lm.Input(1)
    net = lm.Sequential(lm.Dense(1), seed=0).compile(lambda pred, target: lm.mean((pred - other) ** 2), "sgd")
    with pytest.raises(ValueError, match=r"^\[loss\] expected inputs .* only, got a tensor that needs another input, of shape"):
        net.train_step(np.ones((2, 3)), np.ones((2, 1)))


def test_a_layer_without_weights_comes_back_as_one_that_is_not_frozen(tmp_path):
    lm.Sequential(lm.BatchNorm(affine=False), lm.Dense(1), seed=0).build(2).save(tmp_path / "net")
    assert all(layer.trainable for layer in lm.load(tmp_path / "net").layers)


def test_whole_numbers_are_not_trained():
    for value in (1, (2, 3), np.arange(3), True):
        with pytest.raises(TypeError, match=r"\[Parameter\] expected float32 or float64 for what is trained, got (int64|bool)"):
            lm.Parameter(value)
    assert lm.Parameter(1, dtype="float32").value == 1 and lm.Parameter((2, 3), trainable=False).dtype == "int64"
    assert lm.Parameter([2, 3], init=lm.initializers.ones).shape == (2, 3)


# ---- the short way and the long way ----------------------------------------------------------------------------------------------


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
    """Also where an array that needs no look has opened the short way."""
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


OTHER_SIZES = [(None, 5, 3), (None, "S", 3), (6, 5, 3), (6, "T", 3), ("T", "B", 3)]


@pytest.mark.parametrize("shape", OTHER_SIZES, ids=str)
def test_a_network_may_be_called_on_tensors_of_other_sizes(shape, rng):
    """What single operations keep of the old sizes, as the (B*T, 3) of a reshape, follows."""
    x = lm.placeholder((None, "T", 3))
    h = lm.Dense(3, "tanh")(x)
    rows = lm.reshape(lm.reshape(h, (-1, 3)) * 2.0, h.shape)
    gram = lm.matmul(lm.transpose(h, (0, 2, 1)), h) + np.eye(3, dtype=np.float32)
    filled = lm.concatenate([h, lm.full((h.shape[0], 8 - h.shape[1], 3), 0.5)], 1)  # to 8 positions
    outputs = [rows, h[:, -1], h[:, ::-1] * lm.ones_like(h), lm.linalg.inv(gram), filled]
    net = lm.Model(x, outputs, seed=0)
    data = rng.normal(size=(6, 5, 3))
    new = lm.placeholder(shape)
    for got, want in zip(lm.function([new], net(new))(data), net.predict(data), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
    with pytest.raises(
        ValueError, match=r"built on, \(B, T, 3\), got \(B, 3\): \[reshape\].* do not fill .*; reshape them, or put .*Lambda"
    ):
        lm.Model(x, rows)(lm.Input(3))


def test_rows_that_meet_in_a_network_go_through_it_together():
    x = lm.Input(1)
    net, v = lm.Model(x, x - lm.mean(x, axis=0)), np.arange(5000.0)[:, None]
    np.testing.assert_allclose(net.predict(v), v - 2499.5)
    assert net.evaluate(v, v - 2499.5, metrics=["mae"])["mae"] == 0
    assert net.predict(v, batch_size=1000)[0] == -499.5  # where a user wants it so


def test_no_row_of_a_prediction_repeats_the_numbers_that_another_one_drew():
    x = lm.Input(1, dtype="float64")
    net, rows = lm.Model(x, lm.random_uniform(x), seed=0), np.zeros((5000, 1))
    drawn = net.predict(rows)
    assert len(np.unique(drawn)) == 5000
    assert np.array_equal(drawn, net.predict(rows, batch_size=5000))  # what draws goes through together


def test_no_row_of_an_evaluation_repeats_what_the_loss_drew_for_another_one():
    net = lm.Sequential(lm.Dense(1), seed=0).compile(lambda pred, target: lm.mean(target * lm.random_uniform(pred)), "sgd")
    first, later = (net.evaluate(np.zeros((5000, 1)), 5000.0 * (np.arange(5000) == row))["loss"] for row in (0, 4096))
    assert abs(first - later) > 1e-3
    rows = np.ones((5000, 1))
    assert net.evaluate(rows, rows) == net.evaluate(rows, rows, batch_size=5000)


def test_no_batch_draws_the_numbers_that_another_one_drew():
    x = lm.Input(1, dtype="float64")
    noise, rows = lm.Model(x, lm.random_uniform(x), seed=0), np.zeros((9, 1))
    state = next(iter(noise.wiring.random.values())).variable
    kept = state.read().tolist()
    drawn = noise.predict(rows, batch_size=4)
    assert len(np.unique(drawn)) == 9 and (drawn == noise.predict(rows, batch_size=4)).all()
    batches = [(rows[i : i + 4], rows[i : i + 4]) for i in (0, 4, 8)]

    def seen(y_true, y_pred, sample_weight=None):
        return float(len(np.unique(y_pred)))

    assert noise.evaluate(batches, metrics=[seen]) == {"seen": 9}
    noise.compile("mse", "sgd")
    assert noise.evaluate(batches, metrics=[seen])["seen"] == noise.evaluate(rows, rows, metrics=[seen], batch_size=4)["seen"] == 9
    assert state.read().tolist() == kept


def test_no_batch_of_an_evaluation_repeats_what_the_loss_drew_for_another_one():
    net = lm.Sequential(lm.Dense(1), seed=0).compile(lambda pred, target: lm.mean(target * lm.random_uniform(pred)), "sgd")
    rows, ones = np.zeros((8, 1)), np.ones((8, 1))
    once = net.evaluate([(rows, ones)])["loss"]
    assert abs(net.evaluate([(rows, ones)] * 2)["loss"] - once) > 1e-3
    assert net.evaluate([(rows, ones)])["loss"] == once


def test_an_unknown_name_is_a_key_error_too():
    net = lm.Sequential(lm.Dense(1), seed=0).build(2)
    for kind in (KeyError, ValueError):
        with pytest.raises(kind) as error:
            net.parameters["dense_1.wieght"]
        assert str(error.value).startswith("[parameters] unknown name 'dense_1.wieght'; did you mean 'dense_1.weight'?")


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


def test_parameters_are_equal_where_they_are_those_of_one_network():
    net, other = (lm.Sequential(lm.Dense(1), seed=0).build(2) for _ in range(2))
    assert net.parameters == net.parameters and net.parameters != other.parameters and net.parameters != dict(net.parameters)


def test_an_input_of_truth_values_takes_those_alone():
    given = lm.placeholder((None, 3), "bool")
    net = lm.Model(given, lm.where(given, 1.0, 0.0))
    for x in ([[True, False, True]], np.array([[1.0, 0.0, 1.0]]), np.array([[1, 0, 1]])):
        assert net.predict(x).tolist() == [[1, 0, 1]]
    for bad in ([[0.5, 0, 1]], [[np.nan, 0, 1]], [[2, 0, 1]]):
        with pytest.raises(ValueError, match=r"\[x\] expected (truth values for a bool input|finite)"):
            net.predict(np.array(bad))


def test_a_parameter_takes_what_numpy_can_read_and_says_what_it_cannot():
    class NeedsGrad:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("use .detach()")

    net = lm.Sequential(lm.Dense(1), seed=0).build(2)
    with pytest.raises(
        TypeError, match=r"\[dense_1.bias\] expected an array, got NeedsGrad that NumPy cannot read: use .detach\(\)"
    ):
        net.parameters["dense_1.bias"] = NeedsGrad()


def test_the_type_and_the_seed_of_a_network_are_checked_where_they_are_assigned():
    net = lm.Sequential(lm.Dense(1), seed=0)
    net.dtype, net.seed = np.float64, np.int64(3)
    assert net.build(2).predict(np.ones((1, 2))).dtype == np.float64 and type(net.seed) is int
    with pytest.raises(AttributeError, match=r"expected dtype to stay 'float64', as the network is built, got 'float32'"):
        net.dtype = "float32"


# ---- the quick way of arrays like those of the last step ----


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
        planned = planned or (quick._fast_step, named._fast_step)
        assert None not in planned and (quick._fast_step, named._fast_step) == planned and slow._fast_step is None
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
            monkeypatch.setattr(f"lamina.models.steps.{name}", None)


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
        with pytest.raises((ValueError, TypeError), match=r"\[|expected"):
            net.train_step(xs, ys)
        assert np.array_equal(net.parameters["dense_2.weight"], before), what
    assert np.isfinite(net.train_step(x, y)) and net._fast_step is not None


def test_quick_predictions_of_several_have_their_rows(rng):
    numbers = [lm.Input(2), lm.Input(3)]
    h = lm.Dense(4, "tanh")(lm.concatenate(numbers, axis=1))
    net = lm.Model(numbers, [lm.Dense(1)(h), lm.Dense(2)(h)], seed=0)
    x = [rng.normal(size=(n, width)).astype("float32") for n, width in ((7, 2), (7, 3))]
    first, again = net.predict(x), net.predict(tuple(x))
    assert net._fast_predict is not None and [a.shape for a in again] == [(7, 1), (7, 2)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for wrong in ([x[0], x[1][:3]], [x[1], x[0]], x[:1], x[0]):
        with pytest.raises((ValueError, TypeError), match=r"\["):
            net.predict(wrong)
    many = [np.repeat(a, 2000, 0) for a in x]
    assert all(np.array_equal(a[::2000], b) for a, b in zip(net.predict(many), first, strict=True))


# ---- what was given stays what it is ----


class Residual(lm.layers.Layer):
    def build(self, x):
        self.inner = lm.Dense(x.shape[-1], "tanh")

    def forward(self, x):
        return x + self.inner(x)


def test_the_layers_of_a_stack_are_those_that_were_given(tmp_path, rng):
    """One that is given twice, and layers with layers of their own: a network of them is the same network, also from a file."""
    shared = lm.Dense(4, "tanh")
    given = (shared, Residual(), shared, lm.Dense(2))
    net = lm.Sequential(*given, seed=0)
    assert net.layers == given
    with pytest.raises(TypeError, match="does not support item assignment"):  # which would change no network
        net.layers[-1] = lm.Dense(3)
    net.build(4)
    assert net.layers == given and len(net.wiring.layers) == 4
    x = rng.normal(size=(3, 4)).astype("float32")
    assert np.array_equal(lm.Sequential(*net.layers, seed=1).predict(x), net.predict(x))
    assert lm.Sequential(*net.layers[:-1], seed=1).predict(x).shape == (3, 4)
    net.save(tmp_path / "net")
    loaded = lm.load(tmp_path / "net")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in given] and loaded.layers[0] is loaded.layers[2]
    assert np.array_equal(loaded.predict(x), net.predict(x))


def test_metrics_are_those_that_were_given_however_they_were(rng):
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(4, 1))
    for metrics in ((name for name in ["mae"]), {"output": iter(["mae"])}, ["mae"]):
        net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd", metrics=metrics)
        if isinstance(metrics, list):
            metrics.append("r2")  # too late
        copied = copy.deepcopy(net)
        for one in (net, net, copied):
            assert sorted(one.evaluate(x, y)) == ["loss", "mae"]
        assert "mae" in net.fit(x, y, optimizer="adam", epochs=1, verbose=0)


def test_inputs_are_told_apart_by_their_names_as_texts():
    a, b = lm.Input(2), lm.Input(2)
    with pytest.raises(ValueError, match=r"\[Model\] expected inputs of different names, got \[1, '1'\]"):
        lm.Model({1: a, "1": b}, a + b)


def test_a_layer_passes_on_an_error_of_ones_own():
    class Mine(ValueError):
        pass

    class Fails(lm.layers.Layer):
        def forward(self, x):
            raise self.error

    for error, kind in (
        (Mine("mine"), Mine),
        (ValueError("theirs"), ValueError),
        (np.linalg.LinAlgError("l"), np.linalg.LinAlgError),
    ):
        layer = Fails()
        layer.error = error
        with pytest.raises(kind) as caught:
            layer(lm.Input(2))
        assert type(caught.value) is kind and ("theirs" not in str(error) or str(caught.value).startswith("[Fails"))


def test_freezing_ends_where_an_attribute_holds_itself():
    layer = lm.Dense(2)
    layer.notes = {}
    layer.notes["again"] = [layer.notes, layer]
    layer.trainable = False
    assert not layer.trainable


def test_the_loss_of_a_copy_needs_the_copys_own_tensors(rng):
    """A parameter of a loss is one of the network; the copy has one of its own, under the same name."""
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(4, 1))
    factor = lm.Parameter(np.array(2.0), name="factor")
    net = lm.Sequential(lm.Dense(1), seed=0).compile(lambda p, t: lm.mean((p - factor * t) ** 2), "sgd")
    net.train_step(x, y)
    copied = copy.deepcopy(net)
    with pytest.raises(ValueError, match=r"take this network's own: net\.parameters\.tensor\('factor'\)"):
        copied.train_step(x, y)
    own = copied.parameters.tensor("factor")
    copied.compile(lambda p, t: lm.mean((p - own * t) ** 2), "sgd")
    assert copied.train_step(x, y) == net.train_step(x, y)


def test_a_network_that_is_refused_leaves_no_names_behind():
    x = lm.Input(2)
    first = lm.Dense(3)
    with pytest.raises(ValueError, match="two layers named 'h'"):
        lm.Model(x, lm.Dense(1).named("h")(lm.Dense(1).named("h")(first(x))))
    assert first.name is None


def test_parameters_of_a_refused_network_have_no_names_either():
    class Same(lm.layers.Layer):
        def forward(self, x):
            return x * lm.Parameter(np.ones(2, "float32"), name="same")

    x, free, layer = lm.Input(2), lm.Parameter(np.ones(2, "float32")), lm.Dense(2)
    with pytest.raises(ValueError, match="two parameters named 'same'"):
        lm.Model(x, Same()(Same()(layer(x * free))))
    assert (free.name, layer.name, layer.weight.name) == (None, None, "weight")
    assert sorted(lm.Model(x, layer(x * free), seed=0).parameters) == ["dense_1.bias", "dense_1.weight", "parameter_1"]


def test_a_list_that_changes_while_its_arrays_are_read_is_read_as_it_was(rng, monkeypatch):
    """Converting the first array calls NumPy, and with it whoever is next."""
    net = network_of_several().compile(["mse", "cross_entropy"], lm.optim.SGD(0.0))
    x, y = samples_of_several(rng, 4000)
    whole = x[1].astype("uint64")
    expected, real, kept = net.train_step([x[0], whole], y), np.rint, []
    assert net.train_step([x[0], whole], y) == expected and net._fast_step is not None
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
