"""From SVG to PNG and PDF, by libraries that are installed with the extra `draw`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

SUFFIXES = (".svg", ".png", ".pdf")


def save(svg: str, path: Path) -> None:
    """Writes the picture in the format that the suffix names."""
    data = svg.encode() if path.suffix.lower() == ".svg" else png(svg) if path.suffix.lower() == ".png" else pdf(svg)
    path.write_bytes(data)


def check_suffix(path: Path) -> None:
    """ValueError for a suffix that is no format."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"[draw] expected a path ending in {', '.join(SUFFIXES)}, got {str(path)!r}; write net.draw('net.svg', x, y)"
        )


def png(svg: str, scale: int = 2) -> bytes:
    """A picture of twice the SVG's size, sharp on dense screens."""
    try:
        resvg: Any = importlib.import_module("resvg_py")
    except ImportError as error:
        raise _missing("PNG") from error
    return bytes(resvg.svg_to_bytes(svg_string=svg, zoom=scale))


def pdf(svg: str) -> bytes:
    """A page of vectors."""
    try:
        cairo: Any = importlib.import_module("cairosvg")
    except (ImportError, OSError) as error:  # OSError: the package is there, the system's library libcairo is not
        raise _missing("PDF") from error
    return bytes(cairo.svg2pdf(bytestring=svg.encode()))


def _missing(what: str) -> ValueError:
    return ValueError(f"[draw] expected a renderer for {what}, got none; pip install 'lamina[draw]', or draw to an .svg file")
