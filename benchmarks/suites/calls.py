"""What a call costs: the smallest step, the first step of a new network, fit over the sum of its steps (x 1.03 is the aim)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.suites import Run
from benchmarks.timing import Case, measure
from benchmarks.workloads import TRAINING, Workload

SMALLEST = Workload("smallest", (2, 2, 1), "tanh", "mse", "adam", 1)
FIRST = 0.3  # seconds of first steps, of which the best counts
BY_NAME = {w.name: w for w in TRAINING}


def rows(run: Run) -> Iterator[dict[str, Any]]:
    if run.wants(name := "smallest step"):
        who = peers.contenders(run.peers, "training", SMALLEST)
        who.pop("jax scan", None)  # many steps in one call: no call is timed
        yield _row(name, _timed(run, who), "2-2-1, batch 1, Adam")
    if run.wants(name := "smallest predict"):
        yield _row(name, _timed(run, peers.contenders(run.peers, "inference", SMALLEST)), "2-2-1, batch 1")
    for workload in ("tiny-rl",) if run.quick else ("tiny-rl", "mnist-m"):
        if run.wants(name := f"first step, {workload}"):
            values = {
                who: _first(module, BY_NAME[workload]) for who, module in run.peers.items() if who in ("lamina", "pytorch", "jax")
            }
            yield _row(name, values, "building the network, then one step: from nothing to a loss")
    for workload in ("tiny-rl",) if run.quick else ("tiny-rl", "mnist-s", "tabular"):
        if run.wants(name := f"fit / steps, {workload}"):
            yield {**_row(name, {"lamina": _fit(BY_NAME[workload], run)}, "time of an epoch over its steps"), "unit": "x"}


def _row(name: str, values: dict[str, float], note: str) -> dict[str, Any]:
    return {"name": name, "note": note, "unit": "s", "values": values}


def _timed(run: Run, who: dict[str, Any]) -> dict[str, float]:
    return measure(Case("calls", "", who), seconds=run.seconds, rounds=run.rounds, threads=run.threads)


def _first(module: Any, w: Workload) -> float:
    """Seconds until the first loss; of the first contender of a peer (PyTorch eager, JAX jit with its compilation)."""
    best = np.inf
    _ = w.data, w.weights  # made before
    begun = time.perf_counter()
    while best == np.inf or time.perf_counter() - begun < FIRST:
        start = time.perf_counter()
        contender = next(iter(module.training(w).values()))
        contender.run(contender.block)
        best = min(best, time.perf_counter() - start)
    return float(best)


def _fit(w: Workload, run: Run) -> float:
    """An epoch of fit (shuffled, silent) over train_step on as many slices of the same arrays, both as the best of some rounds."""
    network = run.peers["lamina"].network(w)
    batches = max(20, int(3e9 * run.seconds / w.flops))
    rng = np.random.default_rng(0)
    x, y = (np.concatenate([a] * batches) for a in w.data)
    x += rng.standard_normal(x.shape).astype(x.dtype)
    parts = [(x[i : i + w.batch], y[i : i + w.batch]) for i in range(0, len(x), w.batch)]
    best = [np.inf, np.inf]
    for _ in range(max(run.rounds, 15) + 1):  # short ones: a slow moment of the machine must not meet all of either
        start = time.perf_counter()
        network.fit(x, y, epochs=1, batch_size=w.batch, verbose=0)
        middle = time.perf_counter()
        for part in parts:
            network.train_step(*part)
        best = [min(best[0], middle - start), min(best[1], time.perf_counter() - middle)]
    return float(best[0] / best[1])
