"""Networks to draw, by their size, and where parts of a picture lie."""

from __future__ import annotations

import re

import numpy as np

import lamina as lm
from lamina.draw.canvas import Box
from lamina.draw.chain import layers
from lamina.draw.graph import Parts
from lamina.trace import trace
from nets import CASES, data

SVG = "{http://www.w3.org/2000/svg}"


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


def end_of(line):
    """Where a path ends."""
    x = y = 0.0
    for kind, numbers in re.findall("([MHVLC])([^MHVLC]*)", line.split('"')[1]):
        *_, first, last = [x, y, *map(float, numbers.split())]
        x, y = (last, y) if kind == "H" else (x, last) if kind == "V" else (first, last)
    return x, y


def ends(net, x, y):
    """The symbol, name and values of the last line of neurons; None where the network is drawn as a graph."""
    found = layers(trace(net, x, y))
    return (found[-1].symbol.plain, found[-1].name, found[-1].outputs) if found else None


class Residual(lm.Layer):
    def __init__(self, units):
        self.inner = lm.Dense(units)

    def forward(self, x):
        return x + self.inner(x)


def links(net):
    """The lines of the picture by what stands in the boxes; a layer that computes before and after an inner one has two."""
    parts = Parts(net)
    outputs = [name for name, t in net.named_outputs.items() if t.node.serial not in parts.of]
    names = {id(layer): name for name, layer in net.wiring.layers.items()}
    said = {t.node.serial: name for name, t in net.named_inputs.items()}
    said |= {id(part): names[id(part.call.layer)] for part in parts.found} | {name: name for name in outputs}
    said |= {serial: node.op for serial, node in parts.meetings.items()}
    return sorted((said[line[0]], said[line[-1]]) for line in parts.levels(outputs)[1])
