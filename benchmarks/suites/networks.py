"""One training step of networks that are no perceptrons, from the same formula and weights (benchmarks/networks.py)."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import peers
from benchmarks.networks import NETWORKS
from benchmarks.suites import Run
from benchmarks.timing import Case


def cases(run: Run) -> Iterator[Case]:
    for n in NETWORKS:
        if run.wants(n.name):
            who = peers.contenders(run.peers, "network_training", n, compiled=run.compiled)
            yield Case("networks", n.name, who, flops=n.flops, note=f"{n.note}, batch {n.batch}")
