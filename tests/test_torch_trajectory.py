"""Lamina follows PyTorch's own trajectory from the same weights over 100 steps, within 1e-5 (float32) and 1e-10 (float64).

PyTorch 2.13's losses and final weights are stored (tests/data/torch_trajectories.npz, made by tests/make_torch_trajectories.py); no
torch is needed here. A loss is compared at every step, weights at the end.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import lamina as lm
from trajectory_cases import CASES, DTYPES, STEPS, Case, batches, weights

# of max(1, |value|); PyTorch's own f32 and f64 runs are up to 5e-6 apart on these networks
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
LOSSES = {"mse": lm.losses.MSE, "bce": lm.losses.BinaryCrossEntropy, "ce": lm.losses.CrossEntropy, "huber": lm.losses.Huber}
OPTIMIZERS = {
    "sgd": lm.optim.SGD,
    "adam": lm.optim.Adam,
    "adamw": lm.optim.AdamW,
    "rmsprop": lm.optim.RMSProp,
    "adagrad": lm.optim.Adagrad,
    "adadelta": lm.optim.Adadelta,
    "adamax": lm.optim.Adamax,
    "nadam": lm.optim.NAdam,
    "radam": lm.optim.RAdam,
    "rprop": lm.optim.Rprop,
}


@cache
def stored() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "data" / "torch_trajectories.npz") as file:
        return dict(file)


def layer(kind: str, *sizes) -> lm.Layer:
    match kind:
        case "dense":
            return lm.Dense(sizes[1], bias=sizes[2:] != (False,))
        case "embedding":
            return lm.Embedding(*sizes)
        case "activation":
            return lm.Activation(sizes[0])
        case "dropout":
            return lm.Dropout(sizes[0])
        case _:
            return {"batch_norm": lm.BatchNorm, "layer_norm": lm.LayerNorm, "flatten": lm.Flatten}[kind]()


def network(case: Case, dtype: str) -> lm.Sequential:
    net = lm.Sequential(*(layer(*spec) for spec in case.layers), dtype=dtype)
    net.compile(LOSSES[case.loss](**case.loss_hyper), OPTIMIZERS[case.optimizer](**case.hyper))
    return net


def typed(array: np.ndarray, dtype: str) -> np.ndarray:
    return array if array.dtype.kind == "i" else array.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_trajectory(name, dtype):
    net = network(CASES[name], dtype)
    data = [(typed(x, dtype), typed(y, dtype)) for x, y in batches(name)]
    net.predict(data[0][0])  # builds for these shapes and types
    for key, value in weights(name).items():
        net.parameters[key] = value
    losses = np.array([net.train_step(*data[step % len(data)]) for step in range(STEPS)])

    want = stored()[f"{name}|{dtype}|loss"].astype(np.float64)
    error = np.abs(losses - want) / np.maximum(1, np.abs(want))
    assert error.max() <= TOLERANCE[dtype], (
        f"loss leaves PyTorch's at step {int((error > TOLERANCE[dtype]).argmax())}: {error.max():.1e}"
    )
    final = {
        key.split("|")[2]: value
        for key, value in stored().items()
        if key.startswith(f"{name}|{dtype}|") and not key.endswith("|loss")
    }
    assert set(final) == set(net.parameters)
    for key, value in final.items():
        got = net.parameters[key]
        assert got.dtype == np.dtype(dtype) and got.shape == value.shape
        error = np.abs(got.astype(np.float64) - value) / np.maximum(1, np.abs(value))
        assert error.max() <= TOLERANCE[dtype], f"{key} is {error.max():.1e} from PyTorch's after {STEPS} steps"


def test_every_built_in_optimizer_is_compared():
    """Lion is not in PyTorch; its formula is held in tests/reference_rules.py, second-order ones have files of their own."""
    from_torch = {OPTIMIZERS[c.optimizer] for c in CASES.values()}
    built_in = {
        v
        for v in vars(lm.optim).values()
        if isinstance(v, type) and issubclass(v, lm.optim.Optimizer) and v is not lm.optim.Optimizer
    }
    assert {c.__name__ for c in built_in - from_torch} <= {"Lion", "LBFGS", "LevenbergMarquardt", "Muon"}
    assert (Path(__file__).parent / "data" / "torch_trajectories.npz").stat().st_size < 200_000
