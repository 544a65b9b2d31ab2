"""The directions of CONTRIBUTING.md, held by reading what the files include and import, and what the kernel objects export."""

from __future__ import annotations

import ast
import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CPP = ROOT / "cpp"
PACKAGE = ROOT / "python" / "lamina"

MAY_INCLUDE = {
    "base": {"base"},
    "kernels": {"base", "kernels"},
    "graph": {"base", "graph"},
    "runtime": {"base", "graph", "kernels", "runtime"},
    "bindings": {"base", "graph", "kernels", "runtime", "bindings"},
}
# Headers that emit no inline function of their own: a copy built for a newer processor must never be merged into the rest.
KERNEL_SYSTEM_HEADERS = {"cstddef", "cstdint", "type_traits", "immintrin.h", "arm_neon.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def sources() -> list[Path]:
    return sorted(p for p in CPP.rglob("*") if p.suffix in {".h", ".cpp", ".inl"})


@cache
def includes(path: Path) -> tuple[tuple[str, str], ...]:
    return tuple((kind, name) for kind, name in INCLUDE.findall(path.read_text()))


def resolve(path: Path, name: str) -> Path:
    for candidate in (CPP / name, path.parent / name):
        if candidate.exists():
            return candidate.resolve()
    raise AssertionError(f"{path.relative_to(ROOT)} includes {name!r}, which is in none of the source folders")


def folder(path: Path) -> str:
    return path.relative_to(CPP).parts[0]


def test_the_folders_are_those_of_the_design():
    assert {folder(p) for p in sources()} == set(MAY_INCLUDE)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(CPP)))
def test_includes_follow_the_directions(path):
    for kind, name in includes(path):
        if kind == '"':
            target = folder(resolve(path, name))
            assert target in MAY_INCLUDE[folder(path)], f"{folder(path)} must not include {name}"


def kernel_units() -> list[Path]:
    return sorted((CPP / "kernels").glob("isa_*.cpp"))


@pytest.mark.parametrize("unit", kernel_units(), ids=lambda p: p.name)
def test_kernel_files_include_only_plain_headers(unit):
    seen, waiting = set(), [unit]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for kind, name in includes(path):
            if kind == "<":
                assert name in KERNEL_SYSTEM_HEADERS, (
                    f"{path.relative_to(CPP)} includes <{name}>, whose inline functions could leak"
                )
            else:
                target = resolve(path, name)
                assert folder(target) in {"base", "kernels"}
                waiting.append(target)


# ---- symbols ---------------------------------------------------------------------------------------------------------------------

ARM = platform.machine().lower() in {"aarch64", "arm64"}


def isa_flags(unit: Path) -> list[str]:
    """The compiler flags that a kernel unit names in its first line: `// ... Flags: -mavx2 -mfma`."""
    return unit.read_text().splitlines()[0].partition("Flags:")[2].split()


def compiler() -> str:
    """The C++ compiler that a build would take."""
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise AssertionError(
        "no C++ compiler found (looked at $CXX, c++, g++, clang++): this test builds the kernel files; install one"
    )


def units_of_this_machine() -> list[Path]:
    return [u for u in kernel_units() if (u.stem == "isa_neon") == ARM]


def test_there_are_kernel_units():
    assert {u.stem for u in kernel_units()} >= {"isa_base", "isa_avx2", "isa_avx512", "isa_neon"}


@pytest.mark.parametrize("unit", units_of_this_machine(), ids=lambda p: p.name)
def test_a_kernel_object_exports_its_table_alone(unit, tmp_path):
    """Built without optimization nothing is inlined away: whatever could leak into another file shows."""
    isa, flags = unit.stem.removeprefix("isa_"), isa_flags(unit)
    target = tmp_path / f"{isa}.o"
    command = [
        compiler(),
        "-std=c++20",
        "-O0",
        "-fPIC",
        "-ffp-contract=off",
        *flags,
        "-I",
        str(CPP),
        "-c",
        str(unit),
        "-o",
        str(target),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, f"{' '.join(command)}\n{built.stderr}"
    symbols = subprocess.run(["nm", "-C", str(target)], capture_output=True, text=True, check=True).stdout.splitlines()
    defined = [line.split(maxsplit=2)[1:] for line in symbols if len(line.split(maxsplit=2)) == 3 and line[0] != " "]
    # DW.ref.* is a pointer to the exception handler, the same in every object; it is data and runs nothing
    exported = [name for kind, name in defined if kind in "TDBRGSVWui" and not name.startswith("DW.ref.")]
    assert len(exported) == 1, f"{unit.name} exports {exported}; everything but the table belongs into an anonymous namespace"
    assert isa in exported[0]
    initializers = [line for line in symbols if "_GLOBAL__sub_I" in line or "__static_initialization" in line]
    assert not initializers, "a dynamic initializer would run this file's vector code when the module loads, on any processor"


# ---- Python ----------------------------------------------------------------------------------------------------------------------

LEVELS = [
    {"_core", "_version", "base"},
    {"graph", "ops", "linalg", "initializers"},
    {"activations", "layers", "losses", "optim", "schedules", "metrics"},
    {"inputs"},
    {"models"},
    {"training", "callbacks"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
MODELS = LEVEL["models"]
SHOWS_OR_STORES = len(LEVELS)  # everything else


def level_of(module: str) -> int:
    return LEVEL.get(module, SHOWS_OR_STORES)


def module_of(path: Path) -> str:
    """layers/dense.py belongs to `layers`."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_modules(path: Path, *, top_level: bool) -> set[str]:
    """Modules of the package that a file imports; with top_level, those inside functions and under TYPE_CHECKING do not count."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    inside = len(path.relative_to(PACKAGE).parts) - 1  # dots beyond this many leave the file's own folder
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("lamina.")}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level == 0 and module.split(".")[0] == "lamina":
                module = module.removeprefix("lamina").lstrip(".")
            elif node.level == 0 or node.level <= inside:
                continue
            found |= {module.split(".")[0]} if module else {alias.name for alias in node.names}
    return found


def modules() -> list[Path]:
    top = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}
    return sorted(p for p in PACKAGE.rglob("*.py") if p not in top)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_python_imports_follow_the_directions(path):
    own = module_of(path)
    for module in imported_modules(path, top_level=True) - {own}:
        assert level_of(module) <= level_of(own), f"{own} (level {level_of(own)}) imports {module} (level {level_of(module)})"


@pytest.mark.parametrize(
    "path", [p for p in modules() if level_of(module_of(p)) < MODELS], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_tensors_and_layers_know_nothing_of_models_even_inside_functions(path):
    existing = {module_of(p) for p in modules()}
    above = {m for m in imported_modules(path, top_level=False) & existing if level_of(m) >= MODELS}
    assert not above, f"{path.relative_to(PACKAGE)} reaches up to {above}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "linalg").glob("*.py")), ids=lambda p: p.name)
def test_linear_algebra_imports_at_the_top_of_its_files(path):
    """errors, host, shapes <- triangular <- factors, solving <- basic <- functions: nothing there needs what is above it."""
    tree = ast.parse(path.read_text())
    inside = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) and node not in tree.body]
    assert not inside, f"{path.name} imports inside a function, line {inside[0].lineno}"


OF_MODELS = {"graph", "models", "training"}  # a network has methods for all that is done with it: what does it, is imported then


def siblings(path: Path) -> set[str]:
    """The files of its own folder that a file imports, those under TYPE_CHECKING and inside functions too, but in OF_MODELS."""
    inside, tree = f"lamina.{path.parent.name}", ast.parse(path.read_text())
    nodes = tree.body if path.parent.name in OF_MODELS else ast.walk(tree)
    found: set[str] = set()
    for n in nodes:
        if isinstance(n, ast.ImportFrom) and n.module == inside:
            found |= {alias.name for alias in n.names}
        elif isinstance(n, ast.ImportFrom) and n.module and n.module.startswith(inside + "."):
            found.add(n.module.removeprefix(inside + "."))
    return found


@pytest.mark.parametrize("folder", sorted({p.parent for p in modules()} - {PACKAGE}), ids=lambda p: p.name)
def test_the_files_of_a_folder_import_one_way(folder):
    waiting = {path.stem: siblings(path) for path in folder.glob("*.py") if path.stem != "__init__"}
    while waiting:
        ready = {name for name, needs in waiting.items() if not needs & waiting.keys()}
        assert ready, f"{folder.name}: a circle of imports among {', '.join(sorted(waiting))}"
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}


OF_PYTHON = {"_replace", "_make", "_getframe"}  # of named tuples, of sys


def private_attributes(path: Path) -> tuple[set[str], set[str]]:
    """Names with an underscore: those that the file gives to objects and modules, and those that it takes from others than self."""
    given: set[str] = set()
    taken: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            given.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given.add(node.id)
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            by_super = isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == "super"
            if own and isinstance(node.ctx, ast.Store):
                given.add(node.attr)
            elif not own and not by_super:
                taken.add(node.attr)
    return given, taken - OF_PYTHON


@pytest.mark.parametrize("folder", sorted({p.parent for p in modules()}), ids=lambda p: p.name)
def test_private_attributes_stay_in_their_folder(folder):
    found = [private_attributes(path) for path in folder.glob("*.py")]
    foreign = set().union(*(taken for _, taken in found)) - set().union(*(given for given, _ in found))
    assert not foreign, f"{folder.name} reaches into objects of other folders: {', '.join(sorted(foreign))}"


# ---- tests -----------------------------------------------------------------------------------------------------------------------

UNIX_ALONE = ("fcntl", "grp", "pty", "pwd", "resource", "termios")


def test_tests_of_wheels_import_nothing_that_windows_has_not():
    """pyproject.toml names the files that cibuildwheel runs on each system. What they may need is imported before."""
    files = re.findall(r"tests/(test_\w+)\.py", (ROOT / "pyproject.toml").read_text())
    assert len(files) > 10 and all((ROOT / "tests" / f"{name}.py").exists() for name in files)
    code = f"""
import importlib, sys
import hypothesis, pytest, scipy.linalg, tqdm
sys.path.insert(0, "tests")
sys.modules.update(dict.fromkeys({UNIX_ALONE}))
for name in ["conftest", *{files}]:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
