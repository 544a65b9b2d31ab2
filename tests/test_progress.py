"""The line that shows a training, on a terminal that is none, and what is kept of the training: table, file, picture."""

from __future__ import annotations

import csv
import doctest
import fcntl
import io
import json
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import types
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import lamina as lm
from lamina.report import curves
from lamina.training import history, progress
from lamina.training.history import History
from lamina.training.progress import Progress, how, sparkline


@pytest.fixture
def plain_environment(monkeypatch):
    for name in ("CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return monkeypatch


class Terminal:
    """A pseudo-terminal; `text()` is what was written to it."""

    def __init__(self, lines=40, columns=120):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.file = os.fdopen(slave, "w", encoding="utf-8")

    def text(self):
        self.file.flush()
        os.set_blocking(self._master, False)
        out = b""
        try:
            while part := os.read(self._master, 65536):
                out += part
        except BlockingIOError:
            pass
        return out.decode().replace("\r\n", "\n")

    def drawings(self):
        return [part for part in self.text().split("\r") if part.strip()]

    def close(self):
        self.file.close()
        os.close(self._master)


@pytest.fixture
def terminal():
    it = Terminal()
    yield it
    it.close()


@pytest.fixture(params=[(0, 0), (0, 120), (40, 0)], ids=str)
def terminal_without_size(request):
    it = Terminal(*request.param)
    yield it
    it.close()


def train(shown, epochs=3, batches=4, first=0, pause=0.0):
    with shown:
        for epoch in range(first, epochs):
            shown.begin_epoch(epoch)
            for batch in range(batches):
                progress.time.sleep(pause)
                assert shown.update(batch + 1) is False
            shown.end_epoch({"loss": 1 / (epoch + 1), "val_accuracy": np.float64(0.5), "confusion_matrix": np.eye(2)})


# ---- how ----


def test_where_what_is_shown(plain_environment, terminal):
    assert how(None, terminal.file) == how(True, terminal.file) == how(1, terminal.file) == "bar"
    assert how(None, io.StringIO()) == how(True, io.StringIO()) == "lines"
    assert how(False, terminal.file) == how(0, terminal.file) == how(None, None) == "nothing"
    for name in ("CI", "NO_COLOR"):
        with plain_environment.context() as patch:
            patch.setenv(name, "1")
            assert how(None, terminal.file) == "lines"
            patch.setenv(name, "")
            assert how(None, terminal.file) == "bar"
    plain_environment.setenv("TERM", "dumb")
    assert how(None, terminal.file) == "lines"
    for wrong in ("yes", 2, 0.5):
        with pytest.raises(
            ValueError, match=r"\[fit\] expected verbose to be 0, 1, True, False or None, got .*; pass 0 for silence"
        ):
            how(wrong, terminal.file)


def test_a_notebook_is_known_by_its_shell(plain_environment):
    assert not progress.in_notebook()
    shell = type("ZMQInteractiveShell", (), {})()
    plain_environment.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert progress.in_notebook()
    assert how(None, io.StringIO()) == "bar"
    plain_environment.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert not progress.in_notebook()


# ---- lines ----


def test_plain_lines():
    out = io.StringIO()
    train(Progress(12, 4, file=out), epochs=2)
    lines = [re.sub(r"\d+\.\d s$", "T", line) for line in out.getvalue().splitlines()]
    assert lines == ["epoch  1/12  loss 1.0000  val_accuracy 0.5000  T", "epoch  2/12  loss 0.5000  val_accuracy 0.5000  T"]


def test_plain_lines_of_odd_figures():
    out = io.StringIO()
    with Progress(1, file=out) as shown:
        shown.begin_epoch(0)
        shown.end_epoch({"loss": math.nan, "tiny": 1.5e-7, "zero": 0.0, "far": math.inf})
    assert "loss nan  tiny 1.500e-07  zero 0.0000  far inf" in out.getvalue()


def test_silence(plain_environment, terminal):
    train(Progress(3, 4, False, file=terminal.file))
    assert terminal.text() == ""


# ---- bar ----


def test_bar_on_a_terminal(plain_environment, terminal):
    train(Progress(3, 4, samples=100, flops=lambda: 1e6, file=terminal.file), pause=0.06)
    drawn = terminal.drawings()
    assert re.search(r"epoch 1/3 \|[█▏▎▍▌▋▊▉ ]+\| \d\d:\d\d, ", "".join(drawn))
    last = drawn[-1]
    said = r"epoch 3/3 \|█+\| 00:00, loss 0.3333 █\S▁  val_accuracy 0.5000  \d+ samples/s  [\d.e-]+ GFLOP/s"
    assert re.search(said, last), last
    assert last.endswith("\n")
    assert len(drawn) < 20  # at most ten a second


def test_bar_of_a_training_that_goes_on_and_stops(plain_environment, terminal):
    train(Progress(10, 0, file=terminal.file), epochs=4, first=2)
    assert re.search(r"epoch 4/10 \|█+\S? +\| ", terminal.drawings()[-1])


def test_bar_on_a_terminal_that_does_not_say_its_size(plain_environment, terminal_without_size):
    train(Progress(3, 4, file=terminal_without_size.file))
    assert re.search(r"epoch 3/3 \|█+\| 00:00, ", terminal_without_size.drawings()[-1])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (200, "loss 0.5000 █▁  f1 0.2000  val_loss 0.2500 █▁  val_f1 0.7500  25 samples/s  1.5 GFLOP/s"),
        (110, "loss 0.5000 █▁  f1 0.2000  val_loss 0.2500 █▁  val_f1 0.7500  25 samples/s"),
        (91, "loss 0.5000 █▁  f1 0.2000  val_loss 0.2500 █▁  val_f1 0.7500"),
        (80, "loss 0.5000 █▁  val_loss 0.2500 █▁  val_f1 0.7500"),
        (50, "val_loss 0.2500 █▁"),
    ],
)
def test_a_narrow_terminal_shows_what_matters_most(plain_environment, columns, said):
    terminal = Terminal(columns=columns)
    shown = Progress(20, 4, samples=5, file=terminal.file)
    shown.begin_epoch(9)
    for loss in (1.0, 0.5):
        shown.end_epoch({"loss": loss, "f1": 0.2, "val_loss": loss / 2, "val_f1": 0.75})
    room = columns - len("epoch 10/20") - 20
    fitting = "  ".join(shown._fitting(room, ["25 samples/s", "1.5 GFLOP/s"]))
    shown.close()
    last = terminal.drawings()[-1].rstrip("\n")
    terminal.close()
    assert fitting == said
    assert len(said) <= room
    assert len(last) <= columns
    assert "val_loss 0.2500" in last


def test_bar_ends_its_line_when_the_training_fails(plain_environment, terminal):
    def fail():
        with Progress(3, 4, file=terminal.file) as shown:
            shown.begin_epoch(0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert terminal.text().endswith("\n")


def test_the_loss_of_a_running_epoch_can_be_shown(plain_environment, terminal):
    with Progress(1, 10, file=terminal.file) as shown:
        shown.begin_epoch(0)
        progress.time.sleep(2 * progress.INTERVAL)
        shown.update(5, 0.25)
        assert re.search(r"\|█+\S? +\|.*loss 0\.2500", terminal.drawings()[-1])


def test_a_bar_counts_epochs_in_all_and_rates_since_it_began(plain_environment, terminal, monkeypatch):
    """Of a training that goes on at the fifth epoch; more batches than were foreseen are no part of the next one."""
    now = [0.0]
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    with Progress(10, 4, samples=100, file=terminal.file) as shown:
        shown.begin_epoch(4)
        for batch, done in ((2, 4.5), (6, 5.0)):
            now[0] += 1.0
            shown.update(batch)
            assert shown._bar.n == done
        now[0] += 2.0
        shown.end_epoch({"loss": 0.5})
        assert "25 samples/s" in shown._bar.postfix
        bar = shown._bar
    assert bar.n == 5.0


def test_no_thread_is_started(plain_environment, terminal):
    import threading

    before = threading.active_count()
    with Progress(3, 4, file=terminal.file) as shown:
        shown.begin_epoch(0)
        assert threading.active_count() == before


def test_showing_costs_little(plain_environment, terminal, monkeypatch):
    """However often it is told of a batch, it draws once an interval."""
    now = [0.0]
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    with Progress(1000, 100, file=terminal.file) as shown:
        shown.begin_epoch(0)
        draw, drawn = shown._draw, []
        monkeypatch.setattr(shown, "_draw", lambda done: (drawn.append(now[0]), draw(done)))
        for batch in range(1000):
            now[0] += 0.0025
            shown.update(batch % 100)
        assert abs(len(drawn) - 2.5 / progress.INTERVAL) <= 1


# ---- sparklines ----


def test_sparklines():
    assert sparkline([]) == sparkline([1.0]) == sparkline([math.nan, 1.0]) == ""
    assert sparkline([0, 7]) == "▁█"
    assert sparkline(range(8)) == "▁▂▃▄▅▆▇█"
    assert sparkline([2, 2, 2]) == "▁▁▁"
    assert sparkline([0, math.inf, 1]) == "▁ █"
    assert sparkline([1000, 100, math.inf, 10, 1]) == "█▆ ▃▁"
    long = sparkline([*[5] * 999, 9])
    assert len(long) == progress.SPARKS
    assert (long[0], long[-1]) == ("▁", "█")
    assert sparkline([1, 2], "ascii") == sparkline([1, 2], None) == sparkline([1, 2], "latin-1") == ""


# ---- imports ----


def test_the_modules_import_nothing_slow():
    code = (
        "import sys, numpy; before = set(sys.modules); import lamina;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new & {'tqdm', 'pandas', 'IPython', 'argparse', 'csv', 'html', 'xml', 'importlib.resources', 'safetensors'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- history ----


@pytest.fixture
def logged():
    it = History()
    for epoch in range(12):
        it.append({"loss": 2.0**-epoch, "val_loss": np.float32(0.5), "matrix": np.full((2, 2), epoch)})
    return it


def test_history_is_a_table_of_arrays(logged):
    assert list(logged.history) == ["loss", "val_loss", "matrix"]
    assert logged.history["loss"].tolist() == logged["loss"].tolist() == [2.0**-epoch for epoch in range(12)]
    assert logged["matrix"].shape == (12, 2, 2)
    assert logged.epoch.tolist() == list(range(12))
    assert len(logged) == 12
    assert logged.last()["loss"] == 2.0**-11
    assert "loss" in logged
    assert "cost" not in logged
    assert [name for name in logged if name in logged] == list(logged.history)
    with pytest.raises(TypeError, match=r"\[history\] expected the name of a figure, got 3; history.names\(\) has them all"):
        logged[3]
    with pytest.raises(TypeError, match=r"\[history\] expected path to be text or a pathlib.Path, got 3;"):
        logged.to_csv(3)
    with pytest.raises(ValueError, match=r"\[history\] unknown name 'vall_loss'; did you mean 'val_loss'\?"):
        logged["vall_loss"]


def test_a_long_history_is_shown_without_a_look_at_its_middle(monkeypatch):
    it, seen, made = History(), [], []
    for epoch in range(1000):
        it.append({"loss": float(epoch), "matrix": np.ones(2)})
    figure, full = history.figure, np.full
    monkeypatch.setattr(history, "figure", lambda value: seen.append(value) or figure(value))
    monkeypatch.setattr(np, "full", lambda *of: made.append(of) or full(*of))
    shown = repr(it).splitlines()
    assert len(seen) == 2 * history.SHOWN == len(shown) - 3
    assert shown[1].split() == ["epoch", "loss"] and shown[-1].split() == ["1000", "999.0000"]
    assert it["loss"].tolist() == list(range(1000)) and len(made) == 1


def test_history_before_the_first_epoch():
    empty = History()
    assert (empty.history, empty.last(), len(empty), empty.interrupted) == ({}, {}, 0, False)
    assert repr(empty) == "History of 0 epochs"
    ET.fromstring(empty._repr_html_())


def test_a_figure_that_some_epochs_lack():
    it = History()
    it.append({"loss": 1.0})
    it.append({"loss": 0.5, "f1": 0.25, "m": np.ones(2)})
    np.testing.assert_array_equal(it["f1"], [np.nan, 0.25])
    np.testing.assert_array_equal(it["m"], [[np.nan, np.nan], [1, 1]])
    assert repr(it).splitlines()[2:] == ["    1  1.0000", "    2  0.5000  0.2500"]


def test_history_as_text(logged):
    lines = repr(logged).splitlines()
    assert lines[0] == "History of 12 epochs"
    assert lines[1].split() == ["epoch", "loss", "val_loss"]
    assert [line.split()[0] for line in lines[2:]] == ["1", "2", "3", "4", "...", "9", "10", "11", "12"]
    assert lines[-1].split() == ["12", "4.883e-04", "0.5000"]
    assert len({len(line) for line in lines[1:]}) == 1
    logged.interrupted = True
    assert repr(logged).startswith("History of 12 epochs, interrupted")


def test_history_in_a_notebook(logged):
    logged.append({"loss": 1.0, "<b>&": 2.0})
    page = ET.fromstring(logged._repr_html_())
    assert [cell.text for cell in page.iter("th")] == ["epoch", "loss", "val_loss", "<b>&"]
    assert page.find("{http://www.w3.org/2000/svg}svg") is not None
    assert "<script" not in logged._repr_html_()


def test_history_state(logged):
    plain, arrays = logged.state()
    again = History()
    again.load_state(json.loads(json.dumps(plain)), arrays)
    assert again.history.keys() == logged.history.keys()
    for name in logged.history:
        np.testing.assert_array_equal(again[name], logged[name])
    again.append({"loss": 0.0})
    assert (len(again), len(logged)) == (13, 12)


def test_history_as_csv(logged, tmp_path):
    logged.append({"loss": 0.1})
    logged.to_csv(tmp_path / "log.csv")
    with open(tmp_path / "log.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(i) for i in range(1, 14)]
    assert [float(row["loss"]) for row in rows] == logged["loss"].tolist()
    assert rows[-1]["val_loss"] == ""
    assert set(rows[0]) == {"epoch", "loss", "val_loss"}


# ---- curves ----

SVG = "{http://www.w3.org/2000/svg}"


def points(root, kind="polyline"):
    return [[tuple(map(float, pair.split(","))) for pair in line.get("points").split()] for line in root.iter(SVG + kind)]


def labels(root, anchor):
    return [(float(t.get("x")), float(t.get("y")), t.text) for t in root.iter(SVG + "text") if t.get("text-anchor") == anchor]


def test_the_curve_lies_where_the_ticks_say():
    loss = np.array([0.9, 0.35, 0.2, 0.1])
    root = ET.fromstring(curves.curves_svg({"loss": loss}))
    marks = [(y - 4, float(text)) for _, y, text in labels(root, "end")]
    slope, offset = np.polyfit([y for y, _ in marks], [v for _, v in marks], 1)
    (line,) = points(root)
    np.testing.assert_allclose([slope * y + offset for _, y in line], loss, atol=1e-3)
    epochs = {int(text): x for x, _, text in labels(root, "middle") if text != "epoch"}
    np.testing.assert_allclose([line[0][0], line[3][0]], [epochs[1], epochs[4]])
    assert {*epochs} == {1, 2, 3, 4} and any(text == "epoch" for *_, text in labels(root, "middle"))
    assert all(curves.TOP <= y <= curves.HEIGHT - curves.BOTTOM for y, _ in marks)
    for n in (2, 4):
        ends = [x for x, _ in points(ET.fromstring(curves.curves_svg({"loss": loss[:n]})))[0]][:: n - 1]
        assert ends == [curves.LEFT, curves.WIDTH - curves.RIGHT]


def test_a_wide_span_is_logarithmic():
    loss = 10.0 ** -np.arange(4)
    root = ET.fromstring(curves.curves_svg({"loss": loss}))
    assert any(t.text == "loss (log scale)" for t in root.iter(SVG + "text"))
    heights = [y for _, y in points(root)[0]]
    assert np.allclose(np.diff(heights), np.diff(heights)[0], atol=0.11)
    assert "log scale" not in curves.curves_svg({"r2": np.array([-5.0, 0.001, 0.9])})


def test_panels():
    series = {name: np.linspace(1, 0.5, 5) for name in ("loss", "accuracy", "val_loss", "val_accuracy", "f1")}
    root = ET.fromstring(curves.curves_svg(series))
    assert root.get("viewBox") == "0 0 920 600"
    assert [t.text for t in root.iter(SVG + "text") if t.get("font-weight")] == ["loss", "accuracy", "f1"]
    assert len(points(root)) == 5
    legend = [t for t in root.iter(SVG + "text") if t.text in ("training", "validation")]
    assert sorted(t.text for t in legend) == ["training"] * 3 + ["validation"] * 2
    assert all(curves.LEFT < float(t.get("x")) < curves.WIDTH - curves.RIGHT - 60 for t in legend)


def test_a_long_title_ends_before_the_legend():
    name = "mean_absolute_error_of_everything"
    root = ET.fromstring(curves.curves_svg({name: 10.0 ** np.arange(4), f"val_{name}": np.ones(4)}))
    (title,) = (t for t in root.iter(SVG + "text") if t.get("font-weight"))
    assert title.text == "mean_... (log scale)" and title.find(SVG + "title").text == name
    assert float(title.get("x")) + 9 * len(title.text) <= min(
        float(p.get("d")[1:].split()[0]) for p in root.iter(SVG + "path") if "h22" in p.get("d")
    )


def test_gaps_dots_and_odd_values():
    gap = np.array([1.0, 0.9, np.nan, 0.7, np.inf, 0.5, 0.4])
    root = ET.fromstring(curves.curves_svg({"loss": gap}))
    assert [len(line) for line in points(root)] == [2, 2]
    assert len(list(root.iter(SVG + "circle"))) == 1
    for odd in ([np.nan], [0.0], [0.0, 0.0], [1e-300, 1e300], [-3.0], [1.0, 1.0 + 1e-15], [1e30, 1e30], [5e-324, 1.0]):
        root = ET.fromstring(curves.curves_svg({"a<&b": np.array(odd)}))
        numbers = [float(n) for line in points(root) for pair in line for n in pair]
        assert np.isfinite(numbers).all()


def test_text_is_large_enough_and_ticks_apart():
    root = ET.fromstring(curves.curves_svg({"loss": np.linspace(1, 0.01, 1000), "val_loss": np.linspace(1, 0.02, 1000)}))
    sizes = [float(t.get("font-size", root.get("font-size"))) for t in root.iter(SVG + "text")]
    assert min(sizes) >= 11
    heights = sorted(y for _, y, _ in labels(root, "end"))
    assert min(np.diff(heights)) > 14
    across = sorted(x for x, _, text in labels(root, "middle") if text != "epoch")
    assert min(np.diff(across)) > 30


def luminance(colour):
    """As WCAG 2 has it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return sum(
        share * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for share, c in zip((0.2126, 0.7152, 0.0722), channels, strict=True)
    )


def test_the_picture_reads_on_light_and_on_dark_pages():
    picture = curves.curves_svg({"loss": np.linspace(1, 0.5, 5), "val_loss": np.linspace(1, 0.6, 5)})
    assert "<rect" not in picture and "#fff" not in picture
    root = ET.fromstring(picture)
    used = {e.get(kind) for e in root.iter() for kind in ("fill", "stroke")} - {None, "none"}
    assert len(used) == 3
    for colour in used:
        for paper in ("#ffffff", "#111111"):
            high, low = sorted((luminance(colour) + 0.05, luminance(paper) + 0.05), reverse=True)
            assert high / low >= (4 if colour == root.get("fill") else 3), (colour, paper)


@pytest.mark.parametrize("span", [(0, 1), (0.03, 0.97), (-2.5, 7), (1, 1), (0, 0), (1e-9, 3e-9), (99999, 100001), (1, 1e6)])
def test_ticks_enclose_evenly(span):
    marks = curves.ticks(*span)
    assert marks[0] <= span[0]
    assert marks[-1] >= span[1]
    assert 2 <= len(marks) <= 9
    assert np.allclose(np.diff(marks), marks[1] - marks[0])


@pytest.mark.parametrize("module", [progress, history, curves], ids=lambda m: m.__name__)
def test_examples(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    result = doctest.testmod(module, extraglobs={"lm": lm, "np": np})
    assert result.attempted > 2
    assert result.failed == 0


class Gone:
    """A file that nobody reads any more."""

    def __init__(self, error):
        self.error, self.closed = error, isinstance(error, ValueError)

    def write(self, _):
        raise self.error

    def flush(self):
        raise self.error

    def isatty(self):
        return False


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left"), ValueError("I/O on closed file")]
)
def test_a_training_goes_on_where_nobody_reads_its_progress(error, monkeypatch):
    x = np.ones((8, 3), np.float32)
    monkeypatch.setattr("sys.stderr", Gone(error))
    history = lm.Sequential(lm.Dense(1), seed=0).fit(x, x[:, :1], loss="mse", optimizer="sgd", epochs=3)
    assert len(history) == 3


def test_a_file_that_is_not_closed_may_say_what_is_wrong(monkeypatch):
    gone = Gone(ValueError("of my own"))
    gone.closed = False
    with pytest.raises(ValueError, match="of my own"):
        Progress(1, file=gone).say("a line")
