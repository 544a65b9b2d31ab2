"""Adam on 10 million parameters, beside the bandwidth of DRAM: it reads w, g, m, v and writes w, m, v, 28 bytes a parameter."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import peers
from benchmarks.suites import Run
from benchmarks.timing import Case

COUNT = 10_000_000


def cases(run: Run) -> Iterator[Case]:
    if run.wants(name := "adam 10M"):
        yield Case("update", name, peers.contenders(run.peers, "update", COUNT), bytes=28.0 * COUNT)
