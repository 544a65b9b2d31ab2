"""How far a training is: one line that changes in a terminal or notebook, plain lines at epoch ends elsewhere, or nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

import numpy as np

from lamina.base import checks
from lamina.training.history import figure

INTERVAL = 0.2  # seconds between two changes of the line: drawing it costs about a millisecond, so watching stays below 1 %
BLOCKS = "▁▂▃▄▅▆▇█"
SPARKS = 8  # blocks of a sparkline


class Progress:
    """Shows epochs and batches going by; a context manager that puts the terminal right again however the training ends.

    `epochs`: how many in all; `batches`: in an epoch, 0 where nobody knows; `verbose`: False or 0 shows nothing, True, 1 or None a
    bar by tqdm, or plain lines where the output is no terminal or notebook, or CI or NO_COLOR is set; `samples`: in an epoch, to
    show samples/s; `flops()`: FLOP of a sample, to show GFLOP/s; `file`: where to, by default standard error.

    The line: epoch, bar, time left, figures, those of the loss with their course over the epochs, samples/s, GFLOP/s.

    >>> import sys
    >>> with Progress(2, 10, file=sys.stdout) as progress:  # doctest: +ELLIPSIS
    ...     for epoch in range(2):
    ...         progress.begin_epoch(epoch)
    ...         progress.end_epoch({"loss": 0.5})
    epoch 1/2  loss 0.5000  ... s
    epoch 2/2  loss 0.5000  ... s
    """

    def __init__(
        self,
        epochs: int,
        batches: int = 0,
        verbose: bool | int | None = None,
        *,
        samples: int = 0,
        flops: Callable[[], float] | None = None,
        file: TextIO | None = None,
    ):
        self.epochs, self.batches, self.samples = epochs, batches, samples
        self._flops = flops
        self._file = sys.stderr if file is None else file
        self._how = how(verbose, self._file)
        self._epoch = self._first = 0
        self._bar: Any = None
        self._ended = 0  # epochs
        self._courses: dict[str, list[float]] = {"loss": [], "val_loss": []}
        self._figures: dict[str, float] = {}
        self._begun = self._shown = time.perf_counter()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def begin_epoch(self, epoch: int) -> None:
        """Before the epoch, counted from 0; the first may be a later one, where a training goes on."""
        if self._bar is None and self._how == "bar":
            self._first = epoch
            with self._unless_gone():
                self._bar = self._make_bar()
        self._epoch = epoch
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {epoch + 1}/{self.epochs}", refresh=False)

    def update(self, done: int, loss: float | None = None) -> bool:
        """After `done` batches of the epoch. Returns False: nothing here asks to stop, so this can be the poll of an epoch."""
        if self._bar is not None and time.perf_counter() - self._shown >= INTERVAL:
            if loss is not None:
                self._figures["loss"] = loss
            with self._unless_gone():
                self._draw(self._epoch + (min(done / self.batches, 1.0) if self.batches else 0.0))
        return False

    def end_epoch(self, logs: Mapping[str, Any]) -> None:
        """After the epoch and its validation, with its figures."""
        if self._how == "nothing":
            return
        with self._unless_gone():
            self._show_epoch(logs)

    @contextmanager
    def _unless_gone(self) -> Iterator[None]:
        """A training goes on, and is silent, where what is shown goes nowhere any more: a closed pipe, a full disk."""
        try:
            yield
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) and not getattr(self._file, "closed", False):
                raise
            self._how, self._bar = "nothing", None

    def _show_epoch(self, logs: Mapping[str, Any]) -> None:
        self._figures = {name: float(value) for name, value in logs.items() if isinstance(value, float) or np.ndim(value) == 0}
        self._ended += 1
        for name, course in self._courses.items():
            course.append(self._figures.get(name, float("nan")))
        if self._how == "lines":
            width = len(str(self.epochs))
            seconds = time.perf_counter() - self._begun
            print(f"epoch {self._epoch + 1:{width}}/{self.epochs}  {self._text()}  {seconds:.1f} s", file=self._file, flush=True)
        elif self._bar is not None and time.perf_counter() - self._shown >= INTERVAL:
            self._draw(self._epoch + 1.0)

    def say(self, line: str) -> None:
        """A line below all others, where anything is shown."""
        if line and self._how != "nothing":
            with self._unless_gone():
                print(line, file=self._file, flush=True)

    def close(self) -> None:
        """Leaves the last state of the line standing."""
        if self._bar is not None:
            with self._unless_gone():
                self._draw(self._first + float(self._ended))
                self._bar.close()
            self._bar = None

    def _text(self) -> str:
        return "  ".join(f"{name} {figure(value)}" for name, value in self._figures.items())

    def _make_bar(self) -> Any:
        form = "{desc} |{bar}| {remaining}{postfix}"
        size: dict[str, Any] = {"dynamic_ncols": True} if _columns(self._file) else {"ncols": 80, "nrows": 24}
        bar = bar_class()(total=self.epochs, initial=self._first, bar_format=form, file=self._file, mininterval=INTERVAL, **size)
        self._begun = self._shown = time.perf_counter()
        return bar

    def _draw(self, epochs_done: float) -> None:
        self._shown = time.perf_counter()
        # Of a line, what is left beside the time, a bar of 6 and separators.
        room = 200 if in_notebook() else (_columns(self._file) or 80) - len(self._bar.desc) - 20
        self._bar.set_postfix_str("  ".join(self._fitting(room, self._rates(epochs_done))), refresh=False)
        self._bar.n = epochs_done
        self._bar.refresh()

    def _rates(self, epochs_done: float) -> list[str]:
        """Samples/s and GFLOP/s since the beginning, as far as they are known."""
        rate = (epochs_done - self._first) * self.samples / max(self._shown - self._begun, 1e-9)
        gflops = 1e-9 * rate * (self._flops() if self._flops is not None and rate else 0.0)
        return [f"{_short(rate)} samples/s"] * bool(rate) + [f"{gflops:.3g} GFLOP/s"] * bool(gflops)

    def _fitting(self, room: int, rates: Sequence[str]) -> list[str]:
        """What there is room for: losses before other figures, those of the validation before those of the training; then their
        courses, then the rates."""
        encoding = getattr(self._file, "encoding", None)
        courses = {name: sparkline(course, encoding) for name, course in self._courses.items()}
        by_rank = sorted(self._figures, key=lambda name: ("loss" not in name, not name.startswith("val_")))
        kept: dict[str, str] = {}
        wide = -2
        for name in [*by_rank, "~val_loss", "~loss", *rates]:
            of = name.removeprefix("~")
            drawn = courses.get(of, "") if name != of else ""
            part = f"{of} {figure(self._figures[of])}" if name in self._figures else drawn if name != of else name
            gap = 1 if name != of else 2
            if part and (name == of or of in kept) and wide + gap + len(part) <= room:
                kept[name] = part
                wide += gap + len(part)
        shown = [" ".join(kept[key] for key in (name, f"~{name}") if key in kept) for name in self._figures if name in kept]
        return [*shown, *(rate for rate in rates if rate in kept)]


def how(verbose: bool | int | None, file: TextIO | None) -> str:
    """ "bar", "lines" or "nothing".

    >>> how(False, sys.stderr)
    'nothing'
    """
    if verbose is not None and (not isinstance(verbose, (bool, int)) or verbose not in (0, 1)):
        raise ValueError(
            f"[fit] expected verbose to be 0, 1, True, False or None, got {checks.brief(verbose)}; pass 0 for silence, 1 for "
            "a line that is drawn anew, or where there is no terminal a line an epoch"
        )
    if file is None or (verbose is not None and not verbose):  # a program without a console has no stderr
        return "nothing"
    if any(os.environ.get(name) for name in ("CI", "NO_COLOR")) or os.environ.get("TERM") == "dumb":
        return "lines"
    return "bar" if in_notebook() or file.isatty() else "lines"


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this."""
    ipython = sys.modules.get("IPython")  # a notebook has imported it; we must not
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def bar_class() -> Any:
    """tqdm for a terminal or, where its widgets are installed, a notebook; imported here: it takes longer than the package."""
    from importlib import import_module
    from importlib.util import find_spec

    notebook = in_notebook() and find_spec("ipywidgets") is not None
    base = import_module("tqdm.notebook").tqdm_notebook if notebook else import_module("tqdm.std").tqdm
    return type("Bar", (base,), {"monitor_interval": 0})  # no thread of its own that watches for slow loops


def sparkline(values: Sequence[float], encoding: str | None = "utf-8") -> str:
    """Values as block characters from the smallest to the largest, at most `SPARKS` of them, evenly picked, the last one included.

    By their logarithms where all are positive and the largest is more than 30 times the smallest, as `History.svg` draws them.
    Empty for fewer than two finite values, and where `encoding` has no blocks.

    >>> sparkline([8, 4, 2, 1, float("nan"), 1])
    '█▄▂▁ ▁'
    """
    picked = np.asarray(values, dtype=np.float64)
    if len(picked) > SPARKS:
        picked = picked[np.linspace(0, len(picked) - 1, SPARKS).round().astype(int)]
    finite = picked[np.isfinite(picked)]
    if len(finite) < 2 or not _can_encode(BLOCKS, encoding):
        return ""
    if finite.min() > 0 and finite.max() > 30 * finite.min():
        picked, finite = np.log(np.where(np.isfinite(picked), picked, np.nan)), np.log(finite)
    low, span = finite.min(), max(np.ptp(finite), 1e-300)
    return "".join(BLOCKS[int((v - low) / span * (len(BLOCKS) - 1) + 0.5)] if np.isfinite(v) else " " for v in picked)


def _columns(file: TextIO) -> int:
    """The terminal's width, or 0 where it does not say its size, as a container's may: there, tqdm would draw nothing."""
    try:
        columns, lines = os.get_terminal_size(file.fileno())
    except (OSError, ValueError):
        return 0
    return columns if lines else 0


def _can_encode(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _short(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
