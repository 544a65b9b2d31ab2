"""net.explain(x, y): the program as equations, in a terminal, in a file, in LaTeX."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from lamina.base import checks
from lamina.base.names import lookup
from lamina.explain import latex, text
from lamina.explain.check import Check, check
from lamina.trace import Trace, outline, trace

if TYPE_CHECKING:
    from lamina.models.model import Model

__all__ = ["Check", "check", "explain"]

LEVELS = ("shapes", "values", "derive")
FORMATS = ("text", "latex")


def explain(
    model: Model, x: Any = None, y: Any = None, *, level: str = "shapes", ascii: bool | None = None, format: str = "text"
) -> str:
    """See `Model.explain`."""
    for what, value, known in (("level", level, LEVELS), ("format", format, FORMATS)):
        lookup(f"explain: {what}", value, dict.fromkeys(known))
    if ascii is not None:
        ascii = checks.flag("explain", "ascii", ascii)
    if x is None and y is not None:
        raise ValueError("[explain] expected x with y, got y alone; pass explain(x, y)")
    if x is None and level == "values":
        raise ValueError("[explain] expected data for level='values', got none; pass explain(x, y, level='values')")
    made = outline(model) if x is None else trace(model, x, y, repeats=0 if level == "shapes" else None)
    if format == "latex":
        return latex.document(made, level)
    return text.render(made, level, _checked(made, level), not _encodes() if ascii is None else ascii)


def _checked(made: Trace, level: str) -> Check | None:
    return check(made) if level != "shapes" and made.backward and made.about["batch"] else None


def _encodes() -> bool:
    """Whether the terminal can show the signs."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        "₁ᵀ⊙×→∂Σ√µ‖".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
