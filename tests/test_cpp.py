"""Builds and runs the C++ tests of tests/cpp with the compiler of this machine. No compiler or a broken build is a failure."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from test_layering import CPP, MAY_INCLUDE, compiler, includes, isa_flags, kernel_units, units_of_this_machine

TESTS = Path(__file__).resolve().parent / "cpp"
FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-pthread", f"-I{CPP}", f"-I{TESTS}"]


def sources() -> list[Path]:
    return sorted(TESTS.glob("test_*.cpp"))


def folders() -> list[str]:
    """Those that the tests include from, and what they stand on."""
    named = {name.split("/")[0] for path in TESTS.iterdir() for kind, name in includes(path) if kind == '"' and "/" in name}
    return sorted(set().union(*(MAY_INCLUDE[folder] for folder in named)))


def units() -> list[Path]:
    foreign = set(kernel_units()) - set(units_of_this_machine())
    return [path for folder in folders() for path in sorted((CPP / folder).glob("*.cpp")) if path not in foreign]


def compile_unit(source: Path, target: Path) -> Path:
    own = ["-O0"] if source.parent == TESTS else ["-O1"]  # what takes longest to build is what runs least
    own += isa_flags(source) if source.stem.startswith("isa_") else []
    command = [compiler(), *FLAGS, *own, "-c", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-5000:]}"
    return target


@pytest.fixture(scope="module")
def objects(tmp_path_factory) -> dict[Path, Path]:
    """Source -> object, for the tests and all that they need, two at a time."""
    folder = tmp_path_factory.mktemp("objects")
    wanted = [*sources(), *units()]
    with ThreadPoolExecutor(2) as pool:
        built = pool.map(compile_unit, wanted, [folder / f"{p.parent.name}_{p.stem}.o" for p in wanted])
        return dict(zip(wanted, built, strict=True))


def test_there_are_cpp_tests():
    assert sources()


@pytest.mark.parametrize("source", sources(), ids=lambda p: p.stem)
def test_cpp(source, objects, tmp_path):
    program = tmp_path / source.stem
    parts = [str(objects[p]) for p in (source, *units())]
    linked = subprocess.run([compiler(), "-pthread", *parts, "-o", str(program)], capture_output=True, text=True)
    assert linked.returncode == 0, linked.stderr[-5000:]
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
