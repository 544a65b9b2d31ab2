"""net.trace: the numbers of a dense net beside NumPy's, every kind of net, and that a trace changes nothing."""

from __future__ import annotations

import cProfile
import json

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina import optim
from lamina.draw import picture
from lamina.models import steps
from lamina.models.programs import Task
from lamina.trace import cost, trace
from lamina.trace.graph import known_as
from lamina.trace.record import gradient_name
from lamina.trace.run import state_of
from nets import CASES, Momentum, by_batch, data

X = np.array([[0.8, -0.5, 0.3, -0.2], [0.1, 0.9, -0.4, 0.6]])
Y = np.array([0, 2])


def small(dtype: str = "float64", optimizer: object = "adam") -> lm.Sequential:
    return lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0, dtype=dtype).compile("cross_entropy", optimizer)


def by_hand(net: lm.Sequential) -> dict[str, np.ndarray]:
    """The whole step in NumPy, from the formulas."""
    w1, b1, w2, b2 = (net.parameters[f"dense_{k}.{n}"] for k, n in ((1, "weight"), (1, "bias"), (2, "weight"), (2, "bias")))
    z1 = X @ w1 + b1
    a1 = np.maximum(z1, 0)
    z2 = a1 @ w2 + b2
    p = np.exp(z2) / np.exp(z2).sum(axis=1, keepdims=True)
    one_hot = np.eye(3)[Y]
    dz2 = (p - one_hot) / len(X)
    da1 = dz2 @ w2.T
    dz1 = da1 * (z1 > 0)
    loss = -np.log(p[np.arange(2), Y]).mean()
    return {
        "X": X, "W1": w1, "b1": b1, "Z1": z1, "A1": a1, "W2": w2, "b2": b2, "Z2": z2, "P": p, "L": loss, "dZ2": dz2,
        "dW2": a1.T @ dz2, "db2": dz2.sum(0), "dA1": da1, "dZ1": dz1, "dW1": X.T @ dz1, "db1": dz1.sum(0),
    }  # fmt: skip


def test_values_are_those_of_the_formulas():
    net = small()
    made = net.trace(X, Y)
    for name, expected in by_hand(net).items():
        np.testing.assert_allclose(made[name], expected, rtol=1e-12, atol=1e-14, err_msg=name)


def test_lines_in_the_order_of_a_textbook():
    made = small().trace(X, Y)
    assert [str(step) for step in made] == [
        "Z₁ = X W₁ + 1 b₁ᵀ", "A₁ = max(0, Z₁)", "Z₂ = A₁ W₂ + 1 b₂ᵀ", "P = softmax(Z₂)", "L = −mean ln P[i, yᵢ]",
        "dZ₂ = (P − Y) / B", "dW₂ = A₁ᵀ dZ₂", "db₂ = 1ᵀ dZ₂", "dA₁ = dZ₂ W₂ᵀ", "dZ₁ = dA₁ ⊙ [Z₁ > 0]",
        "dW₁ = Xᵀ dZ₁", "db₁ = 1ᵀ dZ₁",
        "W₁ ← Adam(W₁, dW₁)", "b₁ ← Adam(b₁, db₁)", "W₂ ← Adam(W₂, dW₂)", "b₂ ← Adam(b₂, db₂)",
    ]  # fmt: skip
    assert [step.number for step in made] == list(range(1, 17))
    assert [len(made.section(s)) for s in ("forward", "loss", "backward", "update")] == [3, 2, 7, 4]
    assert [str("".join(map(str, s["equation"]))) for s in made.skipped] and made.skipped[0]["flops"] == 2 * 2 * 4 * 8


def test_cost_is_counted_by_the_formula():
    made = small("float32").trace(X, Y)
    z1 = made.step("Z1")
    assert z1.flops == 2 * 2 * 4 * 8 + 2 * 8 and z1.parts == (128, 16)
    assert z1.bytes == 4 * (2 * 4 + 4 * 8 + 8 + 2 * 8)
    assert made.step("dW1").flops == 2 * 4 * 2 * 8
    assert (z1.operands, z1.operand_shapes, z1.shape, z1.layer) == (["X", "W1", "b1"], [(2, 4), (4, 8), (8,)], (2, 8), "dense_1")


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_net_has_the_values_that_run_and_changes_nothing(name):
    net, x, y = CASES[name]()
    net.train_step(x, y) if by_batch(net) else net.predict(x)  # the network and its optimizer have their state
    before = [np.array(p.variable.read()) for p in state_of(net)]
    made = trace(net, x, y, repeats=1)
    for parameter, value in zip(state_of(net), before, strict=True):
        np.testing.assert_array_equal(parameter.variable.read(), value)
    names = {source["full_name"]: short for short, source in made.sources.items()}
    for full, gradient in net.gradients(x, y).items():
        np.testing.assert_array_equal(made[gradient_name(names[full])], gradient, err_msg=full)  # fused or not: the same bits
    json.loads(made.to_json())
    assert "<table" in made._repr_html_() and "<script" not in made._repr_html_()
    if not by_batch(net):
        return
    new = {step.name: step.values for step in made.update if step.before is not None}
    loss = net.train_step(x, y)
    np.testing.assert_array_equal(made["L"], np.asarray(loss, made["L"].dtype))
    for full, value in net.parameters.items():
        if names.get(full) in new:
            np.testing.assert_array_equal(new[names[full]], value, err_msg=full)


def test_training_goes_on_with_the_same_bits_as_without_a_trace():
    def weights(look: bool) -> list[np.ndarray]:
        layers = (lm.Dense(6, "relu"), lm.BatchNorm(), lm.Dropout(0.3), lm.Dense(3))
        net = lm.Sequential(*layers, seed=7).compile("cross_entropy", lm.optim.Adam(1e-2))
        for _ in range(4):
            net.train_step(data(), np.array([0, 1, 2, 0, 1]))
            if look:
                net.trace(data(), np.array([0, 1, 2, 0, 1]))
        return [np.array(p.variable.read()) for p in state_of(net)]

    for a, b in zip(weights(True), weights(False), strict=True):
        np.testing.assert_array_equal(a, b)


def test_running_statistics_are_part_of_the_update():
    net = lm.Sequential(lm.Dense(3), lm.BatchNorm(momentum=0.5), lm.Dense(1), seed=0, dtype="float64").compile("mse", "sgd")
    made = net.trace(data(), data()[:, :1])
    line = next(s for s in made.update if s.name == "running_mean1")
    np.testing.assert_allclose(line.values, 0.5 * made["Z1"].mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(line.before, np.zeros(3))


@pytest.mark.parametrize(
    "between", [lambda: lm.Dropout(0.2), lm.BatchNorm, lm.LayerNorm], ids=["dropout", "batch norm", "layer norm"]
)
def test_dense_layers_are_numbered_in_the_order_in_which_they_run(between):
    """Behind what training and inference do in different ways, too; the same letters with and without targets."""
    layers = [lm.Dense(5, "tanh"), between(), lm.Dense(4, "tanh"), between(), lm.Dense(2)]
    for net in (lm.Sequential(*layers, seed=0), lm.Sequential(between(), *layers, seed=0)):
        net.compile("mse", "sgd")
        for made in (net.trace(data(), np.zeros((5, 2))), net.trace(data())):
            for i in (1, 2, 3):
                assert made.sources[f"W{i}"]["full_name"] == f"dense_{i}.weight"
            assert [s.name for s in made.forward if s.kind == "dense"] == ["Z1", "Z2", "Z3"]


def test_calls_of_one_layer_are_numbered_in_their_order():
    """The steps of a recurrence: the first has no prime, and reads the first place of the sequence, without its axis."""
    x, cell = lm.Input(3, 4), lm.Dense(5)
    h = lm.tanh(cell(x[:, 0]))
    net = lm.Model(x, lm.Dense(2)(lm.tanh(cell(x[:, 1]) + lm.Dense(5)(h))), seed=0).compile("mse", "sgd")
    given = np.random.default_rng(0).normal(size=(2, 3, 4))
    made = net.trace(given, np.zeros((2, 2)))
    for name, place in (("U1", 0), ("U'1", 1)):
        np.testing.assert_array_equal(made[name], given[:, place].astype(np.float32))
    assert [str(step) for step in made.forward[:2]] == ["U₁ = X[:, 1, :]", "Z₁ = U₁ W₁ + 1 b₁ᵀ"]


def test_letters_of_the_equations_are_not_names_of_layers():
    """B is the batch, n the elements of Y, t the step, w and g stand in a rule."""
    layers = [lm.Lambda(lambda x: 2 * x).named(name) for name in ("B", "n", "t", "w", "g")]
    made = lm.Sequential(*layers, lm.Dense(1), seed=0).compile("mse", "sgd").trace(data(), np.zeros((5, 1)))
    assert [step.symbol.name for step in made.forward[:5]] == ["B′", "n′", "t′", "w′", "g′"]


def test_a_parameter_called_as_a_value_of_layers_has_as_many_primes_as_it_needs():
    x, dense = lm.Input(3), lm.Dense(3)
    net = lm.Model(x, dense(dense(dense(x))) * lm.Parameter((3,), init="ones", name="Z1"), seed=0)
    assert str(net.trace(np.ones((2, 3))).forward[-1]) == "output = Z′′₁ ⊙ Z1′"


def test_an_unknown_section_is_an_error():
    with pytest.raises(ValueError, match="unknown name 'forwards'; did you mean 'forward'"):
        small().trace(X, Y).section("forwards")


def test_every_step_of_the_program_has_a_time_and_fused_lines_share_one():
    made = small("float32").trace(X, Y)
    assert made.program and all(step.microseconds >= 0 for step in made.program)
    fused = made.program[0]
    assert fused.name == "matmul+add+relu" and fused.lines == [1, 2]
    assert made.steps[0].program_steps == made.steps[1].program_steps == [0] and made.steps[1].microseconds is None
    total = sum(step.microseconds for step in made.program if step.lines)
    assert sum(line.microseconds or 0 for line in made) == pytest.approx(total)


def test_a_prediction_alone_and_a_batch_of_one():
    net = small()
    made = net.trace(X[:1])
    assert [s.section for s in made] == ["forward"] * 3 and not made.update
    np.testing.assert_array_equal(made["Z2"], net.predict(X[:1]))


def test_schema():
    made = small("float32").trace(X, Y).to_dict()
    assert made["schema"] == 1 and set(made) == {"schema", "about", "sources", "steps", "program", "skipped"}
    first = made["steps"][0]
    assert first["equation"] == "Z₁ = X W₁ + 1 b₁ᵀ" and first["ascii"] == "Z1 = X W1 + 1 b1^T"
    assert first["latex"] == r"Z_{1}=X\,W_{1}+1\,b_{1}^{\mathsf T}"
    assert np.shape(first["values"]) == (2, 8) and first["operands"] == ["X", "W1", "b1"]
    assert "values" not in small().trace(X, Y).to_dict(values=False)["steps"][0]
    with pytest.raises(TypeError, match=r"\[trace\] expected values to be True or False, got 'no'; pass one"):
        small().trace(X, Y).to_json(values="no")


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path):
    net = small().build(4)
    values = X.copy()
    values[0, 0] = np.inf
    with np.errstate(all="ignore"):
        made = net.trace(values)
    path = tmp_path / "trace.json"
    made.to_json(path)
    assert None in np.ravel(np.array(json.loads(path.read_text())["steps"][0]["values"], dtype=object))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: lm.Sequential(lm.Dense(3)).trace(X, Y), "expected a loss and an optimizer"),
        (lambda: small().trace(X, np.array([0, 7])), "expected classes from 0 to 2"),
        (lambda: small().trace(X, np.array([0])), "y"),
        (lambda: small().build(4).trace(X[:, :2], Y), "x"),
        (lambda: small().trace(X, Y)["dW3"], "dW"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_lengths_of_any_batch():
    b = lm.Input(3).shape[0]
    t = lm.placeholder(("B", "T")).shape[1]
    assert [known_as(n, 4) for n in (b, b * 2, b * 2 + 1, b - 1, 7, b * t, b * t * 2 + 1, 9 - b)] == [4, 8, 9, 3, 7, 16, 33, 5]


def test_without_data_sequences_whose_positions_lie_in_rows_are_shown():
    """Attention: its products lay B samples of T positions in B*T rows."""
    x = lm.placeholder((None, "T", 4))
    h = lm.Dense(3, "tanh")(x)
    pooled = lm.sum(lm.softmax(lm.Dense(1)(h), 1) * h, 1)
    net = lm.Model(x, lm.Dense(2)(pooled), seed=0)
    for model in (net, lm.Model(x, lm.sum(lm.reshape(h, (-1, 3)), 0, keepdims=True), seed=0)):
        assert "BxTx3" in model.explain(ascii=True) and "(B, T, 3)" in model.summary() and "tanh" in model._repr_html_()


def test_a_length_with_an_offset_is_divided_by_as_a_whole():
    x = lm.placeholder((None, "T", 4))
    net = lm.Model(x, lm.mean(lm.Dense(3)(x[:, 1:]), axis=1), seed=0)
    assert "sum(Z1, axis 2) / (T - 1) " in net.explain(np.ones((2, 3, 4)), ascii=True)


# ---- the program's steps ----

SILENT = {"copy", "add"}  # the step of a random generator, which no line shows


@pytest.mark.parametrize("name", CASES)
def test_the_steps_are_those_of_the_training_program_and_each_knows_its_lines(name):
    net, x, y = CASES[name]()
    made = trace(net, x, y, repeats=1)
    if not by_batch(net):
        return
    batch, targets = steps.checked(net, x, y, None)
    program = net.programs.train(Task(targets, batch.weight is not None))
    assert [step.name for step in made.program] == program.steps
    assert [step.name for step in made.program if not step.lines and step.name not in SILENT] == []
    for line in made:
        for index in line.program_steps:
            assert line.number in made.program[index].lines
    costly = [line for line in made if line.flops >= 8 and not line.program_steps and "size" not in str(line)]
    assert [str(line) for line in costly] == []


def test_a_rewritten_backward_pass_keeps_its_lines():
    """The zeros of a branch not taken are folded, equal nodes are shared, sums take another form: each line finds its step."""
    net = lm.Sequential(lm.Dense(6, "relu"), lm.BatchNorm(), lm.Dropout(0.5), lm.Dense(3), seed=0).compile("cross_entropy", "adam")
    made = net.trace(data(), np.array([0, 1, 2, 0, 1]))
    by_name = {line.name: line for line in made if line.section == "backward"}
    for name in ("dZ2", "dW2", "dD1", "dN1", "dgamma1", "dbeta1", "dH1", "dA1", "dZ1", "dW1", "db1"):
        assert by_name[name].program_steps, name
    (product,) = by_name["dW1"].program_steps
    assert made.program[product].name.startswith("matmul")
    update = next(line for line in made.update if line.name == "W1")
    assert product in update.program_steps  # the rule runs behind the product that makes its gradient


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [*optim.names(), "own"])
def test_no_optimizer_and_no_layer_sees_a_trace(optimizer, dtype):
    def weights(look: bool) -> list[np.ndarray]:
        layers = (lm.Dense(6, "relu"), lm.BatchNorm(), lm.Dropout(0.3), lm.LayerNorm(), lm.Reshape(2, 3), lm.Flatten())
        rule = Momentum(0.1) if optimizer == "own" else optimizer
        net = lm.Sequential(*layers, lm.Lambda(lambda t: t**2), lm.Activation("gelu"), lm.Dense(3), seed=7, dtype=dtype)
        net.compile("mse", rule)
        x, y = data().astype(dtype), data()[:, :3]
        for _ in range(3):
            if by_batch(net):
                net.train_step(x, y)
            else:
                net.fit(x, y, epochs=1, verbose=0)
            if look:
                net.trace(x, y)
                net.explain(x, y, level="values")
                net.trace(x)
        return [np.array(p.variable.read()) for p in state_of(net)]

    seen, unseen = weights(True), weights(False)
    assert len(seen) == len(unseen) and all(a.dtype == b.dtype for a, b in zip(seen, unseen, strict=True))
    for a, b in zip(seen, unseen, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_loss_of_several_outputs_is_named_whole():
    """In the trace, in the heads of what explain and draw make of it; of one output with a weight too."""
    net, x, y = CASES["branches"]()
    assert net.trace(x, y).about["loss"] == "MSE() of output_1 + 0.5 MAE() of output_2"
    assert "   MSE of output_1 + 0.5 MAE of output_2   " in net.explain().splitlines()[0]
    assert any("  MSE of output_1 + 0.5 MAE of output_2  " in label.text for label in picture(net, x, y)[0].labels)
    net = small().compile("cross_entropy", "sgd", loss_weights=2)
    assert net.trace(X, Y).about["loss"] == "2 CrossEntropy()"


def test_the_title_has_the_sizes_in_the_order_in_which_layers_run():
    """Also of layers that another one calls, and of one that is called twice."""

    class Pair(lm.Layer):
        def __init__(self):
            self.first, self.second = lm.Dense(8), lm.Dense(3)

        def forward(self, x):
            return self.second(self.first(x))

    x, again = lm.Input(4), lm.Dense(4)
    for net, title in (
        (lm.Sequential(Pair(), lm.Dense(2), seed=0).build(4), "MLP 4 → 8 → 3 → 2"),
        (lm.Model(x, again(again(x)), seed=0), "MLP 4 → 4 → 4"),
        (lm.Sequential(lm.Reshape(2, 2), lm.Dense(3), seed=0).build(4), "Sequential of 2 layers"),  # reads 2 of the 4
        (lm.Sequential(lm.LayerNorm(), seed=0).build(4), "Sequential of 1 layer"),
    ):
        assert net.trace(X).about["title"] == title


def test_an_input_that_nothing_reads_has_its_values():
    a, b = lm.Input(3), lm.Input(2)
    net = lm.Model([a, b], lm.Dense(2)(a), seed=0).compile("mse", "sgd")
    x = [np.ones((2, 3)), np.full((2, 2), 7.0)]
    for y in (np.ones((2, 2)), None):
        np.testing.assert_array_equal(net.trace(x, y)["X2"], x[1])
        picture(net, x, y)


def test_a_skip_written_as_a_sum_is_no_stack_of_layers():
    x = lm.Input(3)
    h = lm.Dense(3, "tanh")(x)
    skip, stack = (lm.Model(x, lm.Dense(2)(t), seed=0).compile("mse", "sgd") for t in (h + x, h))
    titles = [net.trace(np.ones((2, 3)), np.ones((2, 2))).about["title"] for net in (skip, stack)]
    assert titles == ["Model of 2 layers", "MLP 3 → 3 → 2"]


def test_what_an_update_computes_has_a_name():
    net = lm.Sequential(lm.Dense(3), seed=0).compile("cross_entropy", lm.optim.SGD(0.1, clip_norm=1e-3))
    trace = net.trace(np.ones((2, 4)), [0, 1])
    norm = np.sqrt(sum(np.square(trace[name]).sum() for name in ("dW1", "db1")))
    assert "c" in trace.names and trace["c"] == pytest.approx(1e-3 / norm, rel=1e-3)
    assert trace.step("c").section == "update" and trace.names.count("W1") == 1


def unrolled(steps):
    """A cell that runs over a sequence, with an output of each step."""
    x, cell, last = lm.Input(steps, 3), lm.Dense(4, "tanh"), lm.Dense(2)
    h, outputs = lm.Dense(4)(x[:, 0]), []
    for t in range(steps):
        h = cell(lm.concatenate([h, x[:, t]], -1))
        outputs.append(last(h))
    net = lm.Model(x, outputs, seed=0).compile(["mse"] * steps, "adam")
    return net, np.ones((2, steps, 3)), [np.ones((2, 2))] * steps


def test_what_shows_a_network_is_in_proportion_to_its_depth(tmp_path):
    def calls(steps):
        net, x, y = unrolled(steps)
        counted = cProfile.Profile()
        counted.enable()
        net.inspect(x, y)
        net.draw(tmp_path / "net.svg", x, y)
        counted.disable()
        return sum(entry.callcount for entry in counted.getstats())

    calls(2)
    assert calls(60) < 5 * calls(15)


def test_a_deep_residual_network_is_traced():
    """The gradients of its sums hang on each other, deeper than Python calls itself."""
    x = h = lm.Input(4)
    for _ in range(400):
        h = h + lm.Dense(4, "tanh")(h)
    net = lm.Model(x, h, seed=0).compile("mse", "sgd")
    assert len(net.trace(np.ones((2, 4)), np.ones((2, 4))).forward) == 1200


def test_what_a_node_costs():
    """Moving data costs nothing; two pairs of rows make two products and a sum."""
    x, y = lm.placeholder((2, 3)), lm.placeholder((2,), "int64")
    pairs = lm.Tensor(core.make("row_outer", [x.node] * 4, {}))
    rows = lm.grad(lm.sum(lm.take(x, y)), x)
    for t, flops in (
        (lm.cast(x, "float64"), 0), (lm.one_hot(y, 4), 0), (x.T, 0), (x + 1.0, 6), (lm.sum(x), 6), (lm.argmax(x), 6),
        (lm.softmax(x), 30), (x @ lm.placeholder((3, 4)), 48), (pairs, 54), (rows, 6),
    ):  # fmt: skip
        shapes = [tuple(n.shape) for n in t.node.inputs]
        assert cost.flops(t.node, shapes, tuple(t.shape)) == flops, t.node.op
