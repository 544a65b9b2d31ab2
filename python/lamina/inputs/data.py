"""What `fit` and `evaluate` are given, as arrays that belong together: inputs, targets, weights; split, or in batches.

Where a model has several inputs or outputs: a dict by name, or a list or tuple in order. `arrays` says what each array may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from lamina.base import checks, names
from lamina.inputs.arrays import Array, Label, as_array, check_finite, check_for, check_shape, column_names
from lamina.inputs.weights import weights

Parts = tuple[Any, Any, Any]  # x, y, sample_weight


class Spec(NamedTuple):
    """What an input expects: its name, its shape with the batch axis first (whatever is no int is free), its element type."""

    name: str
    shape: tuple[Any, ...]
    dtype: str = "float32"

    @property
    def floats(self) -> bool:
        """Whether it takes any number."""
        return self.dtype not in ("int64", "bool")


@dataclass(frozen=True)
class Data:
    """Samples: the arrays of the inputs, of the targets, and one weight a sample, or None.

    `columns`: what frames among them call their columns, by what errors call the frame: x, y, x['left'].
    """

    x: tuple[Array, ...]
    y: tuple[Array, ...] = ()
    weight: Array | None = None
    columns: Mapping[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x[0])

    @property
    def arrays(self) -> list[Array]:
        """All, in the order in which a program takes them."""
        return [*self.x, *self.y, *(() if self.weight is None else (self.weight,))]

    def rows(self, part: slice | Array) -> Data:
        """Some of the samples: a slice as views, numbers of rows as copies."""
        weight = None if self.weight is None else self.weight[part]
        return Data(tuple(a[part] for a in self.x), tuple(a[part] for a in self.y), weight, self.columns)

    def split(self, fraction: float) -> tuple[Data, Data]:
        """(training, validation): the last round(fraction * n) rows are for validation. Views; nothing is shuffled before.

        >>> train, valid = Data((np.arange(10),)).split(0.2)
        >>> train.x[0].tolist(), valid.x[0].tolist()
        ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9])
        """
        first = split_point(len(self), fraction)
        return self.rows(slice(0, first)), self.rows(slice(first, None))


def split_point(n: int, fraction: float) -> int:
    """The first row of the validation part; both parts have at least one row, else ValueError."""
    if not isinstance(fraction, (int, float, np.number)) or not 0 < fraction < 1:
        raise ValueError(
            f"[validation_split] expected a fraction above 0 and below 1, got {checks.brief(fraction)}; pass 0.2 for the last fifth"
        )
    held_out = int(fraction * n + 0.5)
    if not 0 < held_out < n:
        raise ValueError(
            f"[validation_split] expected at least one sample for training and one for validation, "
            f"got {n - held_out} and {held_out} ({fraction:g} of {n}); pass more data, or another fraction"
        )
    return n - held_out


def prepare(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    class_weight: Any = None,
    *,
    inputs: Sequence[Spec] = (),
    targets: Sequence[str] = ("y",),
    may_rest: bool = False,
) -> Data:
    """All that `fit` and `evaluate` are given, converted and checked: types, lengths, shapes, finite inputs, weights.

    `inputs` says what the model expects; empty, x is one array of any shape. `targets` are the names of its outputs. A target is
    checked no further: what may stand in it is the loss's to say. `may_rest`: whether all samples may weigh 0.

    >>> len(prepare([[1.0, 2.0], [3.0, 4.0]], [0, 1], inputs=[Spec("x", (None, 2))]))
    2
    """
    specs = tuple(inputs) or (Spec("x", ()),)
    xs: dict[str, Array] = {}
    named: dict[str, list[str] | None] = {}
    frames: dict[str, Any] = {}  # and series, by what they call their rows
    for (given, where), spec in zip(_labelled(x, [spec.name for spec in specs], "x"), specs, strict=True):
        xs[where], named[where] = as_array(given, where, half=spec.floats), column_names(given)
        check_input(xs[where], spec, where, named[where])
        frames[where] = getattr(given, "index", None)
    ys: dict[str, Array] = {}
    for given, where in () if y is None else _labelled(y, targets, "y"):
        ys[where], named[where] = as_array(given, where), column_names(given)
        frames[where] = getattr(given, "index", None)
    n = check_lengths({where: len(array) for where, array in (xs | ys).items()})
    _warn_of_other_rows({where: index for where, index in frames.items() if hasattr(index, "equals")})
    weight = weights(sample_weight, class_weight, tuple(ys.values()), n, may_rest=may_rest)
    return Data(tuple(xs.values()), tuple(ys.values()), weight, {where: c for where, c in named.items() if c is not None})


def _warn_of_other_rows(frames: Mapping[str, Any]) -> None:
    """Frames that call their rows the same and have them in another order, as x.sample(frac=1) and y: rows are paired by place."""
    known = list(frames.items())
    for where, index in known[1:]:
        first, other = known[0]
        if not other.equals(index) and other.isin(index).all() and index.isin(other).all():
            checks.warn(
                f"[{where}] expected rows in the order of {first}'s, got the same index in another one; rows are paired by place: "
                f"pass {where}.loc[{first}.index], or {where}.to_numpy() if this order is meant"
            )


def check_order(known: Mapping[str, Sequence[str]], where: str, columns: Sequence[str] | None) -> None:
    """ValueError where a column of a frame stands at another place than the one of its name in the frame that `fit` was given,
    a warning where another name stands there. Names that are no text, as those of days, or that stand twice, count only where the
    same ones stand in another order.

    >>> check_order({"x": ["age", "size"]}, "x", ["size", "age"])
    Traceback (most recent call last):
    ValueError: [x] expected column 'age' as number 0, as fit was given it, got it as number 1; pass x[['age', 'size']]
    """
    if where not in known or columns is None:
        return
    if all(isinstance(name, Label) for name in columns) or any(len(set(c)) < len(c) for c in (known[where], columns)):
        return _check_same(known[where], where, columns)
    as_fit = f"net.columns[{where!r}]"
    meant = f"if this order is meant, pass {where}.to_numpy(), or of categories {where}.reindex(columns={as_fit}, fill_value=0)"
    places = {name: i for i, name in enumerate(columns)}
    for i, name in enumerate(known[where]):
        if places.get(name, i) != i:
            all_there = places.keys() >= set(known[where])
            order = [columns[places[wanted]] for wanted in known[where]] if all_there and len(columns) <= 8 else as_fit
            raise ValueError(
                f"[{where}] expected column {name!r} as number {i}, as fit was given it, got it as number {places[name]}; "
                + (f"pass {where}[{order}]" if all_there else meant)
            )
    pairs = list(zip(known[where], columns, strict=False))
    new = [i for i, (name, got) in enumerate(pairs) if name != got]
    if 0 < len(new) < len(pairs):  # where all are new, they may be the same in other words
        name, got = pairs[new[0]]
        checks.warn(f"[{where}] expected column {name!r} as number {new[0]}, as fit was given it, got {got!r}; {meant}")


def _check_same(known: Sequence[str], where: str, columns: Sequence[str]) -> None:
    """ValueError where the same names stand in another order."""
    if list(known) == list(columns) or sorted(known) != sorted(columns):
        return
    i = next(i for i, (name, got) in enumerate(zip(known, columns, strict=True)) if name != got)
    places = [columns.index(name) for name in known]
    got = f"expected column {columns[places[i]]!r} as number {i}, as fit was given it, got it as number {places[i]}"
    remedy = f"pass {where}.iloc[:, {places}]" if len(columns) <= 8 else f"put them in the order of net.columns[{where!r}]"
    if len(set(columns)) < len(columns):
        remedy = "put them as they were; which of two that are called the same is which, names of their own tell"
    raise ValueError(f"[{where}] {got}; {remedy}")


def check_input(array: Array, spec: Spec, where: str, columns: list[str] | None = None) -> None:
    """One input's array, perhaps of named columns, against what the model expects of it."""
    if spec.shape:
        check_shape(array, where, spec.shape)
    if spec.floats:
        check_finite(array, where, spec.dtype, columns)
    else:
        check_for(spec.dtype, array, where, columns)


def check_lengths(lengths: Mapping[str, int]) -> int:
    """The number of samples that all arrays have; ValueError where they differ.

    >>> check_lengths({"x": 5, "y": 5})
    5
    """
    if len(set(lengths.values())) != 1:
        each = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        remedy = "pass the same samples in all of them, as rows: x.T where they are columns"
        raise ValueError(f"[data] expected as many samples in each array, got: {each}; {remedy}")
    return next(iter(lengths.values()))


def _labelled(data: Any, known: Sequence[str], argument: str) -> list[tuple[Any, str]]:
    """What is given for each input or target, in their order, and what errors call it: `x`, or `x['left']` of several."""
    return by_name(data, labels(known, argument), known, argument)


def labels(known: Sequence[str], argument: str) -> list[str]:
    """What errors call the inputs or targets of these names.

    >>> labels(["a"], "x"), labels(["a", "b"], "x")
    (['x'], ["x['a']", "x['b']"])
    """
    return [argument if len(known) == 1 else f"{argument}[{name!r}]" for name in known]


def by_name(data: Any, labels: Sequence[str], known: Sequence[str], where: str) -> list[tuple[Any, str]]:
    """(what is given for it, its label) for each of the known names, in their order.

    `data`: a dict by name, or a list or tuple in order; where one name is known, also the array itself.

    >>> by_name({"b": 2, "a": 1}, ["x['a']", "x['b']"], ["a", "b"], "x")
    [(1, "x['a']"), (2, "x['b']")]
    """
    if isinstance(data, Mapping):
        unknown = [str(name) for name in data if name not in known]
        if unknown:
            raise names.unknown(where, unknown[0], known)
        missing = [name for name in known if name not in data]
        if missing:
            raise ValueError(
                f"[{where}] expected an array for each of {', '.join(known)}, got none for {', '.join(missing)}; add it"
            )
        return [(data[name], label) for name, label in zip(known, labels, strict=True)]
    if len(known) == 1:
        return [(data, labels[0])]
    if not isinstance(data, (list, tuple)) or len(data) != len(known):
        got = f"{len(data)} of them" if isinstance(data, (list, tuple)) else type(data).__name__
        raise ValueError(
            f"[{where}] expected {len(known)} arrays ({', '.join(known)}), got {got}; pass a dict by name or a list in order"
        )
    return list(zip(data, labels, strict=True))


# ---- batches ----


def is_batches(x: Any) -> bool:
    """Whether `x` is an iterable of batches rather than an array: no array, frame, dict or sequence, but something to loop over.

    >>> is_batches([[1.0]]), is_batches(iter([[1.0]]))
    (False, True)
    """
    if isinstance(x, (Sequence, Mapping, type)) or not hasattr(x, "__iter__"):  # a class has the methods of its objects
        return False
    return not _is_array(x)


def _is_array(x: Any) -> bool:
    return any(hasattr(x, name) for name in ("__array__", "__array_interface__", "to_numpy", "toarray"))


def is_list_of_batches(given: Any, inputs: int) -> bool:
    """Whether `given`, which may be (x, y) as well, is a list of batches: of tuples, each (x, y) or (x, y, sample_weight). Of
    several inputs each has its arrays by name, or in a list or tuple.

    >>> is_list_of_batches([([[1.0]], [2.0])], 1), is_list_of_batches([[[1.0]], [2.0]], 1)
    (True, False)
    """
    if not isinstance(given, list) or not given or not all(isinstance(batch, tuple) and 2 <= len(batch) <= 3 for batch in given):
        return False
    return inputs < 2 or all(isinstance(batch[0], (list, tuple, Mapping)) for batch in given)


def may_be_batches(x: Any) -> bool:
    """Whether `x`, given without targets, is read as batches: an iterable of them, or a list or tuple, but of arrays, such as those
    of several inputs, which have no targets.

    >>> may_be_batches([([[1.0]], [2.0])]), may_be_batches([np.ones(3)])
    (True, False)
    """
    return is_batches(x) or (isinstance(x, (list, tuple)) and not (x and all(map(_is_array, x))))


class Batches:
    """An iterable of batches: each is x, (x,), (x, y) or (x, y, sample_weight), checked as it comes.

    A loader that starts anew at each `iter` serves any number of epochs; a generator serves one, after which ValueError says so.
    columns: what the frames of earlier data called their columns; those of the batches must stand as there, and new ones are added
    to `self.columns`. where, each: what errors call the iterable, and one of its batches, whose weights may all be 0.

    >>> batches = Batches(iter([([[1.0]], [2.0])]), inputs=[Spec("x", (None, 1))])
    >>> [len(batch) for batch in batches]
    [1]
    """

    def __init__(
        self,
        source: Any,
        *,
        inputs: Sequence[Spec] = (),
        targets: Sequence[str] = ("y",),
        columns: Mapping[str, list[str]] | None = None,
        where: str = "x",
        each: str = "batch",
    ):
        self.where, self.each = where, each
        self.source, self.inputs, self.targets = source, inputs, targets
        self.columns: dict[str, list[str]] = dict(columns or {})
        self.epochs = self.count = 0  # those that ended; batches of this one

    def __len__(self) -> int:
        """Batches in an epoch; 0 where the source does not say."""
        return len(self.source) if hasattr(self.source, "__len__") else 0

    def __iter__(self) -> Iterator[Data]:
        return map(self.checked, self.parts())

    def parts(self) -> Iterator[Parts]:
        """The batches as they are given."""
        self.count, inputs = 0, [spec.name for spec in self.inputs]
        for batch in self.source:
            yield unpack(batch, f"{self.each} {self.count}", inputs)
            self.count += 1
        if self.count == 0:
            used_up = "nothing is left in it after the first epoch" if self.epochs else "it gave none"
            raise ValueError(
                f"[{self.where}] expected an iterable of batches, {used_up}; pass a list of batches, or an object whose __iter__ "
                "starts anew"
            )
        self.epochs += 1

    def checked(self, parts: Parts) -> Data:
        """The batch that came last."""
        x, y, weight = parts
        with within(f"{self.each} {self.count}"):
            given = prepare(x, y, weight, inputs=self.inputs, targets=self.targets, may_rest=True)
            for where, names in given.columns.items():
                check_order(self.columns, where, names)
                self.columns.setdefault(where, names)
        return given


@contextmanager
def within(what: str) -> Iterator[None]:
    """Names the batch, or the validation data, in what is wrong with them."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"[{what}] {error}") from None


def unpack(data: Any, where: str, inputs: Sequence[str] = ()) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) from x alone, (x,), (x, y) or (x, y, sample_weight); None for what is not there. `inputs`: their names.

    >>> unpack(([1.0], [2.0]), "validation_data")
    ([1.0], [2.0], None)
    """
    parts = tuple(data) if isinstance(data, (list, tuple)) else (data,)
    several = f"({', '.join(inputs)})" if len(inputs) > 1 else ""
    alone = several and parts and not isinstance(parts[0], (list, tuple, Mapping))  # the arrays of the inputs themselves, say
    if alone or not 1 <= len(parts) <= 3:
        got = f"{type(parts[0]).__name__} as x" if alone else f"{len(parts)} parts"
        raise ValueError(
            f"[{where}] expected (x, y) or (x, y, sample_weight), got {got}; pass "
            + (f"({several}, y): x is a dict by name, or a list or tuple in order" if several else "a tuple of these")
        )
    x, y, sample_weight = (*parts, None, None)[:3]
    return x, y, sample_weight
