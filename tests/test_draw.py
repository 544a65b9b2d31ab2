"""net.draw: the picture is well-formed, readable, and its numbers are the core's. Looked at in a browser where one is installed."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import shutil
import struct
import subprocess
import time
import zlib
from html import unescape
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import lamina as lm
from lamina.base import plots
from lamina.draw import HEIGHT, WIDTH, picture
from lamina.draw.canvas import Box, Canvas, width
from lamina.draw.chain import Block, Sign, chain, layers
from lamina.draw.footer import _time
from lamina.draw.graph import Parts, _placed, is_chain
from lamina.draw.heatmap import as_matrix, grey, heatmap, scale_of, shrunk
from lamina.draw.network import NOT_A_NUMBER, image_shape
from lamina.draw.png import encode
from lamina.draw.tensors import layout, routes
from lamina.draw.theme import THEMES
from lamina.trace import notation, trace
from lamina.trace.notation import latex
from lamina.training.history import History
from nets import CASES, data

SVG = "{http://www.w3.org/2000/svg}"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def wide(images: bool = True):
    rng = np.random.default_rng(0)
    net = lm.Sequential(lm.Dense(128, "relu"), lm.Dense(10), seed=0).compile("cross_entropy", "adam")
    digits = lm.datasets.digits()[0][:2].reshape(2, 8, 8)
    x = np.kron(digits, np.ones((4, 4)))[:, 2:30, 2:30].reshape(2, 784) if images else rng.normal(size=(2, 784))
    return net, x.astype("float32"), np.array([3, 1])


def narrow():
    net = lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0).compile("cross_entropy", lm.optim.Adam(1e-2))
    rng = np.random.default_rng(1)
    net.fit(rng.normal(size=(40, 4)), rng.integers(0, 3, 40), epochs=4, validation_split=0.25, verbose=0)
    return net, rng.normal(size=(2, 4)).astype("float32"), np.array([0, 2])


def deep():
    layers = [lm.Dense(n, "tanh") for n in (32, 64, 20, 16, 12)]
    net = lm.Sequential(*layers, lm.Dense(1), seed=0).compile("mse", lm.optim.AdamW(1e-2, weight_decay=0.1, amsgrad=True))
    return net, np.random.default_rng(0).normal(size=(32, 13)), np.ones((32, 1))


def three():
    net = lm.Sequential(lm.Dense(64, "gelu"), lm.Dense(40, "gelu"), lm.Dense(5), seed=0)
    optimizer = lm.optim.RMSProp(1e-2, centered=True, momentum=0.9, weight_decay=0.1)
    return net.compile("cross_entropy", optimizer), np.random.default_rng(0).normal(size=(3, 13)), np.arange(3)


def two_inputs():
    """Branches of unequal length, a skip, an output on the way, a layer that reads its second input late."""
    words, x = lm.Input(3, dtype="int64"), lm.Input(4)
    a, b = lm.Flatten()(lm.Embedding(10, 4)(words)), lm.Dense(5, "relu")(x)
    c = lm.Add()(b, lm.LayerNorm()(lm.Dense(5, "tanh")(b)))
    joined = lm.Lambda(lambda p, q: 2.0 * p + q)(lm.Concatenate()(a, c), lm.Dense(17)(x))
    net = lm.Model([words, x], [lm.Dense(2)(joined), lm.Dense(2)(b)], seed=0).compile("mse", "sgd")
    return net, [np.arange(15).reshape(5, 3) % 10, data()[:, :4]], [data()[:, :2]] * 2


def of_layers(count: int, units: int, activation: str):
    net = lm.Sequential(*[lm.Dense(units, activation) for _ in range(count)], lm.Dense(2), seed=0).compile("cross_entropy", "sgd")
    return net, data(), np.arange(5) % 2


def by_step():
    """A layer at each step of a sequence: what the next one gets is no image, though a sample of x has two axes."""
    net = lm.Sequential(lm.Dense(3, "relu"), lm.Flatten(), lm.Dense(2), seed=0).compile("cross_entropy", "adam")
    return net, np.random.default_rng(0).normal(size=(3, 5, 4)), np.array([0, 1, 1])


def over_steps():
    x = lm.Input(5, 4)
    net = lm.Model(x, lm.Dense(2)(lm.mean(x, axis=1)), seed=0).compile("cross_entropy", "adam")
    return net, np.random.default_rng(0).normal(size=(3, 5, 4)), np.array([0, 1, 1])


SIZES = {"4-8-3": narrow, "784-128-10": wide, "784 not an image": lambda: wide(False), "deep": deep, "three": three}


def only_norms():
    net = lm.Sequential(*(lm.LayerNorm() for _ in range(30)), seed=0).compile("mse", "sgd")
    return net, data(), data()


def many_activations():
    layers = (lm.Activation("tanh") for _ in range(40))
    net = lm.Sequential(lm.Dense(6), *layers, lm.Dense(2), seed=0).compile("mse", "sgd")
    return net, data(), data()[:, :2]


SIZES |= {"8 layers": lambda: of_layers(8, 100, "leaky_relu"), "40 layers": lambda: of_layers(40, 8, "hard_sigmoid")}
ALL = {**SIZES, **CASES, "two inputs": two_inputs, "by step": by_step, "over steps": over_steps}
ALL |= {"only norms": only_norms, "many activations": many_activations}


def frame(part):
    """Where a rectangle or a disc lies."""
    at = {key: float(value) for key, value in re.findall(r' (c?[xyr]|width|height)="([^"]*)"', part)}
    r = at.get("r")
    return Box(at["x"], at["y"], at["width"], at["height"]) if r is None else Box(at["cx"] - r, at["cy"] - r, 2 * r, 2 * r)


def tensors(canvas):
    """The names and frames of the heatmaps of rows B and C."""
    found, name = [], None
    for part in canvas.parts:
        name = part.split('"')[3] if "data-name" in part else name
        if name and part.startswith("<rect") and 'fill="none"' in part:
            found += [(name, frame(part))] if "[" not in name else []
            name = None
    return found


def rows(canvas):
    """The frames of row B, from the left; those of row C, each with the first one of its tensor."""
    found = tensors(canvas)
    of = {before + name: name for name, _ in found for before in ("d", "d_")}
    first = dict(reversed(found))
    return [box for name, box in found if name not in of], [(first[of[name]], box) for name, box in found if name in of]


def neurons(canvas):
    return [frame(part) for part in canvas.parts if "<title>neuron" in part]


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


def end_of(line):
    """Where a path ends."""
    x = y = 0.0
    for kind, numbers in re.findall("([MHVLC])([^MHVLC]*)", line.split('"')[1]):
        *_, first, last = [x, y, *map(float, numbers.split())]
        x, y = (last, y) if kind == "H" else (x, last) if kind == "V" else (first, last)
    return x, y


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


def ends(net, x, y):
    """The symbol, name and values of the last line of neurons; None where the network is drawn as a graph."""
    found = layers(trace(net, x, y))
    return (found[-1].symbol.plain, found[-1].name, found[-1].outputs) if found else None


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


class Residual(lm.Layer):
    def __init__(self, units):
        self.inner = lm.Dense(units)

    def forward(self, x):
        return x + self.inner(x)


class Around(lm.Layer):
    def __init__(self, units):
        self.inner = lm.Dense(units)

    def forward(self, x):
        return lm.tanh(self.inner(lm.exp(x)))


def links(net):
    """The lines of the picture by what stands in the boxes; a layer that computes before and after an inner one has two."""
    parts = Parts(net)
    outputs = [name for name, t in net.named_outputs.items() if t.node.serial not in parts.of]
    names = {id(layer): name for name, layer in net.wiring.layers.items()}
    said = {t.node.serial: name for name, t in net.named_inputs.items()}
    said |= {id(part): names[id(part.call.layer)] for part in parts.found} | {name: name for name in outputs}
    said |= {serial: node.op for serial, node in parts.meetings.items()}
    return sorted((said[line[0]], said[line[-1]]) for line in parts.levels(outputs)[1])


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
    began = time.perf_counter()
    assert links(net) == [("input", "dense_1")]
    assert time.perf_counter() - began < 2


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


def test_the_name_over_an_arrow_has_room():
    net, x, y = two_inputs()
    items = chain(net.trace(x, y))
    layout(items, 40, 1000, 136)  # so narrow that no gap is stretched
    assert any(item.text == "embedding" for item in items if isinstance(item, Sign))
    for left, sign, right in zip(items, items[1:], items[2:], strict=False):
        if isinstance(sign, Sign) and sign.arrow:
            half = width(sign.text, 12) / 2 + 5
            assert left.box.right <= sign.x - half and sign.x + half <= right.box.x, sign.text


def test_the_file_is_svg_with_a_title_and_a_description(tmp_path):
    net, x, y = narrow()
    net.draw(tmp_path / "net.svg", x, y)
    root = ElementTree.parse(tmp_path / "net.svg").getroot()
    assert root.tag == f"{SVG}svg" and root.get("viewBox") == "0 0 1600 1000" and root.get("role") == "img"
    assert "4 → 8 → 3" in root.find(f"{SVG}title").text
    assert "Loss" in root.find(f"{SVG}desc").text
    assert not root.findall(f".//{SVG}script")


def test_numbers_in_the_picture_are_the_cores(tmp_path):
    net, x, y = narrow()
    net.draw(tmp_path / "net.svg", x, y)
    made = net.trace(x, y)
    groups = {g.get("data-name"): g for g in ElementTree.parse(tmp_path / "net.svg").iter(f"{SVG}g") if g.get("data-name")}
    assert set(groups) == {
        "X", "W1", "b1", "Z1", "A1", "W2", "b2", "Z2", "P", "Y", "dW1", "db1", "dZ1", "dA1", "dW2", "db2", "dZ2"
    }  # fmt: skip
    for name, group in groups.items():
        shown = np.array([float(cell.get("data-v")) for cell in group.iter(f"{SVG}rect") if cell.get("data-v")])
        if name != "Y":
            np.testing.assert_allclose(shown, made[name].ravel(), rtol=1e-6, err_msg=name)
            assert float(group.get("data-scale")) == pytest.approx(scale_of(as_matrix(made[name])))


def test_a_picture_changes_nothing():
    net, x, y = narrow()
    before = {name: value.copy() for name, value in net.parameters.items()}
    picture(net, x, y)
    for name, value in net.parameters.items():
        np.testing.assert_array_equal(value, before[name])


def test_names_of_the_user_are_escaped(tmp_path):
    net = lm.Sequential(lm.Dense(2).named("<&>"), lm.LayerNorm().named('"a" <b>'), seed=0).compile("mse", "sgd")
    net.draw(tmp_path / "net.svg", data(), data()[:, :2])
    ElementTree.parse(tmp_path / "net.svg")


# ---- heatmaps ----


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_colours_are_symmetric_about_zero(theme):
    ramp = theme.ramp()
    assert len(ramp) == 255 and theme.colour(0.0) == theme.neutral
    for level in (0.1, 0.5, 1.0):
        step = round(level * 127)
        assert "#" + bytes(ramp[127 + step]).hex() == theme.colour(step / 127)
        assert "#" + bytes(ramp[127 - step]).hex() == theme.colour(-step / 127)
    assert theme.colour(5.0) == theme.colour(1.0)


def test_a_large_matrix_keeps_the_largest_of_each_block():
    m = np.zeros((100, 90))
    m[57, 33] = -7.0
    small = shrunk(m, 10, 9)
    assert small.shape == (10, 9) and small[5, 3] == -7.0 and np.count_nonzero(small) == 1


def test_scale_is_the_99th_percentile_and_never_0():
    values = np.arange(-100.0, 101.0)
    assert scale_of(values) == np.percentile(np.abs(values), 99)
    assert scale_of(np.eye(1, 10)) == 1.0 and scale_of(np.arange(-98.0, 1.0)) == 98.0  # of few values none is cut off
    assert scale_of(np.zeros(4)) == 1.0 and scale_of(np.array([np.nan, np.inf])) == 1.0
    rare = np.zeros(1000)
    rare[3] = -2.0
    assert scale_of(rare) == 2.0


def test_values_that_are_not_finite_are_crossed_out(tmp_path):
    net, x, _ = narrow()
    x[0, 1] = np.nan
    canvas, _ = picture(net, x)
    assert sum(bool(re.match(r'<path d="M[^"m]*m0 -[^"]*" fill="none" stroke="#', part)) for part in canvas.parts) == 4  # X to P
    ElementTree.fromstring(canvas.svg("t", "d"))


@pytest.mark.parametrize("where", [(0, 0), (slice(None), slice(None))], ids=["one", "all"])
@pytest.mark.parametrize("size", ["4-8-3", "784-128-10", "784 not an image"])
def test_weights_that_are_not_numbers_are_seen(size, where):
    """Their links had a colour of 51 digits, and no width."""
    net, x, y = SIZES[size]()
    net.build(x.shape[1])
    weights = net.parameters["dense_1.weight"].copy()
    weights[where] = np.nan
    net.parameters["dense_1.weight"] = weights
    canvas, _ = picture(net, x, y)
    assert canvas.overlapping() == []
    links = [part for part in canvas.parts if part.startswith("<path") and NOT_A_NUMBER in part]
    assert links and all(f'stroke="{canvas.theme.ink}"' in part for part in links)
    for part in canvas.parts:
        if part.startswith("<path"):
            assert "nan" not in part and re.search('="#[0-9a-f]{6}"', part), part


def test_gradients_that_are_all_infinite_have_no_scale():
    """A scale of ±1 stood under them."""
    net = lm.Sequential(lm.Dense(2), seed=0).compile("mse", "sgd")
    texts = [t.text for t in picture(net, np.full((2, 3), 1e20), np.full((2, 2), 1e30))[0].labels]
    assert texts.count("not finite") == 1 and "±1" not in texts


def test_an_image_that_has_no_number_somewhere_is_crossed_out_there():
    x = np.random.default_rng(0).random((2, 4, 6))
    net = lm.Sequential(lm.Flatten(), lm.Dense(3), seed=0)
    crosses = [
        sum("l8 8m0 -8l-8 8" in part for part in picture(net, given)[0].parts)
        for given in (x, np.where(x == x[0, 1, 2], np.nan, x))
    ]
    assert crosses == [0, 1]


def test_neurons_that_are_read_in_part_are_no_line_of_columns():
    a = lm.Input(6)
    h = lm.Dense(4)(a)
    for output in (lm.Dense(2)(h[:, :2]), lm.Dense(3)(h)[:, :2] + lm.Dense(2)(h)):
        assert layers(lm.Model(a, output, seed=0).trace(data()[:, :6])) == []


def colours(part):
    """Of the pixels of an embedded picture, row by row."""
    file = base64.b64decode(re.search('base64,([^"]*)', part)[1])
    at, chunks = 8, {}
    while at < len(file):
        size, kind = struct.unpack(">I4s", file[at : at + 8])
        chunks[kind] = file[at + 8 : at + 8 + size]
        at += 12 + size
    columns, rows = struct.unpack(">II", chunks[b"IHDR"][:8])
    indices = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(rows, columns + 1)[:, 1:]
    return [f"#{bytes(colour).hex()}" for colour in np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[indices.ravel()]]


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_a_cell_has_the_colour_and_the_sign_of_its_value(theme, n):
    matrix = np.zeros((n, n))
    matrix[0, 1], matrix[1, 0], matrix[2, 2] = 2.0, -2.0, 1.0
    canvas = Canvas(WIDTH, HEIGHT, theme)
    heatmap(canvas, Box(0, 0, 80, 80), matrix, "M")
    cells = [re.search('fill="([^"]*)"', part)[1] for part in canvas.parts if "data-v" in part]
    cells = cells or colours(next(part for part in canvas.parts if part.startswith("<image")))
    assert (
        cells[:2] == [theme.neutral, theme.colour(1.0)]
        and cells[n] == theme.colour(-1.0)
        and cells[2 * n + 2] == theme.colour(64 / 127 if n == 40 else 0.5)
        and cells.count(theme.neutral) == n * n - 3
    )
    signs = [re.search('stroke="([^"]*)"', part)[1] for part in canvas.parts if 'opacity="0.75"' in part]
    assert signs == [theme.paper, theme.paper, theme.ink] * (n == 3)  # each seen on its colour


@pytest.mark.parametrize("value", [-9.0, 9.0])
def test_what_is_beyond_the_scale_is_marked(value):
    matrix = np.ones((20, 10))
    matrix[3, 4] = value
    canvas = Canvas(WIDTH, HEIGHT, THEMES["light"])
    heatmap(canvas, Box(0, 0, 100, 200), matrix, "M")
    assert [part.split('"')[1] for part in canvas.parts if "h3.5v3.5" in part] == ["M45.0 31.5h3.5v3.5"]


def test_lines_between_small_cells_do_not_hide_them():
    """A browser draws none thinner than a pixel: the weights beside a neuron, of a pixel each, were white."""
    net, x, y = wide()
    parts = picture(net, x, y)[0].parts
    tiles = [colours(after) for part, after in zip(parts, parts[1:], strict=False) if 'data-name="W1[:,' in part]
    assert len(tiles) == 8 and all(len({*tile}) > 20 for tile in tiles)
    places = [frame(after) for part, after in zip(parts, parts[1:], strict=False) if 'data-name="W1[:,' in part]
    assert not any(a.overlaps(b) for a, b in combinations(places + neurons(picture(net, x, y)[0]), 2))
    for part in parts:
        if "data-v" in part:
            assert min(float(side) for side in re.findall(r'(?:width|height)="([^"]*)"', part)[:2]) >= 2


def test_an_image_goes_from_the_papers_end_to_the_inks():
    canvas = Canvas(WIDTH, HEIGHT, THEMES["light"])
    grey(canvas, Box(0, 0, 80, 80), np.array([[5.0, 6.0], [9.0, np.nan]]), "X")
    assert colours(canvas.parts[0]) == ["#f4f5f7", "#bbbdc0", "#14181d", "#f4f5f7"]


def test_png_by_hand():
    indices = np.array([[0, 1], [2, 0], [1, 1]], dtype=np.uint8)
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], dtype=np.uint8)
    file = encode(indices, palette)
    at, chunks = 8, {}
    while at < len(file):
        size, kind = struct.unpack(">I4s", file[at : at + 8])
        body = file[at + 8 : at + 8 + size]
        assert struct.unpack(">I", file[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (2, 3, 8, 3, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(3, 3)
    np.testing.assert_array_equal(rows[:, 1:], indices)
    assert chunks[b"PLTE"] == palette.tobytes()


# ---- other formats, bad input ----


def test_png_and_pdf(tmp_path):
    net, x, y = narrow()
    if importlib.util.find_spec("typst") is None:
        with pytest.raises(ValueError, match=r"lamina\[draw\]"):
            net.draw(tmp_path / "net.png", x, y)
        pytest.skip("typst is not installed (pip install 'lamina[draw]'): no PNG and no PDF was made")
    net.draw(tmp_path / "net.png", x, y)
    net.draw(tmp_path / "net.pdf", x, y, theme="dark")
    png = (tmp_path / "net.png").read_bytes()
    assert png[:4] == b"\x89PNG" and struct.unpack(">II", png[16:24]) == (2 * WIDTH, 2 * HEIGHT)
    assert (tmp_path / "net.pdf").read_bytes()[:4] == b"%PDF"


def test_bad_input(tmp_path):
    net, x, y = narrow()
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf"):
        net.draw(tmp_path / "net.jpg", x, y)
    with pytest.raises(ValueError, match="light"):
        net.draw(tmp_path / "net.svg", x, y, theme="lihgt")
    with pytest.raises(FileNotFoundError, match=r"\[draw\] expected a path that can be written, got .*; make its folder"):
        net.draw(tmp_path / "missing" / "net.svg", x, y)
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(IsADirectoryError, match="pass another path"):
        net.draw(tmp_path / "folder.svg", x, y)
    with pytest.raises(FileNotFoundError, match=r"\[trace\].*make its folder"):
        net.trace(x, y).to_json(tmp_path / "missing" / "trace.json")
    for call in (net.draw, net.trace, net.inspect, net.explain):
        first = (tmp_path / "net.svg",) if call == net.draw else ()
        with pytest.raises(ValueError, match="expected a target of shape"):
            call(*first, x, np.ones((2, 5)))
    with pytest.raises(ValueError, match="net.compile"):
        lm.Sequential(lm.Dense(1)).draw(tmp_path / "net.svg", x, y)
    for nothing, said in (((None, y), "data beside y, got None"), ((x[:0],), "at least one row to show, got none")):
        with pytest.raises(ValueError, match=rf"\[draw\] expected {said}; pass some rows"):
            net.draw(tmp_path / "net.svg", *nothing)
    with pytest.raises(ValueError, match="has seen no data"):
        lm.Sequential(lm.Dense(1)).draw(tmp_path / "net.svg")


def test_without_data_it_is_one_sample_of_ones(tmp_path):
    words, a, b = lm.Input(4, dtype="int64"), lm.Input(2), lm.placeholder((None, "T", 3))
    several = lm.Concatenate()(lm.Flatten()(lm.Embedding(5, 2)(words)), lm.Dense(2)(a), lm.sum(lm.Dense(2, "tanh")(b), 1))
    for net in (narrow()[0], wide()[0].build(784), lm.Model([words, a, b], lm.Dense(1)(several), seed=0)):
        net.draw(tmp_path / "net.svg")
        text = (tmp_path / "net.svg").read_text(encoding="utf-8")
        assert "no data: an input of ones" in text and "net.draw(&quot;net.svg&quot;)" in text.replace(
            '"net.svg"', "&quot;net.svg&quot;"
        )
    ones = lm.Sequential(lm.Dense(1), seed=0).build(3)
    assert np.array_equal(picture(ones)[1]["X"], np.ones((1, 3)))
    fixed = lm.placeholder((4, 3))  # as many as it takes
    assert np.array_equal(picture(lm.Model(fixed, lm.Dense(1)(fixed)))[1]["X"], np.ones((4, 3)))


def test_a_missing_renderer_names_the_extra(tmp_path, monkeypatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("lamina.draw.render.importlib.import_module", missing)
    net, x, y = narrow()
    for suffix in ("png", "pdf"):
        with pytest.raises(ValueError, match=r"pip install 'lamina\[draw\]'"):
            net.draw(tmp_path / f"net.{suffix}", x, y)


# ---- in a browser ----

LOOK = """<pre id="out"></pre><script>
const rows = [...document.querySelectorAll("svg text")].map(t => {
  const b = t.getBoundingClientRect();
  const sizes = [t, ...t.querySelectorAll("tspan")].filter(e => e.textContent).map(e => parseFloat(getComputedStyle(e).fontSize));
  return [t.textContent, b.x, b.y, b.width, b.height, Math.min(...sizes)];
});
document.getElementById("out").textContent = "<<" + JSON.stringify(rows) + ">>";</script>"""
ASCENT = 3  # px of a text's box that hold no ink: boxes are as high as the font's tallest letter


def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser was found (looked for {', '.join(BROWSERS)}): the picture was not laid out by a real one")
    return found


@pytest.mark.parametrize("name", [*SIZES, "branches", "layer BatchNorm()"])
def test_in_a_browser_no_labels_overlap_and_none_is_small(name, tmp_path):
    program = browser()
    net, x, y = ALL[name]()
    net.draw(tmp_path / "net.svg", x, y)
    page = Path(tmp_path / "net.html")
    page.write_text(f"<!doctype html><meta charset=utf-8><body style='margin:0'>{(tmp_path / 'net.svg').read_text()}{LOOK}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    out = subprocess.run([program, *options, str(page)], capture_output=True, text=True, timeout=120).stdout
    found = re.search("<<(.*?)>>", unescape(out[out.index('id="out"') :]), re.S)
    assert found, out[-500:]
    rows = json.loads(found.group(1))
    assert len(rows) > 30 and min(row[5] for row in rows) >= 11
    for i, (text, x0, y0, w, h, _) in enumerate(rows):
        assert x0 >= 0 and x0 + w <= WIDTH and y0 + h <= HEIGHT, text
        for other, x1, y1, w1, h1, _ in rows[i + 1 :]:
            across, down = min(x0 + w, x1 + w1) - max(x0, x1), min(y0 + h, y1 + h1) - max(y0, y1)
            assert across <= 1 or down <= ASCENT, (text, other)


def test_embedded_rasters_are_palette_pngs(tmp_path):
    net, x, y = wide()
    net.draw(tmp_path / "net.svg", x, y)
    images = ElementTree.parse(tmp_path / "net.svg").iter(f"{SVG}image")
    for image in images:
        assert base64.b64decode(image.get("href").removeprefix("data:image/png;base64,"))[:4] == b"\x89PNG"


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("name", ["a long name {}", "{}"])
def test_names_of_classes_do_not_overlap(own, name):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing was plotted")
    matplotlib.use("Agg")
    pyplot = plots.pyplot()
    figure = pyplot.figure(figsize=(8, 8))
    y, labels = np.arange(12), [name.format(i) for i in range(12)]
    ax = lm.metrics.plot_confusion(y, y, labels=labels, ax=figure.add_subplot() if own else None)
    ax.figure.draw_without_rendering()
    shown = ax.get_xticklabels()
    turned = {(label.get_rotation(), label.get_ha()) for label in shown}
    assert turned == ({(45.0, "right")} if name != "{}" else {(0.0, "center")})
    if name == "{}":
        boxes = [label.get_window_extent() for label in shown]
        assert all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
    assert own or ax.xaxis.label.get_window_extent().y0 > 0  # what is below the names is in the picture
    pyplot.close("all")


@pytest.mark.parametrize("theme", THEMES)
def test_the_command_under_a_picture_draws_it_again(theme):
    canvas, _ = picture(lm.Sequential(lm.Dense(2), seed=0).build(3), np.ones((1, 3)), theme=theme, path="it.svg")
    command = next(label.text for label in canvas.labels if label.text.startswith("net.draw("))
    assert command == ('net.draw("it.svg", x)' if theme == "light" else f'net.draw("it.svg", x, theme="{theme}")')
