"""Families of measurements. Each file has `cases(run)`, which yields what to time, or `rows(run)`, which times by itself."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

NAMES = ("training", "networks", "inference", "products", "systems", "elementwise", "update", "calls", "process")


@dataclass(frozen=True)
class Run:
    """One process's part: how many threads, whom to compare with, how long it may take."""

    threads: int
    quick: bool
    compiled: bool  # whether to wait for torch.compile
    peers: dict[str, ModuleType]
    only: tuple[str, ...] = ()  # parts of names; empty for all

    def wants(self, name: str) -> bool:
        return not self.only or any(part in name for part in self.only)

    @property
    def seconds(self) -> float:
        """For one contender of one case."""
        return 0.06 if self.quick else 1.0

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 10
