"""The figures of each epoch as a line of a file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina.base import checks
from lamina.base.files import replace_file
from lamina.callbacks.base import Callback, Logs, make_folder_of


class CSVLogger(Callback):
    """Writes a line with the epoch (from 1) and all scalar figures to a CSV file at the end of each epoch.

    The file can be read while the training runs. A fit begins a new file; one that goes on from a checkpoint keeps the lines up to
    that checkpoint, and `append=True` keeps all of them. A figure that the file has no column for gets one, at the end; it is empty
    in the lines above. Missing folders are made. Errors: OSError, which ends the fit, where the file cannot be written; ValueError
    before the first epoch where lines are kept and the file is another one, whose first column is not "epoch".

    >>> net, x = lm.Sequential(lm.Dense(1), seed=0), np.ones((8, 1))
    >>> log = lm.callbacks.CSVLogger("run/log.csv")
    >>> history = net.fit(x, x, loss="mse", optimizer="sgd", epochs=2, callbacks=log, verbose=0)
    >>> [line.split(",")[0] for line in open(log.path)]
    ['epoch', '1', '2']
    """

    looks_on = True

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False):
        self.path = checks.path("CSVLogger", "path", path)
        self.append = checks.flag("CSVLogger", "append", append)
        self._lines = 0  # of this training, without the header
        self._columns: list[str] = []
        self._resumed = False

    def on_fit_begin(self) -> None:
        make_folder_of(self.path)
        lines = _lines(self.path) if self.append or self._resumed else []
        if not self.append:
            self._lines = self._lines if self._resumed else 0
            lines = lines[: self._lines + 1]
        columns = next(csv.reader(lines[:1]), [])
        if columns and columns[0] != "epoch":
            raise ValueError(
                f"[CSVLogger] expected 'epoch' as the first column of {self.path}, got {columns[0]!r}; pass another path, or begin "
                "a new file with append=False"
            )
        self._replace(lines)
        self._columns, self._resumed = columns, False

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        row = {"epoch": epoch + 1, **{name: value for name, value in logs.items() if np.ndim(value) == 0}}
        new = [name for name in row if name not in self._columns]
        if new:
            self._columns = [*self._columns, *new]
            self._replace([_line(self._columns), *(line + "," * len(new) for line in _lines(self.path)[1:])])
        with checks.writing("CSVLogger", self.path), open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(_line([row.get(name, "") for name in self._columns]) + "\n")
        self._lines += 1

    def _replace(self, lines: list[str]) -> None:
        replace_file(self.path, "".join(f"{line}\n" for line in lines).encode(), "CSVLogger")

    def state(self) -> dict[str, Any]:
        return {"lines": self._lines}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._lines, self._resumed = state["lines"], True


def _line(values: Sequence[Any]) -> str:
    """The values with commas between them; names that hold some are quoted."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()
