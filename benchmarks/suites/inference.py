"""predict: an array in, an array out."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import peers
from benchmarks.suites import Run
from benchmarks.timing import Case
from benchmarks.workloads import INFERENCE


def cases(run: Run) -> Iterator[Case]:
    for workload, batch in INFERENCE:
        w = workload.with_batch(batch)
        name = f"{w.name} x{batch}"
        if run.wants(name) and not (run.quick and w.name == "tabular"):
            who = peers.contenders(run.peers, "inference", w)
            yield Case(
                "inference", name, who, flops=w.forward_flops, dtype=w.dtype, note=f"{w.shape} {w.activation}, batch {batch}"
            )
