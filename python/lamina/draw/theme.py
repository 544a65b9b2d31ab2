"""Colours. Values run from orange (negative) over a neutral grey to blue (positive), exactly symmetric about zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SANS = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
SERIF = "Georgia, 'Times New Roman', 'Liberation Serif', 'DejaVu Serif', serif"


@dataclass(frozen=True)
class Theme:
    """`negative` and `positive`: from near zero to the end of the scale; `neutral`: zero itself."""

    name: str
    paper: str
    panel: str
    ink: str
    muted: str
    rule: str
    edge: str
    negative: tuple[str, ...]
    positive: tuple[str, ...]
    neutral: str

    def ramp(self, steps: int = 127) -> NDArray[np.uint8]:
        """(2 steps + 1, 3) colours from the most negative to the most positive."""
        half = np.linspace(0, 1, steps + 1)
        sides = [_interpolate((self.neutral, *stops), half) for stops in (self.negative, self.positive)]
        colours: NDArray[np.uint8] = np.concatenate([sides[0][:0:-1], sides[1]]).round().astype(np.uint8)
        return colours

    def colour(self, level: float) -> str:
        """The colour of a value in [-1, 1] of its scale."""
        stops = self.positive if level >= 0 else self.negative
        r, g, b = _interpolate((self.neutral, *stops), np.array([min(abs(level), 1.0)]))[0].round().astype(int)
        return f"#{r:02x}{g:02x}{b:02x}"


def _rgb(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float64)


def _interpolate(stops: tuple[str, ...], at: NDArray[np.float64]) -> NDArray[np.float64]:
    table = np.array([_rgb(stop) for stop in stops])
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(at, places, table[:, channel]) for channel in range(3)], axis=-1)


LIGHT = Theme(
    "light",
    paper="#ffffff",
    panel="#f6f7f9",
    ink="#1d2228",
    muted="#59626d",
    rule="#d5dae0",
    edge="#9aa4af",
    negative=("#fdd9ae", "#ee9a3c", "#b35806"),
    positive=("#c6dcee", "#5c9ccc", "#2166ac"),
    neutral="#f7f7f7",
)
DARK = Theme(
    "dark",
    paper="#14181d",
    panel="#1b2026",
    ink="#e8ecf1",
    muted="#a2adb9",
    rule="#343c46",
    edge="#5f6b78",
    negative=("#5c3a17", "#c06f1f", "#ffab57"),
    positive=("#1d3f61", "#3579b8", "#83c3ff"),
    neutral="#262c33",
)
THEMES = {"light": LIGHT, "dark": DARK}
