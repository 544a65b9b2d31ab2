"""net.draw: matrices, arrows, equations and captions of the forward pass, the gradients and the update."""

from __future__ import annotations

import re

import numpy as np
import pytest

import lamina as lm
from lamina.draw import HEIGHT, WIDTH, picture
from lamina.draw.chain import Block, Sign, chain
from lamina.draw.footer import _time
from lamina.draw.tensors import layout, routes
from lamina.trace import notation, trace
from lamina.trace.notation import latex
from lamina.training.history import History
from nets import CASES, data
from pictures import ALL, Residual, end_of, frame, many_activations, narrow, neurons, rows, tensors, two_inputs, wide


@pytest.mark.parametrize("name", ALL)
def test_no_labels_overlap_or_leave_the_picture_by_estimate(name):
    net, x, y = ALL[name]()
    for target, theme in ((y, "light"), (None, "dark")):
        canvas, _ = picture(net, x, target, theme=theme)
        assert canvas.overlapping() == []
        assert min(label.smallest for label in canvas.labels) >= 11
        outside = [t.text for t in canvas.labels if t.box.x < 0 or t.box.y < 0 or t.box.right > WIDTH or t.box.bottom > HEIGHT]
        assert outside == []
        dots = [frame(part) for part in canvas.parts if part.startswith("<circle") and 'r="1.6"' in part and "<title>" not in part]
        images = [frame(part) for part in canvas.parts if part.startswith("<image")]
        solid = [box for _, box in tensors(canvas)] + neurons(canvas) + dots + images
        assert not [t.text for t in canvas.labels if any(t.box.overlaps(box, 1.0) for box in solid)]
        assert not any(dot.overlaps(disc) for dot in dots for disc in neurons(canvas))
        assert all(re.match('<path d="M[^"]*" fill="(none" stroke=")?#', part) for part in canvas.parts if part[:5] == "<path")
        assert target is None or any(t.text.startswith("L = ") for t in canvas.labels)
        above, under = rows(canvas)
        assert all(a.right < b.x and abs(a.cy - b.cy) < 0.1 for a, b in zip(above, above[1:], strict=False))
        assert bool(under) is (target is not None)
        assert all((a.x, a.w, a.h) == (b.x, b.w, b.h) and a.bottom < b.y and abs(b.cy - under[0][1].cy) < 0.1 for a, b in under)


@pytest.mark.parametrize("make", [narrow, CASES["heads"], two_inputs])
def test_each_arrow_has_a_line_and_a_place_to_point_at(make):
    canvas, _ = picture(*make())
    frames = [box for _, box in tensors(canvas)]
    boxes = [frame(part) for part in canvas.parts if ' rx="6"' in part]
    seen = []
    for line, part in zip(canvas.parts, canvas.parts[1:], strict=False):
        if head := re.match(r'<path d="M(\S+) (\S+)l(-?\d) ', part):
            x, y, way = map(float, head.groups())
            seen.append(way)
            assert 4 < np.hypot(*np.subtract(end_of(line), (x, y))) < 8
            if way == -4:  # upwards, to a gradient, from the line of its equation
                assert any(box.x < x < box.right and 15 < y - box.bottom < 25 for box in frames)
                lane = float(line.split()[2].partition("V")[0])
                assert any(t.text.startswith("d") and " = " in t.text and abs(t.box.cy - lane) < 6 for t in canvas.labels)
            elif way == -7:  # to a value that a function makes, or a box of row A
                assert any(0 <= box.x - x < 40 and box.y < y < box.bottom for box in frames + boxes)
    assert {*seen} == {-7, -4, 7} and seen.count(7) == 1  # to the left, from the loss


def test_what_is_shrunk_is_said():
    for make, said in ((wide, ["6 tensors shrunk: a cell shows the value of largest size in its block"]), (narrow, [])):
        assert [t.text for t in picture(*make())[0].labels if "shrunk" in t.text] == said
    shown = picture(lm.Sequential(lm.Dense(300), lm.Dense(2), seed=0).build(4), np.ones((2, 4)))[0]
    assert any(t.text.startswith("W₁, b₁, Z₁, W₂ shrunk: ") for t in shown.labels)


def test_targets_of_one_at_the_class_are_drawn():
    net, x, y = narrow()
    texts = [[t.text for t in picture(net, x, target)[0].labels] for target in (y, np.eye(3)[y])]
    assert [any("(true)" in text for text in several) for several in texts] == [True, False]


def test_an_arrow_is_a_mean_only_where_it_divides_by_a_count():
    def names(make):
        x = lm.Input(4)
        net = lm.Model(x, make(lm.Dense(4)(x)), seed=0)
        return [item.text for item in chain(trace(net, np.ones((2, 4)), None)) if isinstance(item, Sign) and item.arrow]

    assert names(lambda z: lm.mean(z * z, axis=1, keepdims=True))[-1] == "mean"
    assert names(lambda z: lm.sum(z * z, axis=1, keepdims=True) / 4.0)[-1] == "mean"
    for by in (lambda z: 2.0, lambda z: 3.0, lambda z: lm.sqrt(lm.sum(z * z, axis=1, keepdims=True))):
        assert "mean" not in names(lambda z, by=by: lm.sum(z, axis=1, keepdims=True) / by(z))


def test_no_arrow_says_that_a_value_is_made_of_its_neighbour_alone():
    """What lies between and has no name: a norm looked as if it were that of the layer before."""

    def signs(make):
        x = lm.Input(6)
        canvas, made = picture(lm.Model(x, lm.Dense(1)(make(lm.Dense(6)(x), x)), seed=0), data())
        assert canvas.overlapping() == []
        return [item.text for item in chain(made) if isinstance(item, Sign) and (item.arrow or "⋯" in item.text)]

    norm = lm.LayerNorm()
    assert signs(lambda z, x: norm(x + lm.softmax(z) @ np.eye(6, dtype="float32"))) == ["⋯", "norm", "γ, β"]
    assert signs(lambda z, x: norm(x + z)) == signs(lambda z, x: norm(z)) == ["norm", "γ, β"]  # the equation says it
    assert signs(lambda z, x: lm.Lambda(lambda v: lm.exp(-v * v) * lm.sin(v))(z)) == ["lambda"]


def test_tensors_without_gradient_and_without_a_value_say_so():
    net, x, _ = narrow()
    net.layers[0].trainable = False
    texts = [t.text for t in picture(net, x, np.array([0, 2]))[0].labels]
    assert texts.count("frozen") == 2 and "skipped" not in texts
    a = lm.Input(4)
    head = lm.Dense(2)
    head.trainable = False
    two = lm.Model(a, [lm.Dense(2)(a), head(a)], seed=0).compile("mse", "sgd")
    assert "frozen" not in {t.text for t in picture(two, x, [x[:, :2]] * 2)[0].labels}  # there stands the loss
    zero = lm.Sequential(lm.Dense(3, weight_init="zeros", bias_init="zeros"), seed=0).compile("mse", "sgd")
    texts = [t.text for t in picture(zero, data(), np.zeros((5, 3)))[0].labels]
    assert texts.count("all 0") == 7 and "±1" not in texts  # all but X


def test_a_gradient_of_terms_that_cancel_has_no_colours():
    """That of a bias before a batch norm is 0, but for rounding: it was drawn as any other, at +-6.5e-09."""
    net = lm.Sequential(lm.Dense(4), lm.BatchNorm(), lm.Dense(2), seed=0).compile("mse", "sgd")
    canvas, made = picture(net, data(), data()[:, :2])
    texts = [t.text for t in canvas.labels]
    assert texts.count("≈ 0") == 1 and any(text.endswith("≈ 0: terms cancel, up to rounding") for text in texts)
    scale = float(re.search(r'data-name="db1" data-scale="([^"]+)"', "".join(canvas.parts))[1])
    assert 0 < np.abs(made["db1"]).max() < 1e-5 * scale and canvas.overlapping() == []
    lines = net.explain(data(), data()[:, :2], level="values").splitlines()
    said = [line.split()[1] for line in lines if line.endswith("  0 up to rounding: its terms cancel")]
    assert said == ["db₁"]


def test_an_arrow_comes_from_each_gradient_that_is_added():
    """Of heads, and of a skip; for a value without a name the equation has dots."""

    def ways(net, x, y):
        made = trace(net, x, y)
        layout(items := chain(made), 40.0, 1520.0, 136.0)
        found = routes(items, made)
        assert all(len(way.outs) == len(way.sources) for way in found)
        named = {way.target.symbol.d.plain: ({block.symbol.plain for block in way.sources}, way.equation) for way in found}
        return {name: (sources, notation.text(equation)) for name, (sources, equation) in named.items()}

    net, x, y = CASES["heads"]()
    assert ways(net, x, y)["dA1"][0] == {"Z2", "Z3", "Z4"}
    a = lm.Input(6)
    h, first = lm.Dense(4, "tanh")(a), lm.Dense(3)(a)
    skip = lm.Model(a, lm.Dense(2)(lm.Add()(h, lm.Dense(4, "tanh")(h))), seed=0).compile("mse", "sgd")
    assert ways(skip, x, y["flags"])["dA1"][0] == {"Z2", "add_1"}
    nested = lm.Model(a, [first, lm.Dense(2)(first)], seed=0).compile("mse", "sgd")
    assert ways(nested, x, [x[:, :3], y["flags"]])["dZ1"] == ({"Z2"}, "dZ₁ = dZ₂ W₂ᵀ + ⋯")


def derivative():
    """As a network informed by physics has it: an output with a derivative of another one in it."""
    x = lm.Input(1)
    u = lm.Dense(1)(lm.Dense(16, "tanh")(x))
    net = lm.Model(x, {"u": u, "residual": lm.grad(lm.sum(u), x) + u}, seed=0).compile("mse", "adam")
    at = np.linspace(0, 1, 8)[:, None]
    return net, at, {"u": at, "residual": at}


def two_heads():
    a = lm.Input(6)
    h = lm.Dense(16, "relu")(a)
    return lm.Model(a, [lm.Dense(1)(h), lm.Dense(1)(h)], seed=0).compile("mse", "sgd"), data(), [data()[:, :1]] * 2


@pytest.mark.parametrize("make", [two_heads, derivative, narrow, wide, CASES["heads"], CASES["gradient in the loss"]])
def test_no_equation_stands_on_another_arrow(make):
    """Of narrow layers, nothing but the heads of their arrows was left."""
    net, x, y = make()
    made = trace(net, x, y)
    layout(items := chain(made), 40.0, 1520.0, 136.0)
    found = routes(items, made)
    lines = {step.name for step in made.backward} & {i.symbol.d.plain for i in items if isinstance(i, Block)}
    assert {way.target.symbol.d.plain for way in found} >= {name for name in lines if "W" in name or "b" in name}
    for way in found:
        assert way.equation and way.wide
        covered = [other for other in found if any(abs(end - way.centre) < way.wide / 2 for end in other.ends)]
        assert not [other.target.symbol for other in covered if other.lane > way.lane], way.equation
        assert way.lane > 0 or way not in covered


def test_dots_stand_for_values_without_a_name():
    net, x, y = derivative()
    canvas, made = picture(net, x, y)
    texts = [t.text for t in canvas.labels]
    assert str(made.step("residual")) == "residual = T₃ + Z₂" and "residual = ⋯ + Z₂" in texts and ", ⋯" in texts
    assert {"dW₂ = ⋯ᵀ + A₁ᵀ dZ₂", "dZ₂ = d_residual + ⋯", "n = B, the elements of Y₂;  ⋯: what explain() alone has a line for"} <= {
        *texts
    }
    assert canvas.overlapping() == [] and not [t for t in picture(*two_heads())[0].labels if "⋯" in t.text]


def siamese():
    a, b, shared = lm.Input(6), lm.Input(6), lm.Dense(8, "relu")
    net = lm.Model([a, b], lm.Dense(1)(lm.abs(shared(a) - shared(b))), seed=0).compile("mse", "sgd")
    return net, [data(), data()[::-1]], data()[:, :1]


def test_values_of_several_sources_have_their_equations(monkeypatch):
    """A value without a name is written out once; where two equations would touch, one stands higher."""
    canvas, _ = picture(*siamese())
    texts = [t.text for t in canvas.labels]
    assert {"U₂ = |A₁ − A′₁|", "dA₁ = dU₂ ⊙ sign(A₁ − A′₁)", "dW₁ = X₂ᵀ dZ′₁ + X₁ᵀ dZ₁"} <= {*texts}
    assert not [text for text in texts if "⋯" in text or "see explain()" in text] and canvas.overlapping() == []
    net = lm.Sequential(Residual(6), Residual(6), lm.Dense(2), seed=0).compile("mse", "sgd")
    canvas, _ = picture(net, data(), data()[:, :2])
    assert {"residual_1 = X + Z₁", "residual_2 = residual_1 + Z₂"} <= {t.text for t in canvas.labels}
    assert canvas.overlapping() == []
    monkeypatch.setattr("lamina.draw.tensors.LANES", 5)
    canvas, _ = picture(*siamese())
    assert any(t.text.startswith("dW₁: see explain();  ") for t in canvas.labels)
    canvas, _ = picture(*many_activations())  # without its lane, the gradient of a neighbour has an arrow beside that of the loss
    assert any(t.text.startswith("d_activation_2: see explain();  ") for t in canvas.labels)
    assert sum("l7 -4v8z" in part for part in canvas.parts) == 2


def test_a_sum_that_is_written_out_has_parentheses_in_a_product():
    x = lm.Input(6)
    a, b = lm.Dense(4)(x), lm.Dense(4)(x)
    apart = a - b
    net = lm.Model(x, lm.Dense(2)(apart * a + lm.tanh(apart) * b), seed=0).compile("mse", "sgd")
    texts = [t.text for t in picture(net, data(), data()[:, :2])[0].labels]
    assert {"U₃ = (Z₁ − Z₂) ⊙ Z₁ + ⋯ ⊙ Z₂", "dZ₁ = dU₃ ⊙ (Z₁ − Z₂) + ⋯"} <= {*texts}


def test_weights_that_meet_positions_have_arrows_and_their_letters_are_said():
    net, x, y = CASES["sequence"]()
    texts = [t.text for t in picture(net, x, y)[0].labels]
    assert {"dW₂ = rows(A₁)ᵀ rows(dZ₂)", "dW₁ = rows(reshape_1)ᵀ rows(dZ₁)"} <= set(texts)
    assert "n = 4 B, the elements of Y;  rows(T): the rows of all samples and positions of T, one under the other" in texts


def test_no_equation_names_what_only_explain_shows():
    x, rng = lm.Input(4, 6), np.random.default_rng(0)
    q, k = lm.Dense(5, bias=False)(x), lm.Dense(5, bias=False)(x)
    mixed = lm.softmax(q @ lm.transpose(k, (0, 2, 1))) @ k
    net = lm.Model(x, [lm.Dense(3)(lm.Flatten()(mixed)), lm.Dense(2)(lm.Flatten()(q))], seed=0)
    net.compile(["cross_entropy", "mse"], "adam")
    data, y = rng.normal(size=(3, 4, 6)), [np.arange(3), rng.normal(size=(3, 2))]
    assert any("T₁" in str(step) for step in net.trace(data, y))
    canvas, _ = picture(net, data, y)
    assert not [t.text for t in canvas.labels if re.search("T[₀-₉]", t.text)]
    assert any(t.text.startswith("L = ") for t in canvas.labels)


@pytest.mark.parametrize(
    ("name", "options"),
    [("NAdam", {}), ("RAdam", {}), ("AdamW", {"amsgrad": True}), ("RMSProp", {"centered": True, "momentum": 0.9})],
)
def test_every_line_of_a_long_rule_has_its_place(name, options):
    net, x, y = narrow()
    net.compile("cross_entropy", getattr(lm.optim, name)(weight_decay=0.1, **options))
    for _ in range(8):
        net.train_step(x, y)
    canvas, made = picture(net, x, y)
    shown = "; ".join(t.text for t in canvas.labels)
    for target, formula in made.rule.lines:
        assert f"{target} ← {formula.replace('·', ' ')}" in shown
    assert canvas.overlapping() == []


def test_an_update_of_ones_own_has_the_lines_that_it_reads():
    class Signs(lm.optim.Optimizer):
        slots = ("m",)

        def update(self, w, g, state, lr, t):
            m = 0.9 * state["m"] + 0.1 * g
            return w - lr * lm.sign(m) / (1 - 0.5**t), {"m": m}

    net = lm.Sequential(lm.Dense(3), seed=0).build(4).compile("mse", Signs(0.1))
    canvas, made = picture(net, np.ones((2, 4)), np.ones((2, 3)))
    clock, mean, step = (str(made.step(name)) for name in ("T1", "T2", "T3"))
    assert (clock, step) == ("T₁ = clock[1]", "T₃ = float32(lr) sign(T₂) / (1 − .5^(float32(T₁ + 1)))")
    assert made.step("T3").operands == ["lr", "T2", "T1"] and ".5^{\\operatorname{float32}(T_{1}+1)}" in latex(
        made.step("T3").equation
    )
    shown = [line for label in canvas.labels for line in label.text.split(";   ")]  # short ones stand side by side
    assert {clock, mean, step, "W₁ ← W₁ − T₃"} <= {*shown} and canvas.overlapping() == []


def test_the_labels_of_the_losses_are_in_the_order_of_their_lines():
    net, x, y = narrow()
    for last in ({"loss": 0.5, "val_loss": 0.4}, {"loss": 0.4, "val_loss": 0.5}, {"loss": 0.5, "val_loss": np.nan}):
        net.history = History()
        for figures in ({"loss": 1.0, "val_loss": 0.9}, last):
            net.history.append(figures)
        canvas, _ = picture(net, x, y)
        at = {t.text.split()[0]: t.box.y for t in canvas.labels if t.text.startswith(("training ", "validation "))}
        assert (at["training"] < at["validation"]) == (last["loss"] > last["val_loss"])
        assert "nan" not in canvas.svg("", "") and canvas.overlapping() == []


@pytest.mark.parametrize(("micro", "text"), [(17.12, "17.1 µs"), (999.4, "999 µs"), (129_000.0, "129 ms"), (2.5e6, "2.5 s")])
def test_a_time_in_the_unit_that_fits(micro, text):
    assert _time(micro) == text
