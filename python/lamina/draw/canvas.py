"""An SVG writer: shapes, text, equations. It notes where each text lies, so that overlaps can be found without a browser."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import combinations
from typing import NamedTuple

from lamina.draw.theme import SANS, SERIF, Theme
from lamina.trace import notation
from lamina.trace.notation import Equation, Sym

WIDTH, HEIGHT = 1600, 1000
DOTS = "⋯"  # for what is left out, and values without a name
SMALLEST = 11.0  # px: no text is smaller, subscripts included
WIDE, NARROW = set("MWmw@%—⋯→←½"), set("iljtfrI1.,:;'|!()[]{} -·")


class Box(NamedTuple):
    """A rectangle: left, top, width, height."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        return self.x + self.w

    @property
    def bottom(self) -> float:
        return self.y + self.h

    @property
    def cx(self) -> float:
        return self.x + self.w / 2

    @property
    def cy(self) -> float:
        return self.y + self.h / 2

    def overlaps(self, other: Box, slack: float = 0.0) -> bool:
        """Whether they share more than `slack` px in both directions."""
        across = min(self.right, other.right) - max(self.x, other.x)
        down = min(self.bottom, other.bottom) - max(self.y, other.y)
        return across > slack and down > slack


@dataclass
class Label:
    """A text as it was written, with the box that it takes up by estimate."""

    text: str
    box: Box
    smallest: float


def width(text: str, size: float, bold: bool = False) -> float:
    """About how wide a text is: sans-serif letters by three classes of width.

    >>> width("W", 10) > width("i", 10)
    True
    """
    em = sum(0.88 if c in WIDE else 0.33 if c in NARROW else 0.67 if c.isupper() else 0.56 for c in text)
    return size * em * (1.06 if bold else 1.0)


def equation_width(equation: Equation, size: float) -> float:
    """The same for an equation."""
    sub = max(SMALLEST, 0.72 * size)
    total = 0.0
    for part in equation:
        if isinstance(part, Sym):
            total += width(part.prefix + part.name, size) + width(part.sub + ("T" if part.transposed else ""), sub)
        else:
            total += width(part, size)
    return 1.16 * total  # serif letters are wider in some fonts


class Canvas:
    """Collects SVG elements; `svg()` puts them together."""

    def __init__(self, width: int, height: int, theme: Theme) -> None:
        self.width, self.height, self.theme = width, height, theme
        self.parts: list[str] = []
        self.labels: list[Label] = []

    def add(self, element: str) -> None:
        """An element as it is."""
        self.parts.append(element)

    def rect(self, box: Box, fill: str, stroke: str | None = None, radius: float = 0, extra: str = "") -> None:
        """A rectangle."""
        line = f' stroke="{stroke}"' if stroke else ""
        round_ = f' rx="{_n(radius)}"' if radius else ""
        self.add(
            f'<rect x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.w)}" height="{_n(box.h)}" fill="{fill}"{line}{round_}{extra}/>'
        )

    def circle(self, x: float, y: float, r: float, fill: str, stroke: str | None = None, extra: str = "") -> None:
        """A disc."""
        line = f' stroke="{stroke}"' if stroke else ""
        self.add(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}" fill="{fill}"{line}{extra}/>')

    def path(self, d: str, stroke: str, width: float = 1.0, extra: str = "") -> None:
        """A line along a path."""
        self.add(f'<path d="{d}" fill="none" stroke="{stroke}" stroke-width="{_n(width)}"{extra}/>')

    def text(
        self, x: float, y: float, text: str, size: float = 13, *, anchor: str = "start", fill: str | None = None, bold: bool = False
    ) -> Box:
        """Text with its baseline at y."""
        assert size >= SMALLEST, text
        weight = ' font-weight="600"' if bold else ""
        self.add(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" text-anchor="{anchor}" fill="{fill or self.theme.ink}"{weight}>'
            f"{escape(text)}</text>"
        )
        return self._note(text, x, y, width(text, size, bold), size, anchor, size)

    def equation(
        self, x: float, y: float, equation: Equation, size: float = 16, *, anchor: str = "middle", fill: str | None = None
    ) -> Box:
        """Math with its baseline at y: italic symbols, subscripts lowered, the transpose sign raised."""
        sub = max(SMALLEST, 0.72 * size)
        out, shift = "", 0.0
        for part in equation:
            if isinstance(part, str):
                out += _span(part.replace(" ", "\u00a0"), shift, None, italic=False)
                shift = 0.0
                continue
            if part.gradient:
                out += _span(part.prefix, shift, None, italic=False)
                shift = 0.0
            out += _span(part.name, shift, None, italic=len(part.name.rstrip("′")) == 1)
            shift = 0.0
            if part.sub:
                out += _span(part.sub, 0.24 * size, sub, italic=False)
                shift = -0.24 * size
            if part.transposed:
                out += _span("T", shift - 0.36 * size, sub, italic=False)
                shift = 0.36 * size
        self.add(
            f'<text x="{_n(x)}" y="{_n(y)}" font-family="{SERIF}" font-size="{_n(size)}" text-anchor="{anchor}" '
            f'fill="{fill or self.theme.ink}">{out}</text>'
        )
        smallest = sub if any_small(equation) else size
        return self._note(notation.text(equation), x, y, equation_width(equation, size), size, anchor, smallest)

    def image(self, box: Box, uri: str, title: str) -> None:
        """A raster picture, its pixels kept sharp; `title` is escaped already."""
        self.add(
            f'<image x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.w)}" height="{_n(box.h)}" preserveAspectRatio="none" '
            f'style="image-rendering:pixelated" href="{uri}"><title>{title}</title></image>'
        )

    def _note(self, text: str, x: float, y: float, wide: float, size: float, anchor: str, smallest: float) -> Box:
        left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
        box = Box(left, y - 0.76 * size, wide, 0.98 * size)
        self.labels.append(Label(text, box, smallest))
        return box

    def overlapping(self) -> list[tuple[str, str]]:
        """Pairs of texts whose estimated boxes overlap by more than a hair."""
        return [(a.text, b.text) for a, b in combinations(self.labels, 2) if a.box.overlaps(b.box, 1.0)]

    def svg(self, title: str, description: str) -> str:
        """The whole document."""
        w, h = self.width, self.height
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
                f'aria-labelledby="title description" font-family="{SANS}">',
                f'<title id="title">{escape(title)}</title>',
                f'<desc id="description">{escape(description)}</desc>',
                f'<rect width="{w}" height="{h}" fill="{self.theme.paper}"/>',
                *self.parts,
                "</svg>",
                "",
            ]
        )


def cut(text: str, size: float, limit: float, *, bold: bool = False) -> str:
    """The text, its end left out where it is wider than `limit`.

    >>> cut("a long line of text", 13, 60)
    'a long l...'
    """
    most = 9 + int(limit / width("i", size))  # letters, the narrowest ones
    if len(text) > most + 1:
        text = text[: most + (len(text) - most) % 2 - 3] + "..."
    while width(text, size, bold) > limit and len(text) > 8:
        text = text[:-5] + "..."
    return text


def any_small(equation: Equation) -> bool:
    """Whether it has subscripts or transposes."""
    return any(isinstance(p, Sym) and (p.sub or p.transposed) for p in equation)


def _span(text: str, dy: float, size: float | None, *, italic: bool) -> str:
    attributes = (f' dy="{_n(dy)}"' if dy else "") + (f' font-size="{_n(size)}"' if size else "")
    attributes += ' font-style="italic"' if italic else ""
    return f"<tspan{attributes}>{escape(text)}</tspan>"


def _n(value: float) -> str:
    """A coordinate, to a hundredth."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
