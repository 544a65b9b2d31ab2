"""Writes tests/data/torch_trajectories.npz: losses and final weights of PyTorch on the networks of trajectory_cases.py.

Made with `pip install torch==2.13.0 numpy && python tests/make_torch_trajectories.py` on a CPU, one thread, the optimizers'
single-tensor forms. The suite itself reads the file and needs no torch. f64 runs set the default type to f64, as NAdam keeps its
product of mu in it. Printed is how far PyTorch's own f32 run is from its f64 run: the noise that a comparison in f32 must allow
for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from trajectory_cases import CASES, DTYPES, STEPS, batches, weights

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rprop": torch.optim.Rprop,
}
LOSSES = {"mse": nn.MSELoss, "bce": nn.BCEWithLogitsLoss, "ce": nn.CrossEntropyLoss, "huber": nn.HuberLoss}
ACTIVATIONS = {
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "softplus": nn.Softplus(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "sigmoid": nn.Sigmoid(),
    "leaky_relu": nn.LeakyReLU(),
}
LAYERS = {
    "dense": nn.Linear,
    "batch_norm": nn.BatchNorm1d,
    "layer_norm": nn.LayerNorm,
    "dropout": nn.Dropout,
    "embedding": nn.Embedding,
    "flatten": lambda _: nn.Flatten(),
    "activation": lambda name: ACTIVATIONS[name],
}


def named_layers(case, net):
    """(Lamina's name, module)"""
    count: dict[str, int] = {}
    for (kind, *_), module in zip(case.layers, net, strict=True):
        count[kind] = count.get(kind, 0) + 1
        yield f"{kind}_{count[kind]}", module


def state(case, net) -> dict[str, np.ndarray]:
    found = {}
    for prefix, module in named_layers(case, net):
        for name, tensor in module.state_dict().items():
            if name != "num_batches_tracked":
                array = tensor.detach().numpy()
                found[f"{prefix}.{name}"] = array.T if prefix.startswith("dense") and name == "weight" else array
    return found


def set_weights(name: str, net) -> None:
    modules = dict(named_layers(CASES[name], net))
    with torch.no_grad():
        for key, value in weights(name).items():
            prefix, local = key.split(".")
            target = getattr(modules[prefix], local)
            target.copy_(torch.tensor(value.T if prefix.startswith("dense") and local == "weight" else value))


def train(name: str, dtype: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    case = CASES[name]
    torch.set_default_dtype(getattr(torch, dtype))
    net = nn.Sequential(*(LAYERS[kind](*sizes) for kind, *sizes in case.layers))
    set_weights(name, net)
    hyper = dict(case.hyper)
    clip_norm, clip_value = hyper.pop("clip_norm", None), hyper.pop("clip_value", None)
    optimizer = OPTIMIZERS[case.optimizer](net.parameters(), foreach=False, **hyper)
    criterion = LOSSES[case.loss](**case.loss_hyper)
    data = [(tensor(x, dtype), tensor(y, dtype)) for x, y in batches(name)]
    losses = []
    for step in range(STEPS):
        x, y = data[step % len(data)]
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip_norm)
        if clip_value is not None:
            nn.utils.clip_grad_value_(net.parameters(), clip_value)
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses), state(case, net)


def tensor(array: np.ndarray, dtype: str) -> torch.Tensor:
    return torch.tensor(array if array.dtype.kind == "i" else array.astype(dtype))


def main() -> None:
    torch.set_num_threads(1)
    stored = {}
    for name in CASES:
        runs = {dtype: train(name, dtype) for dtype in DTYPES}
        for dtype, (losses, final) in runs.items():
            stored[f"{name}|{dtype}|loss"] = losses.astype(dtype)
            stored.update({f"{name}|{dtype}|{key}": value for key, value in final.items()})
        (a, wa), (b, wb) = runs.values()
        apart = max(float(np.abs(wa[k] - wb[k]).max()) for k in wb)
        print(f"{name:45} {b[0]:.4f} -> {b[-1]:.4f}   f32 - f64: loss {np.abs(a - b).max():.1e}, weights {apart:.1e}")
    path = Path(__file__).parent / "data" / "torch_trajectories.npz"
    np.savez_compressed(path, **stored)
    print(path.name, path.stat().st_size, "bytes, torch", torch.__version__)


if __name__ == "__main__":
    main()
