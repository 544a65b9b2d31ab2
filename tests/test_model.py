"""Model and Sequential: building, names, seeds, several inputs and outputs, networks in networks, layers of one's own."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import lamina as lm
from fitting import mlp

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
    with pytest.raises(ValueError, match=r"\[Sequential\] expected inputs of shape \(B, 4\), got \(5,\)"):
        net.build(5)


def test_a_failed_build_leaves_all_layers_unbuilt():
    net = lm.Sequential(lm.Dense(8), lm.Reshape(3), lm.Dense(2))
    with pytest.raises(ValueError, match=r"\[reshape_1\] expected samples of 3 elements for shape \(3,\), got 8"):
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
    for _ in range(2):  # the second time by the quick way
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
    with pytest.raises(ValueError, match=r"\[reshape_1\] expected samples of 2 elements for shape \(2,\), got 4"):
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
    with pytest.raises(ValueError, match=r"\[head\] expected unique layer names, got two layers named 'head'"):
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
    with pytest.raises(ValueError, match=r"\[dense_2.bias\] expected shape \(3,\), got \(9,\)"):
        net.parameters.update({"dense_1.bias": np.zeros(8), "dense_2.bias": np.zeros(9)})
    assert all(np.array_equal(before[k], net.parameters[k]) for k in before)


# ---- seeds -----------------------------------------------------------------------------------------------------------------------


def test_layers_are_numbered_as_the_outputs_need_them():
    """Not as they were called: names and seeds of networks that are there hang on it, and docs/coming_from.md says it."""
    x = lm.Input(3)
    mean, log_std, last = lm.Dense(2), lm.Dense(2), lm.Dense(2).named("last")
    a, b, c = mean(x), log_std(x), last(x)
    net = lm.Model(x, [lm.exp(b) + a, c], seed=0)
    assert (log_std.name, mean.name, last.name) == ("dense_1", "dense_2", "last")
    assert [name.partition(".")[0] for name in net.parameters] == ["dense_1", "dense_1", "dense_2", "dense_2", "last", "last"]


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
    x = lm.Input(10_000)
    one, other = lm.Dropout(0.5)(x), lm.Dropout(0.5)(x)
    masks = lm.Model(x, lm.Dense(1)(one + other), seed=0)
    masks.compile(lambda pred, y: lm.mean(one * other) + 0 * lm.mean(pred), "sgd")
    assert masks.train_step(np.ones((1, 10_000)), np.ones((1, 1))) == pytest.approx(1, abs=0.1)  # of the same mask: 2


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
    got, (w, b, v, c, u, d) = net.predict(xy[0]), net.parameters.values()
    np.testing.assert_allclose(got, (np.maximum(xy[0] @ w + b, 0) @ v + c) @ u + d, rtol=1e-5, atol=1e-6)


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
    with pytest.raises(ValueError, match=r"\[x\] unknown name 'c'; known: a, b"):
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
    y = x @ net.parameters["dense_1.weight"] + net.parameters["dense_1.bias"]
    assert net.train_step([x, x], np.zeros((5, 1))) == pytest.approx(np.mean(np.sum(y * y, axis=1) ** 2), rel=1e-5)


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


def test_a_layer_of_ones_own(xy):
    class Scale(lm.Layer):
        def build(self, x):
            self.weight = self.parameter("weight", (x.shape[-1],), lm.initializers.ones)

        def forward(self, x):
            return x * self.weight

    net = lm.Sequential(Scale(), lm.Dense(3), seed=0).compile("cross_entropy", lm.optim.SGD(0.1))
    net.train_step(*xy)
    weight, (w, b) = net.parameters["scale_1.weight"], (net.parameters[f"dense_1.{name}"] for name in ("weight", "bias"))
    assert (weight != 1).all()
    np.testing.assert_allclose(net.predict(xy[0]), xy[0] * weight @ w + b, rtol=1e-5, atol=1e-6)


def test_deep_graphs_do_not_recurse(xy):
    x = lm.Input(4)
    h = x
    for _ in range(3000):
        h = h + 0.001
    net = lm.Model(x, h)
    np.testing.assert_allclose(net.predict(xy[0]), xy[0] + 3, rtol=1e-4, atol=1e-4)


def test_types_by_numpys_names():
    assert lm.Sequential(lm.Dense(1), dtype=np.float64).dtype == lm.Model(x := lm.Input(2, dtype=np.float64), x).dtype == "float64"
    assert lm.Sequential(lm.Dense(1), dtype=np.dtype("float32")).build(2).inputs[0].dtype == "float32"
    assert lm.Model([y := lm.Input(2), x], lm.cast(y, "float64") + x).dtype == "float64"  # the wider one


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


def test_an_unknown_name_is_a_key_error_too():
    net = lm.Sequential(lm.Dense(1), seed=0).build(2)
    for kind in (KeyError, ValueError):
        with pytest.raises(kind) as error:
            net.parameters["dense_1.wieght"]
        assert str(error.value).startswith("[parameters] unknown name 'dense_1.wieght'; did you mean 'dense_1.weight'?")


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
