"""The lessons run as they stand, are short, and write their pictures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from conftest import ROOT
from lamina.cli import lesson_path, main

NUMBERS = (1, 2, 3, 4)


@pytest.mark.parametrize("number", NUMBERS)
def test_lesson_runs_and_writes_its_picture(number, tmp_path):
    paths = os.pathsep.join(p for p in sys.path if p)
    run = subprocess.run(
        [sys.executable, str(lesson_path(number))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.isascii() and f"wrote lesson_{number}.svg" in run.stdout
    assert ElementTree.parse(tmp_path / f"lesson_{number}.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize("number", NUMBERS)
def test_lessons_are_short_and_assert_what_they_say(number):
    text = lesson_path(number).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    assert text.count("assert ") >= 4


def test_readers_find_them_in_the_repository():
    assert len(list((ROOT / "lessons").glob("*.py"))) == len(NUMBERS)


def test_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["lesson", "1"]) == 0
    assert "three ways" in capsys.readouterr().out and (tmp_path / "lesson_1.svg").exists()
    assert main(["lesson", "2", "--show"]) == 0
    assert '"""Lesson 2' in capsys.readouterr().out
    assert main(["lesson", "9"]) == 2
    assert "from 1 to 4" in capsys.readouterr().err
    (tmp_path / "lesson_1.svg").unlink()
    (tmp_path / "lesson_1.svg").mkdir()
    assert main(["lesson", "1"]) == 2
    assert re.search(r"\[lesson\] expected a folder that can be written, got: .*lesson_1.svg'; run it in", capsys.readouterr().err)
