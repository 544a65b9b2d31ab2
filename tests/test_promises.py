"""docs/promises.md: every test that it names exists, and every promise names one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "promises.md").read_text()
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)))
PROMISES = [line for table in PAGE.split("| promise | held by |\n|---|---|\n")[1:] for line in table.split("\n\n")[0].splitlines()]


def test_the_page_was_read():
    assert len(PROMISES) >= 20 and len(NAMED) >= len(PROMISES)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda name: name)
def test_the_named_test_exists(file, test):
    assert re.search(rf"^def {test}\(", (TESTS / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", PROMISES, ids=lambda line: line.split("|")[1].strip()[:40])
def test_a_promise_names_what_holds_it(line):
    assert re.search(r"`test_\w+\.py::test_\w+`", line), line
