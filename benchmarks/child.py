"""One process with a fixed number of threads: runs the suites, prints a line for each case, and hands the rows to its parent."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import ceiling, peers, report, threads
from benchmarks.suites import Run
from benchmarks.timing import Case, Contender, measure

STEPS = 3  # before the losses are compared
TOLERANCE = {"float32": 2e-3, "float64": 1e-8}  # of f32: different orders of summation, carried through three updates


def main(options: argparse.Namespace) -> None:
    """Measures with `options.child` threads and writes the rows to `options.json`."""
    begun = time.perf_counter()
    count = options.child
    cpus = threads.pin(count)
    found = peers.installed(["lamina"] if options.alone else options.peers)
    for module in found.values():
        module.set_threads(count)
    run = Run(count, options.quick, options.compiled, found, tuple(options.only))
    tops = _ceilings(run, options)
    report.heading(count, cpus, {name: module.version() for name, module in found.items()}, tops)
    rows: list[dict[str, Any]] = []
    for name in options.suites:
        suite = importlib.import_module(f"benchmarks.suites.{name}")
        measured = suite.rows(run) if hasattr(suite, "rows") else (_row(case, run) for case in suite.cases(run))
        for row in measured:
            row = {"suite": name, "threads": count, **row}
            if not any(r["suite"] == name for r in rows):
                report.suite(name, suite.__doc__ or "", time.perf_counter() - begun)
            rows.append(row)
            report.line(row, tops)
    for dtype in ("float32", "float64"):  # the machine may have been busy at the beginning
        if not options.kernels:
            tops[dtype] = max(tops[dtype], ceiling.products(found, dtype, count, run.seconds / 2))
    versions = {name: module.version() for name, module in found.items()}
    result = {"threads": count, "cpus": cpus, "ceilings": tops, "versions": versions, "rows": rows}
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump(result, file)


def _ceilings(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    tops: dict[str, Any] = {t: ceiling.products(run.peers, t, run.threads, run.seconds / 2) for t in ("float32", "float64")}
    tops["dram"] = ceiling.dram(run.threads)
    tops["source"] = "fastest matrix product of NumPy and Lamina"
    if options.kernels:
        import lamina as lm

        tops["float32"] = ceiling.registers(options.kernels, lm.isa(), run.threads)
        tops["float64"] = tops["float32"] / 2
        tops["source"] = "multiply-adds on registers (benchmarks/kernels.cpp)"
    return tops


def _row(case: Case, run: Run) -> dict[str, Any]:
    """Checks that all do the same work, then times them."""
    differ = _check(case)
    values = measure(case, seconds=run.seconds, rounds=run.rounds, threads=run.threads)
    return {
        "name": case.name, "note": case.note, "unit": "s", "values": values, "flops": case.flops, "bytes": case.bytes,
        "dtype": case.dtype, "differ": differ,
    }  # fmt: skip


def _check(case: Case) -> list[str]:
    """Who gets another result than Lamina: after the same number of steps from the same weights, or from one call."""
    ours = case.contenders.get("lamina")
    others = {name: c for name, c in case.contenders.items() if name != "lamina" and c.check}
    if ours is None:
        return []
    differ = _other_losses(case, ours, others) if ours.result is None else _other_results(case, ours.result, others)
    for text in differ:
        print(f"   ! {case.name}: another result, {text}", file=sys.stderr, flush=True)
    return differ


def _other_losses(case: Case, ours: Contender, others: dict[str, Contender]) -> list[str]:
    losses = [ours.run(1) for _ in range(STEPS)]
    differ = []
    for name, contender in others.items():
        if contender.block > STEPS:
            continue  # it cannot stop there
        got = contender.run(STEPS - STEPS % contender.block)
        want = losses[STEPS - STEPS % contender.block - 1]
        if not math.isclose(got, want, rel_tol=TOLERANCE[case.dtype]):
            differ.append(f"{name}: {got:.6g} instead of {want:.6g}")
    return differ


def _other_results(case: Case, ours: Callable[[], Any], others: dict[str, Contender]) -> list[str]:
    want = _flat(ours())
    size = float(np.abs(want).max(initial=0.0))
    differ = []
    for name, contender in others.items():
        got = _flat(contender.result())  # type: ignore[misc]  who does this kind of work has one, as we do
        off = float(np.abs(got - want).max(initial=0.0)) if got.shape == want.shape else math.inf
        if not off <= TOLERANCE[case.dtype] * size:
            differ.append(f"{name}: {len(got)} numbers, off by {off:.3g} from {len(want)} of up to {size:.3g}")
    return differ


def _flat(result: Any) -> np.ndarray:
    """An array or a tensor, or several (a sign and a logarithm), as one row of float64."""
    parts = result if isinstance(result, tuple) else (result,)
    return np.concatenate([np.asarray(part, np.float64).reshape(-1) for part in parts])
