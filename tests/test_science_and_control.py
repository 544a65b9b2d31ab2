"""What programs of science and control lean on: networks within networks, losses as outputs, functions of numbers far from 1."""

import copy

import numpy as np
import pytest

import lamina as lm
from lamina.draw import picture


def stack(**options):
    return lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(2), **options)


def test_a_network_within_another_one_is_built_by_it():
    """Its parameters, a copy, a file and a summary are there as if it had been built by itself, and are those of the whole."""
    part = stack()
    x = lm.Input(3)
    whole = lm.Model(x, lm.tanh(part(part(x) @ np.ones((2, 3), "float32"))), seed=5)
    kept = {name: np.array(value) for name, value in whole.parameters.items()}
    assert list(part.parameters) == ["dense_1.weight", "dense_1.bias", "dense_2.weight", "dense_2.bias"]
    assert all(np.array_equal(value, kept[name]) for name, value in part.parameters.items())
    part.parameters["dense_2.bias"] = [1.0, 2.0]
    assert list(whole.parameters["dense_2.bias"]) == [1.0, 2.0]
    assert part.built and "26 parameters" in part.summary()


@pytest.mark.parametrize("look", [copy.deepcopy, lambda net: net])
def test_a_copy_of_a_network_within_another_one(look, tmp_path):
    part = stack()
    x = lm.Input(3)
    whole = lm.Model(x, part(x), seed=5)
    rows = np.ones((2, 3), "float32")
    other = look(part)
    other.save(tmp_path / "part.safetensors")
    assert np.array_equal(lm.load(tmp_path / "part.safetensors").predict(rows), whole.predict(rows))


def test_the_seed_of_the_whole_is_that_of_its_parts():
    def made(part):
        x = lm.Input(3)
        return lm.Model(x, part(x), seed=7).parameters["dense_1.weight"]

    alone = lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(2), seed=7).build(3)
    assert np.array_equal(made(stack(seed=1)), alone.parameters["dense_1.weight"])


def test_a_network_within_one_of_float64_predicts_in_it():
    part = stack()
    x = lm.Input(3, dtype="float64")
    whole = lm.Model(x, part(x), seed=5)
    rows = np.random.default_rng(0).normal(size=(4, 3))
    assert part.dtype == "float64" and np.array_equal(part.predict(rows), whole.predict(rows))


def test_a_network_that_tensors_were_given_to_still_takes_other_shapes():
    """Layers of the last axis serve samples of any rank: the first data decide, and a vector's axis is none of samples."""
    part = stack()
    part(lm.Input(5, 3))
    assert part.predict(np.ones((2, 3), "float32")).shape == (2, 2)
    asked = stack()
    asked(lm.Input(5, 3))
    assert asked.parameters and asked.inputs[0].shape[1:] == (5, 3)
    table = lm.Sequential(lm.Lambda(lambda i: lm.one_hot(i, 4)), lm.Dense(2))
    table(lm.Input(dtype="int64"))
    assert table.parameters["dense_1.weight"].shape == (4, 2) and table.predict([0, 3]).shape == (2, 2)
    scale = lm.Sequential(lm.Lambda(lambda x: 2 * x))
    scale(lm.placeholder((3,)))
    assert not hasattr(scale, "parameters")


@pytest.mark.parametrize("loss", ["mse", lambda pred, target: pred])
def test_a_loss_that_is_one_number_says_to_be_one_for_each_sample(loss):
    x = lm.Input(3)
    net = lm.Model(x, lm.mean(lm.Dense(1)(x) ** 2)).compile(loss, "adam")
    with pytest.raises(ValueError, match=r"expected .*; let the output be one number for each sample, as lm\.sum\(\.\., axis=1\)"):
        net.train_step(np.ones((4, 3)), np.zeros(4))


def lagrangian():
    """Accelerations of an energy: four second derivatives, each of which repeats the first ones."""
    q, v = lm.Input(2, dtype="float64"), lm.Input(2, dtype="float64")
    energy = lm.Dense(1)(lm.Dense(5, "softplus")(lm.concatenate([q, v], 1))) + lm.sum(v * v, axis=1, keepdims=True) / 2
    by_q, by_v = lm.grad(lm.sum(energy), q), lm.grad(lm.sum(energy), v)
    rest = by_q - lm.linalg.matvec(lm.jacobian(by_v, q), v)
    return lm.Model([q, v], lm.linalg.solve(lm.jacobian(by_v, v), rest[:, :, None])[:, :, 0], seed=0)


def test_what_derivatives_share_is_one_line_of_an_explanation():
    net = lagrangian().compile("mse", "adam")
    q, v, a = np.random.default_rng(0).normal(size=(3, 4, 2))
    trace = net.trace([q, v], a)
    right = [str(line).split(" = ", 1)[1] for line in trace.forward]
    assert len(set(right)) == len(right) - 1  # two pads of 1, before and behind a 0, are written alike
    assert np.array_equal(trace[trace.forward[-1].name].reshape(4, 2), net.predict([q, v]))


# Where numbers get subnormal, where they are 0 (on both sides), where no factor of 2^n is a number (on both sides), far away.
ENDS = {
    "float32": [-87.4, -103.9, -104.1, -175.9, -176.1, -1e9, -np.inf],
    "float64": [-708.5, -745.1, -746.1, -1417.9, -1418.1, -1e300, -np.inf],
}


@pytest.mark.parametrize("dtype", ENDS)
def test_exp_far_below_zero(dtype):
    x = np.array([*ENDS[dtype], np.nan, 0.0, 1.0] * 8, dtype)
    with np.errstate(under="ignore"):
        exact = np.exp(x)
    found = lm.exp(x)
    assert np.allclose(found, exact, rtol=1e-6, atol=np.finfo(dtype).smallest_subnormal, equal_nan=True)
    assert not found[x < ENDS[dtype][1]].any() and found[x == ENDS[dtype][1]].all()
    assert np.allclose(lm.sigmoid(x), np.where(x < -50, exact, 1 / (1 + np.exp(-np.maximum(x, -50)))), rtol=1e-6, equal_nan=True)


def test_a_picture_of_a_network_whose_last_fit_was_one_epoch():
    """As of one with noise as an input, which is drawn anew for each epoch; and of one whose fits a file does not have."""

    def said():
        return [label.text for label in picture(net, x, x)[0].labels]

    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    net = lm.Sequential(lm.Dense(3), seed=0).compile("mse", "sgd")
    assert "not trained by fit yet" in said()
    for _ in range(2):
        net.fit(x, x, validation_data=(x, x), verbose=0)
    (line,) = (text for text in said() if text.startswith("the last fit was one epoch: training "))
    assert ", validation " in line and "2 epochs trained" in " ".join(said())
    net.history = None
    assert "the fits before are not known here" in said()


def test_vectors_of_which_all_elements_meet_are_a_column_and_a_row():
    """As each number beside each other one, which read [T = T] and T - T."""
    x = lm.Input(2)
    a = lm.sum(x * x, axis=1)
    outputs = [lm.eye(x.shape[0]), (a[:, None] - a) ** 2, x * a[:, None]]
    lines = [str(line) for line in lm.Model(x, outputs, seed=0).trace(np.ones((3, 2), "float32")).forward]
    assert any("[T₂ 1ᵀ = 1 T₂ᵀ]" in line for line in lines)
    assert any("(T₁ 1ᵀ − 1 T₁ᵀ)²" in line for line in lines) and any("X ⊙ T₁" in line for line in lines)
