"""Plots by matplotlib, which the extra `lamina[plot]` installs. Each returns the Axes that it drew on."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina.base import checks

Array = NDArray[Any]

# Blue and orange: apart for the colour-blind too, of a middle lightness that reads on light and dark; validation is dashed as well.
TRAINING, VALIDATION = "#3a86c8", "#c8681a"

FRAME = 3.2  # inches of a panel's height


def pyplot() -> Any:
    """matplotlib.pyplot; ValueError that names the extra where it is missing."""
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise ValueError("[plot] expected matplotlib, got none; pip install 'lamina[plot]'") from error


def curves(series: Mapping[str, Array], ax: Any = None) -> Any:
    """Figures over the epochs: a panel each, "val_<name>" in the panel of <name>. On `ax` all share one panel.

    Returns the Axes, an array of them for several panels.
    """
    titles = list(dict.fromkeys(name.removeprefix("val_") for name in series))
    if not titles:
        raise ValueError("[plot] expected at least one epoch, got an empty history; fit the network first")
    if ax is not None:
        _check_axes("plot", ax)
        for title in titles:
            _panel(ax, title, series, label=title if len(titles) > 1 else "")
        return ax
    _, axes = pyplot().subplots(1, len(titles), figsize=(1.4 * FRAME * len(titles), FRAME), squeeze=False, layout="constrained")
    for panel, title in zip(axes[0], titles, strict=True):
        _panel(panel, title, series)
        panel.set_title(title)
        panel.xaxis.get_major_locator().set_params(integer=True)
    return axes[0] if len(titles) > 1 else axes[0][0]


def _check_axes(where: str, ax: Any) -> None:
    if not hasattr(ax, "plot"):
        raise TypeError(f"[{where}] expected Axes, got {checks.brief(ax)}; to save a plot: leave ax out, then plt.savefig(path)")


def _panel(ax: Any, title: str, series: Mapping[str, Array], label: str = "") -> None:
    for name, what, colour, dash in ((title, "training", TRAINING, "-"), (f"val_{title}", "validation", VALIDATION, "--")):
        if name in series:
            values = np.asarray(series[name])
            style = {} if label else {"color": colour}
            ax.plot(np.arange(1, len(values) + 1), values, dash, label=f"{label} {what}".strip(), **style)
    ax.set_xlabel("epoch")
    ax.legend(frameon=False)


def confusion(matrix: Array, labels: Sequence[Any] | None = None, ax: Any = None, *, normalize: bool = False) -> Any:
    """A confusion matrix as a table of shades with its counts, or with each row's shares."""
    counts = np.asarray(matrix, dtype=np.float64)
    n = len(counts)
    if not isinstance(labels, (Iterable, type(None))):
        raise TypeError(f"[plot_confusion] expected {n} labels, got {checks.brief(labels)}; pass a list of names")
    names = [str(i) for i in range(n)] if labels is None else [str(name) for name in labels]
    if len(names) != n:
        raise ValueError(f"[plot_confusion] expected {n} labels, one for each class, got {len(names)}; pass as many")
    if ax is not None:
        _check_axes("plot_confusion", ax)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    ax = pyplot().subplots(figsize=(1.2 + 0.5 * n, 1 + 0.5 * n), layout="constrained")[1] if ax is None else ax
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        if counts[i, j]:
            shown = f"{share:.2f}" if normalize else f"{counts[i, j]:g}"
            ax.text(j, i, shown, ha="center", va="center", color="white" if share > 0.5 else "black")
    ax.set(xticks=range(n), yticks=range(n), xticklabels=names, yticklabels=names, xlabel="predicted", ylabel="true")
    _turn_where_too_wide(ax)
    return ax


def _turn_where_too_wide(ax: Any) -> None:
    """Rotates the labels of the ticks where they would overlap."""
    turn, labels = pyplot().setp, ax.get_xticklabels()
    turn(labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.figure.canvas.figure.draw_without_rendering()  # the layout is known only then; level labels can only make it wider
    turn(labels, rotation=0, ha="center")
    if max(label.get_window_extent().width for label in labels) > ax.get_window_extent().width / len(labels):
        turn(labels, rotation=45, ha="right")
