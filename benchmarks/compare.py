"""`python -m benchmarks compare`: two results side by side, or two commits of ours, built and measured in turn.

python -m benchmarks compare old.json new.json
python -m benchmarks compare --commits main~3 main --quick --suites training
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import OURS, amount

ROOT = Path(__file__).resolve().parent.parent
Key = tuple[int, str, str]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--commits", nargs=2, metavar=("OLD", "NEW"), help="build both, measure them in turn")
    parser.add_argument("--rounds", type=int, default=2, help="turns of two commits (default: %(default)s)")
    options, rest = parser.parse_known_args(arguments)
    if options.commits:
        names = list(options.commits)
        old, new = commits(names, options.rounds, rest)
    elif len(rest) == 2:
        names = [Path(path).stem for path in rest]
        missing = [path for path in rest if not Path(path).is_file()]
        if missing:
            parser.error(f"expected a file that `python -m benchmarks` wrote, found none at {missing[0]}")
        old, new = (ours(json.loads(Path(path).read_text())["runs"]) for path in rest)
    else:
        parser.error("expected two .json files that `python -m benchmarks` wrote, or --commits OLD NEW and its options")
    print("\n".join(table(old, new, names)))
    return 0


def ours(runs: list[dict[str, Any]]) -> dict[Key, tuple[float, str]]:
    """(threads, suite, name) -> (Lamina's value, unit)"""
    return {
        (r["threads"], r["suite"], r["name"]): (r["values"][OURS], r["unit"])
        for run in runs
        for r in run["rows"]
        if OURS in r["values"]
    }


def table(old: dict[Key, tuple[float, str]], new: dict[Key, tuple[float, str]], names: Sequence[str]) -> list[str]:
    """A line for each case that both have; old / new above 1 where the new one is faster."""
    lines = [f"{'threads':>7}  {'':36}  {names[0][:12]:>12}  {names[1][:12]:>12}  old/new"]
    for key in old:
        if key in new:
            (a, unit), (b, _) = old[key], new[key]
            mark = "" if 0.95 < a / b < 1.05 else "  faster" if a > b else "  SLOWER"
            name = f"{key[1]} {key[2]}"
            lines.append(f"{key[0]:>7}  {name:36}  {amount(a, unit):>12}  {amount(b, unit):>12}  {a / b:6.2f}{mark}")
    return lines


def commits(names: Sequence[str], rounds: int, rest: Sequence[str]) -> list[dict[Key, tuple[float, str]]]:
    """Installs each commit into a folder of its own, and lets them take turns: the best of each case."""
    from benchmarks import threads
    from benchmarks.__main__ import measure, parser

    options = parser().parse_args(list(rest))
    counts = options.threads or sorted({1, threads.allowed()})
    best: list[dict[Key, tuple[float, str]]] = [{}, {}]
    with tempfile.TemporaryDirectory() as folder:
        places = [install(name, Path(folder) / str(i)) for i, name in enumerate(names)]
        for _ in range(rounds):
            for i, place in enumerate(places):
                print(f"\n== {names[i]}", flush=True)
                for key, (value, unit) in ours(measure(["--alone", *rest], counts, {"PYTHONPATH": str(place)})).items():
                    before = best[i].get(key, (value, unit))[0]
                    best[i][key] = (min(value, before), unit)
    return best


def install(commit: str, folder: Path) -> Path:
    """`pip install` of one commit, without its dependencies, beside what is installed; returns what to put in front of the path."""
    source, target = folder / "source", folder / "lib"
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive, check=True)
    print(f"building {commit}", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(source)]
    subprocess.run(pip, check=True)
    return target
