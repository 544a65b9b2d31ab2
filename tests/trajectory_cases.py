"""The networks whose training is compared with PyTorch's: data and first weights by formula, so that only results need storing.

A layer is (kind, sizes...), ("dense", in, out, bias) where a normalization would cancel the bias; a case is trained for STEPS steps
over four batches in turn, in f32 and in f64.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field

import numpy as np

STEPS = 100
BATCHES, BATCH = 4, 16
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Case:
    layers: tuple
    loss: str
    optimizer: str  # Lamina's name; PyTorch's is in make_torch_trajectories.py
    hyper: dict = field(default_factory=dict)  # by PyTorch's keyword
    loss_hyper: dict = field(default_factory=dict)
    full_batch: bool = False


def mlp(*widths: int, activation: str) -> tuple:
    layers: list = []
    for i, (m, n) in enumerate(zip(widths, widths[1:], strict=False)):
        layers += [("dense", m, n)] + ([("activation", activation)] if i < len(widths) - 2 else [])
    return tuple(layers)


CASES: dict[str, Case] = {
    "tanh mse adam": Case(mlp(4, 16, 16, 2, activation="tanh"), "mse", "adam", {"lr": 1e-2}),
    "relu bce adamw": Case(mlp(6, 16, 16, 1, activation="relu"), "bce", "adamw", {"lr": 1e-2, "weight_decay": 0.1}),
    "relu ce sgd nesterov": Case(
        mlp(8, 24, 5, activation="relu"), "ce", "sgd", {"lr": 5e-2, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}
    ),
    "gelu_tanh ce rmsprop": Case(mlp(8, 16, 12, 4, activation="gelu_tanh"), "ce", "rmsprop", {"lr": 2e-3}),
    "gelu mse rmsprop centered momentum": Case(
        mlp(5, 12, 2, activation="gelu"), "mse", "rmsprop", {"lr": 1e-3, "momentum": 0.8, "centered": True, "weight_decay": 1e-3}
    ),
    "batch norm, dropout 0, ce adam": Case(
        (("dense", 6, 12, False), ("batch_norm", 12), ("activation", "relu"), ("dropout", 0.0), ("dense", 12, 3)),
        "ce",
        "adam",
        {"lr": 5e-3},
    ),
    "layer norm, mse adam amsgrad": Case(
        (("dense", 6, 12), ("layer_norm", 12), ("activation", "tanh"), ("dense", 12, 2)),
        "mse",
        "adam",
        {"lr": 1e-2, "amsgrad": True, "weight_decay": 1e-3},
    ),
    "embedding, ce adam": Case(
        (("embedding", 10, 4), ("flatten", 3), ("dense", 12, 10), ("activation", "tanh"), ("dense", 10, 4)),
        "ce",
        "adam",
        {"lr": 1e-2},
    ),
    "silu huber nadam": Case(mlp(5, 14, 3, activation="silu"), "huber", "nadam", {"lr": 5e-3, "weight_decay": 1e-3}),
    "mish mse radam": Case(mlp(5, 14, 3, activation="mish"), "mse", "radam", {"lr": 1e-2}),
    "softplus mse adagrad": Case(mlp(5, 14, 3, activation="softplus"), "mse", "adagrad", {"lr": 5e-2, "lr_decay": 1e-2}),
    "elu mse adadelta": Case(mlp(5, 14, 3, activation="elu"), "mse", "adadelta", {"lr": 1.0}),
    "selu ce adamax": Case(mlp(5, 14, 3, activation="selu"), "ce", "adamax", {"lr": 5e-3}),
    "tanh mse rprop": Case(mlp(4, 8, 1, activation="tanh"), "mse", "rprop", {"lr": 2e-3, "etas": (0.5, 1.05)}, full_batch=True),
    "sigmoid bce sgd": Case(mlp(4, 10, 1, activation="sigmoid"), "bce", "sgd", {"lr": 0.5}),
    "leaky_relu smoothed ce sgd dampening": Case(
        mlp(8, 16, 5, activation="leaky_relu"),
        "ce",
        "sgd",
        {"lr": 5e-2, "momentum": 0.9, "dampening": 0.4},
        {"label_smoothing": 0.1},
    ),
    "tanh mse adam, clipped by norm": Case(mlp(4, 12, 2, activation="tanh"), "mse", "adam", {"lr": 1e-2, "clip_norm": 0.3}),
    "tanh mse sgd, clipped by value": Case(mlp(4, 12, 2, activation="tanh"), "mse", "sgd", {"lr": 0.1, "clip_value": 0.05}),
}


def noise(*shape: int, phase: float) -> np.ndarray:
    """Values in (-1, 1) without a pattern that a net could feel, from a formula that every machine computes alike to 1e-12."""
    k = np.arange(1, math.prod(shape) + 1, dtype=np.float64)
    return np.sin(k * 12.9898 + 78.233 * phase + 0.5 * np.sin(k * 4.1414)).reshape(shape)


def phase_of(name: str) -> float:
    return zlib.crc32(name.encode()) % 1000 / 100


def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets in float64 (integers for embeddings and classes); the targets follow a smooth function of the inputs."""
    case, n = CASES[name], BATCHES * BATCH
    first, last = case.layers[0], case.layers[-1]
    if first[0] == "embedding":
        x = np.floor((noise(n, 3, phase=phase_of(name)) + 1) / 2 * first[1]).astype(np.int64)
        z = np.stack([np.sin(x @ np.array([1.0, 0.5, 0.25]) + c) for c in range(last[2])], 1)
    else:
        x = 1.5 * noise(n, first[1], phase=phase_of(name))
        z = np.sin(x @ noise(first[1], last[2], phase=1.0)) + 0.1 * noise(n, last[2], phase=2.0)
    if case.loss == "ce":
        return x, z.argmax(axis=1)
    return x, (z > 0).astype(np.float64) if case.loss == "bce" else z


def batches(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    x, y = data(name)
    return [(x, y)] if CASES[name].full_batch else [(x[i::BATCHES], y[i::BATCHES]) for i in range(BATCHES)]


def weights(name: str) -> dict[str, np.ndarray]:
    """First weights by Lamina's names, W as (in, out)."""
    found: dict[str, np.ndarray] = {}
    count: dict[str, int] = {}
    for i, (kind, *sizes) in enumerate(CASES[name].layers):
        count[kind] = count.get(kind, 0) + 1
        prefix = f"{kind}_{count[kind]}"
        if kind == "dense":
            m, n, *bias = sizes
            found[f"{prefix}.weight"] = noise(m, n, phase=i + 3.1) / math.sqrt(m)
            if bias != [False]:
                found[f"{prefix}.bias"] = noise(n, phase=i + 4.2) / math.sqrt(m)
        elif kind == "embedding":
            found[f"{prefix}.weight"] = noise(*sizes, phase=i + 5.3)
        elif kind in {"batch_norm", "layer_norm"}:
            found[f"{prefix}.weight"] = 1 + 0.3 * noise(sizes[0], phase=i + 6.4)
            found[f"{prefix}.bias"] = 0.3 * noise(sizes[0], phase=i + 7.5)
    return found
