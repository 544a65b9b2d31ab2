"""PyTorch: eager as one writes it first, eager with the fused optimizer, and compiled."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np

from benchmarks.networks import Network
from benchmarks.timing import Contender
from benchmarks.workloads import Workload

NAME = "pytorch"


def version() -> str:
    import torch

    return torch.__version__


def set_threads(n: int) -> None:
    import torch

    torch.set_num_threads(n)


def _network(w: Workload):
    import torch

    kinds = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "gelu_tanh": lambda: torch.nn.GELU(approximate="tanh")}
    layers = []
    for i, (weight, bias) in enumerate(w.weights):
        linear = torch.nn.Linear(*weight.shape, dtype=getattr(torch, w.dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.T.copy()))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, kinds[w.activation]()] if i < len(w.weights) - 1 else [linear]
    return torch.nn.Sequential(*layers)


def _step(w: Workload | Network, net, criterion, *, fused: bool = False, compiled: bool = False):
    """A function that makes one training step and returns the loss."""
    import torch

    kind = torch.optim.Adam if w.optimizer == "adam" else torch.optim.SGD
    optimizer = kind(net.parameters(), lr=w.rate, **({"fused": True} if fused else {}))
    x, y = map(torch.from_numpy, w.data)

    def objective():
        return criterion(net(x), y)

    forward = torch.compile(objective) if compiled else objective
    update = torch.compile(optimizer.step) if compiled else optimizer.step

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = forward()
        loss.backward()
        update()
        return loss

    return step


def training(w: Workload, *, compiled: bool = False) -> dict[str, Contender]:
    import torch

    criterion = {
        "mse": torch.nn.MSELoss, "binary_cross_entropy": torch.nn.BCEWithLogitsLoss, "cross_entropy": torch.nn.CrossEntropyLoss
    }[w.loss]()  # fmt: skip
    return _contenders(w, _network(w), criterion, compiled)


def network_training(n: Network, *, compiled: bool = False) -> dict[str, Contender]:
    import torch

    operations = _operations()

    class Formula(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = torch.nn.ParameterList(torch.from_numpy(weight.copy()) for weight in n.weights)

        def forward(self, x):
            return n.forward(operations, list(self.weights), x)

    return _contenders(n, Formula(), torch.nn.MSELoss(), compiled)


def _operations() -> SimpleNamespace:
    """Those of benchmarks/networks.py, its own where it has them."""
    import torch

    f = torch.nn.functional
    return SimpleNamespace(
        relu=torch.relu, tanh=torch.tanh, silu=f.silu, softmax=lambda x: torch.softmax(x, -1), mean=torch.mean,
        transpose=torch.permute, concatenate=torch.cat, take=lambda table, x: f.embedding(x, table),
        layer_norm=lambda x, gain, bias: f.layer_norm(x, gain.shape, gain, bias),
        batch_norm=lambda x, gain, bias: f.batch_norm(x, None, None, gain, bias, training=True),
    )  # fmt: skip


def _contenders(w: Workload | Network, net, criterion, compiled: bool) -> dict[str, Contender]:
    ways = {"pytorch": {}, "pytorch fused": {"fused": True}, **({"pytorch compiled": {"compiled": True}} if compiled else {})}

    def contender(**way: bool) -> Contender:
        step = _step(w, copy.deepcopy(net), criterion, **way)

        def run(k: int) -> float:
            for _ in range(k):
                loss = step()
            return loss.item()

        return Contender(run)

    return {name: contender(**way) for name, way in ways.items()}


def inference(w: Workload) -> dict[str, Contender]:
    import torch

    net, x = _network(w).eval(), torch.from_numpy(w.data[0])

    def run(k: int) -> float:
        with torch.inference_mode():
            for _ in range(k):
                out = net(x)
        return float(out.abs().sum())

    return {NAME: Contender(run)}


def system(name: str, *arrays: np.ndarray) -> dict[str, Contender]:
    import torch

    function, tensors = getattr(torch.linalg, {"expm": "matrix_exp"}.get(name, name)), [torch.from_numpy(a) for a in arrays]

    def run(k: int) -> None:
        for _ in range(k):
            function(*tensors)

    return {NAME: Contender(run, result=lambda: function(*tensors))}


def elementwise(name: str, x: np.ndarray) -> dict[str, Contender]:
    import torch

    functions = {
        "exp": torch.exp, "log": torch.log, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "erf": torch.erf,
        "gelu": torch.nn.functional.gelu, "softmax": lambda t: torch.softmax(t, -1), "sqrt": torch.sqrt,
    }  # fmt: skip
    function, t = functions[name], torch.from_numpy(x)

    def run(k: int) -> None:
        for _ in range(k):
            function(t)

    return {NAME: Contender(run, result=lambda: function(t))}


def product(a: np.ndarray, b: np.ndarray, form: str) -> dict[str, Contender]:
    import torch

    s, t = torch.from_numpy(a), torch.from_numpy(b)
    p, q = s.T if form[0] == "t" else s, t.T if form[1] == "t" else t

    def run(k: int) -> None:
        for _ in range(k):
            p @ q

    return {NAME: Contender(run, result=lambda: p @ q)}


def update(n: int) -> dict[str, Contender]:
    import torch

    p = torch.nn.Parameter(torch.zeros(n))
    p.grad = torch.ones(n)
    fused = torch.optim.Adam([p], lr=1e-3, fused=True)

    def run(k: int) -> None:
        for _ in range(k):
            fused.step()

    def result() -> torch.Tensor:
        fused.step()
        return p.detach()

    return {"pytorch fused": Contender(run, result=result)}
