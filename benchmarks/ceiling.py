"""What the machine can do, measured in the same run, so that every figure is also a percentage.

The practical ceiling is the largest rate of a matrix product that NumPy or Lamina reach; the true one (multiply-adds on registers,
a few percent higher) needs the compiled benchmarks/kernels.cpp: `--kernels build/benchmark_kernels`."""

from __future__ import annotations

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np

from benchmarks.timing import Case, measure

SHAPES = ((512, 512, 512), (128, 1024, 768))  # m, n, k
DRAM_FLOATS = 20_000_000  # 80 MB an array, beyond every cache


def products(peers: dict[str, ModuleType], dtype: str, threads: int, seconds: float) -> float:
    """FLOP/s of the fastest matrix product."""
    rng = np.random.default_rng(0)
    top = 0.0
    for m, n, k in SHAPES:
        a, b = rng.random((m, k)).astype(dtype), rng.random((k, n)).astype(dtype)
        who = {}
        for name in ("lamina", "numpy"):
            if name in peers:
                who |= peers[name].product(a, b, "nn")
        best = measure(Case("ceiling", f"{m}x{n}x{k}", who), seconds=seconds, rounds=4, threads=threads)
        top = max(top, 2.0 * m * n * k / min(best.values()))
    return top


def registers(kernels: str, isa: str, threads: int) -> float:
    """FLOP/s in f32 that benchmarks/kernels.cpp measures, times the threads."""
    text = subprocess.run([kernels, isa, "0.02", "gemm"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"ceiling ([\d.]+) GF/s", text)
    if not found:
        raise ValueError(f"[kernels] expected a line with 'ceiling ... GF/s' from {kernels}, got {text[:200]!r}")
    return 1e9 * float(found[1]) * threads


def dram(threads: int, repeats: int = 3) -> float:
    """Bytes/s of the best of three passes over large arrays: x = 1.0 x, z = x + y, sum of x; each thread has its part."""
    x, y, z = (np.ones(DRAM_FLOATS, np.float32) for _ in range(3))
    parts = [slice(i * DRAM_FLOATS // threads, (i + 1) * DRAM_FLOATS // threads) for i in range(threads)]
    passes = {
        8: lambda p: np.multiply(x[p], np.float32(1), out=x[p]),
        12: lambda p: np.add(x[p], y[p], out=z[p]),
        4: lambda p: np.maximum.reduce(x[p]),
    }
    top = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for width, function in passes.items():
            for _ in range(repeats):
                start = time.perf_counter()
                list(pool.map(function, parts))
                top = max(top, width * DRAM_FLOATS / (time.perf_counter() - start))
    return top
