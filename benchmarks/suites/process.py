"""In processes of their own: seconds until a library is imported, and peak resident memory of training mnist-m for ten steps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.suites import Run

MODULES = {
    "lamina": "lamina", "numpy": "numpy", "pytorch": "torch", "jax": "jax", "scikit-learn": "sklearn.neural_network",
    "onnxruntime": "onnxruntime",
}  # fmt: skip
IMPORT = "import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
MEMORY = """
import os, resource
from benchmarks import peers
from benchmarks.workloads import TRAINING
module = peers.installed([{name!r}])[{name!r}]
module.set_threads({threads})
contender = next(iter(module.training(next(w for w in TRAINING if w.name == "mnist-m")).values()))
contender.run(-(-10 // contender.block) * contender.block)
if os.path.exists("/proc/self/status"):  # ru_maxrss would know the parent's peak as well
    kilobytes = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
else:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(1024 * float(kilobytes))
"""


def rows(run: Run) -> Iterator[dict[str, Any]]:
    if run.quick and run.threads > 1:
        return
    if run.wants(name := "import"):
        code = {peer: IMPORT.format(module=MODULES[peer]) for peer in run.peers}
        yield {"name": name, "unit": "s", "values": _values(code, 1 if run.quick else 5)}
    if run.wants(name := "peak memory, mnist-m"):
        trainers = [peer for peer, module in run.peers.items() if hasattr(module, "training")]
        few = [peer for peer in trainers if not run.quick or peer in ("lamina", "numpy", "pytorch")]
        code = {peer: MEMORY.format(name=peer, threads=run.threads) for peer in few}
        yield {"name": name, "unit": "B", "values": _values(code, 1)}


def _values(code: dict[str, str], repeats: int) -> dict[str, float]:
    """What each prints in a new process: the least of some runs. (This process has imported all: the disk's cache is filled.)"""
    best = {}
    for name, text in code.items():
        runs = [subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True) for _ in range(repeats)]
        best[name] = min(float(done.stdout.split()[-1]) for done in runs)
    return best
