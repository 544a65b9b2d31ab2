"""net.inspect, the plots, and what a notebook shows."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import lamina as lm
from lamina.base import plots
from nets import CASES, data
from test_trace import X, Y, small


def test_figures_by_hand():
    net = small()
    seen, made = net.inspect(X, Y), net.trace(X, Y)
    assert seen["A1"].mean == pytest.approx(made["A1"].mean()) and seen["A1"].std == pytest.approx(made["A1"].std())
    assert seen["W1"].gradient_norm == pytest.approx(np.linalg.norm(made["dW1"]))
    step = next(s for s in made.update if s.name == "W1")
    assert seen["W1"].update_ratio == pytest.approx(np.linalg.norm(step.values - step.before) / np.linalg.norm(step.before))
    np.testing.assert_array_equal(seen.weights["W1"], net.parameters["dense_1.weight"])
    np.testing.assert_array_equal(seen.gradients["W1"], net.gradients(X, Y)["dense_1.weight"])
    assert set(seen.activations) == {"Z1", "A1", "Z2"}


def test_frozen_weights_are_among_the_weights():
    net = small()
    net.layers[0].trainable = False
    seen = net.inspect(X, Y)
    assert set(seen.weights) == {"W1", "b1", "W2", "b2"} and set(seen.gradients) >= {"W2", "b2"} and "W1" not in seen.gradients
    assert np.isnan(seen["W1"].gradient_norm) and np.isnan(seen["W1"].update_ratio)


def test_a_layer_called_by_a_letter_and_a_number_has_its_gradient():
    net = lm.Sequential(lm.Dense(3), lm.Lambda(lambda t: t**2).named("h1"), lm.Dense(2), seed=0).compile("mse", "sgd")
    made = net.trace(data(), data()[:, :2])
    assert {"h1", "dh1"} <= {*made.names} and net.inspect(data(), data()[:, :2])["h1"].gradient_norm > 0


def test_dead_neurons_and_saturation():
    net = lm.Sequential(lm.Dense(4, "relu"), lm.Dense(2, "tanh"), seed=0).build(6).compile("mse", "sgd")
    net.parameters["dense_1.bias"] = np.array([-100.0, 0, 0, 0], "float32")
    net.parameters["dense_2.bias"] = np.array([50.0, 0.0], "float32")
    seen = net.inspect(data(), data()[:, :2])
    alive = (np.maximum(data() @ net.parameters["dense_1.weight"] + net.parameters["dense_1.bias"], 0) > 0).any(axis=0)
    assert seen["A1"].dead == pytest.approx(1 - alive.mean()) and "of its neurons are 0 for these 5 rows" in seen["A1"].remark
    assert "of its neurons are 0 for this row" in net.inspect(data()[:1])["A1"].remark
    assert "of its neurons are dead" in net.inspect(np.tile(data(), (200, 1)))["A1"].remark
    assert seen["A2"].saturated >= 0.5 and "saturated" in repr(seen)


@pytest.mark.parametrize(("name", "scale"), [("tanh", 1.0), ("sigmoid", 2.0)])
def test_an_element_is_flat_where_its_slope_is_a_twentieth_of_the_largest(name, scale):
    net = lm.Sequential(lm.Dense(4, name), seed=0).build(6)
    net.parameters["dense_1.weight"] = np.zeros((6, 4))
    net.parameters["dense_1.bias"] = scale * np.array([0.0, -2.1, 2.17, 2.19])
    assert net.inspect(data())["A1"].saturated == 0.25


@pytest.mark.parametrize("name", ["branches", "embedding", "own optimizer", "layer BatchNorm()"])
def test_every_kind_of_net_can_be_inspected_and_shown(name):
    net, x, y = CASES[name]()
    seen = net.inspect(x, y)
    assert len(repr(seen).splitlines()) == len(seen) + 1 and repr(seen).isascii()
    for page in (seen._repr_html_(), net._repr_html_(), net.trace(x, y)._repr_html_()):
        assert page.count("<table") == page.count("</table>") >= 1 and "<script" not in page


def test_a_net_that_is_not_built_shows_its_layers():
    assert "not built" in lm.Sequential(lm.Dense(1))._repr_html_()


def test_an_unknown_name_has_a_suggestion():
    with pytest.raises(ValueError, match=r"\[inspect\] unknown name 'w1'; did you mean 'W1'"):
        small().inspect(X, Y)["w1"]


# ---- matplotlib ----


def history() -> lm.History:
    found = lm.History()
    for loss in (2.0, 1.0, 0.5):
        found.append({"loss": loss, "val_loss": 2 * loss, "accuracy": 1 - loss / 4})
    return found


def test_history_plots_its_curves():
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing was plotted")
    matplotlib.use("Agg")
    loss, accuracy = history().plot()
    assert loss.get_title() == "loss" and len(loss.lines) == 2 and len(accuracy.lines) == 1
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), [4.0, 2.0, 1.0])
    assert all(tick == int(tick) for tick in loss.get_xticks())  # no epoch 1.5
    ax = matplotlib.pyplot.figure().add_subplot()
    assert history().plot(ax) is ax and len(ax.lines) == 3
    with pytest.raises(ValueError, match="fit the network first"):
        lm.History().plot()
    with pytest.raises(TypeError, match=r"expected Axes, got 'loss.png'; .* plt.savefig"):
        history().plot("loss.png")


def test_confusion_matrix_is_plotted():
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing was plotted")
    matplotlib.use("Agg")
    ax = lm.metrics.plot_confusion([0, 0, 1, 2], [0, 1, 1, 2], labels=["a", "b", "c"])
    assert sorted(t.get_text() for t in ax.texts) == ["1", "1", "1", "1"] and ax.get_ylabel() == "true"
    with pytest.raises(ValueError, match=r"\[plot_confusion\] expected 3 labels, one for each class, got 1"):
        lm.metrics.plot_confusion([0, 0, 1, 2], [0, 1, 1, 2], labels=["a"])
    with pytest.raises(TypeError, match=r"\[plot_confusion\] expected Axes, got 'it.png'; .* plt.savefig"):
        lm.metrics.plot_confusion([0, 1], [0, 1], ax="it.png")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    found = history()  # its class is imported at its first use
    monkeypatch.setattr(plots.importlib, "import_module", missing)
    with pytest.raises(ValueError, match=r"pip install 'lamina\[plot\]'"):
        found.plot()


def test_summary_counts_bytes_and_flop_of_one_sample():
    lines = small("float32").build(4).summary().splitlines()
    assert lines[1].split() == ["layer", "type", "output", "parameters", "bytes", "FLOP"]
    assert lines[3].split()[-3:] == ["40", "160", "80"]  # 2*4*8 + 8 for the bias + 8 for ReLU
    assert lines[4].split()[-3:] == ["27", "108", "51"]  # 2*8*3 + 3


def test_a_number_that_is_trained_is_inspected():
    x = lm.Input(4)
    net = lm.Model(x, lm.Dense(2)(x) * lm.Parameter(1.5, name="scale"), seed=0).compile("mse", "sgd")
    lines = str(net.inspect(np.ones((3, 4)), np.ones((3, 2)))).splitlines()
    assert [line.split()[1:5] for line in lines if " scalar " in line] == [["scalar", "1.5", "0", "1.5"]]


def test_a_parameter_outside_of_layers_has_a_row():
    x = lm.Input(4)
    net = lm.Model(x, lm.Dense(2)(x) @ lm.Parameter(np.ones((2, 3)), name="mixing"), seed=0)
    assert [line.split() for line in net.summary().splitlines()[4:5]] == [["mixing", "Parameter", "(2,", "3)", "6", "48"]]


class Residual(lm.Layer):
    """A layer that calls others, made in `build`."""

    def build(self, x):
        self.first, self.second = lm.Dense(8, "relu"), lm.Dense(x.shape[-1])

    def forward(self, x):
        return x + self.second(self.first(x))


class Stack(lm.Layer):
    """A layer that calls others, made before, and has no operation of its own."""

    def __init__(self, *layers):
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Scaled(Stack):
    def build(self, x):
        self.weight = self.parameter("weight", (x.shape[-1],), lm.initializers.ones)

    def forward(self, x):
        return self.weight * super().forward(x)


def model_of(*layers) -> lm.Model:
    x = lm.Input(4)
    return lm.Model(x, Stack(*layers).forward(x), seed=0)


def around_another(*layers) -> lm.Model:
    x = lm.Input(4)
    return lm.Model(x, model_of(*layers)(x), seed=0)


def sequential_of(*layers) -> lm.Model:
    return lm.Sequential(*layers, seed=0).build(4)


def table(net: lm.Model) -> list[str]:
    """The rows of the layers, with the margin of their names, without the bytes."""
    _, _, _, *rows, _, _ = net.summary().splitlines()
    assert len({len(row) for row in rows}) == 1  # columns of numbers end at one place
    cells = [row.split() for row in rows]
    return [row[: len(row) - len(row.lstrip())] + " ".join([*c[1:4], c[4], c[6]]) for row, c in zip(rows, cells, strict=True)]


@pytest.mark.parametrize("make", [sequential_of, model_of, around_another])
def test_layers_that_another_one_calls_stand_below_it(make, tmp_path):
    net = make(lm.Dense(4), Stack(Scaled(Residual()), lm.Activation("relu")), lm.Activation("tanh"), lm.Dense(1))
    assert table(net) == [
        "Dense (B, 4) 20 36",
        "Stack (B, 4) 0 0",
        "  Scaled (B, 4) 4 4",
        "    Residual (B, 4) 0 4",
        "      Dense (B, 8) 40 80",
        "      Dense (B, 4) 36 68",
        "  Activation (B, 4) 0 4",
        "Activation (B, 4) 0 4",
        "Dense (B, 1) 5 9",
    ]
    assert "105 parameters (420 B), all trained" in net.summary()
    net.save(tmp_path / "net.safetensors")
    loaded = lm.load(tmp_path / "net.safetensors")
    assert loaded.summary() == net.summary() and net.summary() in net._repr_html_()
    loaded.save(tmp_path / "again.safetensors")
    assert lm.load(tmp_path / "again.safetensors").summary() == net.summary()


def test_a_layer_within_several_others_has_one_row():
    shared = lm.Dense(4)
    net = sequential_of(Stack(shared), Stack(shared), lm.Dense(1))
    assert table(net) == ["Stack (B, 4) 0 0", "  Dense (B, 4) 20 72", "Stack (B, 4) 0 0", "Dense (B, 1) 5 9"]
    assert "25 parameters" in net.summary()


def test_a_parameter_of_two_layers_counts_once():
    class Tied(Residual):
        def build(self, x):
            super().build(x)
            self.second(self.first(x))
            self.weight = self.first.weight

    net = sequential_of(Tied())
    assert [int(row.split()[3]) for row in table(net)] == [32, 8, 36] and "76 parameters" in net.summary()


def test_after_a_layer_that_failed_within_another_the_next_stands_alone():
    with pytest.raises(ValueError, match=r"\[Reshape\(3\)\] expected samples of 3 elements for shape \(3,\), got 4"):
        model_of(Stack(lm.Reshape(3)))
    assert table(model_of(lm.Dense(1))) == ["Dense (B, 1) 5 9"]


def test_a_layer_that_passes_its_input_on_has_the_shape_of_that():
    shapes = [row.split(" (")[1][:4] for row in table(sequential_of(Stack(lm.Dense(8), lm.Dense(2)), lm.Activation("linear")))]
    assert shapes == ["B, 2", "B, 8", "B, 2", "B, 2"]
    assert table(sequential_of(lm.Activation("linear"), lm.Dense(1)))[0] == "Activation (B, 4) 0 0"


def test_a_layer_of_the_loss_has_no_shape_of_the_prediction():
    head = lm.Dense(2)
    net = sequential_of(lm.Dense(3)).compile(lambda pred, target: lm.mean((head(pred) - target) ** 2), "sgd")
    net.train_step(np.ones((2, 4)), np.ones((2, 2)))
    assert [row.split() for row in net.summary().splitlines()[3:5]] == [
        ["dense_1", "Dense", "(B,", "3)", "15", "60", "27"],
        ["dense_2", "Dense", "8", "32", "0"],
    ]


def test_what_overflows_is_no_warning_of_numpys():
    net = (
        lm.Sequential(lm.Dense(2, weight_init=lambda shape, rng, dtype: np.full(shape, 3e38, dtype)), seed=0)
        .build(2)
        .compile("mse", "sgd")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "inf" in str(net.inspect(np.full((2, 2), 10.0, "float32"), np.zeros((2, 2), "float32")))
