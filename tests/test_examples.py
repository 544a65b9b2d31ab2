"""The examples run: those of every docstring of the package, and the Python of README.md and of pages of docs/."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

import numpy as np
import pytest

import lamina as lm

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PUBLIC = {"lm": lm} | {f"lm.{name}": value for name in lm.__all__ if isinstance(value := getattr(lm, name), ModuleType)}


def modules() -> list[str]:
    found = [m.name for m in pkgutil.walk_packages(lm.__path__, "lamina.")]
    return ["lamina", *(name for name in found if not name.endswith(("__main__", "._core")))]


@pytest.mark.parametrize("name", modules())
def test_docstring_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example may write a file
    module = importlib.import_module(name)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for case in doctest.DocTestFinder(exclude_empty=True).find(module, name, extraglobs={"np": np, "lm": lm}):
        runner.run(case, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def public_names(module: str) -> dict[str, Any]:
    """The classes and functions of a public module, by what a user calls them."""
    values = {f"{module}.{name}": getattr(PUBLIC[module], name) for name in dir(PUBLIC[module]) if not name.startswith("_")}
    own = {name: value for name, value in values.items() if get_origin(value) is None}  # to Python 3.10, Callable[..] is a class
    return {name: value for name, value in own.items() if inspect.isclass(value) or inspect.isroutine(value)}


@pytest.mark.parametrize("module", PUBLIC)
def test_an_example_of_a_public_name_runs_where_it_is_pasted(module, tmp_path, monkeypatch):
    """After `import lamina as lm, numpy as np`: with no other name of the file that it stands in."""
    monkeypatch.chdir(tmp_path)
    two = {"lm": lm, "np": np}
    cases = [doctest.DocTestParser().get_doctest(PUBLIC[module].__doc__ or "", dict(two), module, None, None)]
    for name, value in public_names(module).items():
        cases += doctest.DocTestFinder(exclude_empty=True).find(value, name, module=False, globs=two)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for case in cases:
        runner.run(case, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_says_what_it_does(module):
    found = public_names(module)
    assert found and [name for name, value in found.items() if not (value.__doc__ or "").strip()] == []


def test_every_operation_shows_a_value():
    assert [name for name in lm.ops.__all__ if ">>> " not in getattr(lm.ops, name).__doc__] == []


def blocks_of(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    """Every Python block, in order, in one namespace."""
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of("README.md")
    assert blocks
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)


@pytest.mark.parametrize(
    ("page", "count"),
    [
        ("docs/coming_from.md", 10),
        ("docs/from_inversion_to_training.md", 4),
        ("docs/science_and_control.md", 12),
        ("docs/trace.md", 1),
    ],
)
def test_a_page_runs(page, count, tmp_path, monkeypatch, capsys):
    """Every Python block, in order, in one namespace: the first one imports what it uses."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert len(blocks := blocks_of(page)) == count
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    shown, said = capsys.readouterr().out, re.findall(r"^print\(.*\) +# ([^:\n]+)", "\n".join(blocks), re.MULTILINE)
    assert [line for line in said if line.strip() not in shown] == []


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))]
)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text())
    assert [target for target in targets if "://" not in target and not ((ROOT / page).parent / target).exists()] == []
