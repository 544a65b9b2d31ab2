"""`python -m benchmarks`: Lamina beside whichever peers are installed, in one run; JSON and a picture come out."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import child, compare, peers, picture, threads
from benchmarks.suites import NAMES

ROOT = Path(__file__).resolve().parent.parent


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("--threads", type=threads.count, nargs="+", default=None, metavar="N", help="default: 1, and all processors")
    made.add_argument("--quick", action="store_true", help="fewer workloads, shorter measurements: one to two minutes")
    made.add_argument("--suites", nargs="+", choices=NAMES, default=list(NAMES), metavar="SUITE", help=", ".join(NAMES))
    made.add_argument("--only", nargs="+", default=[], metavar="PART", help="cases with one of these in their names")
    made.add_argument(
        "--peers", nargs="+", choices=peers.FILES, default=None, metavar="NAME", help="default: all that are installed"
    )
    made.add_argument("--alone", action="store_true", help="Lamina without peers")
    made.add_argument(
        "--no-compile", dest="compiled", action="store_false", help="do not wait for torch.compile (--quick never does)"
    )
    made.add_argument("--kernels", metavar="FILE", help="the compiled benchmarks/kernels.cpp, for the ceiling of registers")
    made.add_argument("--out", type=Path, default=Path("benchmark"), help="benchmark.json and benchmark.svg (default: %(default)s)")
    made.add_argument("--child", type=int, help=argparse.SUPPRESS)
    made.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    return made


def measure(arguments: Sequence[str], counts: Sequence[int], extra: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """One process for each number of threads, since libraries read theirs when they are imported."""
    parts = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.json"
            command = [sys.executable, "-m", "benchmarks", *arguments, "--child", str(count), "--json", str(path)]
            subprocess.run(command, env={**threads.environment(count), **(extra or {})}, cwd=ROOT, check=True)
            parts.append(json.loads(path.read_text()))
    return parts


def about() -> dict[str, Any]:
    """When, where, what."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"date": now, "commit": commit, "processor": model, "processors": threads.allowed(), "python": platform.python_version()}


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["compare"]:
        return compare.main(given[1:])
    options = parser().parse_args(given)
    options.compiled = options.compiled and not options.quick
    if options.child is not None:
        child.main(options)
        return 0
    counts = options.threads or sorted({1, threads.allowed()})
    result = {"about": about(), "runs": measure(given, counts)}
    if not any(run["rows"] for run in result["runs"]):
        sys.exit(f"nothing measured: no case of {', '.join(options.suites)} has {' or '.join(options.only)} in its name")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1))
    options.out.with_suffix(".svg").write_text(picture.bars(result), encoding="utf-8")
    print(f"\nwrote {options.out.with_suffix('.json')}, {options.out.with_suffix('.svg')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
