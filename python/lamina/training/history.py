"""What a training logged: a table of figures by epoch, as arrays, as text, as a picture, as a file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina.base import checks, tables
from lamina.base.names import unknown

Array = NDArray[Any]

SHOWN = 4  # rows of the table at its head, and at its end


class History:
    """The figures of each epoch of a fit.

    `history`: a dict from name to an array with one entry an epoch, NaN where an epoch has none; `epoch`: 0, 1, 2, ...;
    `interrupted`: whether Ctrl-C ended the fit. `history["loss"]` is short for `history.history["loss"]`.

    >>> history = lm.History()
    >>> history.append({"loss": 1.5, "val_loss": 2.0})
    >>> history.append({"loss": 0.5, "val_loss": 1.0})
    >>> history
    History of 2 epochs
    epoch    loss  val_loss
        1  1.5000    2.0000
        2  0.5000    1.0000
    >>> history.history["loss"], history.last()
    (array([1.5, 0.5]), {'loss': 0.5, 'val_loss': 1.0})
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._rows: list[dict[str, Any]] = []

    def append(self, logs: Mapping[str, Any]) -> None:
        """Takes in the figures of the next epoch."""
        self._rows.append(
            {name: value if not isinstance(value, float) and np.ndim(value) else float(value) for name, value in logs.items()}
        )

    def amend(self, logs: Mapping[str, Any]) -> None:
        """Takes in more figures of the last epoch."""
        self.append({**self._rows.pop(), **logs})

    @property
    def history(self) -> dict[str, Array]:
        """Name -> an array with one entry an epoch."""
        return {name: self[name] for name in self.names()}

    @property
    def epoch(self) -> NDArray[np.int64]:
        """0, 1, 2, ..."""
        return np.arange(len(self._rows), dtype=np.int64)

    def names(self) -> list[str]:
        """The names of the figures in the order in which they came."""
        return list(dict.fromkeys(name for row in self._rows for name in row))

    def last(self) -> dict[str, Any]:
        """The figures of the last epoch; {} before the first."""
        return dict(self._rows[-1]) if self._rows else {}

    def __getitem__(self, name: str) -> Array:
        """The figure of that name, one for each epoch, NaN where an epoch has none. Errors: ValueError for an unknown name."""
        if not isinstance(name, str):
            raise TypeError(f"[history] expected the name of a figure, got {checks.brief(name)}; history.names() has them all")
        if name not in self:
            raise unknown("history", name, self.names())
        none = np.full(next(np.shape(row[name]) for row in self._rows if name in row), np.nan)
        return np.array([row.get(name, none) for row in self._rows])

    def __iter__(self) -> Iterator[str]:
        """The names, as `in` knows them."""
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return any(name in row for row in self._rows)

    def __len__(self) -> int:
        """Epochs."""
        return len(self._rows)

    # ---- to be kept ----

    def state(self) -> tuple[list[dict[str, float | None]], dict[str, Array]]:
        """(the figures of each epoch as JSON can hold them, None for arrays; these by name), for `load_state`."""
        plain = [{name: value if np.ndim(value) == 0 else None for name, value in row.items()} for row in self._rows]
        arrays = {f"{epoch}/{name}": np.asarray(v) for epoch, row in enumerate(self._rows) for name, v in row.items() if np.ndim(v)}
        return plain, arrays

    def load_state(self, plain: Sequence[Mapping[str, float | None]], arrays: Mapping[str, Array]) -> None:
        """Takes up what `state` returned."""
        self._rows = [dict(row) for row in plain]
        for key, value in arrays.items():
            epoch, _, name = key.partition("/")
            self._rows[int(epoch)][name] = value

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the scalar figures to a CSV file: a line with the names, then a line an epoch, counted from 1; empty: no figure.

        >>> lm.History().to_csv("history.csv")
        """
        path = checks.path("history", "path", path)
        names = self._scalars()
        rows = [[str(i), *(repr(row[name]) if name in row else "" for name in names)] for i, row in enumerate(self._rows, 1)]
        with checks.writing("history", path), open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([["epoch", *names], *rows])

    # ---- to be seen ----

    def svg(self) -> str:
        """The scalar figures over the epochs as a picture: a panel each, with its "val_" figure in the same panel.

        >>> lm.History().svg().startswith("<svg")
        True
        """
        from lamina.report.curves import curves_svg

        return curves_svg({name: self[name] for name in self._scalars()})

    def plot(self, ax: Any = None) -> Any:
        """The scalar figures over the epochs by matplotlib (the extra `lamina[plot]`); returns the Axes.

        ax: an Axes that takes all of them; by default a new panel for each figure, with its "val_" figure in it.
        Errors: ValueError for an empty history, and without matplotlib.
        """
        from lamina.base.plots import curves

        return curves({name: self[name] for name in self._scalars()}, ax)

    def __repr__(self) -> str:
        head = f"History of {len(self)} epoch{'s' * (len(self) != 1)}{', interrupted' if self.interrupted else ''}"
        return "\n".join([head, *tables.text([self._head(), *self._cells()], ">" * len(self._head()))]) if len(self) else head

    def _repr_html_(self) -> str:
        return f"<div>{self.svg()}{tables.html(self._head(), self._cells(), '>' * len(self._head()))}</div>"

    def _head(self) -> list[str]:
        return ["epoch", *self._scalars()]

    def _scalars(self) -> list[str]:
        return [name for name in self.names() if all(isinstance(row.get(name, 0.0), float) for row in self._rows)]

    def _cells(self) -> list[list[str]]:
        """The table's cells; the middle of a long one is left out."""
        names, n = self._scalars(), len(self)
        shown = range(n) if n <= 2 * SHOWN + 1 else (*range(SHOWN), *range(n - SHOWN, n))
        rows = [[str(i + 1), *(figure(self._rows[i].get(name)) for name in names)] for i in shown]
        return rows if len(rows) == n else [*rows[:SHOWN], ["..."] * (len(names) + 1), *rows[SHOWN:]]


def figure(value: float | None) -> str:
    """A number as tables show it, with four digits behind the point or, where that says nothing, in powers of ten.

    >>> figure(0.25), figure(1e-7), figure(None)
    ('0.2500', '1.000e-07', '')
    """
    if value is None:
        return ""
    return f"{value + 0.0:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"
