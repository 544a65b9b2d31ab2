"""JAX: a jitted step called from Python, and many steps in one call by lax.scan."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np

from benchmarks.networks import Network, norm
from benchmarks.timing import Contender
from benchmarks.workloads import Workload

NAME = "jax"
SCAN_FLOPS = 4e8  # of one call of the scan: some ten milliseconds


def version() -> str:
    import jax

    return jax.__version__


def set_threads(n: int) -> None:
    """The affinity and XLA_FLAGS have said it."""


def _forward(w: Workload, weights, x):
    import jax
    import jax.numpy as jnp

    act = {"tanh": jnp.tanh, "relu": jax.nn.relu, "gelu_tanh": partial(jax.nn.gelu, approximate=True)}[w.activation]
    for weight, bias in weights[:-1]:
        x = act(x @ weight + bias)
    return x @ weights[-1][0] + weights[-1][1]


def _objective(w: Workload, weights, x, y):
    import jax
    import jax.numpy as jnp

    z = _forward(w, weights, x)
    if w.loss == "mse":
        return jnp.mean((z - y) ** 2)
    if w.loss == "binary_cross_entropy":
        return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))
    return jnp.mean(jax.nn.logsumexp(z, -1) - jnp.take_along_axis(z, y[:, None], 1)[:, 0])


def _operations() -> SimpleNamespace:
    """Those of benchmarks/networks.py."""
    import jax
    import jax.numpy as jnp

    return SimpleNamespace(
        relu=jax.nn.relu, tanh=jnp.tanh, silu=jax.nn.silu, softmax=jax.nn.softmax, mean=jnp.mean, transpose=jnp.transpose,
        concatenate=jnp.concatenate, take=lambda table, x: table[x], layer_norm=norm(jnp, -1), batch_norm=norm(jnp, 0),
    )  # fmt: skip


def _update(w: Workload | Network, objective):
    """(state, x, y) -> (state, loss), where state is (weights, m, v, t)."""
    import jax
    import jax.numpy as jnp

    def update(state, x, y):
        weights, m, v, t = state
        loss, g = jax.value_and_grad(objective)(weights, x, y)
        t = t + 1
        if w.optimizer == "sgd":
            return (jax.tree.map(lambda p, d: p - w.rate * d, weights, g), m, v, t), loss
        m = jax.tree.map(lambda a, d: 0.9 * a + 0.1 * d, m, g)
        v = jax.tree.map(lambda a, d: 0.999 * a + 0.001 * d * d, v, g)
        step, root = w.rate / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
        weights = jax.tree.map(lambda p, a, b: p - step * a / (jnp.sqrt(b) / root + 1e-8), weights, m, v)
        return (weights, m, v, t), loss

    return update


def training(w: Workload, **_: bool) -> dict[str, Contender]:
    return _contenders(w, partial(_objective, w))


def network_training(n: Network, **_: bool) -> dict[str, Contender]:
    import jax.numpy as jnp

    operations = _operations()
    return _contenders(n, lambda weights, x, y: jnp.mean((n.forward(operations, weights, x) - y) ** 2))


def _contenders(w: Workload | Network, objective) -> dict[str, Contender]:
    import jax
    import jax.numpy as jnp

    update = _update(w, objective)
    x, y = w.data
    x, y = jnp.asarray(x), jnp.asarray(y.astype(np.int32) if y.dtype == np.int64 else y)

    def fresh():
        copies = (jax.tree.map(lambda a, f=f: jnp.array(f(a)), w.weights) for f in (np.copy, np.zeros_like, np.zeros_like))
        return (*copies, jnp.zeros((), w.dtype))

    one = jax.jit(update, donate_argnums=0)
    block = int(min(max(SCAN_FLOPS // w.flops, 1), 200))

    @partial(jax.jit, donate_argnums=0)
    def many(state, x, y):
        return jax.lax.scan(lambda s, _: update(s, x, y), state, None, length=block)

    kept = {"jit": fresh(), "scan": fresh()}

    def jit(k: int) -> float:
        state = kept["jit"]
        for _ in range(k):
            state, loss = one(state, x, y)
        jax.block_until_ready(state)
        kept["jit"] = state
        return float(loss)

    def scan(k: int) -> float:
        state = kept["scan"]
        for _ in range(k // block):
            state, losses = many(state, x, y)
        jax.block_until_ready(state)
        kept["scan"] = state
        return float(losses[-1])

    return {"jax jit": Contender(jit), "jax scan": Contender(scan, block=block)}


def inference(w: Workload) -> dict[str, Contender]:
    import jax
    import jax.numpy as jnp

    weights = [tuple(map(jnp.asarray, pair)) for pair in w.weights]
    forward = jax.jit(partial(_forward, w))
    x = w.data[0]

    def run(k: int) -> float:
        for _ in range(k):
            out = forward(weights, x).block_until_ready()
        return float(np.abs(out).sum())

    return {NAME: Contender(run)}
