"""Hessian and Gauss-Newton products, Jacobians, per-sample gradients, the readout: against matrices formed in full."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from lamina import linalg as la


def network(rng):
    x = lm.placeholder((6, 3), "float64")
    w, v = lm.Parameter(rng.normal(size=(3, 4))), lm.Parameter(rng.normal(size=(4, 2)))
    return x, w, v, lm.tanh(x @ w) @ v


def test_hessian_vector_products(rng):
    x, w, v, out = network(rng)
    loss = lm.mean((out - 1.0) ** 3)
    point = rng.normal(size=(6, 3))
    directions = [rng.normal(size=(3, 4)), rng.normal(size=(4, 2))]
    got = lm.function([x], lm.hessian_vector_product(loss, [w, v], directions))(point)
    gradients = lm.function([x], lm.grad(loss, [w, v]))
    start, sides = (w.value, v.value), []
    for h in (1e-5, -1e-5):
        w.value, v.value = start[0] + h * directions[0], start[1] + h * directions[1]
        sides.append(gradients(point))
    for a, b, hv in zip(*sides, got, strict=True):
        np.testing.assert_allclose(hv, (a - b) / 2e-5, rtol=1e-6, atol=1e-8)


def test_jacobian_and_gauss_newton_products(rng):
    x, w, _, out = network(rng)
    point, direction = rng.normal(size=(6, 3)), rng.normal(size=(3, 4))
    loss = -lm.sum(lm.log_softmax(out)[:, 0])
    j, jv, gv, curvature = lm.function(
        [x],
        [
            lm.jacobian(out, w),
            lm.jacobian_vector_product(out, w, direction),
            lm.gauss_newton_product(loss, out, w, direction),
            lm.jacobian(lm.grad(loss, out), out),
        ],
    )(point)
    np.testing.assert_allclose(jv, np.tensordot(j, direction, 2), rtol=1e-10)
    np.testing.assert_allclose(gv, np.tensordot(np.tensordot(curvature, jv, 2), j, 2), rtol=1e-9, atol=1e-12)
    assert float(np.sum(gv * direction)) >= 0


def test_a_jacobian_for_each_sample(rng):
    x = lm.Input(3)
    net = lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(2), seed=0)
    j = lm.jacobian(net(x), x)
    assert [str(n) for n in j.shape] == ["B", "2", "3"]
    f = lm.function(x, [net(x), j])
    points = rng.normal(size=(5, 3)).astype("float32")
    for b in range(5):
        alone = f(points[b : b + 1])[1][0]
        np.testing.assert_allclose(f(points)[1][b], alone, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="do not mix.* could not be shown to treat each sample apart"):
        lm.jacobian(x - lm.mean(x, axis=0), x)


def test_derivatives_by_sample_through_the_rows_of_all_samples(rng):
    """(B, T, 3) as (B*T, 3) and back keeps samples apart, also where T is free."""
    x = lm.placeholder(("B", "T", 3))
    rows = lm.Dense(2, "tanh")(lm.reshape(x, (-1, 3)))
    net = lm.Model(x, lm.mean(lm.reshape(rows, (-1, x.shape[1], 2)), axis=1), seed=0).compile("mse", "sgd")
    data, y = rng.normal(size=(4, 5, 3)), rng.normal(size=(4, 2))
    found = lm.function([x], lm.jacobian(net.outputs[0], x))(data)
    w = net.parameters["dense_1.weight"]
    slopes = 1 - np.tanh(data @ w + net.parameters["dense_1.bias"]) ** 2
    np.testing.assert_allclose(found, np.einsum("bto,io->boti", slopes, w) / 5, rtol=1e-5, atol=1e-7)
    got = net.per_sample_gradients(data, y)
    ((_, together),) = net.programs.trained.per_sample.values()
    assert together  # of one pass for all
    for i in range(4):
        for key, value in net.gradients(data[i : i + 1], y[i : i + 1]).items():
            np.testing.assert_allclose(got[key][i], value, rtol=1e-6, atol=1e-8)


NETWORKS = {
    "dense": (lambda: lm.Sequential(lm.Dense(5, "relu"), lm.Dense(4, "tanh"), lm.Dense(3), seed=0), "cross_entropy"),
    "norm and dropout": (
        lambda: lm.Sequential(lm.Dense(5), lm.LayerNorm(), lm.BatchNorm(), lm.Dropout(0.5), lm.Dense(3), seed=0),
        "cross_entropy",
    ),
    "function": (
        lambda: lm.Sequential(lm.Dense(3, "sigmoid"), seed=0),
        lambda p, t: lm.mean((p - lm.one_hot(t, 3, p.dtype)) ** 2),
    ),
    "label smoothing": (lambda: lm.Sequential(lm.Dense(3), seed=0), lm.losses.CrossEntropy(label_smoothing=0.1)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_per_sample_gradients_are_those_of_batches_of_one(name, rng):
    make, loss = NETWORKS[name]
    net = make().compile(loss, "sgd")
    x, y = rng.normal(size=(7, 4)), rng.integers(0, 3, 7)
    got = net.per_sample_gradients(x, y)
    if name != "norm and dropout":
        whole = net.gradients(x, y)
        for i in range(7):
            for key, value in net.gradients(x[i : i + 1], y[i : i + 1]).items():
                np.testing.assert_allclose(got[key][i], value, rtol=1e-6, atol=1e-8)
    else:  # a training graph draws numbers and mixes samples: the loss as `evaluate` sees it, by finite differences
        whole = {}
        for key in ("layer_norm_1.weight", "dense_2.bias"):
            for i in range(3):
                sides = []
                for h in (1e-2, -1e-2):
                    value = net.parameters[key]
                    value[1] += h
                    net.parameters[key] = value
                    sides.append(net.evaluate(x[i : i + 1], y[i : i + 1])["loss"])
                    value[1] -= h
                    net.parameters[key] = value
                np.testing.assert_allclose(got[key][i, 1], (sides[0] - sides[1]) / 2e-2, rtol=1e-2, atol=1e-3)
    for key, value in whole.items():
        np.testing.assert_allclose(got[key].mean(axis=0), value, rtol=1e-5, atol=1e-7)


def test_per_sample_gradients_of_any_graph(rng):
    """An embedding has no rule of its own."""
    x = lm.Input(4, dtype="int64")
    w = lm.Parameter(rng.normal(size=(2, 12)).astype("float32"), name="w")
    net = lm.Model(x, lm.Flatten()(lm.Embedding(6, 3)(x)) @ w.T, seed=0).compile("mse", "sgd")
    data, y = rng.integers(0, 6, (5, 4)), rng.normal(size=(5, 2))
    got = net.per_sample_gradients(data, y)
    for i in range(5):
        for key, value in net.gradients(data[i : i + 1], y[i : i + 1]).items():
            np.testing.assert_allclose(got[key][i], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("units", [1, 3])
def test_per_sample_gradients_of_a_loss_with_a_parameter_of_its_own(units, rng):
    """It is named and initialized whichever asks first, this or `gradients`."""
    scale = lm.Parameter((1,), init="ones", name="scale")
    net = lm.Sequential(lm.Dense(units), seed=0).build(2).compile(lambda p, t: lm.square(scale * p - t), "sgd")
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(4, units))
    got = net.per_sample_gradients(x, y)
    assert list(got) == ["dense_1.weight", "dense_1.bias", "scale"]
    for i in range(4):
        for key, value in net.gradients(x[i : i + 1], y[i : i + 1]).items():
            np.testing.assert_allclose(got[key][i], value, rtol=1e-5, atol=1e-6)


def test_per_sample_gradients_are_those_of_the_loss_that_is_compiled_now(rng):
    net, x, y = lm.Sequential(lm.Dense(1), seed=0), rng.normal(size=(4, 3)), rng.normal(size=(4, 1))
    for loss in ("mse", "mae"):
        got = net.compile(loss, "sgd").per_sample_gradients(x, y)
        for key, value in net.gradients(x, y).items():
            np.testing.assert_allclose(got[key].mean(axis=0), value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "use",
    [
        lambda x, w: lm.where(x > 0, w, w),
        lambda x, w: x * lm.exp(w),
        lambda x, w: x * (w + w),
        lambda x, w: x * lm.sum(lm.broadcast_to(w, (3, 1))),
        lambda x, w: x * (lm.reshape(lm.exp(w), (1, 1, 1)) @ w[:, None])[0, 0],
    ],
    ids=["twice", "before", "twice before", "stretched before", "one of several matrices"],
)
def test_per_sample_gradients_of_a_weight_that_one_operation_takes_twice_or_without_samples(use, rng):
    given, w = lm.Input(3), lm.Parameter(np.ones(1, "f"), name="w")
    net = lm.Model(given, use(given, w), seed=0).compile("mse", "sgd")
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    for i, got in enumerate(net.per_sample_gradients(x, y)["w"]):
        np.testing.assert_allclose(got, net.gradients(x[i : i + 1], y[i : i + 1])["w"], rtol=1e-5)


def test_per_sample_gradients_weigh_outputs_and_leave_out_what_is_missing(rng):
    given = lm.Input(3)
    net = lm.Model(given, [lm.Dense(2)(given), lm.Dense(1)(given)], seed=0)
    net.compile([lm.losses.MSE(mask_nan=True), "mae"], "sgd", loss_weights=[1.0, 0.3])
    x, y = rng.normal(size=(4, 3)), [rng.normal(size=(4, 2)), rng.normal(size=(4, 1))]
    y[0][1, 0] = y[0][2] = np.nan
    got = net.per_sample_gradients(x, y)
    for i in range(4):
        for key, value in net.gradients(x[i : i + 1], [part[i : i + 1] for part in y]).items():
            np.testing.assert_allclose(got[key][i], value, rtol=1e-5, atol=1e-6)


# ---- the readout ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_readout_is_ridge_regression(bias, l2, rng):
    x, y, weight = rng.normal(size=(9000, 3)), rng.normal(size=(9000, 2)), rng.uniform(0.5, 2, 9000)
    net = lm.Sequential(lm.Dense(6, "tanh"), lm.Dense(2, bias=bias), seed=0, dtype="float64")
    error = net.fit_readout(x, y, l2, sample_weight=weight)
    f = np.tanh(x @ net.parameters["dense_1.weight"] + net.parameters["dense_1.bias"])
    share = weight / weight.sum()
    mean_f, mean_y = (share @ f, share @ y) if bias else (np.zeros(6), np.zeros(2))
    centred = (f - mean_f) * np.sqrt(share)[:, None]
    want = np.linalg.solve(centred.T @ centred + l2 * np.eye(6), centred.T @ ((y - mean_y) * np.sqrt(share)[:, None]))
    np.testing.assert_allclose(net.parameters["dense_2.weight"], want, rtol=1e-8, atol=1e-10)
    if bias:
        np.testing.assert_allclose(net.parameters["dense_2.bias"], mean_y - mean_f @ want, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(error, (share @ (net.predict(x) - y) ** 2).mean(), rtol=1e-8)


def test_readout_holds_where_normal_equations_fail():
    """Features of condition 1e10: squared they would be beyond float64."""
    x = np.random.default_rng(0).normal(size=(200, 2))
    x[:, 1] = x[:, 0] + 1e-10 * x[:, 1]
    net = lm.Sequential(lm.Dense(1), seed=0, dtype="float64")
    y = x @ np.array([3.0, -2.0])
    assert net.fit_readout(x, y) < 1e-25
    np.testing.assert_allclose(net.parameters["dense_1.weight"][:, 0], [3, -2], rtol=1e-5)


@pytest.mark.parametrize("hidden", [5, 10, 300])
def test_a_readout_sees_features_that_differ_by_rounding_alone(hidden, rng):
    x, y = rng.normal(size=(700, 4)), rng.normal(size=(700, 3))
    net = lm.Sequential(lm.Dense(hidden), lm.Dense(3), seed=0, dtype="float64").build(4)
    before = net.parameters["dense_2.weight"]
    with pytest.raises(la.LinAlgError, match=r"condition number .* no digit of a float64 result is right; pass l2="):
        net.fit_readout(x, y, l2=0)
    np.testing.assert_array_equal(net.parameters["dense_2.weight"], before)
    error = net.fit_readout(x, y, l2=1e-6)
    np.testing.assert_allclose(error, np.square(net.predict(x) - y).mean(), rtol=1e-12)
    assert np.abs(net.parameters["dense_2.weight"]).max() < 1


@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_a_readout_on_many_features_of_few_inputs_in_float32(activation, rng):
    """Near to dependent in float32, which random features often are: solved, and the error is the network's own."""
    x = rng.uniform(-1, 1, size=(700, 2))
    y = np.sin(3 * x[:, 0]) * x[:, 1]
    net = lm.Sequential(lm.Dense(100, activation), lm.Readout(1), seed=0)
    error = net.fit_readout(x, y)
    np.testing.assert_allclose(error, np.square(net.predict(x)[:, 0] - y).mean(), rtol=1e-6)
    best = net.fit_readout(x, y, l2=1e-9)
    assert best < (1e-3 if activation == "tanh" else 0.5) and error < 2 * np.square(y).mean()


def test_a_readout_returns_the_error_of_what_the_network_predicts(rng):
    """Where it is small, it is the rounding of float32: what was solved in float64 has an error of 1e-23."""
    x = np.ones((9000, 2)) + 3e-4 * rng.normal(size=(9000, 2))
    weight = rng.uniform(0.5, 2, 9000)
    x = x.astype(np.float32)
    y = 3000.0 * (x[:, :1].astype(np.float64) - x[:, 1:])
    net = lm.Sequential(lm.Dense(1), seed=0)
    error = net.fit_readout(x, y, sample_weight=weight)
    np.testing.assert_allclose(error, np.average(np.square(net.predict(x) - y)[:, 0], weights=weight), rtol=1e-10)
    assert error > 1e-12
    large = net.fit_readout(x, y, sample_weight=np.full(9000, 1e308))  # a sum beyond float64
    np.testing.assert_allclose(large, net.fit_readout(x, y), rtol=1e-10)


@pytest.mark.parametrize(("unit", "dtype"), [(1e-30, "float32"), (1e30, "float32"), (1e-300, "float64"), (1e250, "float64")])
def test_units_do_not_make_a_readouts_features_dependent(unit, dtype, rng):
    x, y = rng.normal(size=(200, 2)), rng.normal(size=200)
    nets = [lm.Sequential(lm.Dense(1), seed=0, dtype=dtype) for _ in range(2)]
    error = nets[0].fit_readout(x, y)
    np.testing.assert_allclose(nets[1].fit_readout(x * [unit, 1], y), error, rtol=1e-6)
    weight = nets[1].parameters["dense_1.weight"].astype(np.float64)[:, 0] * [unit, 1]
    np.testing.assert_allclose(weight, nets[0].parameters["dense_1.weight"][:, 0], rtol=1e-5)


def test_a_readouts_remedy_has_the_features_unit(rng):
    x, y = rng.normal(size=(200, 2)), rng.normal(size=200)
    with pytest.raises(la.LinAlgError, match="pass l2=1e-12, say"):
        lm.Sequential(lm.Dense(1), seed=0).fit_readout(np.c_[x, x[:, 0]] * 1e-3, y)
    with pytest.raises(ValueError, match=r"weights that float32 can hold, got the size .* for 'dense_1'; scale the data"):
        lm.Sequential(lm.Dense(1), seed=0).fit_readout(x * [1e-40, 1], 10 * x[:, 0])


def test_readout_says_what_is_wrong(rng):
    x = rng.normal(size=(20, 2))
    with pytest.raises(la.LinAlgError, match="condition number"):
        lm.Sequential(lm.Dense(1), seed=0).fit_readout(np.c_[x, x[:, 0]], x[:, 0])
    with pytest.raises(la.LinAlgError, match="condition number"):
        lm.Sequential(lm.Dense(1), seed=0).fit_readout(np.ones((1, 3)), [1.0])
    with pytest.raises(ValueError, match="without an activation"):
        lm.Sequential(lm.Dense(1, "tanh"), seed=0).fit_readout(x, x[:, 0])
    with pytest.raises(ValueError, match=r"an output \(B, units\), got an output of shape \(B, 5, 1\)"):
        lm.Sequential(lm.Readout(1), seed=0).fit_readout(np.ones((4, 5, 3)), np.ones((4, 5, 1)))
    somewhere = ("relu", "leaky_relu", "elu", "relu6", lambda t: lm.clip(t, -100, 100))  # where they are the identity
    for activation in somewhere:
        with pytest.raises(ValueError, match="without an activation"):
            lm.Sequential(lm.Dense(1, activation), seed=0).fit_readout(x, x[:, 0])
    bent = type("Bent", (lm.Dense,), {"forward": lambda self, x: lm.tanh(lm.Dense.forward(self, x))})
    with pytest.raises(ValueError, match="without an activation"):
        lm.Sequential(bent(1), seed=0).fit_readout(x, x[:, 0])
    with pytest.raises(ValueError, match="expected targets with 2 columns"):
        lm.Sequential(lm.Dense(2), seed=0).fit_readout(x, x[:, 0])
    with pytest.raises(ValueError, match=r"expected classes from 0 to 1, got 0 to 2; use Readout\(classes\)"):
        lm.Sequential(lm.Readout(2), seed=0).fit_readout(x[:3], [0, 1, 2])
    with pytest.raises(ValueError, match="expected finite features"):
        lm.Sequential(lm.Lambda(lm.log), lm.Readout(1), seed=0).fit_readout(-np.abs(x), x[:, 0])
    with pytest.raises(ValueError, match=r"\[y\] expected finite numbers, got nan at row 4, column 1; fill it in"):
        lm.Sequential(lm.Readout(2), seed=0).fit_readout(x, np.where(np.arange(40).reshape(20, 2) == 9, np.nan, x))
    with pytest.raises(ValueError, match=r"\[x\] expected finite numbers, got nan at row 4, column 1; fill it in"):
        lm.Sequential(lm.Readout(2), seed=0).fit_readout(np.where(np.arange(40).reshape(20, 2) == 9, np.nan, x), x)
    with pytest.raises(ValueError, match=r"\[y\] expected numbers that float32 can hold, got .*e\+200 at row 0, column 0"):
        lm.Sequential(lm.Readout(2), seed=0).fit_readout(x, (1 + np.abs(x)) * 1e200)
    with pytest.raises(ValueError, match=r"\[y\] expected targets whose squares float64 can hold, got the size .*e\+200; divide"):
        lm.Sequential(lm.Readout(2), seed=0, dtype="float64").fit_readout(x, (1 + np.abs(x)) * 1e200)
    with pytest.raises(ValueError, match="2 columns, got 1 of float64; pass one for each output, or classes as integers"):
        lm.Sequential(lm.Readout(2), seed=0).fit_readout(x, np.ones((20, 1)))
    with pytest.raises(ValueError, match=r"\[sample_weight\] expected weights >= 0 that are not all 0, got 0 to 0"):
        lm.Sequential(lm.Readout(1), seed=0).fit_readout(x, x[:, 0], sample_weight=np.zeros(20))
    with pytest.raises(ValueError, match=r"\[fit_readout\] expected l2 to be a number >= 0, got -1.0"):
        lm.Sequential(lm.Readout(1), seed=0).fit_readout(x, x[:, 0], -1.0)
    frozen = lm.Sequential(lm.Dense(3, "tanh"), lm.Readout(1), seed=0).build(2)
    frozen.layers[1].trainable = False
    with pytest.raises(ValueError, match="'readout_1' with trainable=False; set its trainable to True"):
        frozen.fit_readout(x, x[:, 0])
    frozen.layers[0].trainable, frozen.layers[1].trainable = False, True
    assert frozen.fit_readout(x, x[:, 0]) < 1
    twice = lm.Readout(1)
    inputs = lm.Input(2)
    with pytest.raises(ValueError, match="a last layer for each output"):
        lm.Model(inputs, [twice(inputs), twice(inputs * 2)]).fit_readout(x, [x[:, 0], x[:, 1]])


def test_a_readout_whose_weights_make_its_features_is_refused(rng):
    """What it would solve are weights for features that the new weights no longer make."""
    inputs, twice = lm.Input(3), lm.Dense(3)
    net = lm.Model(inputs, twice(lm.tanh(twice(inputs))), seed=0)
    before = net.parameters["dense_1.weight"]
    with pytest.raises(ValueError, match="expected features that do not depend on the last layer, got weights of 'dense_1'"):
        net.fit_readout(rng.normal(size=(9, 3)), np.ones((9, 3)))
    assert np.array_equal(net.parameters["dense_1.weight"], before)


def test_the_ridge_of_a_readout_is_for_fit_readout_alone(rng):
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    one, other = (
        lm.Sequential(lm.Dense(5, "tanh"), last, seed=0, dtype="float64").compile("mse", "sgd")
        for last in (lm.Readout(2, l2=10.0), lm.Dense(2))
    )
    assert one.evaluate(x, y) == other.evaluate(x, y) and one.train_step(x, y) == other.train_step(x, y)
    assert np.array_equal(one.fit(x, y, epochs=3, verbose=0)["loss"], other.fit(x, y, epochs=3, verbose=0)["loss"])
    assert np.array_equal(one.parameters["readout_1.weight"], other.parameters["dense_2.weight"])
    assert "`fit`, `train_step` and `evaluate` treat it as one" in lm.Readout.__doc__


def test_a_readout_layer_brings_its_ridge_along_and_stays_what_it_is(tmp_path, rng):
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 2))

    def solved(layer, *l2):
        net = lm.Sequential(lm.Dense(5, "tanh"), layer, seed=0, dtype="float64")
        hidden = net.build(3).parameters["dense_1.weight"]
        net.fit_readout(x, y, *l2)
        np.testing.assert_array_equal(net.parameters["dense_1.weight"], hidden)
        return net

    net = solved(lm.Readout(2, l2=0.3))
    for other, name in ((solved(lm.Dense(2), 0.3), "dense_2"), (solved(lm.Readout(2), 0.3), "readout_1")):
        np.testing.assert_array_equal(net.parameters["readout_1.weight"], other.parameters[f"{name}.weight"])
    assert (
        np.abs(solved(lm.Readout(2, l2=0.3), 0.0).parameters["readout_1.weight"] - net.parameters["readout_1.weight"]).max() > 1e-3
    )
    net.save(tmp_path / "net.safetensors")
    again = lm.load(tmp_path / "net.safetensors")
    assert repr(again.layers[-1]) == "Readout(2, l2=0.3)"
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    before = again.predict(x)
    assert again.fit_readout(x, y) == net.fit_readout(x, y)
    np.testing.assert_allclose(again.predict(x), before, rtol=1e-10)
    net.compile("mse", "sgd")
    assert "Readout" in net.summary()
    dense = lm.Sequential(lm.Dense(5, "tanh"), lm.Dense(2), seed=0, dtype="float64").compile("mse", "sgd")
    strip = [line.replace("readout_1", "dense_2") for line in net.explain(x, y).splitlines()]
    assert strip == dense.explain(x, y).splitlines()
    net.draw(tmp_path / "net.svg", x, y)
    assert "W2" in (tmp_path / "net.svg").read_text().replace("<tspan", "") or "W₂" in (tmp_path / "net.svg").read_text()


def test_a_readout_starts_training_from_the_solution(rng):
    """fit goes on from there: its first loss is what was solved."""
    x = rng.uniform(-2, 2, (300, 2))
    y = np.sin(x[:, :1] * x[:, 1:])
    net = lm.Sequential(lm.Dense(20, "tanh"), lm.Readout(1), seed=0, dtype="float64")
    solved = net.fit_readout(x, y)
    np.testing.assert_allclose(net.compile("mse", "sgd").train_step(x, y), solved, rtol=1e-9)
    assert net.fit(x, y, optimizer="levenbergmarquardt", epochs=30, verbose=0).history["loss"][-1] < 0.5 * solved


def test_a_readout_of_classes_and_of_several_outputs(rng):
    x, classes = lm.datasets.digits()
    one_hot = np.eye(10)[classes]
    nets = [lm.Sequential(lm.Dense(100, "tanh"), lm.Readout(10, l2=1e-3), seed=0) for _ in range(2)]
    assert nets[0].fit_readout(x, classes) == nets[1].fit_readout(x, one_hot)
    assert nets[0].fit_readout(x, classes[:, None]) == nets[1].fit_readout(x, one_hot)
    np.testing.assert_array_equal(nets[0].predict(x), nets[1].predict(x))
    assert (nets[0].predict(x).argmax(1) == classes).mean() > 0.9
    assert nets[0].fit_readout(x, classes > 0) == nets[1].fit_readout(x, (classes > 0).astype(int))

    x = rng.normal(size=(50, 3))
    targets = {"a": rng.normal(size=50), "b": rng.normal(size=(50, 2))}
    inputs = lm.Input(3, dtype="float64")
    h = lm.Dense(6, "tanh")(inputs)
    both = lm.Model(inputs, {"a": lm.Readout(1, l2=0.1)(h), "b": lm.Readout(2, bias=False)(h)}, seed=0, dtype="float64")
    error = both.fit_readout(x, targets)
    found = dict(zip(targets, both.predict(x), strict=True))
    np.testing.assert_allclose(error, sum(np.mean((found[k].reshape(50, -1) - v.reshape(50, -1)) ** 2) for k, v in targets.items()))
    for key, (units, l2, bias) in {"a": (1, 0.1, True), "b": (2, 0.0, False)}.items():
        alone = lm.Sequential(lm.Dense(6, "tanh"), lm.Dense(units, bias=bias), seed=0, dtype="float64").build(3)
        for name in ("weight", "bias"):
            alone.parameters[f"dense_1.{name}"] = both.parameters[f"dense_1.{name}"]
        alone.fit_readout(x, targets[key], l2)
        np.testing.assert_allclose(alone.predict(x), found[key].reshape(50, -1), rtol=1e-9, atol=1e-12)


def test_the_jacobian_through_a_batch_norm_is_that_of_prediction(rng):
    """While training, its samples mix: what stood there was the derivative of the sum over all of them, 0."""
    x = lm.Input(2, dtype="float64")
    h = lm.BatchNorm()(x)
    j = lm.jacobian(h, x)
    lm.Model(x, h, seed=0, dtype="float64")
    values = rng.normal(size=(3, 2))
    for training in (False, True):
        got = lm.function([x], j, training=training)(values)
        np.testing.assert_allclose(got, np.broadcast_to(np.eye(2) / np.sqrt(1 + 1e-5), (3, 2, 2)), rtol=1e-12)


POOLED = {
    "sum": lambda x: lm.sum(lm.Dense(2, "tanh")(x), 1),
    "mean": lambda x: lm.mean(lm.Dense(2, "tanh")(x), 1),
    "attention": lambda x: lm.sum(lm.softmax(x @ lm.transpose(x, (0, 2, 1)), -1) @ lm.Dense(2)(x), 1),
    "last": lambda x: lm.Dense(2, "tanh")(x)[:, -1],
    "batch norm": lambda x: lm.mean(lm.BatchNorm()(lm.Dense(2)(x)), 1),
    "turned": lambda x: lm.sum(x[:, ::-1] * lm.Dense(3)(x), 1),
}


@pytest.mark.parametrize("name", POOLED)
def test_a_jacobian_by_sequences_of_free_length(name, rng):
    x = lm.placeholder((None, "T", 3), "float64")
    y = POOLED[name](x)
    net = lm.Model(x, y, seed=0)
    data, step = rng.normal(size=(4, 5, 3)), 1e-6
    found = lm.function([x], lm.jacobian(y, x))(data)
    assert found.shape == (4, y.shape[-1], 5, 3)
    for place in np.ndindex(5, 3):
        moved = np.zeros((5, 3))
        moved[place] = step
        slope = (net.predict(data + moved) - net.predict(data - moved)) / (2 * step)
        np.testing.assert_allclose(found[(..., *place)], slope, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "mix", [lambda x: x - lm.mean(x, 0), lambda x: x * lm.size(x, 0), lambda x: lm.reshape(x, (-1, 3))[:, None]]
)
def test_sequences_whose_samples_mix_have_no_jacobian_by_sample(mix):
    x = lm.placeholder((None, "T", 3), "float64")
    with pytest.raises(ValueError, match="samples that do not mix"):
        lm.jacobian(lm.sum(mix(x), 1), x)
