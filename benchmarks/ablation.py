"""`python -m benchmarks.ablation`: each fusion switched off in turn, and what a training step then takes, as a Markdown table.

All programs of a workload take turns in one run. The figure is the ratio to the whole program: above 1 is what the fusion saves."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import threads
from benchmarks.peers import ours
from benchmarks.timing import Case, Contender, measure
from benchmarks.workloads import TRAINING, Workload

ROOT = Path(__file__).resolve().parent.parent
WAYS: dict[str, dict[str, bool]] = {
    "all fusions": {},
    "updates apart": {"fuse_updates": False},
    "products apart": {"fuse_products": False},
    "elements apart": {"fuse": False},
    "none": {"fuse": False, "fuse_products": False, "fuse_updates": False},
}


def program(w: Workload, **switches: bool) -> tuple[Any, Contender]:
    """The training program of a workload with switches of the core, and its steps one after the other."""
    import lamina as lm
    from lamina import _core as core
    from lamina.models.programs import Target, Task

    net, (x, y) = ours.network(w), w.data
    graph = net.programs.loss(Task((Target(str(y.dtype), y.shape[1:]),)))
    optimizer, parameters = net.programs.bind_optimizer(), net.programs.trainable
    effects = optimizer.effects(parameters, lm.grad(graph.loss, parameters))
    made = core.Program(graph.inputs(net.inputs), [graph.loss.node], [e.node for e in effects], True, **switches)

    step = made.trainer([(y.dtype, y.ndim, None)])

    def run(k: int) -> float:
        loss = 0.0
        for _ in range(k):
            loss = step(x, y)
        return loss

    run.net = net  # type: ignore[attr-defined]  its variables live as long as the program is run
    return made, Contender(run)


def table(names: Sequence[str], seconds: float, rounds: int, count: int) -> list[str]:
    """Rows are workloads, columns ways: the whole program's time, then the factor of each other way; steps in brackets."""
    heads = list(WAYS)
    lines = [f"| {count} thread{'s' * (count != 1)} | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for w in TRAINING:
        if w.name in names:
            made = {way: program(w, **switches) for way, switches in WAYS.items()}
            case = Case("ablation", w.name, {way: contender for way, (_, contender) in made.items()})
            times = measure(case, seconds=seconds, rounds=rounds, threads=count)
            whole = times[heads[0]]
            cells = [f"{1e6 * whole:.0f} us ({len(made[heads[0]][0].steps)})"]
            cells += [f"{times[way] / whole:.2f} ({len(made[way][0].steps)})" for way in heads[1:]]
            lines.append(f"| {w.name} | " + " | ".join(cells) + " |")
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--threads", type=threads.count, nargs="+", default=None, metavar="N", help="default: 1, and all processors"
    )
    parser.add_argument("--quick", action="store_true", help="shorter measurements")
    parser.add_argument("--workloads", nargs="+", default=None, metavar="NAME", help="default: all, or the quick ones")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child is None:
        given = list(sys.argv[1:] if arguments is None else arguments)
        for count in options.threads or sorted({1, threads.allowed()}):
            command = [sys.executable, "-m", "benchmarks.ablation", *given, "--child", str(count)]
            subprocess.run(command, env=threads.environment(count), cwd=ROOT, check=True)
        return 0
    threads.pin(options.child)
    ours.set_threads(options.child)
    names = options.workloads or [w.name for w in TRAINING if w.quick or not options.quick]
    print("\n" + "\n".join(table(names, 0.3 if options.quick else 2.0, 12 if options.quick else 30, options.child)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
