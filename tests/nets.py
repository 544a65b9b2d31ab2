"""Networks, losses and optimizers of every kind with data that fits, for the tests of what shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import lamina as lm
from lamina import activations, losses, optim

B, FEATURES = 5, 6


class Case(NamedTuple):
    net: Any
    x: Any
    y: Any


def data() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(B, FEATURES)).astype("float32")


def target(loss: str) -> np.ndarray:
    rng = np.random.default_rng(4)
    special: dict[str, np.ndarray] = {
        "cross_entropy": np.array([0, 1, 2, 0, 1]),
        "hinge": np.sign(rng.normal(size=(B, 3))),
        "poisson_nll": rng.poisson(2, size=(B, 3)),
        "binary_cross_entropy": rng.integers(0, 2, (B, 3)).astype(float),
        "focal": rng.integers(0, 2, (B, 3)).astype(float),
        "gaussian_nll": rng.normal(size=(B, 1)),
        "kl_div": np.full((B, 3), 1 / 3),
    }
    return special.get(loss, rng.normal(size=(B, 3)))


def by_batch(net: Any) -> bool:
    """Whether the optimizer updates by batches, and not by all data at once."""
    return not getattr(net.optimizer, "all_data", False)


def with_loss(loss: str) -> Case:
    last = {"gaussian_nll": "softplus", "kl_div": "log_softmax"}.get(loss)
    tail = [lm.Activation(last)] if last else []
    return Case(
        lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(2 if loss == "gaussian_nll" else 3), *tail, seed=1).compile(loss, "adam"),
        data(),
        target(loss),
    )


def with_optimizer(name: str) -> Case:
    case = Case(lm.Sequential(lm.Dense(4, "sigmoid"), lm.Dense(3), seed=1).compile("mse", name), data(), data()[:, :3])
    if by_batch(case.net):
        case.net.train_step(case.x, case.y)  # slots that are 0 no more
    return case


def with_activation(name: str) -> Case:
    net = lm.Sequential(lm.Dense(4, name), lm.Dense(3), seed=1, dtype="float64").compile("mse", "sgd")
    return Case(net, data().astype("float64"), data()[:, :3])


def with_layer(layer: lm.Layer) -> Case:
    net = lm.Sequential(lm.Dense(6, "relu"), layer, lm.Flatten(), lm.Dense(3), seed=1)
    return Case(net.compile("mse", optim.Adam(clip_norm=1.0)), data(), data()[:, :3])


def embedding() -> Case:
    net = lm.Sequential(lm.Embedding(10, 4), lm.Flatten(), lm.Dense(3), seed=1).compile("mse", "adam")
    return Case(net, np.random.default_rng(0).integers(0, 10, (B, 3)), data()[:, :3])


def branches() -> Case:
    """Two inputs, a layer called twice, two outputs with two losses."""
    a, b, shared = lm.Input(FEATURES), lm.Input(FEATURES), lm.Dense(4, "tanh")
    h = lm.Concatenate()(shared(a), shared(b))
    net = lm.Model([a, b], [lm.Dense(2)(h), lm.Add()(shared(a), shared(b))], seed=0)
    return Case(net.compile(["mse", "mae"], "adam", loss_weights=[1, 0.5]), [data(), data()[::-1]], [data()[:, :2], data()[:, :4]])


def heads() -> Case:
    """Three heads over one body: a number, a class, two flags."""
    a = lm.Input(FEATURES)
    h = lm.Dense(4, "tanh")(a)
    net = lm.Model(a, {"size": lm.Dense(1)(h), "kind": lm.Dense(3)(h), "flags": lm.Dense(2)(h)}, seed=0)
    loss = {"size": "mse", "kind": "cross_entropy", "flags": "binary_cross_entropy"}
    rng = np.random.default_rng(0)
    y = {"size": rng.normal(size=(B, 1)), "kind": target("cross_entropy"), "flags": rng.integers(0, 2, (B, 2)).astype(float)}
    return Case(net.compile(loss, "adam", loss_weights={"size": 1, "kind": 0.5, "flags": 2}), data(), y)


def gradient_in_loss() -> Case:
    x = lm.Input(FEATURES)
    u = lm.Dense(1)(lm.Dense(5, "tanh")(x))
    du = lm.grad(lm.sum(u), x)
    net = lm.Model(x, u, seed=0).compile(lambda p, t: lm.mean((p - t) ** 2) + 0.1 * lm.mean(du**2), "adam")
    return Case(net, data(), data()[:, :1])


def sequence() -> Case:
    net = lm.Sequential(lm.Reshape(2, 3), lm.Dense(4, "relu"), lm.Dense(2), seed=0).compile("mse", "adam")
    return Case(net, data(), np.random.default_rng(0).normal(size=(B, 2, 2)))


class Momentum(optim.Optimizer):
    """An optimizer as a user writes it."""

    slots = ("m",)

    def update(self, w, g, state, lr, t):
        m = 0.9 * state["m"] + g
        return w - lr * m, {"m": m}


def own_optimizer() -> Case:
    net = lm.Sequential(lm.Dense(3), seed=0).compile("cross_entropy", Momentum(0.1, weight_decay=0.1))
    return Case(net, data(), target("cross_entropy"))


def scheduled() -> Case:
    net = lm.Sequential(lm.Dense(3), seed=0).compile("cross_entropy", optim.AdamW(lm.schedules.Cosine(1e-2, 10)))
    return Case(net, data(), target("cross_entropy"))


LAYERS = (lm.BatchNorm, lm.LayerNorm, lambda: lm.Dropout(0.5), lambda: lm.Reshape(2, 3), lambda: lm.Lambda(lambda t: t**2))
CASES: dict[str, Callable[[], Case]] = {
    **{f"loss {name}": lambda name=name: with_loss(name) for name in losses.LOSSES},
    **{f"optimizer {name}": lambda name=name: with_optimizer(name) for name in optim.names()},
    **{f"activation {name}": lambda name=name: with_activation(name) for name in activations.FUNCTIONS},
    **{f"layer {make()!r:.12}": lambda make=make: with_layer(make()) for make in LAYERS},
    "embedding": embedding,
    "branches": branches,
    "heads": heads,
    "gradient in the loss": gradient_in_loss,
    "sequence": sequence,
    "own optimizer": own_optimizer,
    "scheduled": scheduled,
}
