"""NumPy, as a person who knows it writes it: no copies that can be helped, updates in place."""

from __future__ import annotations

import numpy as np

from benchmarks.timing import Contender
from benchmarks.workloads import Workload

NAME = "numpy"
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def version() -> str:
    return np.__version__


def set_threads(n: int) -> None:
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return  # OPENBLAS_NUM_THREADS has said it
    threadpool_limits(n)


def _forward(w: Workload, weights, x) -> list[np.ndarray]:
    """The inputs of all layers, and the output."""
    values = [x]
    for i, (weight, bias) in enumerate(weights):
        z = values[-1] @ weight
        z += bias
        if i < len(weights) - 1:
            np.tanh(z, out=z) if w.activation == "tanh" else np.maximum(z, 0, out=z)
        values.append(z)
    return values


def _loss(w: Workload, z, y) -> tuple[float, np.ndarray]:
    """(loss, its gradient by z)"""
    n = len(z)
    if w.loss == "mse":
        d = z - y
        return float(np.vdot(d, d)) / d.size, d * (2 / d.size)
    if w.loss == "binary_cross_entropy":
        e = np.exp(-np.abs(z))
        loss = float(np.mean(np.maximum(z, 0) - z * y + np.log1p(e)))
        return loss, (np.where(z >= 0, 1, e) / (1 + e) - y) / z.size
    z = z - z.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    rows = np.arange(n)
    loss = float(np.mean(np.log(total[:, 0]) - z[rows, y]))
    e /= total
    e[rows, y] -= 1
    e /= n
    return loss, e


class _Adam:
    def __init__(self, parameters, rate):
        self.parameters, self.rate, self.t = parameters, rate, 0
        self.m, self.v, self.a, self.b = ([np.zeros_like(p) for p in parameters] for _ in range(4))

    def __call__(self, gradients) -> None:
        self.t += 1
        step = self.rate / (1 - BETA1**self.t)
        root = 1 / np.sqrt(1 - BETA2**self.t)
        for p, g, m, v, a, b in zip(self.parameters, gradients, self.m, self.v, self.a, self.b, strict=True):
            m *= BETA1
            np.multiply(g, 1 - BETA1, out=a)
            m += a
            v *= BETA2
            np.multiply(g, g, out=a)
            a *= 1 - BETA2
            v += a
            np.sqrt(v, out=a)
            a *= root
            a += EPS
            np.divide(m, a, out=b)
            b *= step
            p -= b


class _SGD:
    def __init__(self, parameters, rate):
        self.parameters, self.rate = parameters, rate

    def __call__(self, gradients) -> None:
        for p, g in zip(self.parameters, gradients, strict=True):
            g *= self.rate
            p -= g


def training(w: Workload, **_: bool) -> dict[str, Contender]:
    if w.activation not in ("tanh", "relu"):
        return {}
    weights = [(a.copy(), b.copy()) for a, b in w.weights]
    x, y = w.data
    update = (_Adam if w.optimizer == "adam" else _SGD)([p for pair in weights for p in pair], w.rate)

    def step() -> float:
        values = _forward(w, weights, x)
        loss, d = _loss(w, values[-1], y)
        gradients = []
        for i in range(len(weights) - 1, -1, -1):
            gradients[:0] = [values[i].T @ d, d.sum(axis=0)]
            if i:
                d = d @ weights[i][0].T
                h = values[i]
                d *= (1 - h * h) if w.activation == "tanh" else h > 0
        update(gradients)
        return loss

    def run(k: int) -> float:
        loss = 0.0
        for _ in range(k):
            loss = step()
        return loss

    return {NAME: Contender(run)}


def inference(w: Workload) -> dict[str, Contender]:
    if w.activation not in ("tanh", "relu"):
        return {}
    x = w.data[0]

    def run(k: int) -> float:
        for _ in range(k):
            out = _forward(w, w.weights, x)[-1]
        return float(np.abs(out).sum())

    return {NAME: Contender(run)}


def product(a: np.ndarray, b: np.ndarray, form: str) -> dict[str, Contender]:
    p, q = a.T if form[0] == "t" else a, b.T if form[1] == "t" else b

    def run(k: int) -> None:
        for _ in range(k):
            p @ q

    return {NAME: Contender(run, result=lambda: p @ q)}


def system(name: str, *arrays: np.ndarray) -> dict[str, Contender]:
    """By LAPACK; what NumPy has not is SciPy's, where it is installed."""
    function, who = getattr(np.linalg, name, None), NAME
    if function is None:
        try:
            import scipy.linalg
        except ImportError:
            return {}
        function, who = getattr(scipy.linalg, name), "scipy"

    def run(k: int) -> None:
        for _ in range(k):
            function(*arrays)

    return {who: Contender(run, result=lambda: function(*arrays))}


def elementwise(name: str, x: np.ndarray) -> dict[str, Contender]:
    function = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "sigmoid": _sigmoid, "softmax": _softmax, "sqrt": np.sqrt}.get(name)
    if function is None:
        return {}

    def run(k: int) -> None:
        for _ in range(k):
            function(x)

    return {NAME: Contender(run, result=lambda: function(x))}


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def update(n: int) -> dict[str, Contender]:
    adam = _Adam([np.zeros(n, np.float32)], 1e-3)
    g = np.ones(n, np.float32)

    def run(k: int) -> None:
        for _ in range(k):
            adam([g])

    def result() -> np.ndarray:
        adam([g])
        return adam.parameters[0]

    return {NAME: Contender(run, result=result)}
