"""Builds and runs the C++ tests of tests/cpp with the compiler of this machine. No compiler or a broken build is a failure."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_layering import compiler, isa_flags, units_of_this_machine

ROOT = Path(__file__).resolve().parent.parent
CPP = ROOT / "cpp"
FLAGS = [
    "-std=c++20",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffp-contract=off",
    "-pthread",
    f"-I{CPP}",
    f"-I{ROOT / 'tests' / 'cpp'}",
]


def sources() -> list[Path]:
    return sorted((ROOT / "tests" / "cpp").glob("test_*.cpp"))


def build(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-5000:]}"


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> list[Path]:
    """Objects of everything but the bindings and the kernels of other machines."""
    folder = tmp_path_factory.mktemp("objects")
    kernels = units_of_this_machine()
    units = [p for d in ("base", "graph", "runtime", "kernels") for p in sorted((CPP / d).glob("*.cpp"))]
    jobs = []
    for unit in units:
        if unit.stem.startswith("isa_") and unit not in kernels:
            continue
        own = isa_flags(unit) if unit in kernels else []
        jobs.append((folder / f"{unit.parent.name}_{unit.stem}.o", [compiler(), *FLAGS, *own, "-c", str(unit), "-o"]))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: build([*job[1], str(job[0])]), jobs))
    return [target for target, _ in jobs]


def test_there_are_cpp_tests():
    assert sources()


@pytest.mark.parametrize("source", sources(), ids=lambda p: p.stem)
def test_cpp(source, library, tmp_path):
    program = tmp_path / source.stem
    build([compiler(), *FLAGS, str(source), *map(str, library), "-o", str(program)])
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
