"""Calls of functions: what a right one is, in the error for a wrong one; which a function takes; whose it is."""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import CodeType
from typing import Any, ParamSpec, TypeVar

from lamina.base import checks
from lamina.base.elsewhere import ARGUMENTS
from lamina.base.names import nearest

P = ParamSpec("P")
R = TypeVar("R")

EMPTY: Mapping[str, str] = {}


def wrong_call(
    where: str, signature: inspect.Signature, error: TypeError, given: Mapping[str, Any], remedies: Mapping[str, str] = EMPTY
) -> TypeError:
    """The error for a constructor or a function that is called with arguments that it does not have: the call, and what is meant.

    remedies: what to do instead of giving such an argument, where this is known of a call alone.

    >>> def init(self, units, *, bias=True): ...
    >>> str(wrong_call("Dense", inspect.signature(init), TypeError("got an unexpected keyword argument"), {"use_bias": False}))
    "[Dense] expected Dense(units, *, bias=True), got the argument 'use_bias'; did you mean 'bias'?"
    """
    own = [p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name != "self"]
    known = [p.name for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in own)
    strange = None if takes_any else next((name for name in given if name not in known), None)
    by_place = [p.name for p in own if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
    if strange is None:
        got, remedy = _wrong_number(where, own, str(error))
    elif strange in by_place and f"{where}.{strange}" not in ARGUMENTS:
        got, remedy = f"got {strange!r} by its name", "pass it by its place"
    else:
        theirs = remedies.get(strange) or ARGUMENTS.get(f"{where}.{strange}", ARGUMENTS.get(strange, strange))
        guess = theirs if theirs in known else nearest(strange, known)
        got = f"got the argument {checks.brief(strange)}"
        remedy = theirs if " " in theirs else f"did you mean {guess!r}?" if guess else "leave it out"
    return TypeError(
        f"[{where}] expected {where}{inspect.Signature(own, return_annotation=inspect.Signature.empty)}, {got}; {remedy}"
    )


def _wrong_number(where: str, own: list[inspect.Parameter], error: str) -> tuple[str, str]:
    """Of a call whose names are right: what came, as Python says it, and what to do."""
    got = error if error.startswith("missing") else f"got {error}"
    if not own:
        return got, "call it with nothing"
    named = next((p.name for p in own if p.kind is p.KEYWORD_ONLY), None)
    if named and got.startswith("got too many"):
        return got, ARGUMENTS.get(f"{where}.*", f"name what stands after the star: {named}=...")
    return got, "call it with those arguments, each once"


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """A function or method whose wrong calls say what a right one is; a constructor of a class that is not `Configured`.

    (It costs each call 0.1 us: `predict`, `train_step` and what `graph.lift.operation` makes do without.)
    """
    where = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    if where == "get":
        where = f"{function.__module__.rpartition('.')[2]}.{where}"

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError:
            check_call(where, function, args, kwargs)
            raise

    return wrapper


def check_call(
    where: str, function: Callable[..., Any], args: Iterable[Any], kwargs: Mapping[str, Any], remedies: Mapping[str, str] = EMPTY
) -> None:
    """For a call that has failed: raises the error of `wrong_call` where it was because of the arguments' names or number.

    (Only here is the signature looked at: for all functions that an import decorates, it would be work for nothing.)
    """
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise wrong_call(where, signature, error, kwargs, remedies) from None


def refusing(function: Callable[..., Any], *args: Any, **kwargs: Any) -> inspect.Signature | None:
    """The signature of a function that cannot be called with such arguments; None where it can be, or does not tell.

    >>> str(refusing(lambda y_true, y_pred: 0, 1, 2, sample_weight=3)), refusing(max, 1, 2)
    ('(y_true, y_pred)', None)
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some builtins
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return signature
    return None


def predicted(function: Callable[..., Any]) -> list[bool]:
    """Which of a function's first two parameters are called predictions; none where it does not tell.

    >>> predicted(lambda y_true, y_pred: 0), predicted(max)
    ([False, True], [])
    """
    with suppress(TypeError, ValueError):  # of some builtins
        return ["pred" in name.lower() for name in list(inspect.signature(function).parameters)[:2]]
    return []


def called(function: Callable[..., Any]) -> str:
    """What a function is called in an error.

    >>> called(max), called(lambda x: x)
    ("'max'", 'a lambda')
    """
    name = getattr(function, "__name__", type(function).__name__)
    return "a lambda" if name == "<lambda>" else repr(name)


def is_ours(definition: Any) -> bool:
    """Whether a class or a function is of this package.

    >>> is_ours(is_ours), is_ours(max)
    (True, False)
    """
    return str(getattr(definition, "__module__", "")).partition(".")[0] == "lamina"


def library_of(function: Callable[..., Any]) -> str | None:
    """The library whose tensors a function takes, where that is another one than this.

    >>> library_of(max) is None
    True
    """
    owner = getattr(function, "__self__", None)
    modules = {str(getattr(thing, "__module__", "")).partition(".")[0] for thing in (function, type(function), owner)}
    return next((name for name in ("torch", "tensorflow", "keras", "jax", "sklearn") if name in modules), None)


def numbers_of(function: Any) -> dict[str, Any]:
    """The numbers that a function of the user's reads from around it, by name; not those that it writes, as a count of its calls.

    >>> half = 0.5
    >>> numbers_of(lambda x: half * x)
    {'half': 0.5}
    """
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    if code is None:
        return {}
    loaded, written = _globals_of(code)
    around = {name: inner.__globals__[name] for name in loaded if name in inner.__globals__}
    for name, cell in zip(code.co_freevars, inner.__closure__ or (), strict=False):
        with suppress(ValueError):  # of one that is not assigned yet
            around[name] = cell.cell_contents
    return {name: value for name, value in around.items() if isinstance(value, (int, float)) and name not in written}


@functools.lru_cache(maxsize=64)
def _globals_of(code: CodeType) -> tuple[list[str], list[str]]:
    """The globals that code reads, of which co_names does not tell attributes, and what it writes around it."""
    steps = [(step.opname, step.argval) for step in dis.get_instructions(code)]
    loaded = [name for op, name in steps if op == "LOAD_GLOBAL"]
    return loaded, [name for op, name in steps if op in ("STORE_GLOBAL", "STORE_DEREF")]


def reads_of_self(method: Any, name: str) -> bool:
    """Whether a method of the user's reads this attribute of its object, and does not write it, as it does a count of its calls."""
    code = getattr(inspect.unwrap(method), "__code__", None)
    if code is None or not code.co_argcount:
        return False
    this, steps = code.co_varnames[0], [(step.opname, step.argval) for step in dis.get_instructions(code)]
    pushed = [what[-1] if isinstance(what, tuple) and what else what for _, what in steps]  # some load two names at once
    reads = any(what is this or what == this for what, step in zip(pushed, steps[1:], strict=False) if step == ("LOAD_ATTR", name))
    return reads and ("STORE_ATTR", name) not in steps
