"""Lamina."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from benchmarks.networks import Network, norm
from benchmarks.timing import Contender
from benchmarks.workloads import Workload

NAME = "lamina"


def version() -> str:
    import lamina as lm

    return f"{lm.__version__} ({lm.isa()})"


def set_threads(n: int) -> None:
    import lamina as lm

    lm.set_num_threads(n)


def network(w: Workload):
    """The network of a workload, with its weights, ready to be trained."""
    import lamina as lm

    hidden = [lm.Dense(n, w.activation) for n in w.sizes[1:-1]]
    net = lm.Sequential(*hidden, lm.Dense(w.sizes[-1]), seed=0, dtype=w.dtype).build(w.sizes[0])
    for i, (weight, bias) in enumerate(w.weights, 1):
        net.parameters[f"dense_{i}.weight"] = weight
        net.parameters[f"dense_{i}.bias"] = bias
    return net.compile(w.loss, lm.optim.Adam(w.rate) if w.optimizer == "adam" else lm.optim.SGD(w.rate))


def training(w: Workload, **_: bool) -> dict[str, Contender]:
    return {NAME: _steps(network(w), *w.data)}


def network_training(n: Network, **_: bool) -> dict[str, Contender]:
    import lamina as lm

    x, y = n.data
    p = [lm.Parameter(weight) for weight in n.weights]
    into = lm.Input(*n.shape, dtype=x.dtype)
    return {NAME: _steps(lm.Model(into, n.forward(_operations(), p, into)).compile("mse", lm.optim.Adam(n.rate)), x, y)}


def _operations() -> SimpleNamespace:
    """Those of benchmarks/networks.py."""
    import lamina as lm

    return SimpleNamespace(
        relu=lm.relu, tanh=lm.tanh, silu=lm.activations.silu, softmax=lm.softmax, mean=lm.mean, transpose=lm.transpose,
        concatenate=lm.concatenate, take=lm.take, layer_norm=norm(lm, -1), batch_norm=norm(lm, 0),
    )  # fmt: skip


def _steps(net, x: np.ndarray, y: np.ndarray) -> Contender:
    def run(k: int) -> float:
        loss = 0.0
        for _ in range(k):
            loss = net.train_step(x, y)
        return loss

    return Contender(run)


def inference(w: Workload) -> dict[str, Contender]:
    net, x = network(w), w.data[0]

    def run(k: int) -> float:
        for _ in range(k):
            out = net.predict(x)
        return float(np.abs(out).sum())

    return {NAME: Contender(run)}


def _calls(function, arrays) -> Contender:
    def run(k: int) -> None:
        for _ in range(k):
            function(*arrays)

    return Contender(run, result=lambda: function(*arrays))


def product(a: np.ndarray, b: np.ndarray, form: str) -> dict[str, Contender]:
    """a b, a^T b, a b^T as a compiled function."""
    import lamina as lm

    p, q = (lm.placeholder(v.shape, str(v.dtype)) for v in (a, b))
    f = lm.function([p, q], (p.T if form[0] == "t" else p) @ (q.T if form[1] == "t" else q))
    return {NAME: _calls(f, (a, b))}


def system(name: str, *arrays: np.ndarray) -> dict[str, Contender]:
    import lamina as lm

    return {NAME: _calls(getattr(lm.linalg, name), arrays)}


def elementwise(name: str, x: np.ndarray) -> dict[str, Contender]:
    import lamina as lm

    p = lm.placeholder(x.shape, str(x.dtype))
    y = lm.ops.activation(name, p) if name == "gelu" else getattr(lm, name)(p)
    return {NAME: _calls(lm.function([p], y), (x,))}


def update(n: int) -> dict[str, Contender]:
    """Adam on n parameters, the gradient in memory: it comes in as the input of the program."""
    import lamina as lm

    p = lm.Parameter(np.zeros(n, np.float32), name="w")
    g = lm.placeholder((n,), name="g")
    optimizer = lm.optim.Adam(1e-3)
    optimizer.bind([p])
    program = lm._core.Program([g.node], [], [e.node for e in optimizer.effects([p], [g])], True)
    gradient = np.ones(n, np.float32)

    def result() -> np.ndarray:
        program.run([gradient])
        return p.value

    return {NAME: replace(_calls(lambda a: program.run([a]), (gradient,)), result=result)}
