"""Lookup by name, with the nearest name and all others in the error, and what modules say of names that they lack."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from lamina.base import checks
from lamina.base.elsewhere import ASSIGNED, OF_MODULES, OTHERS

T = TypeVar("T")

_MOST_LETTERS = 100  # of a name that is worth comparing
_MOST_LISTED = 8  # names of a module that an error lists
SLIP = 0.85  # how close a slip of the pen is: an attribute that is farther off, as train_loss from trainable, is the user's own


def nearest(name: Any, known: Iterable[str], least: float = 0.6) -> str | None:
    """The known name that is most like `name`, or None where nothing is as close as `least`, of 1.

    >>> nearest("adm", ["sgd", "adam", "lion"]), nearest("categorical_crossentropy", ["binary_cross_entropy", "cross_entropy"])
    ('adam', 'cross_entropy')
    """
    if not isinstance(name, str) or len(name) > _MOST_LETTERS:
        return None
    by_lower = {k.lower(): k for k in known}
    if OTHERS.get(name.lower()) in by_lower:
        return by_lower[OTHERS[name.lower()]]
    import difflib  # 1.5 ms

    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=least)
    return by_lower[matches[0]] if matches else None


class UnknownName(ValueError, KeyError):
    """A name that nobody knows; a KeyError, too, as those are of mappings."""

    __str__ = Exception.__str__  # KeyError's shows the text in quotes


def unknown(where: str, name: Any, known: Iterable[str]) -> UnknownName:
    """The error for a name that nobody knows: what was asked for, the nearest name, and all of them.

    >>> str(unknown("optim", "adm", ["sgd", "adam"]))
    "[optim] unknown name 'adm'; did you mean 'adam'? Known: adam, sgd"
    """
    known = sorted(known)
    theirs, guess = OTHERS.get(name.lower(), "") if isinstance(name, str) else "", nearest(name, known)
    hint = f"{theirs}. Known: " if " " in theirs else f"did you mean '{guess}'? Known: " if guess else "known: "
    return UnknownName(f"[{where}] unknown name {checks.brief(name)}; {hint}{', '.join(known)}")


def no_attribute(module: str, name: str, known: Iterable[str], modules: Iterable[str] = ()) -> AttributeError:
    """The AttributeError for a name that a module lacks: what to write, which of its `modules` has it, or the nearest name.

    Where there is none of that, all names of a small module.

    >>> str(no_attribute("lamina.optim", "RMSprop", ["RMSProp", "Adam"]))
    "module 'lamina.optim' has no attribute 'RMSprop'; did you mean 'RMSProp'?"
    """
    remedy = OF_MODULES.get(name)
    if remedy is None and not name.startswith("_"):
        inside = (place for place in modules if name in dir(importlib.import_module(f"{module}.{place}")))
        place = next(inside, None)
        names = sorted(known, reverse=True)  # a class rather than its function
        guess = f"{place}.{name}" if place else nearest(name, names)
        listed = f"known: {', '.join(reversed(names))}" if len(names) <= _MOST_LISTED else None
        remedy = f"did you mean {guess!r}?" if guess else listed
    return AttributeError(f"module {module!r} has no attribute {checks.brief(name)}" + (f"; {remedy}" if remedy else ""), name=name)


def is_no_switch(name: str, value: Any) -> bool:
    """Whether this is a switch of another library, or `trainable` in other letters: assigned, it would change nothing.

    >>> is_no_switch("requires_grad", False), is_no_switch("trainable", False)
    (True, False)
    """
    slip = name[:5] == "train" and name != "trainable" and nearest(name, ["trainable"], SLIP) is not None
    return isinstance(value, (bool, int, float)) and (name in ASSIGNED or slip)


def no_switch(where: str, name: str) -> AttributeError:
    """The error of such a switch."""
    remedy = ASSIGNED.get(name, "did you mean 'trainable'?")
    return AttributeError(f"[{where}] expected an attribute that changes something, got {name!r}; {remedy}")


def attributes(module: str, known: Iterable[str], more: Iterable[str] = ()) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` of a module, which raises the error of `no_attribute`, and its `__dir__`: what an editor offers.

    known: the names that others may be meant for; more: those that the module has besides.
    """
    several = list(known)
    shown = sorted({*several, *more})

    def fails(name: str) -> Any:
        raise no_attribute(module, name, several)

    def lists() -> list[str]:
        return shown + [name for name in vars(sys.modules[module]) if name.startswith("__")]

    return fails, lists


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


def snake(name: str) -> str:
    """A class's name as that of a thing.

    >>> snake("BatchNorm"), snake("KLDiv"), snake("SmoothL1")
    ('batch_norm', 'kl_div', 'smooth_l1')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class Named(Mapping[str, T]):
    """A mapping whose `[name]` is the error of `unknown` where there is no such name; `in` and `get` ask before."""

    def __contains__(self, name: object) -> bool:
        return any(name == known for known in self)

    def get(self, name: str, default: Any = None) -> Any:
        """What has that name, or `default` where nothing has."""
        if name not in self:
            return default
        return self[name]


class NotYet(ValueError, AttributeError):
    """Raised for an attribute that exists only once the object is built or compiled; an AttributeError, so that `hasattr` is False.

    >>> import lamina as lm
    >>> hasattr(lm.Sequential(lm.Dense(1)), "parameters")
    False
    """
