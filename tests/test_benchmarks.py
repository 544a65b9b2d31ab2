"""The benchmarks run, and say what they are meant to say; no time is judged."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from lamina.draw.canvas import width

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_case_beside_numpy_names_the_ceiling_and_the_ratio(tmp_path):
    out = tmp_path / "result"
    what = ("--suites", "training", "calls", "--only", "smallest", "tiny-rl", "--peers", "numpy")
    told = run("benchmarks", "--quick", "--threads", "1", *what, "--out", str(out))
    assert "100 % =" in told and "tiny-rl" in told
    rows = json.loads(out.with_suffix(".json").read_text())["runs"][0]["rows"]
    step = next(r for r in rows if r["name"] == "tiny-rl")
    assert set(step["values"]) == {"lamina", "numpy"} and step["differ"] == []
    assert all(v > 0 for v in step["values"].values()) and step["flops"] == 6 * 64 * (4 * 64 + 64 * 64 + 64 * 2) - 2 * 64 * 4 * 64
    assert out.with_suffix(".svg").read_text().startswith("<svg")


def test_a_network_that_is_no_perceptron_has_its_floor(tmp_path):
    out = tmp_path / "result"
    what = ("--suites", "networks", "--only", "recurrent", "embedding", "--peers", "numpy")
    run("benchmarks", "--quick", "--threads", "1", *what, "--out", str(out))
    rows = {r["name"]: r for r in json.loads(out.with_suffix(".json").read_text())["runs"][0]["rows"]}
    assert rows["recurrent"]["flops"] == 2 * 32 * (2 * 20 * 8 * 64 + 3 * (19 * 64 * 64 + 64))
    assert rows["embedding"]["flops"] == 6 * 64 * (16 * 32 + 32)
    assert all(r["values"]["lamina"] > 0 for r in rows.values())


@pytest.mark.parametrize(("suite", "name"), [("calls", "smallest predict"), ("process", "peak memory, mnist-m")])
def test_a_case_is_asked_for_by_the_name_that_is_printed(suite, name, tmp_path):
    out = tmp_path / "result"
    run("benchmarks", "--quick", "--threads", "1", "--alone", "--suites", suite, "--only", name, "--out", str(out))
    assert [row["name"] for row in json.loads(out.with_suffix(".json").read_text())["runs"][0]["rows"]] == [name]


@pytest.mark.parametrize("kind", ["product", "system", "elementwise", "update"])
def test_what_peers_compute_is_compared(kind, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import child, peers
    from benchmarks.timing import Case

    a = np.linspace(1, 2, 9, dtype="float32").reshape(3, 3) + 5 * np.eye(3, dtype="float32")
    wrong = {"product": (a, a, "tn"), "system": ("slogdet", 1.01 * a), "elementwise": ("exp", 1.01 * a), "update": (9,)}[kind]
    arguments = {"product": (a, a, "nn"), "system": ("slogdet", a), "elementwise": ("exp", a), "update": (8,)}[kind]
    two = peers.installed(["numpy"])
    case = Case("any", "equal", peers.contenders(two, kind, *arguments))
    assert set(case.contenders) == {"lamina", "numpy"} and child._check(case) == []
    case = Case("any", "other", {**case.contenders, **getattr(two["numpy"], kind)(*wrong)})
    assert len(child._check(case)) == 1 and "! other: another result, numpy: " in capsys.readouterr().err


def test_ablation_has_a_row_with_every_way():
    told = run("benchmarks.ablation", "--quick", "--threads", "1", "--workloads", "tiny-rl")
    table = [line for line in told.splitlines() if "|" in line]
    assert [line.split("|")[1].strip() for line in table] == ["1 thread", "---", "tiny-rl"]
    assert table[-1].count("(") == 5, "a time, or a ratio, with the number of steps for each way"


@pytest.mark.parametrize("module", ["benchmarks.second_order", "benchmarks.watching", "benchmarks"])
def test_help(module):
    if module.endswith("second_order"):
        pytest.importorskip("scipy", reason="second_order compares with SciPy")
    assert "usage" in run(module, "--help")


def test_in_the_picture_every_name_is_whole_and_every_peer_has_a_colour_of_its_own(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.picture import COLOURS, bars
    from benchmarks.report import OURS

    name = "regression 8-100-100-1, batch 4096, float64, AdamW with clipping"
    row = {"suite": "networks", "name": name, "unit": "s", "values": {OURS: 1e-3, **dict.fromkeys(COLOURS, 2e-3)}}
    about = {"processor": "any", "date": "2026-01-01T00:00", "commit": "abc"}
    root = ElementTree.fromstring(bars({"runs": [{"threads": 1, "rows": [row], "ceilings": {}}], "about": about}))
    label = next(t for t in root.iter() if t.text == name)
    assert float(label.get("x")) - width(name, 12) >= 0
    assert len(set(COLOURS.values())) == len(COLOURS)
    right = [float(t.get("x")) + width(t.text, 12) for t in root.iter() if t.text and t.get("text-anchor") == "start"]
    assert max(right) <= float(root.get("width"))
