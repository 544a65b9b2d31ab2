"""From SVG to PNG and PDF, by Typst, which the extra `draw` installs."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

from lamina.base import checks

SUFFIXES = (".svg", ".png", ".pdf")


def save(svg: str, path: Path) -> None:
    """Writes the picture in the format that the suffix names."""
    suffix = path.suffix.lower()
    picture = png(svg) if suffix == ".png" else pdf(svg) if suffix == ".pdf" else svg.encode()
    with checks.writing("draw", path):
        path.write_bytes(picture)


def check_suffix(path: Path) -> None:
    """ValueError for a suffix that is no format."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"[draw] expected a path ending in {', '.join(SUFFIXES)}, got {checks.brief(str(path))}; write net.draw('net.svg', x)"
        )


def png(svg: str) -> bytes:
    """A picture of twice the SVG's size, sharp on dense screens."""
    return _compiled(svg, "PNG", format="png", ppi=2 * 72.0)


def pdf(svg: str) -> bytes:
    """A page of vectors."""
    return _compiled(svg, "PDF", format="pdf")


def _compiled(svg: str, what: str, **options: Any) -> bytes:
    """A page that holds the picture and nothing else, set by Typst."""
    try:
        typst: Any = importlib.import_module("typst")
    except ImportError as error:
        raise _missing(what) from error
    page = '#set page(width: 1600pt, height: 1000pt, margin: 0pt)\n#image("net.svg", width: 100%, height: 100%)'
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "net.svg").write_text(svg, encoding="utf-8")
        Path(folder, "page.typ").write_text(page, encoding="utf-8")
        return bytes(typst.compile(str(Path(folder, "page.typ")), root=folder, **options))


def _missing(what: str) -> ValueError:
    return ValueError(f"[draw] expected a renderer for {what}, got none; pip install 'lamina[draw]', or draw to an .svg file")
