"""Looking things up by name: one place for "unknown name, did you mean ..."."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

_MOST_LETTERS = 100  # of a name that is worth comparing


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, or None where nothing is close.

    >>> nearest("adm", ["sgd", "adam", "lion"])
    'adam'
    """
    if len(name) > _MOST_LETTERS:
        return None
    by_lower = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[matches[0]] if matches else None


def unknown(where: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that nobody knows: what was asked for, the nearest name, and all of them.

    >>> str(unknown("optim", "adm", ["sgd", "adam"]))
    "[optim] unknown name 'adm'; did you mean 'adam'? Known: adam, sgd"
    """
    known = sorted(known)
    guess = nearest(name, known)
    hint = f"did you mean '{guess}'? Known: " if guess else "known: "
    return ValueError(f"[{where}] unknown name '{name}'; {hint}{', '.join(known)}")


def lookup(where: str, name: str, table: Mapping[str, T]) -> T:
    """`table[name]`, or the error of `unknown`.

    >>> lookup("optim", "adam", {"adam": 1})
    1
    """
    if name not in table:
        raise unknown(where, name, table)
    return table[name]
