"""Matrix products alone: a b, a^T b, a b^T, in f32 and f64; each a call from Python. The result is a new array each time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks import peers
from benchmarks.suites import Run
from benchmarks.timing import Case

SQUARE = (16, 32, 64, 128, 256, 512, 1024, 2048)
OTHERS = ((1, 512, 784), (8, 512, 512), (32, 128, 784), (100, 256, 256), (128, 256, 256), (37, 61, 53), (512, 10, 512))  # m, n, k
QUICK = {(64, 64, 64), (256, 256, 256), (512, 512, 512), (8, 512, 512), (37, 61, 53)}


def cases(run: Run) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        for m, n, k in (*((s, s, s) for s in SQUARE), *OTHERS):
            for form in ("nn", "tn", "nt"):
                name = f"{m}x{n}x{k} {form} {'f32' if dtype == 'float32' else 'f64'}"
                few = (m, n, k) in QUICK and (m == 256 or (form, dtype) == ("nn", "float32"))
                if not run.wants(name) or (run.quick and not run.only and not few):
                    continue
                a = rng.standard_normal((k, m) if form[0] == "t" else (m, k)).astype(dtype)
                b = rng.standard_normal((n, k) if form[1] == "t" else (k, n)).astype(dtype)
                who = peers.contenders(run.peers, "product", a, b, form)
                yield Case("products", name, who, flops=2.0 * m * n * k, dtype=dtype)
