"""What a line says is true: a small reader of the equations, apart from what wrote them, computes every right side in NumPy."""

from __future__ import annotations

import inspect
import math
import re

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina import losses
from lamina.trace import cost, forms, rules
from lamina.trace.notation import Sym, text
from lamina.trace.record import gradient_name
from nets import CASES, FEATURES, B, Case, data, heads, target, with_loss
from test_trace import X, Y, small

FUNCTIONS = {
    "tanh": np.tanh, "σ": lambda x: 1 / (1 + np.exp(-x)), "exp": np.exp, "sign": np.sign, "√": np.sqrt, "clip": np.clip,
    "max": np.maximum, "maximum": np.maximum, "min": np.minimum, "minimum": np.minimum, "ln": np.log,
    "broadcast": np.expand_dims, "rows": lambda x: x.reshape(-1, x.shape[-1]),
    "cosh": np.cosh, "mean": np.mean, "sum": np.sum, "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
}  # fmt: skip
TOKEN = re.compile(r"\s*(1ᵀ|\d*\.?\d+(?:e[+−-]?\d+)?|[A-Za-zσμ]+|[^\s])")


def turned(value):
    """Each matrix of a stack, as its rows follow the samples."""
    return np.swapaxes(value, -1, -2) if np.ndim(value) > 2 else value.T


class Unread(Exception):
    """Something that this reader does not know: a slope f′, a reshape."""


class Reader:
    """expr = term +- term;  term = run (⊙ | /) run;  run = powers side by side;  power = atom ²"""

    def __init__(self, equation, values, axis=None):
        self.tokens: list = []
        self.axis = axis  # of `mean`, where it is not over everything
        for part in equation:
            if isinstance(part, Sym):
                value = values[part._replace(transposed=False).plain]
                self.tokens.append(turned(value) if part.transposed else value)
            else:
                self.tokens += TOKEN.findall(part)
        self.values, self.at = values, 0

    @property
    def next(self):
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        return token if isinstance(token, str) else np.asarray(token)

    def is_(self, *signs):
        return isinstance(self.next, str) and self.next in signs

    def take(self, sign=None):
        token = self.next
        if sign is not None and not self.is_(sign):
            raise Unread(f"{sign} expected at {self.at} of {self.tokens}")
        self.at += 1
        return token

    def read(self):
        value = self.expr()
        if self.at < len(self.tokens):
            raise Unread(str(self.next))
        return value

    def expr(self):
        value = -self.term() if self.is_("−") and self.take() else self.term()
        while self.is_("+", "−"):
            sign = self.take()
            other = self.term()
            value = value + other if sign == "+" else value - other
        return value

    def term(self):
        value = self.run()
        while self.is_("⊙", "/"):
            sign = self.take()
            other = self.run()
            value = value * other if sign == "⊙" else value / other
        return value

    def run(self):
        """Side by side: numbers scale, matrices multiply, 1ᵀ sums the rows and 1 behind a matrix sums its columns."""
        items = [self.power()]
        while not isinstance(self.next, str) or self.begins():
            items.append(self.power())
        value = items.pop()
        if isinstance(value, str):
            value = 1.0
            if items and np.ndim(items[-1]) == 2:
                return self.scaled(items[:-1], items[-1].sum(1, keepdims=True))
        return self.scaled(items, value)

    def scaled(self, items, value):
        for left in reversed(items):
            if isinstance(left, str):
                value = np.sum(value, axis=0) if left == "1ᵀ" else value
            else:
                value = left @ value if np.ndim(left) and np.ndim(value) else left * value
        return value

    def begins(self):
        return bool(re.match(r"[\d.A-Za-zσμΣ(√|]|\[", self.next)) and not (self.next == "|" and self.bars)

    bars = 0

    def power(self):
        value = self.atom()
        while self.is_("²", "^", "ᵀ"):
            if self.is_("ᵀ") and self.take():
                value = turned(value)
                continue
            power = 2.0 if self.take() == "²" else self.atom()
            value = value ** (1.0 if isinstance(power, str) else power)
        return value

    def atom(self):
        token = self.take()
        if not isinstance(token, str):
            return token
        if token in ("1ᵀ", "1"):
            return token
        if re.match(r"[\d.]+(e[+−-]?\d+)?$", token) and token != ".":
            return float(token.replace("−", "-"))
        if token == "(":
            return self.closed(")")
        if token == "|":
            self.bars += 1
            value = self.expr()
            self.bars -= 1
            self.take("|")
            return np.abs(value)
        if token == "[":
            left = self.expr()
            sign = self.take()
            right = self.expr()
            if sign not in ("<", ">", "≥"):
                raise Unread(sign)
            self.take("]")
            return {"<": np.less, ">": np.greater, "≥": np.greater_equal}[sign](left, right).astype(float)
        if token in FUNCTIONS:
            return self.call(token)
        if token == "Σ":
            self.axis = -1 if self.axis is None else self.axis  # a mean inside is that of a sample
            value = self.run()
            while self.is_("⊙"):
                self.take()
                value = value * self.run()
            return np.sum(value)
        if token in self.values:
            return self.values[token]
        raise Unread(token)

    def call(self, name):
        if name == "mean" and self.is_("Σ"):
            raise Unread("the mean of sums by sample")
        if name == "ln" and self.is_("cosh"):
            return np.log(self.atom())
        if self.is_("("):
            self.take()
            arguments = [self.expr()]
            if name == "broadcast":
                return self.spread(arguments[0])
            while self.is_(","):
                self.take()
                if self.is_("axis", "axes"):
                    raise Unread("axis")
                arguments.append(self.expr())
            self.take(")")
        else:
            arguments = [self.run()]
        if name == "mean" and self.axis is not None:
            return np.mean(*arguments, axis=self.axis, keepdims=True)
        arguments = [float(a) if isinstance(a, str) else a for a in arguments]
        return FUNCTIONS[name](*arguments)

    def spread(self, value):
        self.take(",")
        self.take()
        axes = []
        while not self.is_(")"):
            axes.append(int(self.take()) - 1)
        self.take(")")
        missing = [axis for axis in axes if axis >= np.ndim(value) or np.shape(value)[axis] != 1]
        return np.expand_dims(value, missing)

    def closed(self, sign):
        value = self.expr()
        self.take(sign)
        return 1.0 if isinstance(value, str) else value


def lines_that_are_true(made, net, weight=None, y=None):
    """Computes the right side of each line and compares; returns (what was read, what was not)."""
    values = {name: np.asarray(made[name], np.float64) for name in made.names}
    values["B"] = float(made.about["batch"])
    if weight is not None:
        values["s"] = weight[:, None]
    target_ = values.get("y", values.get("Y", values.get("Y1")))
    values["k"] = np.isfinite(target_) * 1.0
    if "y" in made.sources:
        values["k"] = (target_ != 2)[:, None] * 1.0
        values["Y"] = target_
    for name in [n for n in made.sources if n.startswith("y") and f"P{n[1:]}" in made]:  # a class as a row with a 1 in it
        values[f"Y{name[1:]}"] = np.eye(values[f"P{name[1:]}"].shape[1])[np.asarray(made[name])]
    values["Q"] = 0.9 * values["Y"] + 0.1 / 3 if "Y" in values else None
    values["Y"] = np.nan_to_num(values["Y"]) if "Y" in values else None
    values["w"] = np.array([1.0, 2.0, 3.0])
    read, unread = [], []
    for step in made:
        if step.values is None or step.section == "update":
            continue
        axis, counted = None, [p for p in step.where if isinstance(p, Sym)]
        if "n = " in text(step.where):  # n = 3 B, the elements of Y
            values["n"] = float(np.size(values[counted[-1].plain]))
        if step.kind == "norm gradient":
            layer = net.wiring.layers[step.layer] if step.layer else None
            axis = -1 if isinstance(layer, lm.LayerNorm) else tuple(range(np.ndim(step.values) - 1))
        right = list(step.equation[1:])
        right[0] = right[0].replace(" = ", "", 1)
        try:
            found = Reader(right, values, axis).read()
        except Unread as why:
            unread.append((str(step), str(why)))
            continue
        expected = np.asarray(step.values, np.float64)
        found = np.broadcast_to(np.asarray(found, np.float64), expected.shape) if np.ndim(found) <= expected.ndim else found
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5, err_msg=str(step))
        read.append(str(step))
    return read, unread


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("optimizer")])
def test_every_line_of_every_net(name):
    net, x, y = CASES[name]()
    read, unread = lines_that_are_true(net.trace(x, y), net)
    assert len(read) >= len(unread), unread


LOSSES = [
    losses.Huber(2.0), losses.SmoothL1(0.5), losses.SmoothL1(0), losses.Quantile(0.9), losses.MSE(mask_nan=True),
    losses.CrossEntropy(label_smoothing=0.1), losses.CrossEntropy(ignore_index=2), losses.PoissonNLL(full=True),
    losses.BinaryCrossEntropy(pos_weight=[1, 2, 3.0]), losses.KLDiv(log_target=True),
    *(loss for name, loss in losses.LOSSES.items() if name not in ("focal", "gaussian_nll")),
]  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_gradient_of_every_loss(loss, weighted):
    name = next(name for name, known in losses.LOSSES.items() if type(known) is type(loss))
    net, x, y = with_loss(name)
    if getattr(loss, "mask_nan", False):
        y = np.where(np.arange(B)[:, None] == 1, np.nan, y)
    net.compile(loss, "adam")
    weight = np.linspace(0.5, 1.5, B).astype("float32") if weighted else None
    made = net.trace(x, y, weight)
    read, unread = lines_that_are_true(made, net, weight)
    assert str(made.backward[0]) in read, unread
    assert len(made.loss) <= 2 and made.backward[0].kind == "loss gradient"
    assert not getattr(loss, "label_smoothing", 0) or "Q = .9 Y + .1 / C" in text(made.loss[1].where)


@pytest.mark.parametrize("options", [{}, {"alpha": None}], ids=str)
def test_the_gradient_of_focal_loss(options):
    net, x, y = with_loss("focal")
    net.compile(losses.Focal(**options), "adam")
    made = net.trace(x, y)
    prefix = "" if options else "a "
    assert str(made.backward[0]) == f"dZ₂ = {prefix}(1 − p)^2 ⊙ (2 p ln p + p − 1) ⊙ (2 Y − 1) / n"
    s = 1 / (1 + np.exp(-made["Z2"]))
    p, a = np.where(y == 1, s, 1 - s), (1.0 if options else np.where(y == 1, 0.25, 0.75))
    np.testing.assert_allclose(made["dZ2"], a * (1 - p) ** 2 * (2 * p * np.log(p) + p - 1) * (2 * y - 1) / y.size, rtol=1e-4)


def test_the_gradient_of_focal_loss_of_classes():
    net, x, _ = with_loss("focal")
    y = target("cross_entropy")
    made = net.trace(x, y)
    assert str(made.backward[0]) == "dZ₂ = ((1 − p)^2 − 2 p (1 − p)^1 ln p) ⊙ (P − Y) / B"
    p = made["P"][np.arange(B), y][:, None]
    hot = np.eye(3)[y]
    np.testing.assert_allclose(made["dZ2"], ((1 - p) ** 2 - 2 * p * (1 - p) * np.log(p)) * (made["P"] - hot) / B, rtol=1e-4)


def test_the_gradient_of_gaussian_nll():
    net, x, y = with_loss("gaussian_nll")
    made = net.trace(x, y)
    assert str(made.backward[0]) == "dA₂ = [(m − Y) / v, (1 − (Y − m)² / v) / (2 v)] / n"
    m, v = made["A2"][:, :1], made["A2"][:, 1:]
    expected = np.hstack([(m - y) / v, (1 - (y - m) ** 2 / v) / (2 * v)]) / y.size
    np.testing.assert_allclose(made["dA2"], expected, rtol=1e-4)


@pytest.mark.parametrize("full", [False, True])
def test_the_line_of_gaussian_nll_is_its_value(full):
    net, x, y = with_loss("gaussian_nll")
    made = net.compile(losses.GaussianNLL(full=full, eps=1e-3), "sgd").trace(x, y)
    m, v = made["A2"][:, :1], made["A2"][:, 1:]
    found = Reader([text(made.loss[0].equation).removeprefix("L = ")], {"m": m, "v": v, "Y": y}).read()
    assert found == pytest.approx(float(made["L"]), rel=1e-4) and "v at least .001" in text(made.loss[0].where)


@pytest.mark.parametrize("loss", [losses.Huber(), losses.Huber(2.0), *map(losses.SmoothL1, (1.0, 0.5, 2.0))], ids=repr)
def test_what_h_stands_for_is_the_loss_of_an_element(loss):
    (said,) = forms.FORMS[type(loss).__name__](loss, False).where
    formula = re.sub("(?<![a-z])e(?![a-z])", "x", said.removeprefix("h(e) = "))
    p, t = lm.placeholder((1, 1)), lm.placeholder((1, 1))
    value = lm.function([p, t], loss(p, t))
    for e in (-3.1, -0.7, 0.2, 1.5, 4.0):
        assert slope_at(formula, {"x": e}) == pytest.approx(float(value([[e]], [[0.0]])), rel=1e-6)


def test_a_gradient_is_called_alike_by_its_symbol_and_by_its_name():
    for symbol in (Sym("W", "1"), Sym("h2"), Sym("h′"), Sym("scale_1"), Sym("γ", "1")):
        assert gradient_name(symbol.plain) == symbol.d.plain


FORMULAS = {
    **FUNCTIONS, "sqrt": np.sqrt, "erf": math.erf, "softplus": lambda x: np.log1p(np.exp(x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}  # fmt: skip


def slope_at(formula, values):
    """What a docstring's formula gives for numbers: A where C, B where D, else E, with t = .. behind it."""

    def read(expression):
        return float(Reader([expression.replace("-", "−")], values).read())

    pieces = formula.split(", ")
    for piece in [piece for piece in pieces if re.match("[a-z] = ", piece)]:
        values[piece[0]] = read(piece[4:])
        pieces.remove(piece)
    for piece in pieces:
        said, _, condition = piece.removeprefix("else ").partition(" where ")
        if not condition or eval(re.sub(r"\|(.*?)\|", r"abs(\1)", condition), {}, values):
            return read(said)
    raise AssertionError(formula)


@pytest.mark.parametrize("name", [n for n in lm.activations.FUNCTIONS if n not in ("softmax", "log_softmax")])
def test_the_slope_that_an_activation_says_is_its_derivative(name, monkeypatch):
    """Beside a difference quotient of its values, with parameters that are not the usual ones."""
    for known, function in FORMULAS.items():
        monkeypatch.setitem(FUNCTIONS, known, function)
    function = lm.activations.FUNCTIONS[name]
    (formula,) = re.findall(r"Slope: y' = (.*)\.\n", function.__doc__)
    parameters = {"slope": 0.3, "alpha": 0.7, "beta": 1.5}
    given = {key: parameters.get(key, 0.6) for key in inspect.signature(function).parameters if key != "x"}
    for x in (-7.3, -2.6, -0.4, 0.3, 1.7, 4.2, 8.9):
        y, low, high = (float(function(np.array([at]), **given)[0]) for at in (x, x - 1e-5, x + 1e-5))
        values = {"x": x, "y": y, "e": np.e, "pi": np.pi, **given}
        assert slope_at(formula, values) == pytest.approx((high - low) / 2e-5, rel=1e-4, abs=1e-7), x


# ---- the optimizers' formulas, with one weight's numbers ----


@pytest.mark.parametrize("optimizer", [
    *(lm.optim.get(name) for name in lm.optim.names() if name not in ("lbfgs", "levenbergmarquardt", "rprop")),
    lm.optim.RMSProp(centered=True, momentum=0.9, weight_decay=0.1), lm.optim.Adagrad(lr_decay=0.1),
    lm.optim.SGD(0.1, momentum=0.9, dampening=0.2), lm.optim.Adam(eps_mode="keras", amsgrad=True),
    lm.optim.Lion(weight_decay=0.1, clip_norm=0.01), lm.optim.AdamW(clip_value=0.01),
], ids=repr)  # fmt: skip
@pytest.mark.parametrize("steps", [0, 2, 5, 9])
def test_the_plugged_formulas_of_a_rule_give_what_they_say(optimizer, steps):
    net = lm.Sequential(lm.Dense(4, "sigmoid"), lm.Dense(3), seed=1, dtype="float64").compile("mse", optimizer)
    for _ in range(steps):
        net.train_step(data(), data()[:, :3])
    text = net.explain(data(), data()[:, :3], level="values")
    rows = re.findall(r"^      (\S+) = (.*) = (\S+)$", text, re.M)
    assert rows, text
    for name, formula, said in rows:
        found = Reader([formula.replace("·", " ⊙ ")], {}).read()
        value = float(said.replace("−", "-"))
        assert found == pytest.approx(value, rel=0.02, abs=2e-3 * max(abs(value), 1e-12)), (name, formula, said)  # four digits each


def test_the_damping_and_the_factors_are_those_that_the_next_step_begins_with():
    net = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(1), seed=0)
    net.fit(data(), data()[:, :1], loss="mse", optimizer=lm.optim.LevenbergMarquardt(bayesian=True), epochs=2, verbose=0)
    numbers, state = net.trace(data(), data()[:, :1]).rule.numbers, net.optimizer.state
    assert [numbers[letter] for letter in "αβ"] == state["factors"].value[:2].tolist()
    assert numbers["μ"] == state["mu"].value != net.optimizer.mu


def lines(net, x, y, sections=("forward", "backward")):
    return [str(step) for step in net.trace(x, y) if step.section in sections]


def test_weights_that_meet_positions_read_as_products_of_rows():
    net, x, y = CASES["sequence"]()
    made = net.trace(x, y)
    read, _ = lines_that_are_true(made, net)
    expected = ["dW₂ = rows(A₁)ᵀ rows(dZ₂)", "db₂ = 1ᵀ rows(dZ₂)", "dW₁ = rows(reshape_1)ᵀ rows(dZ₁)", "db₁ = 1ᵀ rows(dZ₁)"]
    assert [line for line in read if "rows(" in line] == expected and not any(step.name.startswith("T") for step in made)
    assert [str(step) for step in made if "rows(T)" in text(step.where)] == expected[:1]  # said once
    assert [step.kind for step in made.backward[1:3]] == ["weight gradient", "bias gradient"]


def test_the_classes_of_positions_and_their_rows_have_two_names():
    net = lm.Sequential(lm.Reshape(2, 3), lm.Dense(4), seed=0).compile("cross_entropy", "sgd")
    made = net.trace(data(), np.arange(2 * B).reshape(B, 2) % 4)
    assert [str(step) for step in made.loss] == ["P = softmax(Z₁)", "L = −mean ln P[i, yᵢ]"] and "y" in made.sources
    hot = np.eye(4)[made["y"]]
    assert str(made.backward[0]) == "dZ₁ = (P − Y) / n"
    np.testing.assert_allclose(made["dZ1"], (made["P"] - hot) / (2 * B), rtol=1e-5)


def test_axes_and_slices_count_from_1():
    a = lm.Input(6, 4)
    whole = lm.sum(a[:, 1:3, ::2], axis=1) + lm.max(a, axis=2)[:, 5:2:-2] + a[:, 0, :2]
    made = lm.Model(a, lm.concatenate([whole, lm.transpose(a, (0, 2, 1))[::-1, :2, 3]], axis=1)).build().trace(np.ones((2, 6, 4)))
    written = " ; ".join(str(step) for step in made)
    for part in ("[:, 2…3, 1…3 by 2]", ", axis 2)", ", axis 3)", "[:, 6…4 by −2]", "[:, 1, 1…2]", "[B…1 by −1, 1…2, 4]"):
        assert part in written, (part, written)
    assert "axes 1 3 2" in written or "ᵀ" in written


@pytest.mark.parametrize(("layer", "mean", "variance"), [
    (lm.BatchNorm, "μ₁ = 1ᵀ X / B", "v₁ = 1ᵀ (X − μ₁)² / B"), (lm.LayerNorm, "μ₁ = (X 1) / 6", "v₁ = ((X − μ₁)² 1) / 6"),
])  # fmt: skip
def test_a_norm_reads_as_in_a_textbook(layer, mean, variance):
    net = lm.Sequential(layer(), lm.Dense(2), seed=0).compile("mse", "sgd")
    written = lines(net, data(), data()[:, :2])
    assert written[:5] == [mean, variance, "s₁ = √(v₁ + 1e−05)", "H₁ = (X − μ₁) / s₁", "N₁ = H₁ ⊙ γ₁ + β₁"]
    assert "dγ₁ = 1ᵀ (dN₁ ⊙ H₁)" in written and "dβ₁ = 1ᵀ dN₁" in written and not any("T₁" in line for line in written)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("layer", [lm.BatchNorm, lm.LayerNorm])
def test_the_backward_pass_of_a_norm_is_one_line_that_is_true(layer, affine):
    """Twice, the second one on three axes, and with a skip past it: the other gradient is added."""
    a = lm.Input(6)
    h = lm.Dense(6, "tanh")(a)
    h = lm.Add()(h, layer(affine=affine)(h))
    net = lm.Model(a, lm.Dense(2)(layer(affine=affine)(lm.Reshape(2, 3)(h))), seed=0).compile("mse", "adam")
    made = net.trace(data(), np.random.default_rng(0).normal(size=(B, 2, 2)))
    read, _ = lines_that_are_true(made, net)
    folded = [str(step) for step in made if step.kind == "norm gradient"]
    assert len(folded) == 2 and set(folded) <= set(read)
    d, h = ("dH₁", "H₁") if affine else ("d_add_1", "N₁")
    assert f"dA₁ = d_add_1 + ({d} − mean {d} − {h} ⊙ mean({d} ⊙ {h})) / s₁" in folded


def test_dropout_and_embedding_and_clipping():
    net, x, y = Case(lm.Sequential(lm.Dense(4), lm.Dropout(0.25), lm.Dense(3)).compile("mse", "sgd"), data(), data()[:, :3])
    written = lines(net, x, y)
    assert "M₁ = [random ≥ .25]" in written and "D₁ = 1.33333 Z₁ ⊙ M₁" in written and "dZ₁ = 1.33333 dD₁ ⊙ M₁" in written
    net, x, y = CASES["embedding"]()
    written = lines(net, x, y)
    assert "E₁ = V₁[X]" in written and "dV₁ = onehot(X)ᵀ dE₁" in written
    made = net.trace(x, y)
    hot = np.eye(10)[x].reshape(-1, 10)
    np.testing.assert_allclose(made["dV1"], hot.T @ made["dE1"].reshape(-1, 4), rtol=1e-5, atol=1e-7)
    net.compile("mse", lm.optim.SGD(0.1, clip_norm=0.5))
    update = lines(net, x, y, ("update",))
    assert update[0] == "c = min(1, .5 / (‖all gradients‖ + 1e−06))" and "W₁ ← SGD(W₁, c dW₁)" in update
    made = net.trace(x, y)
    norm = np.sqrt(sum(np.sum(np.square(g, dtype=float)) for g in net.gradients(x, y).values()))
    clipping = next(s for s in made if s.kind == "clipping")
    np.testing.assert_allclose(clipping.values, min(1, 0.5 / (norm + 1e-6)), rtol=1e-5)


@pytest.mark.parametrize("optimizer", [lm.optim.SGD, lm.optim.Muon])
@pytest.mark.parametrize("bounds", [{"clip_value": 0.01, "clip_norm": 0.02}, {"clip_value": 0.01}, {"clip_norm": 0.02}])
def test_clipping_is_said_and_names_nothing_that_has_no_line(optimizer, bounds):
    """Clipping by value was within the hidden lines of the factor of clip_norm: c T₁, and no line of T₁."""
    made = small("float64", optimizer(0.1, **bounds)).trace(X, Y)
    names = [name for name in made.names if name.startswith("d") and made.sources.get(name[1:], {}).get("kind") == "parameter"]
    clipped = {name: np.clip(made[name], -0.01, 0.01) if "clip_value" in bounds else made[name] for name in names}
    factor = min(1, 0.02 / (np.sqrt(sum(np.sum(g**2) for g in clipped.values())) + 1e-6)) if "clip_norm" in bounds else 1
    for step in made.update:
        assert {*step.operands} <= {*made.names, *(line.name for line in made.update)}
        if step.kind == "clipping":
            assert step.values == pytest.approx(factor) and factor < 1
            which = "all clipped gradients" if "clip_value" in bounds else "all gradients"
            assert str(step) == f"c = min(1, .02 / (‖{which}‖ + 1e−06))"
        else:
            d = Sym(step.symbol.name, step.symbol.sub).d.unicode()
            d = f"clip({d}, −.01, .01)" if "clip_value" in bounds else d
            w, by = step.symbol.unicode(), optimizer.__name__
            assert str(step) == f"{w} ← {by}({w}, {'c ' if 'clip_norm' in bounds else ''}{d})"
            np.testing.assert_allclose(step.gradient, factor * clipped[f"d{step.name}"], rtol=1e-12)


def test_the_loss_of_each_of_several_outputs_reads_as_in_a_textbook():
    net, x, y = heads()
    made = net.trace(x, y)
    read, _ = lines_that_are_true(made, net)
    losses_ = ["L₁ = mean((Z₂ − Y₁)²)", "P₂ = softmax(Z₃)", "L₂ = −mean ln P₂[i, (y₂)ᵢ]", "L₃ = mean(ln(1 + exp(Z₄)) − Z₄ ⊙ Y₃)"]
    assert [str(step) for step in made.loss] == [*losses_, "L = L₁ + .5 L₂ + 2 L₃"]
    slopes = {str(step): text(step.where) for step in made.backward if step.kind == "loss gradient"}
    assert slopes == {
        "dZ₄ = 2 (σ(Z₄) − Y₃) / n": "n = 2 B, the elements of Y₃",
        "dZ₃ = .5 (P₂ − Y₂) / B": "",
        "dZ₂ = 2 (Z₂ − Y₁) / n": "n = B, the elements of Y₁",
    }
    assert {*slopes, losses_[0], losses_[3], "L = L₁ + .5 L₂ + 2 L₃"} <= set(read)
    assert "dA₁ = dZ₄ W₄ᵀ + dZ₃ W₃ᵀ + dZ₂ W₂ᵀ" in read
    assert made["L2"] == pytest.approx(-np.log(made["P2"][np.arange(B), made["y2"]]).mean(), rel=1e-5)


def test_letters_are_said_where_they_stand():
    net, x, y = heads()
    net.compile({"size": "mse", "kind": losses.CrossEntropy(ignore_index=2), "flags": "focal"}, "sgd")
    made = net.trace(x, {**y, "kind": np.eye(3)[y["kind"]]})  # rows have no class that is left out
    wheres = {step.name: text(step.where) for step in made if step.where}
    assert wheres["L3"].startswith("p = σ(Z₄) where Y₃ = 1") and wheres["dZ4"].startswith("p = σ(Z₄) where Y₃ = 1")
    assert "L₂ = −mean Σ Y₂ ⊙ ln P₂" in map(str, made) and "L2" not in wheres


def test_the_losses_of_several_outputs_with_weights_of_samples():
    weight = np.linspace(0.5, 1.5, B)
    net, x, y = heads()
    made = net.trace(x, y, weight)
    read, _ = lines_that_are_true(made, net, weight)
    slopes = ["dZ₄ = 2 s ⊙ (σ(Z₄) − Y₃) / (2 Σ s)", "dZ₃ = .5 s ⊙ (P₂ − Y₂) / Σ s", "dZ₂ = 2 s ⊙ (Z₂ − Y₁) / Σ s"]
    assert [str(step) for step in made.backward if step.kind == "loss gradient"] == slopes and set(slopes) <= set(read)
    assert "L₁ = Σ s ⊙ mean((Z₂ − Y₁)²) / Σ s" in read


def test_a_loss_of_ones_own_stands_beside_built_in_ones():
    net, x, y = heads()
    net.compile({"size": "mse", "kind": lambda p, t: lm.mean((p - t) ** 2), "flags": "binary_cross_entropy"}, "sgd")
    made = net.trace(x, {**y, "kind": data()[:, :3]})
    read, _ = lines_that_are_true(made, net)
    assert "L₂ = mean((Z₃ − Y₂)²)" in read and "L₃ = mean(ln(1 + exp(Z₄)) − Z₄ ⊙ Y₃)" in read


def test_what_else_reads_an_output_is_no_part_of_its_loss():
    """A head over a head: the gradient of the first one is a sum; and a loss that looks at another output is not left out."""
    a = lm.Input(FEATURES)
    first = lm.Dense(3)(a)
    second = lm.Dense(2)(first)
    x, y = data(), [data()[:, :3], data()[:, :2]]
    net = lm.Model(a, [first, second], seed=0).compile("mse", "sgd", loss_weights=[3, 1])
    made = net.trace(x, y)
    read, _ = lines_that_are_true(made, net)
    assert "T₁ = 6 (Z₁ − Y₁) / n" in read and "dZ₁ = dZ₂ W₂ᵀ + T₁" in read
    net.compile(["mse", lambda p, t: lm.mean((p - t) ** 2) + lm.mean(first**2)], "sgd")
    made = net.trace(x, y)
    read, _ = lines_that_are_true(made, net)
    assert any(line.startswith("dZ₁ = ") for line in read) and not any(s.kind == "loss gradient" for s in made.backward[1:])


def test_outputs_that_operations_make_have_their_names():
    """Whatever these are: the loss keeps the name L."""
    a = lm.Input(FEATURES)
    net = lm.Model(a, {"rate": lm.exp(lm.Dense(2)(a)), "L": 2 * lm.Dense(3)(a)}, seed=0).compile("mse", "sgd")
    made = net.trace(data(), {"rate": data()[:, :2], "L": data()[:, :3]})
    read, _ = lines_that_are_true(made, net)
    assert {"rate = exp(Z₁)", "L₁ = mean((rate − Y₁)²)", "d_rate = 2 (rate − Y₁) / n", "dZ₁ = d_rate ⊙ rate"} <= set(read)
    assert str(made.loss[-1]) == "L = L₁ + L₂" and np.ndim(made["L"]) == 0
    layer = lm.Sequential(lm.Lambda(lambda t: 2 * t).named("L"), lm.Dense(2), seed=0).compile("mse", "sgd")
    made = layer.trace(data(), data()[:, :2])
    assert str(made.forward[0]) == "L′ = 2 X" and np.ndim(made["L"]) == 0


def test_the_weight_of_the_only_loss_is_in_its_gradient():
    net = lm.Sequential(lm.Dense(3), seed=0).compile("mse", "sgd", loss_weights=0.5)
    made = net.trace(data(), data()[:, :3])
    read, _ = lines_that_are_true(made, net)
    assert read[:4] == ["Z₁ = X W₁ + 1 b₁ᵀ", "L₁ = mean((Z₁ − Y)²)", "L = .5 L₁", "dZ₁ = (Z₁ − Y) / n"]


def test_a_loss_of_ones_own_is_one_line():
    net = lm.Sequential(lm.Dense(3), seed=0)
    net.compile(lambda p, t: lm.mean((p - t) ** 2) + 0.1 * lm.mean(lm.abs(p)), "sgd")
    made = net.trace(data(), data()[:, :3])
    assert [str(s) for s in made.loss] == ["L = mean((Z₁ − Y)²) + .1 mean(|Z₁|)"]
    assert lines_that_are_true(made, net)[0].count(str(made.loss[0])) == 1


def test_flop_of_what_two_lines_say_are_counted_once():
    net = lm.Sequential(lm.Dense(3), lm.BatchNorm(), lm.Dense(1), seed=0).compile("mse", "sgd")
    made = net.trace(data(), data()[:, :1])
    serials = [serial for step in made for serial in step.nodes]
    shared = {s for s in serials if serials.count(s) > 1}
    constants = {effect.inputs[2].serial for effect in made.origin.graph.effects}
    assert shared <= constants  # the optimizer's constants cost nothing and serve every update


def test_what_is_skipped_is_the_whole_gradient():
    """Of an input that several layers read; where something else reads it too, its gradient has no line to tell."""
    a = lm.Input(FEATURES)
    heads = [lm.Dense(2)(a), lm.Dense(3)(a)]
    net = lm.Model(a, heads, seed=0).compile("mse", "sgd")
    made = net.trace(data(), [data()[:, :2], data()[:, :3]])
    (skipped,) = made.skipped
    assert text(skipped["equation"]) == "dX = dZ₁ W₁ᵀ + dZ₂ W₂ᵀ" and skipped["flops"] == 2 * B * FEATURES * 5 + B * FEATURES
    with_sum = lm.Model(a, lm.Dense(FEATURES)(a) + a, seed=0).compile("mse", "sgd")
    assert with_sum.trace(data(), data()).skipped == []


def test_the_rows_of_class_numbers_have_their_name():
    net, x, y = CASES["heads"]()
    np.testing.assert_array_equal(net.trace(x, y)["Y2"], np.eye(3)[y["kind"]])
    assert net.trace(x, y).sources["Y2"]["kind"] == "input" and net.trace(x).names.count("Y2") == 0


def test_a_norm_of_what_has_no_name_has_its_line():
    """The gradient that it passes on is read once, and yet has a line of its own."""
    a = lm.Input(5, 4)
    mean = lm.mean(lm.LayerNorm()(lm.Dense(3)(a)), axis=1)
    net = lm.Model(a, lm.Dense(2)(lm.LayerNorm()(mean)), seed=0).compile("mse", "sgd")
    made = net.trace(np.random.default_rng(0).normal(size=(B, 5, 4)), data()[:, :2])
    read, _ = lines_that_are_true(made, net)
    assert {name for step in made for name in step.operands} <= {*made.names}
    assert any(re.fullmatch(r"T₂ = \(dH₂ − mean dH₂ − H₂ ⊙ mean\(dH₂ ⊙ H₂\)\) / s₂", line) for line in read)


def test_a_gradient_that_is_the_same_along_an_axis_has_its_line():
    a = lm.Input(5, 4)
    steps_ = lm.Model(a, lm.Dense(2)(lm.mean(lm.Dense(3, "tanh")(a), axis=1)), seed=0).compile("mse", "sgd")
    mean = lm.Sequential(lm.Dense(3), seed=0).compile(lambda p, t: lm.mean(p), "sgd")
    x = np.random.default_rng(0).normal(size=(B, 5, 4))
    for made, line in (
        (steps_.trace(x, data()[:, :2]), "dA₁ = broadcast(dU₂ / 5, axis 2)"),
        (mean.trace(data(), data()[:, :3]), "dZ₁ = broadcast(1 / (3 B), axes 1 2)"),
    ):
        assert line in [str(step) for step in made]
        assert {name for step in made for name in step.operands} <= {*made.names}


def test_what_is_repeated_along_an_axis_inside_is_said_in_an_expression_too():
    """dZ₁ = d_output ⊙ (1 − T₁ ⊙ T₁), B x 5 and B x 4 x 5, is true for no rule of broadcasting."""
    a = lm.Input(4, 3)
    z = lm.Dense(5)(a)
    x, y = np.random.default_rng(0).normal(size=(2, B, 4, 5))
    for output, target_, lines in (
        (lm.sum(lm.tanh(z), axis=1), y[:, 0], ["dZ₁ = broadcast(d_output, axis 2) ⊙ (1 − T₁ ⊙ T₁)"]),
        (lm.sum(z * z, axis=2), y[..., 0], ["dZ₁ = 2 broadcast(d_output, axis 3) ⊙ Z₁"]),
        (
            z * lm.sum(z, axis=1)[:, None],
            y,
            [
                "output = Z₁ ⊙ broadcast(T₁, axis 2)",
                "dZ₁ = d_output ⊙ broadcast(T₁, axis 2) + broadcast(sum(d_output ⊙ Z₁, axis 2), axis 2)",
            ],
        ),
        (z * lm.sum(z, axis=1, keepdims=True), y, ["output = Z₁ ⊙ T₁"]),
    ):
        net = lm.Model(a, output, seed=0).compile("mse", "sgd")
        made = net.trace(x[..., :3], target_)
        read, unread = lines_that_are_true(made, net)
        assert set(lines) <= {*read, *(line for line, why in unread if "sum(" in line)}, (read, unread)


@pytest.mark.parametrize("name", [n for n in lm.activations.FUNCTIONS if n not in ("linear", "softmax", "log_softmax")])
def test_the_slopes_of_an_activation_twice_are_those_of_their_own_values(name):
    """tanh(tanh(Z)): the first one's slope was written over the second one's value, which is another number."""
    layers = lm.Dense(3, name), lm.Activation(name).named("again"), lm.Dense(2)
    net = lm.Sequential(*layers, seed=0, dtype="float64").compile("mse", "sgd")
    made = net.trace(data(), data()[:, :2])
    read, _ = lines_that_are_true(made, net)
    (first,), (second,) = ([line for line in map(str, made) if line.startswith(start)] for start in ("dZ₁ = ", "dA₁ = "))
    assert "again" not in first and "Z₁" not in second.removeprefix("dA₁ = d_again")
    assert name not in ("tanh", "sigmoid", "relu") or {first, second} <= {*read}


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda p, t: lm.mean(p - (-2 * t + lm.exp(t))), "L = mean(Z₁ − ((−2) Y + exp(Y)))"),
        (lambda p, t: lm.mean(p - (t - lm.exp(t))), "L = mean(Z₁ − (Y − exp(Y)))"),
        (lambda p, t: lm.mean(p + (-t + lm.exp(t))), "L = mean(Z₁ − Y + exp(Y))"),
        (lambda p, t: lm.mean(t / (2 * lm.exp(t)) + p), "L = mean(Y / (2 exp(Y)) + Z₁)"),
        (lambda p, t: lm.mean(p * (lm.exp(t) ** 2) ** 3), "T₁ = (exp(Y)²)^3"),
        (lambda p, t: lm.mean(p * lm.square(lm.exp(t) ** 3)), "T₁ = (exp(Y)^3)²"),
        (lambda p, t: lm.mean((p * t) @ lm.transpose(t)), "T₁ = (Z₁ ⊙ Y) Yᵀ"),
        (lambda p, t: lm.mean((p + t)[:, :1]), "T₁ = (Z₁ + Y)[:, 1]"),
        (lambda p, t: lm.mean(lm.take(p + t, lm.argmax(p, axis=0))), "T₂ = (Z₁ + Y)[T₁]"),
        (lambda p, t: lm.mean(lm.where(p > t, p, t)), "L = mean(where(T₁, Z₁, Y))"),
        (lambda p, t: lm.mean(lm.concatenate([p, t])), "T₁ = concatenate(Z₁, Y, axis 1)"),
        (lambda p, t: lm.mean(lm.random_uniform(p) * lm.random_uniform(p) * p), "T₁ = random(1) ⊙ random(2)"),
        (lambda p, t: lm.mean(lm.sum(p, axis=0) / lm.size(p)), "L = sum(1ᵀ Z₁ / (2 B)) / 2"),
        (lambda p, t: lm.sum(p) / lm.size(p, 0), "L = sum(Z₁) / B"),
        (lambda p, t: lm.sum(p) / lm.size(p[1:], 0), "L = sum(Z₁) / (B − 1)"),
        (lambda p, t: lm.mean(p[1:] - t[1:]), "dZ₁ = pad(1 / (2 (B − 1)))"),
        (lambda p, t: lm.mean(lm.exp(lm.diff(p, axis=0))), "T₅ = concatenate(−T₄, 0, axis 1)"),
        (lambda p, t: lm.mean(lm.cumsum(p, axis=1) * t), "T₂ = [0, T₁]"),
        (lambda p, t: lm.mean(lm.pad(p * t, ((0, 0), (2, 1))) ** 2), "T₁ = [0, Z₁ ⊙ Y, 0]"),
        (lambda p, t: lm.mean(lm.pad(p * t, ((1, 0), (0, 0))) ** 2), "T₁ = concatenate(0, Z₁ ⊙ Y, axis 1)"),
        (lambda p, t: lm.mean(lm.pad(p * t, (1, 1)) ** 2), "T₁ = pad(Z₁ ⊙ Y)"),
        (lambda p, t: lm.mean((-1.0) * -p), "L = mean(Z₁)"),
    ],
)
def test_an_expression_keeps_its_meaning_within_another_one(loss, said):
    net = lm.Sequential(lm.Dense(2), seed=0).compile(loss, "sgd")
    assert said in list(map(str, net.trace(data(), data()[:, :2])))


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda p, t: (p + t) @ lm.transpose(2 * t), ["dZ₁ = broadcast(1 / (B B), axes 1 2) T₁"]),
        (
            lambda p, t: p @ lm.transpose(t) @ p,
            ["T₃ = broadcast(1 / (2 B), axes 1 2) Z₁ᵀ", "T₄ = T₁ᵀ broadcast(1 / (2 B), axes 1 2)"],
        ),
        (lambda p, t: lm.transpose(lm.broadcast_to(lm.mean(t, axis=0), p.shape)) @ p, ["T₂ = broadcast(T₁ᵀ, axis 2) Z₁"]),
        (lambda p, t: lm.broadcast_to(lm.mean(t, axis=0), p.shape) @ lm.transpose(p), ["T₂ = T₁ Z₁ᵀ"]),
        (lambda p, t: lm.full((3, p.shape[0]), 2.0) @ p, ["T₁ = broadcast(2, axes 1 2) Z₁"]),
        (lambda p, t: lm.full((1, p.shape[0]), 1.0) @ p, ["T₁ = 1ᵀ Z₁"]),
        (lambda p, t: p @ lm.full((2, 1), 1.0), ["T₁ = Z₁ 1"]),
        (lambda p, t: p - t @ (lm.transpose(t) @ p), ["T₃ = Yᵀ broadcast(−1 / (2 B), axes 1 2)"]),
        (lambda p, t: p - lm.mean(p, axis=0), ["dZ₁ = 1 / (2 B) − 1ᵀ broadcast(1 / (2 B), axes 1 2) / B"]),
        (lambda p, t: lm.exp(p - lm.mean(p)), ["L = mean(T₁)"]),
        (lambda p, t: p - lm.mean(p), ["T₁ = −sum(broadcast(1 / (2 B), axes 1 2)) / (2 B)"]),
        (lambda p, t: (t - p) @ (lm.transpose(p) @ p), ["T₄ = (Y − Z₁)ᵀ broadcast(1 / (2 B), axes 1 2)"]),
    ],
)
def test_a_number_that_is_summed_is_said_to_be_repeated(loss, said):
    """(1 / (B B)) T₁ is another matrix than that of the means of T₁, 1ᵀ (1 / B) another number than 1."""
    net = lm.Sequential(lm.Dense(2), seed=0).compile(lambda p, t: lm.mean(loss(p, t)), "sgd")
    assert {*said} <= {*map(str, net.trace(data(), data()[:, :2]))}


def test_what_a_random_walk_through_nets_found():
    """A number times −T was .3 −T; a vector repeated as a stack was written without that where it is turned, or divided first."""
    a = lm.Input(4, 3)
    x, y = np.random.default_rng(0).normal(size=(2, B, 4, 3))
    z, n = lm.Dense(3)(a), lm.LayerNorm()(a)
    for output, target_, line in (
        (a - 0.3 * z**2, y, "T₁ = .3 (−d_output)"),
        (
            lm.sum(n - lm.LayerNorm()(n), axis=2),
            y[..., 0],
            "dN₁ = broadcast(d_output, axis 3) + (dH₂ − mean dH₂ − H₂ ⊙ mean(dH₂ ⊙ H₂)) / s₂",
        ),
        (a - 2 * lm.tanh(z), y, "dZ₁ = 2 (−d_output) ⊙ (1 − T₁ ⊙ T₁)"),
        (
            lm.sum(lm.transpose(lm.softmax(lm.transpose(lm.tanh(lm.Dense(3)(a)), (0, 2, 1))), (0, 2, 1)), axis=1),
            y[:, 0],
            "T₄ = T₂ ⊙ (broadcast(d_output, axis 2)ᵀ − T₃)",
        ),
        (lm.softmax(a @ lm.transpose(z, (0, 2, 1))) @ z, y, "T₄ = Xᵀ (T₂ ⊙ (T₃ − sum(T₃ ⊙ T₂, axis 3)))"),
        (
            lm.sum(z - lm.mean(z, axis=1, keepdims=True), axis=2),
            y[..., 0],
            "dZ₁ = broadcast(d_output, axis 3) + T₁ / 4",
        ),
        (
            lm.sum(z - lm.expand_dims(lm.mean(z, axis=1), 1), axis=2),
            y[..., 0],
            "dZ₁ = broadcast(d_output, axis 3) + broadcast(T₂ / 4, axis 2)",
        ),
    ):
        net = lm.Model(a, output, seed=0).compile("mse", "sgd")
        made = net.trace(x, target_)
        lines_that_are_true(made, net)
        assert line in [str(step) for step in made]


def test_every_loss_and_every_rule_has_its_lines(monkeypatch):
    """One that has none yet is explained all the same: operation by operation, or by its name."""
    assert set(forms.FORMS) == {kind.__name__ for kind in losses.CLASSES.values()}
    assert set(rules.FORMULAS) == set(cost.RULE_COST) == set(core.rule_names())
    monkeypatch.delitem(forms.FORMS, "Huber")
    monkeypatch.delitem(rules.FORMULAS, "lion")
    net = lm.Sequential(lm.Dense(1), seed=0).compile("huber", lm.optim.Lion(0.01))
    made = net.trace(X, X[:, :1])
    lines_that_are_true(made, net)
    assert "Lion" in str(net.explain(X, X[:, :1]))


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda p, t: -lm.mean(-0.5 * lm.square(p - t)), "T₁ = .5 / (2 B)"),
        (lambda p, t: -lm.sum(-0.5 * lm.square(p - t)) / t.shape[0], "T₁ = .5 / B"),
        (lambda p, t: lm.mean(-(p - t) * (-3.0)), "L = mean(3 (Z₁ − Y))"),
        (lambda p, t: lm.mean(-(-2.0 * p) * t), "L = mean(2 Z₁ ⊙ Y)"),
        (lambda p, t: lm.mean(t - (-p)), "L = mean(Y + Z₁)"),
        (lambda p, t: lm.mean(p - (-2 * t) - (-1.0) * t), "L = mean(Z₁ + 2 Y + Y)"),
        (lambda p, t: lm.mean(p + (-2 * t) - (-1.0)), "L = mean(Z₁ − 2 Y + 1)"),
    ],
)
def test_two_minus_signs_are_none(loss, said):
    net = lm.Sequential(lm.Dense(2), seed=0).compile(loss, "sgd")
    assert said in list(map(str, net.trace(data(), data()[:, :2])))


def test_two_numbers_do_not_stand_side_by_side():
    x = lm.Input(FEATURES)
    net = lm.Model(x, lm.Dense(1)(lm.arccos(lm.Dense(4, "tanh")(x) * 0.9)), seed=0).compile("mse", "sgd")
    made = net.trace(data(), data()[:, :1])
    lines_that_are_true(made, net)
    assert any(".5 (2 dU₂ / (T₄² + 1)) / T₄" in str(step) for step in made)


def test_a_part_that_is_taken_twice_has_one_line():
    net = lm.Sequential(lm.Dense(2), seed=0)
    net.compile(lambda p, t: lm.mean((p[:, 0] - t[:, 0]) ** 2) + lm.mean(p[:, 0] * t[:, 1]), "sgd")
    made = net.trace(data(), data()[:, :2])
    first = ["T₁ = Z₁[:, 1]", "T₂ = Y[:, 1]", "T₃ = Y[:, 2]", "L = mean((T₁ − T₂)²) + mean(T₁ ⊙ T₃)"]
    assert [str(step) for step in made.loss] == first
    lines_that_are_true(made, net)
    h = lm.Dense(4, "tanh")(x := lm.Input(FEATURES))
    net = lm.Model(x, lm.Dense(3)(h[:, :2]) + lm.Dense(3)(h[:, :2]) + h[:, 1:], seed=0).compile("mse", "sgd")
    made = net.trace(data(), data()[:, :3])
    lines_that_are_true(made, net)
    written = list(map(str, made))
    assert {"U₂ = A₁[:, 1…2]", "Z₂ = U₂ W₂ + 1 b₂ᵀ", "Z₃ = U₂ W₃ + 1 b₃ᵀ"} <= {*written} and "U₃" not in str(written)
    assert "dU2" not in made  # what comes back by one reader is half of it


def test_outputs_that_are_equal_parts_have_both_their_names():
    h = lm.Dense(4)(x := lm.Input(FEATURES))
    net = lm.Model(x, {"a": h[:, :2], "b": h[:, :2]}, seed=0).compile("mse", "sgd")
    made = net.trace(data(), [data()[:, :2]] * 2)
    assert {"a", "b"} <= {step.name for step in made.forward}


def test_a_layer_that_is_called_twice_on_the_same_has_its_line_twice():
    """The product of both calls is one, and was hidden in the first line: the second read a T₁ that no line made."""
    dense = lm.Dense(3)
    net = lm.Model(x := lm.Input(FEATURES), [dense(x), dense(x)], seed=0).compile("mse", "sgd")
    made = net.trace(data(), [data()[:, :3]] * 2)
    assert [str(step) for step in made.forward] == ["Z₁ = X W₁ + 1 b₁ᵀ", "Z′₁ = X W₁ + 1 b₁ᵀ"]
    lines_that_are_true(made, net)
    assert np.array_equal(made["Z'1"], made["Z1"])
    stack = lm.Sequential(lm.Dense(4, "relu"), dense := lm.Dense(2))
    slope = lm.grad(lm.sum(stack(x := lm.Input(FEATURES)) ** 2), x)
    net = lm.Model(x, [stack(x), stack(x + slope), lm.tanh(stack(x) @ dense.weight.T)], seed=0).compile("mse", "sgd")
    made = net.trace(data(), [data()[:, :2], data()[:, :2], data()[:, :4]])
    lines_that_are_true(made, net)
    named = {step.name for step in made}
    assert all(name in named or name in made.sources for step in made for name in step.operands)


def test_a_column_that_meets_itself_in_all_pairs_is_no_difference_of_equal_names():
    """T₁ − T₁ stood for the differences of all pairs, and [T₁ ≥ T₁] for who comes after whom."""

    def loss(p, t):
        pairs = lm.expand_dims(p[:, 0], 0) - lm.expand_dims(p[:, 0], 1)
        after = lm.expand_dims(t[:, 0], 0) >= lm.expand_dims(t[:, 0], 1)
        return lm.mean(lm.where(after, pairs**2, 0.0))

    net = lm.Sequential(lm.Dense(2), seed=0).compile(loss, "sgd")
    made = net.trace(data(), data()[:, :2])
    lines = " ".join(str(step) for step in made.loss)
    assert "1 T₁ᵀ − T₁ 1ᵀ" in lines and "[1 T₂ᵀ ≥ T₂ 1ᵀ]" in lines and "T₁ − T₁" not in lines, lines


def test_sums_of_rows_over_what_an_inverse_is_of_are_one_term():
    """X² 1 / D reads as X² times the ones over D."""
    x = lm.Input(FEATURES)
    top, below = lm.sum(x * x, axis=1, keepdims=True), 1 + lm.sum(x, axis=1, keepdims=True) ** 2
    for quotient in (top / below, top * (1 / below)):
        (step,) = lm.Model(x, quotient).trace(data()).forward
        assert str(step).startswith("output = (X² 1) / ((X 1)² + 1)"), step


def test_a_product_with_a_layers_weight_has_its_own_line():
    dense = lm.Dense(3)
    net = lm.Model(x := lm.Input(FEATURES), [dense(x), lm.tanh(x @ dense.weight)], seed=0).compile("mse", "sgd")
    made = net.trace(data(), [data()[:, :3]] * 2)
    lines_that_are_true(made, net)
    assert [str(step) for step in made.forward] == ["T₁ = X W₁", "Z₁ = X W₁ + 1 b₁ᵀ", "output_2 = tanh(T₁)"]
    assert made["Z1"].shape == made["T1"].shape


def test_running_statistics_of_two_calls_are_updated_in_their_order():
    a, norm = lm.Input(FEATURES), lm.BatchNorm(affine=False)
    net = lm.Model(a, lm.Dense(1)(norm(norm(a))), seed=0).compile("mse", "sgd")
    update = [str(step) for step in net.trace(data(), data()[:, :1]).update]
    first, second = (line for line in update if line.startswith("running_mean₁ ← "))
    assert "μ₁" in first and "μ′₁" in second and not any("T" in line for line in update)  # T₁ was made of what is there before


def test_a_gradient_of_which_a_part_cancels_is_no_zero():
    def loss(p, t):
        return lm.mean((p[:, :1] - t[:, :1]) ** 2) + lm.mean((p[:, 1:] - lm.mean(p[:, 1:], axis=0) - t[:, 1:]) ** 2)

    net = lm.Sequential(lm.Dense(2), seed=0).compile(loss, "sgd")
    line = next(line for line in net.explain(data(), data()[:, :2], level="values").splitlines() if " db₁ = " in line)
    made = net.trace(data(), data()[:, :2])["db1"]
    assert abs(made[1]) < 1e-6 < abs(made[0]) and "cancel" not in line
