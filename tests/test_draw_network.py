"""net.draw: neurons and links, or layers as boxes; which are shown, where lines run, what is left out and said."""

from __future__ import annotations

import re
import time
from itertools import combinations

import numpy as np
import pytest

import lamina as lm
from lamina.draw import WIDTH, picture
from lamina.draw.canvas import Box, width
from lamina.draw.chain import Block, Sign, chain
from lamina.draw.graph import Parts, _placed, is_chain
from lamina.draw.network import image_shape
from lamina.draw.tensors import layout
from lamina.trace import trace
from nets import CASES, data
from pictures import Residual, ends, frame, links, narrow, neurons, of_layers, two_inputs, wide


def test_a_link_joins_its_neurons_and_shows_its_weight():
    net, x, y = narrow()
    canvas, made = picture(net, x, y)
    discs, links = neurons(canvas), {}
    columns = discs[:4], discs[4:12], discs[12:]
    for part in canvas.parts[canvas.parts.index('<g class="links">') + 1 : canvas.parts.index("</g>")]:
        x0, y0, x1, y1 = map(float, re.search(r"M(\S+) (\S+)L(\S+) ([^\"]+)", part).groups())
        (start,) = [(k, i) for k in (0, 1) for i, n in enumerate(columns[k]) if abs(n.right - x0) + abs(n.cy - y0) < 0.2]
        (end,) = [j for j, n in enumerate(columns[start[0] + 1]) if abs(n.x - x1) + abs(n.cy - y1) < 0.2]
        red, blue = (int(part.partition('stroke="#')[2][at : at + 2], 16) for at in (0, 4))
        links[(*start, end)] = float(re.search('width="([^"]+)"', part)[1]), np.sign(blue - red)
    weights = {(k, *at): float(w) for k in (0, 1) for at, w in np.ndenumerate(made[f"W{k + 1}"])}
    assert {key: sign for key, (_, sign) in links.items()} == {key: np.sign(w) for key, w in weights.items()}
    for k in (0, 1):
        widths = [links[key][0] for key in sorted(weights, key=lambda key: abs(weights[key])) if key[0] == k]
        assert widths == sorted(widths) and widths[-1] > 5 * widths[0]
    pens = [links[key][0] for key in links]
    assert pens == sorted(pens)  # the strongest is drawn last
    many = picture(*wide())[0].parts
    widest = re.search('width="([^"]+)"', many[many.index("</g>", many.index('<g class="links">')) - 1])[1]
    assert float(widest) < pens[-1]  # so that single ones can be told apart


def test_marks_stand_on_the_pixels_that_weigh_most():
    net, x, y = wide()
    canvas, made = picture(net, x, y)
    (image,) = [frame(part) for part in canvas.parts if "the first sample, " in part]
    weight = np.abs(made["X"][0]) * np.abs(made["W1"]).sum(axis=1)
    places = {(image.x + (k % 28 + 0.5) * image.w / 28, image.y + (k // 28 + 0.5) * image.h / 28) for k in np.argsort(-weight)[:8]}
    marks = [frame(part) for part in canvas.parts if part.startswith("<circle") and f'stroke="{canvas.theme.paper}"' in part]
    np.testing.assert_allclose(sorted((mark.cx, mark.cy) for mark in marks), sorted(places), atol=0.02)


def test_each_part_has_its_heading():
    texts = [t.text for t in picture(*narrow())[0].labels]
    assert "each tensor on its own scale ±s" in texts
    heads = "A  THE NETWORK", "B  FORWARD", "C  BACKWARD", "D  UPDATE BY Adam", "LOSS OVER THE EPOCHS", "HOW IT CAME ABOUT"
    assert all(sum(text.startswith(head) for text in texts) == 1 for head in heads)


def test_many_layers_are_shown_by_the_first_and_the_last_ones():
    net, x, y = of_layers(40, 8, "relu")
    canvas, made = picture(net, x, y)
    texts = [t.text for t in canvas.labels]
    assert made.about["title"] == "MLP 6 → 8 → 8 → 8 → 8 → 8 → … 32 more … → 8 → 8 → 8 → 2"
    assert "A₆" in texts and "⋯" in texts and "A₃₅" in texts and not {"A₇", "A₃₄"} & set(texts)
    assert texts.count("8, relu") == 12
    said = next(text for text in texts if "links drawn" in text)
    assert re.fullmatch(r"\d+ of 2,560 links drawn: the strongest of each layer between the neurons shown", said)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((14, 14, 14), "300 of 392 links drawn: the strongest of each layer"),
        ((20, 20), "300 of 400 links drawn: the strongest"),
        ((200, 12, 2), "120 of 2,424 links drawn: between the neurons shown"),
        ((200, 24, 2), "198 of 4,848 links drawn: the strongest of each layer between the neurons shown"),
    ],
)
def test_which_links_are_drawn_is_said(sizes, said):
    net = lm.Sequential(*map(lm.Dense, sizes[1:]), seed=0).build(sizes[0])
    assert said in [t.text for t in picture(net, np.random.default_rng(0).normal(size=(2, sizes[0])))[0].labels]


def test_a_row_of_a_table_is_no_image():
    """Of 64 columns: what is random, scaled to 0 ... 1, counted, or one-hot; digits are images, one by one and together."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(50, 64)) * rng.gamma(1, 5, 64)
    scaled = (table - table.min(0)) / (table.max(0) - table.min(0))
    words = np.concatenate([np.eye(16)[rng.integers(0, 16, 50)] for _ in range(4)], axis=1)
    for rows in (rng.random((50, 64)), scaled, rng.poisson(3, (50, 64)), np.eye(64), words, np.ones((3, 64))):
        assert image_shape(rows, (64,)) is None
        assert not any(image_shape(row[None], (64,)) for row in rows)
    digits = lm.datasets.digits()[0]
    assert image_shape(digits, (64,)) == (8, 8) and all(image_shape(row[None], (64,)) for row in digits)
    net = lm.Sequential(lm.Dense(6, "relu"), lm.Dense(2), seed=0).build(64)
    shown = [any("pixels" in part for part in picture(net, rows[:2])[0].parts) for rows in (scaled, digits)]
    assert shown == [False, True]


def test_a_skip_is_drawn_as_a_graph_and_a_function_between_layers_as_a_line():
    x = lm.Input(6)
    h = lm.Dense(6, "relu")(x)
    nets = {
        "skip of a layer": lm.Model(x, lm.Dense(2)(lm.Add()(h, lm.Dense(6)(lm.LayerNorm()(h)))), seed=0),
        "skip of an operation": lm.Model(x, lm.Dense(2)(h + lm.Dense(6)(lm.LayerNorm()(h))), seed=0),
        "skip to the output": lm.Model(x, h + lm.Dense(6)(lm.LayerNorm()(h)), seed=0),
        "function": lm.Model(x, lm.Dense(2)(h * lm.tanh(h)), seed=0),
        "layers": lm.Sequential(lm.Dense(6), lm.BatchNorm(), lm.Dropout(0.5), lm.Dense(2), seed=0),
    }
    lines = [name for name, net in nets.items() if any("neuron" in t.text for t in picture(net, data())[0].labels)]
    assert lines == ["function", "layers"]


def test_an_image_is_the_input_and_nothing_that_was_made_of_it():
    x = np.abs(np.random.default_rng(0).normal(size=(2, 4, 6)))
    for first, shown in ((lm.Flatten(), True), (lm.Dense(5), False), (lm.Dense(6, "relu"), False)):
        net = lm.Sequential(first, lm.Flatten(), lm.Dense(3), seed=0)
        assert any("the first sample, 4 x 6 pixels" in part for part in picture(net, x)[0].parts) is shown


def test_the_last_neurons_show_the_output():
    """What operations, norms and functions make of the last dense layer's values, and of a layer that is called twice."""
    given, shared = np.array([[0.5, -1.0, 2.0]]), lm.Dense(3, "sigmoid")
    x = lm.Input(3)
    nets = {
        ("A'1", "sigmoid"): lm.Model(x, shared(shared(x)), seed=0),
        ("output", "mul"): lm.Model(x, 10 * lm.Dense(3)(lm.Dense(2, "tanh")(x)), seed=0),
        ("N1", "layer norm"): lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(3), lm.LayerNorm(), seed=0),
        ("lambda_1", "lambda"): lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(3), lm.Lambda(lm.exp), seed=0),
    }
    for (symbol, name), net in nets.items():
        found = ends(net.compile("mse", "sgd"), given, np.ones((1, 3)))
        assert found is not None and found[:2] == (symbol, name)
        np.testing.assert_allclose(found[2], net.predict(given)[0], rtol=1e-6)
    turned, mixed = lm.flip(lm.Dense(3)(x), 1), lm.matmul(lm.Dense(3)(x), lm.Parameter(np.ones((3, 3))))
    for output in (turned, mixed):  # as wide as the last dense layer, and not made one by one
        assert ends(lm.Model(x, output, seed=0).compile("mse", "sgd"), given, np.ones((1, 3))) is None
    tied = lm.Dense(2, "tanh")
    h = tied(x)
    net = lm.Model(x, lm.matmul(h, lm.transpose(tied.parameters["weight"])), seed=0).compile("mse", "sgd")
    assert ends(net, given, given) is None and trace(net, given, given).about["title"] == "Model of 1 layer"


def captions(net, x, y=None):
    """The words under the lines of neurons."""
    return [t.text for t in picture(net, x, y)[0].labels if re.match(r"[\d,]+ (neuron|input|value)", t.text)]


def test_captions_say_all_that_is_done_to_the_values():
    """They named the last layer's class alone: 16 neurons, dropout; and what was before the first dense layer, not at all."""
    layers_ = lm.Dense(16), lm.BatchNorm(), lm.Activation("relu"), lm.Dropout(0.3), lm.Dense(1)
    net = lm.Sequential(*layers_, seed=0).compile("mse", "sgd")
    assert captions(net, data(), data()[:, :1]) == ["6 inputs", "16 neurons, batch norm, relu, dropout", "1 neuron"]
    assert captions(net, data()) == ["6 inputs", "16 neurons, batch norm, relu", "1 neuron"]
    net = lm.Sequential(lm.Embedding(20, 2), lm.Flatten(), lm.Dense(4, "relu"), lm.Dense(2), seed=0).compile("cross_entropy", "sgd")
    words = np.arange(6).reshape(2, 3)
    assert captions(net, words, np.array([0, 1])) == ["6 values, embedding, flatten", "4 neurons, relu", "2 neurons, softmax"]
    x = lm.Input(6)
    net = lm.Model(x, lm.Dense(2)(lm.tanh(lm.Dense(3)(x)) + 1.0), seed=0)
    assert captions(net, data()) == ["6 inputs", "3 neurons, tanh, add", "2 neurons"]


def test_no_layer_is_missing_from_a_line_of_neurons():
    """A dense layer over the positions of a sequence was left out, and nothing said so."""
    x = lm.placeholder((None, "T", 4))
    net = lm.Model(x, lm.Dense(1)(lm.mean(lm.Dense(6, "relu")(x), axis=1)), seed=0)
    texts = [t.text for t in picture(net, np.ones((3, 7, 4)))[0].labels]
    assert is_chain(net) and {"dense_1", "dense_2"} <= {*texts}


def test_the_network_says_which_sample_it_shows():
    head = "A  THE NETWORK  for the first sample; each column on its own scale; the width and colour of a link: its weight"
    net, x, y = narrow()
    assert head in [t.text for t in picture(net, x, y)[0].labels]
    net, x, y = two_inputs()
    assert "A  THE NETWORK" in [t.text for t in picture(net, x, y)[0].labels]


@pytest.mark.parametrize(("classes", "true"), [(10, 3), (30, 7), (30, 29), (1000, 777)])
def test_the_class_that_is_right_is_always_named(classes, true):
    net = lm.Sequential(lm.Dense(16, "relu"), lm.Dense(classes), seed=0).compile("cross_entropy", "sgd")
    x = np.random.default_rng(0).normal(size=(2, 8))
    canvas, made = picture(net, x, np.array([true, 0]))
    texts = [label.text for label in canvas.labels]
    best = int(np.argmax(made["P"][0]))
    assert sum(f"class {true}: " in text and text.endswith("(true)") for text in texts) == 1
    assert any(text.startswith(f"class {best}: ") for text in texts)


def test_two_classes_side_by_side_have_their_names():
    net = lm.Sequential(lm.Dense(16, "relu"), lm.Dense(30), seed=0).compile("cross_entropy", "sgd").build(8)
    x = np.random.default_rng(0).normal(size=(1, 8))
    best = int(np.argmax(net.predict(x)))
    for true in (best - 1, best + 1):
        canvas, _ = picture(net, x, np.array([true]))
        named = [t.text.split(":")[0] for t in sorted(canvas.labels, key=lambda t: t.box.y) if t.text.startswith("class ")]
        assert named == [f"class {k}" for k in sorted((best, true))] and canvas.overlapping() == []


def test_a_step_of_a_sequence_is_a_slice():
    net = lm.Model(x := lm.Input(5, 4), lm.Dense(2)(x[:, 0]), seed=0)
    assert "slice" in [t.text for t in picture(net, np.ones((2, 5, 4), "float32"))[0].labels]


def test_an_input_that_is_an_output_says_so():
    x = lm.Input(3)
    texts = [t.text for t in picture(lm.Model(x, [x, lm.Dense(1)(x), x], seed=0))[0].labels]
    assert {"input → output_1, output_3", "dense_1 → output_2"} <= set(texts)


def test_an_output_that_is_given_twice_stands_beside_both_targets():
    x = lm.Input(3)
    h = lm.Dense(2)(x)
    net = lm.Model(x, [h, h], seed=0).compile(["mse", "mae"], "sgd")
    shown = chain(trace(net, np.ones((2, 3)), [np.ones((2, 2)), np.zeros((2, 2))]))
    assert [item.symbol.plain for item in shown if isinstance(item, Block) and item.kind == "target"] == ["Y1", "Y2"]


def test_many_boxes_in_a_column_have_their_names():
    a = lm.Input(6)
    for count in (7, 30):
        net = lm.Model(a, {f"o{i}": lm.Dense(2).named(f"head_{i}")(a) for i in range(count)}, seed=0)
        canvas, _ = picture(net, data())
        texts = [t.text for t in canvas.labels]
        left_out = count - sum(text.startswith("head_") for text in texts)
        assert left_out == 0 if count == 7 else 0 < left_out < 15
        assert (f"{left_out} more boxes are left out" in texts) == bool(left_out) and canvas.overlapping() == []
    hidden, targets = lm.Dense(6)(a), {f"o{i}": data()[:, :1] for i in range(12)}
    net = lm.Model(a, {name: lm.Dense(1)(hidden) for name in targets}, seed=0).compile("mse", "sgd")
    assert "1 more box is left out" in [t.text for t in picture(net, data(), targets)[0].labels]


def test_inputs_and_targets_of_every_branch_are_shown():
    """Beside what joins them, and behind each output with its probabilities; the boxes of row A say which output they make."""
    net, x, y = two_inputs()
    texts = [t.text for t in picture(net, x, y)[0].labels]
    assert {"X₁", "X₂"} <= set(texts)
    net, x, y = CASES["heads"]()
    canvas, made = picture(net, x, y)
    texts = [t.text for t in canvas.labels]
    assert {"dense_2 → size", "dense_3 → kind", "dense_4 → flags"} <= set(texts)
    items = [item.symbol.plain if isinstance(item, Block) else item.text for item in chain(made)]
    ends = ["= Z2 vs Y1", "= Z3 softmax P2 vs Y2", "= Z4 vs Y3"]
    assert all(end in " ".join(items) for end in ends) and items.count("A1") == 3 and texts.count("dA₁") == 1
    by_operations = {"up": lm.exp(lm.Dense(2)(net.inputs[0])), "down": -lm.Dense(2)(net.inputs[0])}
    boxes, _ = picture(lm.Model(net.inputs[0], by_operations, seed=0), x)
    assert {"dense_1", "up", "dense_2", "down"} <= {t.text for t in boxes.labels}  # an output of operations has a box of its own
    many = {f"o{k}": lm.Dense(2)(lm.Dense(3, "relu")(net.inputs[0])) for k in range(9)}
    wide, _ = picture(lm.Model(net.inputs[0], many, seed=0).compile("mse", "sgd"), x, [y["flags"]] * 9)
    texts = [t.text for t in wide.labels]
    assert wide.overlapping() == [] and "Y₉" in texts and any("layers ⋯" in line for line in texts)


def test_branches_of_one_input_are_shown_as_far_as_there_is_room():
    a = lm.Input(6)
    for count, shown, left_out in ((3, 3, ""), (9, 2, "⋯ 8 layers ⋯")):  # seven dense layers and what joins them
        joined = lm.Concatenate()(*(lm.Dense(4, bias=False)(a) for _ in range(count)))
        net = lm.Model(a, lm.Dense(2)(joined), seed=0).compile("mse", "sgd")
        texts = [t.text for t in picture(net, data(), data()[:, :2])[0].labels]
        assert texts.count("X") >= shown and {"Z₁", "Z₂", f"Z{'₀₁₂₃₄₅₆₇₈₉'[shown]}"} <= set(texts)
        assert [text for text in texts if "layers ⋯" in text] == ([left_out] if left_out else [])


def test_a_long_graph_is_shown_by_its_first_and_last_columns():
    a = lm.Input(6)
    h = lm.Dense(8)(a)
    for _ in range(6):
        h = lm.Add()(h, lm.Dense(8)(lm.LayerNorm()(h)))
    canvas, _ = picture(lm.Model(a, lm.Dense(2)(h), seed=0), data())
    texts = [t.text for t in canvas.labels]
    assert {"input", "dense_1", "add_1", "⋯", "layer_norm_6", "add_6", "dense_8"} <= set(texts) and "dense_4" not in texts
    assert "12 more boxes are left out" in texts and canvas.overlapping() == []


def test_what_an_operation_makes_for_a_layer_is_shown():
    x = lm.Input(5, 4)
    net = lm.Model(x, lm.Dense(2)(lm.mean(lm.Dense(3)(x), axis=1)), seed=0).compile("mse", "sgd")
    texts = [t.text for t in picture(net, np.ones((2, 5, 4)), np.ones((2, 2)))[0].labels]
    assert {"U₂", "dU₂", "mean", "U₂ = sum(Z₁, axis 2) / 5", "dU₂ = dZ₂ W₂ᵀ"} <= set(texts)


def test_layers_that_are_left_out_are_counted_by_their_calls():
    """One layer called six times was 6 layers, and the operations between layers were layers, too."""
    x = lm.Input(6)
    h, shared = x, lm.Dense(6, "tanh")
    for _ in range(6):
        h = shared(h)
    texts = [t.text for t in picture(lm.Model(x, lm.Dense(2)(h), seed=0), data())[0].labels]
    assert [text for text in texts if text.startswith("⋯ ")] == ["⋯ 5 calls of dense_1 ⋯"]
    a, b, c = (lm.Dense(4, name)(x) for name in ("relu", "tanh", "sigmoid"))
    net = lm.Model(x, lm.Dense(1)(a * b + c), seed=0).compile("mse", "sgd")
    texts = [t.text for t in picture(net, data(), data()[:, :1])[0].labels]
    assert [text for text in texts if text.startswith("⋯ ")] == ["⋯ 1 layer ⋯"]


def test_no_arrow_leads_from_one_branch_into_another():
    """Where the gradients of two branches stand side by side: the loss's arrow alone points to the left."""
    a = lm.Input(6)
    h = lm.Dense(4, "tanh")(lm.Dense(4, "tanh")(a))
    heads = [lm.Dense(1)(h), lm.Dense(1)(lm.Lambda(lambda t: lm.exp(-t))(h)), lm.Dense(1)(h)]
    canvas, _ = picture(lm.Model(a, heads, seed=0).compile("mse", "sgd"), data(), [data()[:, :1]] * 3)
    assert {"dZ₃", "dA₂", "dZ₅"} <= {t.text for t in canvas.labels}  # the second one makes others, but not the first one
    assert sum("l7 -4v8z" in part for part in canvas.parts) == 1


def test_names_of_layers_and_inputs_are_the_users():
    a, b = lm.Input(4, name="rooms"), lm.Input(6)
    net = lm.Model([a, b], lm.Dense(2)(lm.Concatenate()(lm.Dense(2)(a), b)), seed=0).compile("mse", "sgd")
    canvas, _ = picture(net, [data()[:, :4], data()], data()[:, :2])
    assert {"rooms", "input_2"} <= {t.text for t in canvas.labels}
    words, x, y = CASES["embedding"]()
    texts = [t.text for t in picture(words, x, y)[0].labels]
    assert texts[texts.index("12 values, embedding, flatten") - 1] == "flatten_1"
    net = lm.Sequential(lm.Dense(3, "relu"), lm.Dropout(0.5).named("half_of_them"), lm.Dense(2), seed=0).compile("mse", "sgd")
    assert "3 neurons, relu, half of them" in {t.text for t in picture(net, data(), data()[:, :2])[0].labels}


def test_a_loss_of_many_outputs_is_cut_in_a_picture():
    a = lm.Input(4)
    net = lm.Model(a, {f"output_with_a_name_{k}": lm.Dense(1)(a) for k in range(12)}, seed=0).compile("mse", "sgd")
    canvas, _ = picture(net, data()[:2, :4], [np.ones((2, 1))] * 12)
    assert canvas.overlapping() == []
    assert max(label.box.right for label in canvas.labels) <= WIDTH and any(t.text.endswith("...") for t in canvas.labels)


def test_lines_do_not_cross_where_they_need_not():
    """Boxes stand in the order of what they read, whatever was made first."""
    a, b = lm.Input(3, name="a"), lm.Input(3, name="b")
    of_b = lm.Dense(2).named("of_b")(b)
    net = lm.Model([a, b], lm.Concatenate()(lm.Dense(2).named("of_a")(a), of_b), seed=0)
    at = {t.text: t.box.y for t in picture(net)[0].labels}
    assert at["a"] < at["b"] and at["of_a"] < at["of_b"]


def test_a_line_runs_past_a_column_in_a_place_of_its_own():
    net, _, _ = two_inputs()
    level, lines = Parts(net).levels()
    assert any(len(line) > 2 for line in lines)
    assert all(level[b] == level[a] + 1 for line in lines for a, b in zip(line, line[1:], strict=False))
    places = _placed(Box(40, 90, 1520, 300), level, lines)
    assert len(places) == len(level)
    assert not [(a, b) for a, b in combinations(places.values(), 2) if a.overlaps(b, -4)]


def test_inputs_stand_in_the_order_of_the_user():
    """They were a set, in the order of numbers that other networks before this one had counted up."""
    for _ in range(6):
        inputs = [lm.Input(2, name=f"s{i}") for i in range(3)]
        joined = lm.Concatenate()(*[lm.Dense(2)(x) for x in inputs])
        texts = [t.text for t in picture(lm.Model(inputs, lm.Dense(1)(joined), seed=0))[0].labels]
        assert [text for text in texts if re.fullmatch(r"s\d", text)] == ["s0", "s1", "s2"]


def test_where_nothing_is_trained_the_update_says_so():
    net = lm.Sequential(lm.Activation("relu")).build(3).compile("mse", "sgd")
    assert "nothing is trained" in [t.text for t in picture(net, np.ones((2, 3)), np.ones((2, 3)))[0].labels]


class Around(lm.Layer):
    def __init__(self, units):
        self.inner = lm.Dense(units)

    def forward(self, x):
        return lm.tanh(self.inner(lm.exp(x)))


def test_a_layer_that_calls_layers_is_linked_with_those():
    assert links(lm.Sequential(Residual(5), lm.Dense(2)).build(5)) == [
        ("dense_2", "residual_1"),
        ("input", "dense_2"),
        ("input", "residual_1"),
        ("residual_1", "dense_1"),
    ]
    around = lm.Sequential(Around(4), lm.Dense(2)).build(5)
    assert links(around) == [
        ("around_1", "dense_1"),
        ("around_1", "dense_2"),
        ("dense_2", "around_1"),
        ("input", "around_1"),
    ]
    assert is_chain(around) and not is_chain(lm.Sequential(Residual(5)).build(5))


def test_what_is_computed_outside_of_layers_has_a_box_where_it_is_an_output():
    a, b = lm.Input(3, name="a"), lm.Input(3, name="b")
    shared = lm.Dense(4)
    za, zb = shared(a), shared(b)
    net = lm.Model([a, b], {"sum": za + zb, "first": za}, seed=0)
    assert links(net) == [("a", "dense_1"), ("b", "dense_1"), ("dense_1", "sum"), ("dense_1", "sum")]


def residual(blocks):
    h = x = lm.Input(4)
    for _ in range(blocks):
        h = h + lm.Dense(4, "tanh")(h)
    return lm.Model(x, lm.Dense(1)(lm.sqrt(lm.square(h))), seed=0)


def test_an_operation_in_which_branches_meet_is_a_circle():
    """Through operations of one number alone the lines pass."""
    net = residual(2)
    assert links(net) == [
        *[("add", "add"), ("add", "dense_2"), ("add", "dense_3"), ("dense_1", "add"), ("dense_2", "add")],
        *[("input", "add"), ("input", "dense_1")],
    ]
    canvas, _ = picture(net, data()[:3, :4])
    (plus, *_), boxes = ([t.box for t in canvas.labels if t.text == text] for text in ("+", "dense_1"))
    assert canvas.overlapping() == [] and boxes[0].right < plus.x
    a, b = lm.Input(3, name="a"), lm.Input(3, name="b")
    texts = [t.text for t in picture(lm.Model([a, b], lm.Dense(1)(lm.maximum(a, b)), seed=0))[0].labels]
    assert "maximum" in texts


def test_what_a_deep_residual_network_takes_to_draw_is_in_proportion_to_its_depth():
    small, large = (len(Parts(residual(blocks)).levels()[0]) for blocks in (20, 40))
    assert large < 2.1 * small


def test_many_operations_outside_of_layers_are_walked_once():
    """They were from each of them to the input, 9 s here for what takes 0.03."""
    h = x = lm.Input(4)
    for _ in range(1000):
        h = lm.tanh(h * 0.5)
    net = lm.Model(x, lm.Dense(1)(h), seed=0)
    began = time.process_time()  # which a busy machine does not stretch
    assert links(net) == [("input", "dense_1")]
    assert time.process_time() - began < 2


def test_who_reads_an_output_of_operations_is_linked_with_what_makes_it():
    """The output had a box, and its reader arrows from what it is made of."""
    x = lm.Input(4)
    total = lm.Dense(3)(x) + lm.Dense(3)(x)
    assert links(lm.Model(x, {"sum": total, "read": lm.Dense(1)(total)}, seed=0)) == [
        *[("add", "dense_3"), ("add", "sum"), ("dense_1", "add"), ("dense_2", "add"), ("input", "dense_1"), ("input", "dense_2")]
    ]


def test_of_a_high_column_the_lines_that_pass_are_left_out_first():
    """Where each layer reads all before it, there were circles whose layers between them were not there."""
    before = [lm.Input(8)]
    for _ in range(20):
        before.append(lm.Dense(4)(lm.concatenate(before, 1)))
    level, lines = Parts(lm.Model(before[0], before[-1], seed=0)).levels()
    places = _placed(Box(40, 90, 1520, 370), level, lines)
    shown = {level[key] for key in places if key in level}
    boxes = [key for key in level if level[key] in shown and not isinstance(key, tuple)]
    assert len(boxes) == len(shown) > 5 and all(key in places for key in boxes)


def test_derivatives_are_no_circles():
    x = lm.Input(2)
    y = lm.Dense(1)(lm.Dense(4, "tanh")(x))
    assert not Parts(lm.Model(x, lm.grad(lm.sum(lm.grad(lm.sum(y), x) ** 2), x), seed=0)).meetings


def test_a_step_along_a_derivative_is_drawn():
    """A layer's slope reads what its output has met: the box of both would stand before and behind that."""
    x, y = lm.Input(4), lm.Input(3)
    away = x + lm.grad(lm.sum((lm.Dense(3, "tanh")(x) - y) ** 2), x)
    net = lm.Model([x, y], lm.Dense(2)(away), seed=0)
    assert {("dense_1", "sub"), ("sub", "dense_1"), ("add", "dense_2")} <= {*links(net)}
    canvas, _ = picture(net, [data()[:3, :4], data()[:3, :3]])
    assert canvas.overlapping() == []


def test_the_name_over_an_arrow_has_room():
    net, x, y = two_inputs()
    items = chain(net.trace(x, y))
    layout(items, 40, 1000, 136)  # so narrow that no gap is stretched
    assert any(item.text == "embedding" for item in items if isinstance(item, Sign))
    for left, sign, right in zip(items, items[1:], items[2:], strict=False):
        if isinstance(sign, Sign) and sign.arrow:
            half = width(sign.text, 12) / 2 + 5
            assert left.box.right <= sign.x - half and sign.x + half <= right.box.x, sign.text
