"""Objects that remember the arguments they were made with: for `repr`, for saving, for making them again."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lamina.base import calls, checks, elsewhere, names

T = TypeVar("T", bound="Configured")


class Configured:
    """Base of layers, losses, optimizers, schedules, initializers and callbacks: keeps the arguments of the constructor's call.

    A subclass writes an ordinary `__init__`, around which the arguments are recorded, or is a dataclass.

    >>> class Scale(Configured):
    ...     def __init__(self, by, *, shift=0):
    ...         self.by = by
    >>> Scale(2), Scale(2, shift=1).config()
    (Scale(2), {'by': 2, 'shift': 1})
    """

    _arguments: dict[str, Any]
    _stays = True  # nobody assigns to its attributes: it may be frozen
    _is_made = False  # whether it is one of ours, and its constructor is through

    if TYPE_CHECKING:

        def __init__(self) -> None: ...

    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            """Of a class without a constructor: it takes nothing, unless another base of the class takes something."""
            init = super().__init__
            if (args or kwargs) and getattr(init, "__objclass__", None) is object:
                where = type(self).__name__
                if type(self).__init__ is not Configured.__init__:
                    got = ", ".join([*map(checks.brief, args), *kwargs])
                    raise TypeError(
                        f"[{where}] expected its __init__ to call super().__init__() with nothing, got {got}; leave it out"
                    )
                calls.check_call(where, _nothing, args, kwargs)
            init(*args, **kwargs)

        __init__.__signature__ = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)])

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]
        if "__post_init__" in cls.__dict__:
            cls.__post_init__ = _completing(cls.__post_init__)  # type: ignore[method-assign]

    def __post_init__(self, *_: Any) -> None:
        """The end of a constructor that `dataclass` writes, too late to be recorded: its fields are the arguments."""
        _complete(self, lambda: None)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments by name, as plain values (numbers, strings, lists, dicts) wherever they are built in.

        `type(x).from_config(x.config())` makes an equal, fresh object.
        """
        return {name: plain(value) for name, value in self._current_arguments().items()}

    @classmethod
    def from_config(cls: type[T], config: dict[str, Any]) -> T:
        """A new object from the result of `config()`."""
        if not (isinstance(config, Mapping) and all(isinstance(name, str) for name in config)):
            raise TypeError(
                f"[{cls.__name__}] expected a dict of arguments by name, as config() gives it, got {checks.brief(config)}; pass one"
            )
        args: list[Any] = []
        keywords = dict(config)
        for p in _signature(cls.__init__).parameters.values():
            if p.kind is p.VAR_POSITIONAL:
                given = keywords.pop(p.name, ())
                args += given if isinstance(given, (list, tuple)) else [given]
            elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name in keywords:
                args.append(keywords.pop(p.name))
        return cls(*args, **keywords)

    @property
    def _built_in(self) -> bool:
        """Whether its class is one of Lamina's, which `load` has."""
        return calls.is_ours(type(self))

    def _takes(self) -> set[str]:
        """The names of what the constructors of its class, and of those that it is made of, take."""
        kinds = (kind for kind in type(self).__mro__ if "__init__" in vars(kind))
        return {name for kind in kinds for name in _signature(vars(kind)["__init__"]).parameters}

    def _made(self) -> None:
        """Called once the constructor is through."""
        self.__dict__["_is_made"] = self._built_in

    def _current_arguments(self) -> dict[str, Any]:
        """The recorded arguments, those given as `plain` dicts as the objects that the constructor made of them.

        A subclass replaces what can change after the constructor.
        """
        recorded = self.__dict__.get("_arguments", {})
        made = {name: getattr(self, name, None) for name, value in recorded.items() if isinstance(value, dict)}
        return {**recorded, **{name: value for name, value in made.items() if isinstance(value, Configured)}}

    def __dir__(self) -> list[str]:
        return elsewhere.left_out(self, super().__dir__())

    def __repr__(self) -> str:
        shown = []
        parameters = _signature(type(self).__init__).parameters
        for name, value in self._current_arguments().items():
            p = parameters.get(name)
            kind, default = (p.kind, p.default) if p else (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty)
            if kind is inspect.Parameter.VAR_POSITIONAL:
                shown += [_short(v) for v in value]
            elif default is inspect.Parameter.empty or (value is not default and not same(value, default)):
                shown.append(f"{name}={_short(value)}" if kind is inspect.Parameter.KEYWORD_ONLY else _short(value))
        return f"{type(self).__name__}({', '.join(shown)})"


def _nothing() -> None:
    """What a class without a constructor is called with."""


_signature = functools.lru_cache(maxsize=256)(inspect.signature)


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: objects of ours become {"class", "config"}, our functions their names; the rest stays.

    >>> plain((np.float64(0.9), np.int64(3)))
    [0.9, 3]
    """
    if isinstance(value, Configured):
        return {"class": type(value).__name__, "config": value.config()}
    if isinstance(value, type) and issubclass(value, Configured):
        return value.__name__
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if getattr(value, "__module__", None) == "lamina.activations":
        return value.__name__
    if isinstance(value, (bool, int, float, type)) or not hasattr(value, "__float__"):
        return value
    try:
        return float(value)  # a fraction, a decimal number, a tensor of another library
    except (TypeError, ValueError, RuntimeError):  # one of several elements
        return value


def all_built_in(value: Any) -> bool:
    """Whether an object and those that it was made with, such as an optimizer's schedule, are of classes that `load` has."""
    if isinstance(value, (list, tuple)):
        return all(map(all_built_in, value))
    return not isinstance(value, Configured) or (value._built_in and all(map(all_built_in, value._current_arguments().values())))


def from_plain(where: str, value: dict[str, Any], classes: dict[str, type[T]]) -> T:
    """The object that `plain` wrote as {"class", "config"}."""
    if set(value) != {"class", "config"}:
        raise ValueError(
            f"[{where}] expected a dict with 'class' and 'config', got the keys {checks.brief(list(value))}; pass a name"
        )
    return names.lookup(where, value["class"], classes).from_config(value["config"])


def made(where: str, given: Any, table: Mapping[str, Any], kind: type) -> Any:
    """The object of this kind that is meant by a name of the table, a class, or what `plain` wrote; all else as it is."""
    if isinstance(given, str):
        given = names.anycase(where, given, table)
    if isinstance(given, dict):
        classes = (one if isinstance(one, type) else type(one) for one in table.values())
        given = from_plain(where, given, {one.__name__: one for one in classes})
    return given() if isinstance(given, type) and issubclass(given, kind) else given


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    ours = calls.is_ours(init)
    binding = functools.cache(lambda: _binding(inspect.signature(init)))  # once it is called: most classes never are

    @functools.wraps(init)
    def wrapper(self: Configured, *args: Any, **kwargs: Any) -> None:
        outermost = "_arguments" not in self.__dict__
        if outermost:
            if ours:  # a generator that a user's class takes may have no end
                args, kwargs = tuple(map(_read, args)), {name: _read(value) for name, value in kwargs.items()}
            arguments = binding()(self, args, kwargs)
            for name, value in arguments.items():
                if isinstance(value, _FINITE):
                    arguments[name] = list(value)  # which a file can hold
            self.__dict__["_arguments"] = arguments
        init(self, *args, **kwargs)
        if outermost:
            self._made()

    return wrapper


def _completing(own: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(own)
    def wrapper(self: Configured, *args: Any) -> None:
        _complete(self, lambda: own(self, *args))

    return wrapper


def _complete(self: Configured, rest: Callable[[], None]) -> None:
    """Records the fields of a dataclass as the arguments of its constructor, and runs the rest of it."""
    if "_arguments" in self.__dict__ or not dataclasses.is_dataclass(self):
        return rest()
    own = vars(type(self)).get("__dataclass_params__")
    if own and own.frozen and not self._stays:
        raise TypeError(
            f"[{type(self).__name__}] expected a dataclass that takes the name or state of its network, got a frozen one; write "
            "@dataclass"
        )
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}
    self.__dict__["_arguments"] = fields
    rest()
    written = (kind for kind in type(self).__mro__ if "__init__" in vars(kind) and "__dataclass_fields__" not in vars(kind))
    base = next(written)
    takes = inspect.signature(base.__init__).parameters.keys() - {"self", *fields}
    if takes and not takes & vars(self).keys():
        raise TypeError(
            f"[{type(self).__name__}] expected a __post_init__ that calls super().__init__, as {base.__name__} takes "
            f"{', '.join(sorted(takes))}, got none; write one, or an __init__ instead of the dataclass"
        )
    self._made()


def _read(value: Any) -> Any:
    """A list of what a generator gives, which could be read but once."""
    return list(value) if isinstance(value, GeneratorType) else value


_FINITE: Any = (range, set, frozenset, type({}.keys()), type({}.values()))


def _binding(signature: inspect.Signature) -> Callable[[Configured, tuple[Any, ...], dict[str, Any]], dict[str, Any]]:
    """Arguments by name, in the constructor's order and with its defaults, from those of a call; TypeError for a wrong call."""
    parameters = list(signature.parameters.values())[1:]
    plain = all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters)
    every = {p.name: p.default for p in parameters}
    required = {p.name for p in parameters if p.default is p.empty}
    positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]

    def quick(self: Configured, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        given = dict(zip(positional, args, strict=False)) | kwargs
        right = len(given) == len(args) + len(kwargs) and required <= given.keys() <= every.keys()
        return every | given if right else general(self, args, kwargs)

    def general(self: Configured, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise calls.wrong_call(type(self).__name__, signature, error, kwargs) from None
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])
        for p in signature.parameters.values():
            if p.kind is p.VAR_KEYWORD:
                arguments.update(arguments.pop(p.name))
        return arguments

    return quick if plain else general


def same(a: Any, b: Any) -> bool:
    """a == b as a bool; False where they cannot be compared.

    >>> same([1, 2], (1, 2)), same(np.ones(2), np.ones(2))
    (True, False)
    """
    if isinstance(a, list) and isinstance(b, tuple):  # as a file has it
        a = tuple(a)
    try:
        return bool(a == b)
    except Exception:  # an array or a tensor does not compare to one bool
        return False


def _short(value: Any) -> str:
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return repr(value)
