"""Looking things up by name: one place for "unknown name, did you mean ..."."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

_MOST_LETTERS = 100  # of a name that is worth comparing


def nearest(name: Any, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, or None where nothing is close.

    >>> nearest("adm", ["sgd", "adam", "lion"])
    'adam'
    """
    if not isinstance(name, str) or len(name) > _MOST_LETTERS:
        return None
    by_lower = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[matches[0]] if matches else None


def unknown(where: str, name: Any, known: Iterable[str]) -> ValueError:
    """The error for a name that nobody knows: what was asked for, the nearest name, and all of them.

    >>> str(unknown("optim", "adm", ["sgd", "adam"]))
    "[optim] unknown name 'adm'; did you mean 'adam'? Known: adam, sgd"
    """
    known = sorted(known)
    guess = nearest(name, known)
    hint = f"did you mean '{guess}'? Known: " if guess else "known: "
    return ValueError(f"[{where}] unknown name {name!r:.120}; {hint}{', '.join(known)}")


def lookup(where: str, name: Any, table: Mapping[str, T]) -> T:
    """`table[name]`, or the error of `unknown`.

    >>> lookup("parameters", "dense_1.bias", {"dense_1.bias": 1})
    1
    """
    if not isinstance(name, str) or name not in table:
        raise unknown(where, name, table)
    return table[name]


def anycase(where: str, name: str, table: Mapping[str, T]) -> T:
    """As `lookup`, in whatever case the name is written: for what a user calls by a word, a loss, an optimizer, an activation.

    >>> anycase("optim", "Adam", {"adam": 1})
    1
    """
    return lookup(where, canonical(name, table), table)


def canonical(name: str, table: Iterable[str]) -> str:
    """The known name that differs from this one by case at most; the name itself where none does.

    >>> canonical("MAE", ["mse", "mae"]), canonical("cost", ["mse", "mae"])
    ('mae', 'cost')
    """
    known = list(table)
    return name if name in known else {key.lower(): key for key in known}.get(name.lower(), name)


class Named(Mapping[str, T]):
    """A mapping whose `[name]` is the error of `unknown` where there is no such name; `in` and `get` ask before."""

    def __contains__(self, name: object) -> bool:
        return any(name == known for known in self)

    def get(self, name: str, default: Any = None) -> Any:
        """What has that name, or `default` where nothing has."""
        if name not in self:
            return default
        return self[name]
