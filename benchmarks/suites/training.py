"""One training step: forward, loss, backward, update; the batch is in memory. All start from the same weights."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import peers
from benchmarks.suites import Run
from benchmarks.timing import Case
from benchmarks.workloads import TRAINING


def cases(run: Run) -> Iterator[Case]:
    for w in TRAINING:
        if not run.wants(w.name) or (run.quick and not w.quick and not run.only):
            continue
        note = f"{w.shape} {w.activation}, {w.loss}, {w.optimizer}, batch {w.batch}"
        who = peers.contenders(run.peers, "training", w, compiled=run.compiled)
        yield Case("training", w.name, who, flops=w.flops, dtype=w.dtype, note=note)
