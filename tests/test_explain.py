"""net.explain: what it says, in Unicode, ASCII and LaTeX, and that its check is really computed."""

from __future__ import annotations

import io
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lamina as lm
from lamina.activations import FUNCTIONS
from lamina.draw import picture
from lamina.explain import check
from lamina.explain.text import _why_not
from lamina.trace import trace
from lamina.trace.notation import GREEK, SIGNS, escape_text, latex, number, to_ascii
from nets import CASES, data
from test_trace import X, Y, small


def test_shapes_without_data():
    text = small("float32").build(4).explain()
    assert "any batch B" in text and re.search(r"1 Z₁ = X W₁ \+ 1 b₁ᵀ\s+\(B×4\)\(4×8\) → B×8\s+64\+8", text)
    assert re.search(r"dW₂ = A₁ᵀ dZ₂\s+\(8×B\)\(B×3\) → 8×3 = W₂\s+48", text)
    assert "dX = dZ₁ W₁ᵀ is skipped" in text and "W₁ ← Adam(W₁, dW₁)" in text and "row 1:" not in text


def test_values_are_the_nets():
    net = small()
    text, made = net.explain(X, Y, level="values"), net.trace(X, Y)
    assert f"{int((made['A1'] > 0).sum())} of 16 active" in text
    assert f"L = {float(made['L']):.4g}".replace("0.", ".") in text and "y = (0, 2)" in text
    j = int(np.argmax(np.abs(made["Z1"][0])))
    assert f"Z₁[1,{j + 1}] = .8·" in text
    assert re.search(r"check: dW₁\[\d,\d\] = (\S+)   finite difference (\S+) ok", text)


def test_classes_are_the_users_numbers():
    """They were counted from 1, as indices of the math are: [0, 1, 2] was y = (1, 2, 3), ignore_index=2 was y ≠ 3."""
    net = lm.Sequential(lm.Dense(3), seed=0).compile(lm.losses.CrossEntropy(ignore_index=2), "sgd")
    text = net.explain(np.ones((3, 4)), [0, 1, 2], level="values")
    assert "y = (0, 1, 2)  L = " in text and "k = [y ≠ 2];  y counts from 0: class 0 is column 1 of P" in text


def test_signs_and_names_are_said():
    """1, ~ and the parameters of activations stood there without a word; inputs without a name were X1 = X1."""
    layers = lm.Dense(3, "softplus"), lm.Dense(3, "leaky_relu"), lm.LayerNorm(), lm.Activation("elu"), lm.Dense(1)
    net = lm.Sequential(*layers, seed=0).compile(lambda p, t: lm.mean(lm.abs(p - t) ** 1.5), "sgd")
    text = net.explain(data(), data()[:, :1], level="values")
    assert "1 a column of ones" in text and "~: functions of losses count as one each" in text
    assert "A₁ = softplus(Z₁) " in text and "leaky_relu(Z₂, slope = .01) " in text and "μ₁ = (A₂ 1) / 3 " in text
    assert re.search(r" L = mean\(.*  L = [\d.]+\n", text) and "$1$ beside" in net.explain(format="latex")
    a, b = lm.Input(2), lm.Input(2)
    assert "inputs:  X₁ = input_1  X₂ = input_2" in lm.Model([a, b], lm.Dense(1)(lm.Add()(a, b)), seed=0).explain().splitlines()


def test_reasons_of_the_transposes():
    text = small().explain(X, Y, level="derive")
    assert "dW₁ must be 4×8 like W₁; only Xᵀ (4×2) · dZ₁ (2×8) fits, and it sums over the 2 samples" in text
    assert "dA₁ must be 2×8 like A₁; only dZ₂ (2×3) · W₂ᵀ (3×8) fits" in text
    assert "b₁ is added to every row" in text


def test_the_shapes_of_a_product_are_those_of_its_factors():
    """Of a gradient in the loss: factors without a name (a row of ones), results that are no gradient of a named value."""
    net, x, y = CASES["gradient in the loss"]()
    for text, b in ((net.explain(ascii=True), "B"), (net.explain(x, y, ascii=True), "5")):
        for left, inner, again, right, result in re.findall(r"\((\w+)x(\w+)\)\((\w+)x(\w+)\) -> (\S+)", text):
            assert inner == again and result == f"{left}x{right}", text
        assert re.search(rf"T\d+ = 1\^T \(.*\)\s+\(1x{b}\)\({b}x5\) -> 1x5 ", text)
        assert not re.search(r"-> \S+ = T", text)


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "radam", "lion"])
def test_a_name_is_of_one_thing(optimizer):
    """β₁ was a decay and the shift of a norm; b1, in ASCII, a bias besides; P NAdam's product and probabilities."""
    assert all(SIGNS[sign][0] == name for sign, name in GREEK.items())
    for layers in ([], [lm.BatchNorm()]):
        net = lm.Sequential(lm.Dense(3), *layers, lm.Dense(3), seed=0).compile("cross_entropy", optimizer)
        made, text, plain = net.trace(X, Y), net.explain(X, Y, level="values"), net.explain(X, Y, level="values", ascii=True)
        assert made.rule is not None
        letters = {*made.rule.numbers, *made.rule.slots, *made.rule.now, *(target for target, _ in made.rule.lines)}
        assert {to_ascii(letter) for letter in letters}.isdisjoint({*made.names} - {"lr"})
        one, two = ("β₁′", "β₂′") if layers else ("β₁", "β₂")
        assert f"{one} = .9  {two} = " in text and f"{to_ascii(one)} = .9  {to_ascii(two)} = " in plain
        assert f"m + (1 − {one}) g" in text and f"m + (1 - {to_ascii(one)}) g" in plain
        assert re.search(r"  [mw] = .*\.9·0 \+ \(1 − \.9\)", text)  # one weight's numbers are still put in
        document = net.explain(X, Y, format="latex")
        assert (r"\beta _{1}'" in document) == bool(layers)
        compiles(document)


def test_a_slot_is_no_weight_of_samples():
    made = small("float64", "adagrad").trace(X, Y, np.ones(2))
    assert made.rule is not None and "s" in made.names
    assert made.rule.written == ["s′ ← s′ + g²", "w ← w − lr g / (√(s′) + ε)"] and [*made.update[0].slots] == ["s′"]


@pytest.mark.parametrize("layer", [lm.BatchNorm, lm.LayerNorm])
def test_a_factor_of_every_row_is_not_said_to_be_added(layer):
    text = lm.Sequential(layer(), lm.Dense(3), seed=0).compile("cross_entropy", "sgd").explain(X, Y, level="derive")
    assert "γ₁ multiplies every row, element by element, so dγ₁ is the sum of the rows of dN₁ ⊙ H₁" in text
    assert "β₁ is added to every row, so dβ₁ is the sum of the rows of dN₁" in text


def test_what_a_norm_is_says_its_class_and_not_its_name():
    for layer, over in ((lm.BatchNorm(), "batch"), (lm.LayerNorm(), "features of each sample")):
        net = lm.Sequential(lm.Dense(3), layer.named("my_layer"), lm.Dense(3), seed=0).compile("cross_entropy", "sgd")
        assert f"means over the {over}: " in net.explain(X, Y, level="derive")


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({}, ["h ← max(.97 h, diagonal of Jᵀ J)", "D ← m (h / m) to the power of .4, m the", "d ← solves (Jᵀ J + μ D) d = −Jᵀ e,"]),
        ({"scaling": "diagonal"}, ["h ← max(.97 h, diagonal of Jᵀ J)", "D ← h", "d ← solves (Jᵀ J + μ D) d = −Jᵀ e,"]),
        ({"scaling": "identity"}, ["d ← solves (Jᵀ J + μ I) d = −Jᵀ e,"]),
        ({"bayesian": True}, ["h ← max(.97 h, diagonal of β Jᵀ J)", "d ← solves (β Jᵀ J + α I + μ D) d = −β Jᵀ e − α w,"]),
    ],
)
def test_levenberg_marquardt_says_what_it_solves_and_its_damping(options, lines):
    net = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(1), seed=0).compile("mse", lm.optim.LevenbergMarquardt(**options))
    net.fit(X, X[:, :1], epochs=5, verbose=0)
    text, mu = net.explain(X, X[:, :1]), float(net.optimizer.state["mu"].value)
    assert mu != net.optimizer.mu and f"μ = {number(mu)}" in text
    for line in lines:
        assert f"    {line}" in text
    document = net.explain(X, X[:, :1], format="latex")
    assert r"d\leftarrow \operatorname{solves}" in document and rf"\noindent with $\mu ={latex((number(mu),))}" in document
    compiles(document)


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("loss mse", "n = 3 B, the elements of Y"),
        ("loss gaussian_nll", "n = B, the elements of Y"),
        ("sequence", "n = 4 B, the elements of Y"),
        ("loss cross_entropy", None),
    ],
)
def test_the_count_of_a_mean_is_said(case, line):
    net, x, y = CASES[case]()
    found = re.findall(r"^ +(n = .*)$", net.explain(x, y), re.M)
    assert found == ([] if line is None else [line])


def test_several_outputs_say_each_loss_and_where_gradients_add_up():
    net, x, y = CASES["heads"]()
    text = net.explain(x, y, level="derive")
    assert "y₂ = (0, 1, 2, 0, 1)  L₂ = " in text and re.search(r"L = L₁ \+ .5 L₂ \+ 2 L₃ .* L = ", text)
    assert "softmax and logarithm together have the slope P₂ − Y₂, Y₂ with a 1 where the class is" in text
    assert "A₁ is read in several places: what comes back from each of them adds up" in text


def test_a_factor_stands_before_what_it_multiplies():
    net, x, y = CASES["branches"]()
    assert "L = L₁ + .5 L₂" in net.explain(x, y)


def test_the_table_of_a_notebook_says_the_updates_rule():
    page = small().build(4)._repr_html_()
    assert "update by Adam" in page and "m ← β₁ m + (1 − β₁) g<br>" in page and "lr = " in page
    assert (
        "<th" in page
        and ">values<" not in small("float32").build(4)._repr_html_()
        and ">values<" in small().trace(X, Y)._repr_html_()
    )
    assert " = 1<sup>T</sup> d" in page and "ᵀ" not in page
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "levenbergmarquardt").build(4)
    assert "update by LevenbergMarquardt" in net._repr_html_() and "solves (Jᵀ J + μ D) d" in net._repr_html_()


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("linear", "exponential", "softmax", "log_softmax")])
def test_an_activation_says_its_formula(name):
    net, x, y = CASES[f"activation {name}"]()
    lines = net.explain(x, y, level="derive").splitlines()
    said = lines[next(i for i, line in enumerate(lines) if "A₁ = " in line) + 1].strip()
    assert re.fullmatch(r"[A-Z].*: y = .*[^.]", said), said
    assert "Source" not in said
    why = [line for line in lines if "the activation acts on each element of Z₁ alone" in line]
    assert len(why) == 1 and re.search(r"with no matrix product; y' = \S.*[^.]$", why[0])


def test_rows_of_samples_that_have_several():
    net, x, y = CASES["sequence"]()
    text = net.explain(x, y, level="derive")
    assert "each row i of reshape_1 meets column j of W₁: Z₁[…,i,j] = Σ over k of reshape_1[…,i,k] W₁[k,j] + b₁[j]" in text
    assert "only rows(A₁)ᵀ (4×10) · rows(dZ₂) (10×2) fits, and it sums over the 10 rows of all samples" in text
    assert "db₂ is the sum of the rows of dZ₂" in text and "indices and axes count from 1" in text and "axis -" not in text


def test_latex_says_of_which_line_a_letter_is_and_keeps_signs_in_text():
    net, x, y = CASES["heads"]()
    document = net.explain(x, y, level="derive", format="latex")
    assert all(f"\\noindent ({line}) $n=" in document for line in (11, 17))
    net, x, y = CASES["activation hard_swish"]()
    document = net.explain(x, y, level="derive", format="latex")
    assert "0 where x $<$= -3, 1 where x $>$= 3" in document
    assert escape_text("|x|") == "$|$x$|$"


def test_roots_and_powers_of_ten_in_latex():
    assert latex(("1.5e−05 √(s) + 2e+12",)) == r"1.5\cdot 10^{-5}\,\sqrt{s}+2\cdot 10^{12}"
    assert latex(("√(v / (1 − β₂ᵗ)) + √(s)",)) == r"\sqrt{v/(1-\beta _{2}^{t})}+\sqrt{s}"


def test_one_weight_through_adam_by_hand():
    text, made = small().explain(X, Y, level="values"), small().trace(X, Y)
    g = float(made["dW1"].ravel()[np.argmax(np.abs(made["dW1"]))])
    shown = re.search(r"g = (\S+)  t = 1", text)
    assert shown and float(shown.group(1).replace("−", "-")) == pytest.approx(g, rel=1e-3)
    m = re.search(r"  m = .* = (\S+)$", text, re.M)
    assert m and float(m.group(1).replace("−", "-")) == pytest.approx(0.1 * g, rel=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_net_at_every_level(name):
    net, x, y = CASES[name]()
    for level in ("shapes", "values", "derive"):
        text = net.explain(x, y, level=level)
        assert "FORWARD" in text and "UPDATE" in text
        plain = net.explain(x, y, level=level, ascii=True)
        assert plain.isascii() and plain.replace("nearby?", "").count("?") == 0  # what has no sign in ASCII would be one
    assert "\n" in net.explain()
    compiles(net.explain(x, y, level="derive", format="latex"))
    if name not in ("loss gaussian_nll",):
        assert re.search("check: .* ok", text), text


def test_a_name_with_spaces_is_one_name():
    net = lm.Sequential(lm.Lambda(lambda t: 2 * t).named("twice of it"), lm.Dense(2), seed=0).compile("mse", "sgd")
    assert "only twice of itᵀ (4×2) · dZ₁ (2×2) fits" in net.explain(X, np.ones((2, 2)), level="derive", ascii=False)


def test_frozen_weights_are_named():
    net, x, y = CASES["scheduled"]()
    assert "frozen" not in net.explain(x, y)
    net.layers[0].trainable = False
    net = lm.Sequential(*net.layers, lm.Dense(2), seed=0).compile("mse", "sgd")
    assert "    (frozen, without gradient and update: dense_1.weight, dense_1.bias)" in net.explain(x, x[:, :2]).splitlines()


def test_the_check_finds_a_wrong_gradient():
    net = small("float32")
    made = trace(net, X, Y, repeats=0)
    made.step("dW1").values = made["dW1"] * 1.01
    found = check(made)
    assert found is not None and not found.ok


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("inputs", "targets"), [(1e4, 1.0), (1.0, 1e7), (1e-4, 1e-3)])
def test_the_check_is_right_whatever_the_scale_of_the_data(inputs, targets, dtype):
    net = lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(1), seed=0, dtype=dtype).build((3,)).compile("mse", "sgd")
    net.parameters["dense_1.weight"] = net.parameters["dense_1.weight"] / inputs
    rng = np.random.default_rng(0)
    made = trace(net, inputs * rng.normal(size=(6, 3)), targets * rng.normal(size=(6, 1)), repeats=0)
    found = check(made)
    assert found is not None and found.ok and abs(found.gradient) > 1e-9


def checked_line(net, x, y):
    (line,) = (line for line in net.explain(x, y, level="values").splitlines() if "check:" in line)
    return line


def test_a_kink_is_named_only_where_there_is_one():
    x = np.array([[1.0], [2.0]])
    net = lm.Sequential(lm.Dense(1, bias=False), lm.Activation("relu"), seed=0, dtype="float64").build((1,)).compile("mse", "sgd")
    net.parameters["dense_1.weight"] = np.zeros((1, 1))
    made = trace(net, x, x, repeats=0)
    found = check(made)
    assert found is not None and found.kink and not found.ok and "(a kink nearby?)" in checked_line(net, x, x)
    net.parameters["dense_1.weight"] = np.full((1, 1), np.nan)
    assert checked_line(net, x, x).endswith("not finite")


def test_a_check_names_why_a_gradient_is_not_the_losses():
    """A variance below its floor, which the gradient passes on purpose, was float32's rounding: of 2e+11."""
    x, y = np.ones((3, 2)), np.ones((3, 1))
    net = lm.Sequential(lm.Dense(2), seed=0).build(2).compile("gaussian_nll", "sgd")
    net.parameters["dense_1.bias"] = np.array([0.0, -5.0], "float32")
    floor = "(a variance is below its floor 1e−06: the gradient passes that, the loss does not see it)"
    assert "finite difference 0 differs by" in checked_line(net, x, y) and checked_line(net, x, y).endswith(floor)
    net.parameters["dense_1.bias"] = np.array([0.0, 5.0], "float32")
    assert checked_line(net, x, y).endswith(" ok")
    layers = lm.Dense(2), lm.BatchNorm(), lm.Lambda(lambda z: z * lm.stop_gradient(z))
    net = lm.Sequential(*layers, seed=0, dtype="float64").compile("mse", "sgd")
    assert checked_line(net, data()[:, :2], data()[:, :2]).endswith("(a stop_gradient?)")
    made = lm.Sequential(*layers[:2], seed=0).compile("mse", "sgd").trace(data()[:, :2], data()[:, :2])
    assert not made.origin.graph.stops()


def test_rounding_is_blamed_for_small_differences_alone():
    made = trace(small("float32"), X, Y, repeats=0)
    for factor, said in ((1.01, "(float32's rounding?)"), (2.0, "")):
        wrong = check(made)
        assert wrong is not None
        wrong = wrong._replace(ok=False, gradient=factor * wrong.difference)
        assert _why_not(made, wrong).strip() == said


@pytest.mark.parametrize(
    ("optimizer", "lines"),
    [
        (lm.optim.SGD(0.1, momentum=0.9), ["b ← μ b + g", "w ← w − lr b"]),
        (
            lm.optim.SGD(0.1, momentum=0.9, dampening=0.2),
            ["b ← μ b + g, t = 1", "b ← μ b + (1 − τ) g, t > 1", "w ← w − lr b"],
        ),
        (lm.optim.SGD(0.1, clip_value=0.5), ["g = clip(dw, −.5, .5)", "w ← w − lr g"]),
        (lm.optim.SGD(0.1, clip_norm=2), ["g = c dw,  c = min(1, 2 / (‖all dw‖ + 1e−06))", "w ← w − lr g"]),
    ],
)
def test_a_rule_is_the_same_at_its_first_step_and_says_what_is_clipped(optimizer, lines):
    """At t = 1 momentum was b ← g, and μ nowhere; g was the clipped gradient, and nothing said so."""
    net = lm.Sequential(lm.Dense(3), seed=0).build(4).compile("mse", optimizer)
    net.parameters["dense_1.bias"] = np.full(3, 9.0, "float32")
    said = [line.strip() for line in net.explain().splitlines()]
    assert [line for line in said if line in lines] == lines and ("μ = .9" in net.explain()) == (optimizer.momentum == 0.9)
    shown = [label.text for label in picture(net, np.ones((2, 4)), np.ones((2, 3)))[0].labels]
    assert [text for text in shown if text in lines] == lines
    values = net.explain(np.ones((2, 4)), np.ones((2, 3)), level="values")
    if "dw" in lines[0]:
        dw, g = (float(n) for n in re.search(r"  dw = (\S+)  g = (\S+)  t = 1", values).groups())
        assert abs(g) < abs(dw)
        assert r"\operatorname{dw}" in net.explain(format="latex")


def test_radam_shows_both_of_its_steps_and_takes_one():
    net = lm.Sequential(lm.Dense(3), seed=0).compile("mse", lm.optim.RAdam())
    x, y = data(), data()[:, :3]
    for steps, taken in ((0, "lr"), (6, "r")):
        for _ in range(steps):
            net.train_step(x, y)
        lines = net.explain(x, y, level="values").splitlines()
        assert "    w ← w − lr m / (1 − β₁ᵗ), ρ ≤ 5" in lines
        assert "    w ← w − lr r m / (1 − β₁ᵗ) √(1 − β₂ᵗ) / (√(v) + ε), ρ > 5" in lines
        assert any(line.startswith("      r = ") for line in lines) is (taken == "r")


def test_where_all_is_frozen_it_is_said():
    net = small()
    for layer in net.layers:
        layer.trainable = False
    lines = net.explain(X, Y, level="derive").splitlines()
    at = lines.index("BACKWARD")
    assert lines[at + 1 : at + 3] == [
        "    (nothing is trained, and no gradient wanted)",
        "    (frozen, without gradient and update: dense_1.weight, dense_1.bias, dense_2.weight, dense_2.bias)",
    ]


def test_several_inputs_are_told_apart():
    one, other = lm.Input(2, name="cat"), lm.Input(3, name="num")
    net = lm.Model([one, other], lm.Dense(1)(lm.concatenate([one, other], axis=-1)))
    assert "inputs:  X₁ = cat  X₂ = num" in net.explain().splitlines()
    assert r"X$_{1}$ = cat \quad X$_{2}$ = num" in net.explain(format="latex") and "X₁ = cat &#160;X₂ = num" in net._repr_html_()
    assert not any("inputs:" in said for said in (small().explain(X, Y), small().explain(X, Y, format="latex")))


def test_powers_in_reasons_are_raised_in_latex(tmp_path):
    net = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(2, "celu"), seed=0).compile("mse", "sgd")
    document = net.explain(X, X[:, :2], level="derive", format="latex")
    assert r"y' = 1 - y$^{\text{2}}$" in document and r"e$^{\text{x / alpha}}$" in document and "circum" not in document
    by_pdflatex(document, tmp_path)


def test_a_reason_is_said_once():
    net = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(3, "tanh"), lm.Dense(2), seed=0).compile("mse", "sgd")
    for kind, first in (("text", "  2 A₁ = tanh(Z₁)"), ("latex", r"\noindent (2) Hyperbolic tangent")):
        text = net.explain(X, X[:, :2], level="derive", format=kind)
        assert text.count("Hyperbolic tangent") == 1 and first in text
    numbers = re.findall(r"noindent \((\d+)\)", text.partition("{Loss}")[0])
    assert numbers == ["1", "2", "3", "5"]


def test_sums_of_rows_are_in_parentheses_behind_a_product_of_elements():
    """softmax(Z) ⊙ dA 1 could be read as the sum of the product."""
    net = lm.Sequential(lm.Dense(3, "log_softmax"), lm.Dense(2), seed=0).compile("mse", "sgd")
    assert "dZ₁ = dA₁ − softmax(Z₁) ⊙ (dA₁ 1)" in net.explain(X, X[:, :2])
    x = lm.Input(4)
    net = lm.Model(x, lm.softmax(x * lm.Parameter((1,), init="ones", name="p")) @ np.eye(4, dtype="float32")).compile("mse", "sgd")
    assert "sum(T₁ ⊙ (T₂ − (T₂ ⊙ T₁) 1) ⊙ X)" in net.explain(X, X)


def test_a_square_is_read_once_and_a_penalty_adds_up():
    dense = lm.Dense(3, "tanh")
    net = lm.Sequential(dense, lm.Dense(2), seed=0).build((4,))
    net.compile(lambda p, t: lm.mean((p - t) ** 2) + 1e-3 * lm.sum(dense.parameters["weight"] ** 2), "sgd")
    text = net.explain(np.ones((2, 4)), np.ones((2, 2)), level="derive")
    assert "Z₂ is read in several places" not in text and "W₁ is read in several places" in text
    assert "dW₁ = .002 W₁ + Xᵀ dZ₁" in text
    for factor, written in ((0.5, "W₁"), (1e-7, "2e−07 W₁"), (1.0, "2 W₁"), (-0.25, "2 (−.25) W₁")):
        net.compile(lambda p, t, c=factor: lm.mean((p - t) ** 2) + c * lm.sum(dense.parameters["weight"] ** 2), "sgd")
        text = net.explain(np.ones((2, 4)), np.ones((2, 2)))
        assert f"dW₁ = {written} + Xᵀ dZ₁" in text, text


def test_ascii_where_the_terminal_cannot_encode(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    text = small().explain(X, Y)
    assert text.isascii() and "dW1 = X^T dZ1" in text


def test_columns_stand_under_each_other():
    for ascii in (False, True):
        lines = small().explain(X, Y, ascii=ascii).splitlines()
        starts = {line.index("(", 20) for line in lines if re.match(r"\s+\d+ [ZdWA]+\S* =.*(→|->)", line)}
        assert len(starts) == 1, starts


@pytest.mark.parametrize("case", ["loss cross_entropy", "heads", "sequence"])
def test_latex_compiles_by_pdflatex_where_there_is_one(case, tmp_path):
    net, x, y = CASES[case]()
    document = net.explain(x, y, level="derive", format="latex")
    compiles(document)
    by_pdflatex(document, tmp_path)


def test_latex_of_names_of_the_users(tmp_path):
    x = lm.Input(4)
    h = lm.Lambda(lambda t: t**2).named("größe_100%_<b>&\\x{y}~^#$")(lm.Dense(3)(x))
    h = lm.Lambda(lambda t: 2 * t).named("ö")(lm.Lambda(lambda t: t + 1).named("with spaces")(h))
    net = lm.Model(x, {"π 漢": 2 * lm.Dense(2)(h)}, seed=0).compile("mse", "sgd")
    document = net.explain(np.ones((2, 4)), np.ones((2, 2)), level="derive", format="latex")
    assert r"\textit{with spaces}" in document and r"\textit{ö}" in document and r"\textit{$\pi$ ?}" in document
    by_pdflatex(document, tmp_path)


def by_pdflatex(document: str, folder: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex was not found: only the text was looked at")
    (folder / "net.tex").write_text(document, encoding="utf-8")
    run = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "net.tex"], cwd=folder, capture_output=True)
    assert run.returncode == 0, run.stdout[-2000:]


def compiles(document: str) -> None:
    """What a compiler would trip over: braces, environments, dollars, bare special signs, commands that amsmath does not have."""
    assert document.isascii(), [c for c in document if not c.isascii()]
    depth = 0
    for previous, c in zip(" " + document, document, strict=False):
        depth += (c == "{" and previous != "\\") - (c == "}" and previous != "\\")
        assert depth >= 0
    assert depth == 0
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(.*?)\}", document):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    for display in re.findall(r"\\begin\{align\*\}(.*?)\\end\{align\*\}", document, re.S):
        for line in display.split("\\\\\n"):
            assert len(re.findall(r"(?<!\\)&", line)) == 3, line  # name &= .. && beside
            assert len(re.findall(r"(?<!\\)\$", line)) % 2 == 0, line
            bare = re.sub(r"\\text\{(?:[^{}]|\{[^{}]*\})*\}", "", line)
            assert "$" not in bare.replace(r"\$", "") and "#" not in bare.replace(r"\#", ""), line
    known = {
        "documentclass", "usepackage", "allowdisplaybreaks", "begin", "end", "section", "subsection", "noindent", "par",
        "text", "quad",
        "mathrm", "textit", "mathsf", "operatorname", "odot", "cdot", "times", "leftarrow", "rightarrow", "textstyle", "sum",
        "sigma",
        "partial", "Delta", "beta", "varepsilon", "rho", "alpha", "eta", "mu", "ge", "le", "ne", "Vert", "ldots", "prime", "tau",
        "tag", "sqrt", "gamma", "psi", "Pi", "backslash", "textbackslash", "textasciitilde", "textasciicircum", "sim",
    }  # fmt: skip
    assert set(re.findall(r"\\([A-Za-z]+)", document)) <= known, set(re.findall(r"\\([A-Za-z]+)", document)) - known


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"level": "value"}, "values"),
        ({"format": "pdf"}, "latex"),
        ({"level": "values"}, "expected data"),
        ({"y": Y}, "expected x"),
    ],
)
def test_bad_input(arguments, words):
    with pytest.raises(ValueError, match=words):
        small().build(4).explain(**arguments)


def test_an_unbuilt_net_says_what_to_do():
    with pytest.raises(ValueError, match=r"\[Sequential\] expected a built network, got one that has seen no data"):
        lm.Sequential(lm.Dense(1)).explain()


def norm_net(optimizer, *layers):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 5))
    net = lm.Sequential(*(layers or (lm.Dense(4), lm.BatchNorm(), lm.Dense(2))), seed=0).compile("mse", optimizer)
    return net.build(5), x, x[:, :2]


@pytest.mark.parametrize("optimizer", ["adam", "muon", "lbfgs", lm.optim.LevenbergMarquardt()])
def test_each_line_stands_on_lines_before_it_whatever_the_optimizer(optimizer):
    """The statistics of a norm have lines; optimizers of all data see the network with those that it has, as `evaluate` does."""
    net, x, y = norm_net(optimizer)
    made = net.trace(x, y)
    known = {*made.sources, *(t for t in ("X", "Y"))}
    for step in made.steps:
        assert set(step.operands) <= known, f"{step} reads what no line has made"
        known.add(step.name)
    moved = {step.name for step in made.update if step.kind == "statistic"}
    assert moved == (set() if net.optimizer.all_data else {"running_mean1", "running_var1"})
    assert made.about["training"] != net.optimizer.all_data


@pytest.mark.parametrize("nesterov", [True, False])
def test_the_rule_of_muon_is_plugged_to_its_end_for_a_matrix_and_for_a_vector(nesterov):
    for layers in ((lm.Dense(2),), (lm.LayerNorm(), lm.Dense(2))):
        net, x, y = norm_net(lm.optim.Muon(0.01, nesterov=nesterov), *layers)
        net.train_step(x, y)
        made = net.trace(x, y)
        text = net.explain(x, y, level="values")
        (line,) = [line for line in text.splitlines() if line.startswith("      w = ")]
        step = made.update[0]
        at = np.unravel_index(np.argmax(np.abs(step.gradient)), step.before.shape)
        left, right = line.rsplit(" = ", 1)
        assert right == number(step.values[at])
        formula = left.removeprefix("      w = ").replace("−", "-").replace("·", "*").replace("√", "math.sqrt")
        assert eval(formula, {"math": math, "max": max}) == pytest.approx(float(step.values[at]), abs=2e-3)
        assert ("O(u), w a matrix" in text) and ("lr u, w another tensor" in text)


def test_letters_of_a_rule_of_matrices_that_tensors_have_too_get_a_prime():
    x = lm.Input(3)
    scale, shift = lm.Parameter(np.ones((3, 2), "float32"), name="b"), lm.Parameter(np.ones((2,), "float32"), name="mu")
    net = lm.Model(x, x @ scale + shift, seed=0).compile("mse", lm.optim.Muon(0.01))
    data = np.random.default_rng(0).normal(size=(4, 3))
    text = net.explain(data, data[:, :2], level="values")
    assert "b′ ← μ′ b′ + (1 − μ′) g" in text and re.search(
        r"for b\[\d,\d\]:.*\n      b′ = .*\n      u = .* = \S+\n      w = .* = \S+\n", text
    )


def test_two_draws_are_told_apart_and_figures_keep_their_columns():
    def noisy(pred, target):
        u, v = lm.random_uniform(target), lm.random_uniform(target)
        noise = lm.sqrt(-2 * lm.log(1 - u)) * lm.cos(2 * np.pi * v)
        return lm.mean(lm.square(pred - target + 0.1 * noise))

    net = lm.Sequential(lm.Dense(2), seed=0).build(3).compile(noisy, "sgd")
    lines = net.explain(np.ones((4, 3)), np.ones((4, 2))).splitlines()
    long = next(i for i, line in enumerate(lines) if "cos(6.28319 random(2))" in line)
    assert "ln(1 − random(1))" in lines[long] and lines[long].endswith("random(2))")
    head = next(line for line in lines if line.startswith("FORWARD"))
    figures = [line for line in lines if re.search(r"  [\d+]+$", line)]
    assert lines[long + 1] in figures and {len(line) for line in figures} == {len(head)}


def test_columns_are_as_wide_as_what_stands_in_them():
    net, x, y = CASES["loss focal"]()
    lines = net.explain(x, y).splitlines()
    at = next(line for line in lines if line.startswith("FORWARD")).index("shapes")
    figures = [line[:at] for line in lines if re.search(r"  [~\d+]+$", line)]
    assert any(not line.strip() for line in figures)  # of a longer line, which stands above them
    assert max(len(line.rstrip()) for line in figures) == at - 2


def test_work_of_lapack_is_said_to_be_no_part_of_the_flop():
    x = lm.Input(3, 3)
    for make, said in ((lm.linalg.inv, "63 FLOP in all, beside those of inverses and decompositions"), (lm.exp, "72 FLOP in all")):
        net = lm.Model(x, lm.Dense(3)(make(x)), seed=0)
        assert net.explain(np.eye(3)[None], ascii=True).splitlines()[-1] == said


@pytest.mark.parametrize("loss", [lambda p, t: lm.mean(lm.relu(p)), lambda p, t: lm.mean(lm.relu(p) * (t + lm.exp(t)))])
def test_what_a_relu_blocks_is_counted_whatever_comes_back(loss):
    """A number that came back was an error."""
    net = lm.Sequential(lm.Dense(3), seed=0).compile(loss, "sgd")
    x, y = data(), data()[:, :3]
    blocked = int((net.trace(x, y)["Z1"] <= 0).sum())
    line = next(line for line in net.explain(x, y, level="values", ascii=False).splitlines() if " dZ₁ = " in line)
    assert line.endswith(f"{blocked} of 15 blocked by ReLU")


def test_the_element_of_z_that_is_written_out_is_its_value():
    net = lm.Sequential(lm.Dense(3, bias_init=lm.initializers.constant(0.5)), seed=0)
    line = next(line for line in net.explain(data()[:, :4], level="values", ascii=True).splitlines() if "Z1[1," in line)
    _, terms, said = line.split(" = ")
    value = sum(float(np.prod([float(n.strip("()")) for n in term.split("*")])) for term in terms.split(" + "))
    assert terms.endswith(" + .5") and value == pytest.approx(float(said), abs=0.02)


def test_a_table_says_what_its_letters_mean():
    net, x, y = CASES["loss cross_entropy"]()
    assert "counts from 0: class 0 is column 1 of <i>P</i>" in net.trace(x, y)._repr_html_()


def test_free_lengths_beside_the_batch_are_one_in_what_a_sample_costs():
    a = lm.placeholder((None, "T", 4))
    assert "any batch B (FLOP for one sample, T = 1)" in lm.Model(a, lm.Dense(2)(a), seed=0).explain()


def test_the_types_of_all_parameters_stand_beside_their_bytes():
    """A float64 one in a float32 network was counted as 8 bytes of f32."""
    share = lm.Parameter(0.5, trainable=False)
    net = lm.Sequential(lm.Dense(2), seed=0).build(4)
    assert "10 parameters (40 B f32)" in net.explain()
    net.compile(lambda p, t: lm.mean((p - t) ** 2) + share * lm.mean(p * p), "sgd")
    assert "11 parameters (48 B f32, f64)" in net.explain()
