"""Builds and runs the C++ tests of tests/cpp with the compiler of this machine. No compiler or a broken build is a failure.

They are linked with the objects that `pip install .` has left, which are those of the wheel, unless a source is newer; then, and
under a sanitizer, with objects that are compiled here.

LAMINA_SANITIZE=address,undefined pytest tests/test_cpp.py          with faults of memory and of arithmetic as failures
LAMINA_SANITIZE=thread pytest tests/test_cpp.py -k pool             with races as failures
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from test_layering import CPP, MAY_INCLUDE, ROOT, compiler, includes, isa_flags, units_of_this_machine

TESTS = Path(__file__).resolve().parent / "cpp"
SANITIZE = os.environ.get("LAMINA_SANITIZE", "")
SANITIZER = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"] if SANITIZE else []
FLAGS = [*SANITIZER, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-pthread", f"-I{CPP}", f"-I{TESTS}"]


def sources() -> list[Path]:
    return sorted(TESTS.glob("test_*.cpp"))


def folders(source: Path) -> set[str]:
    """Those that a test includes from, itself or through its headers, and what they stand on."""
    found: set[str] = set()
    for kind, name in includes(source):
        if kind == '"':
            found |= MAY_INCLUDE[name.split("/")[0]] if "/" in name else folders(TESTS / name)
    return found


def of_the_wheel() -> list[Path]:
    """The objects of a build that is newer than every source, by the list that CMakeLists.txt writes."""
    changed = max(p.stat().st_mtime for p in [*CPP.rglob("*.*"), ROOT / "CMakeLists.txt"])
    for core in ROOT.glob("build/*/_core*.so"):
        if core.stat().st_mtime > changed:
            return [Path(line) for line in (core.parent / "objects.txt").read_text().splitlines()]
    return []


def units(source: Path) -> list[Path]:
    """What it is compiled and linked with: each instruction set's kernels, and the other folders, each as one file."""
    found = folders(source)
    kernels = [*units_of_this_machine(), CPP / "kernels" / "dispatch.cpp"] if "kernels" in found else []
    return [*kernels, *(CPP / folder for folder in sorted(found - {"kernels"}))]


def as_one_file(folder: Path, target: Path) -> Path:
    parts = sorted(folder.glob("*.cpp"))
    target.write_text("".join(f'#include "{part.relative_to(CPP)}"\n' for part in parts))
    return target


def compile_unit(source: Path, target: Path) -> Path:
    own = isa_flags(source) if source.stem.startswith("isa_") else []
    quick = "-O1" if source.parent in (TESTS, CPP / "kernels") else "-O0"  # of the rest little runs: to build it takes longest
    if source.is_dir():
        source = as_one_file(source, target.with_suffix(".cpp"))
    command = [compiler(), *FLAGS, quick, *own, "-c", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-5000:]}"
    return target


@pytest.fixture(scope="module")
def objects(tmp_path_factory) -> Callable[[list[Path]], list[Path]]:
    """Sources -> their objects, each built once, two at a time."""
    folder = tmp_path_factory.mktemp("objects")
    built: dict[Path, Path] = {}

    def build(wanted: list[Path]) -> list[Path]:
        new = [p for p in wanted if p not in built]
        with ThreadPoolExecutor(2) as pool:
            made = pool.map(compile_unit, new, [folder / f"{p.parent.name}_{p.stem}.o" for p in new])
            built.update(zip(new, made, strict=True))
        return [built[p] for p in wanted]

    return build


def test_there_are_cpp_tests():
    assert sources()


@pytest.mark.parametrize("source", sources(), ids=lambda p: p.stem)
def test_cpp(source, objects, tmp_path):
    program = tmp_path / source.stem
    shipped = [] if SANITIZE else of_the_wheel()
    parts = map(str, [*objects([source] if shipped else [source, *units(source)]), *shipped])
    linked = subprocess.run([compiler(), *SANITIZER, "-pthread", *parts, "-o", str(program)], capture_output=True, text=True)
    assert linked.returncode == 0, linked.stderr[-5000:]
    # ThreadSanitizer knows only some layouts of the address space: nothing is moved at random under it.
    start = ["setarch", platform.machine(), "-R"] if "thread" in SANITIZE else []
    options = dict.fromkeys(("ASAN_OPTIONS", "TSAN_OPTIONS"), "allocator_may_return_null=1")  # as without: the caller's own error
    done = subprocess.run([*start, str(program)], capture_output=True, text=True, timeout=300, env=os.environ | options)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


@pytest.mark.skipif(bool(SANITIZE), reason="nothing runs")
def test_int64_may_be_another_type_than_ptrdiff(tmp_path):
    """On macOS and Windows it is `long long`: what takes two numbers of one type must be told which. Here it is made so."""
    folders = [as_one_file(CPP / name, tmp_path / f"{name}.cpp") for name in ("base", "graph", "runtime")]
    files = [p for p in CPP.rglob("*.*") if p.parent.name != "bindings"]
    system = sorted({name for p in files for kind, name in includes(p) if kind == "<"})
    lines = [f"#if __has_include(<{name}>)\n#include <{name}>\n#endif" for name in system]
    header = tmp_path / "system.h"
    header.write_text("\n".join([*lines, "using LongLong = long long;", "#define int64_t LongLong", ""]))
    command = [compiler(), *FLAGS, "-include", str(header), "-fsyntax-only", *map(str, folders)]
    assert subprocess.run(command, capture_output=True, text=True).stderr == ""
