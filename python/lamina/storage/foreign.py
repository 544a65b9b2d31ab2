"""Data that nobody vouches for: where their tensors are found, what they have to name, and how that which is wrong is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from lamina.storage.blueprint import FORMAT, MODELS, OPTIMIZER, RANDOM, Array, Json, extra_name

MOST_TEXT = 500  # characters of an error that may quote what a file holds


class Misfit(ValueError):
    """The file is valid and belongs to another network."""


class Source(Protocol):
    """Where a blueprint finds its tensors: a file, of which only the tensors asked for are read, or bytes."""

    def names(self) -> set[str]: ...

    def get(self, name: str) -> Array: ...


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Whatever goes wrong while foreign data are read is one kind of error: ValueError that names the file, in a few lines."""
    try:
        yield
    except Misfit as error:
        text = str(error)  # whose end says what to do
        short = text if len(text) <= 2 * MOST_TEXT else f"{text[:MOST_TEXT]}...{text[-MOST_TEXT:]}"
        raise ValueError(f"[{where}] {short}") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        text = f"missing {error}" if isinstance(error, KeyError) else str(error)
        short = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}..."
        raise ValueError(f"[{where}] expected a saved network that fits together, got a damaged or foreign one: {short}") from error


def check_format(description: Json) -> None:
    if description.get("format") != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {description.get('format')!r}; load it with the version that wrote it")
    if description.get("class") not in MODELS:
        raise ValueError(f"expected class {' or '.join(MODELS)}, got {description.get('class')!r}")


def expected_names(description: Json) -> set[str]:
    names = [item["name"] for item in description.get("parameters", [])]
    names += [item["tensor"] for item in description.get("nodes", []) if "tensor" in item]
    names += [OPTIMIZER + name for name in description.get("optimizer_state", [])]
    names += [RANDOM + name for name in description.get("random", [])]
    names += [extra_name(group, name) for group, arrays in description.get("extra_tensors", {}).items() for name in arrays]
    if len(set(names)) != len(names):
        raise ValueError("a tensor is named twice")
    return set(names)


def check_names(expected: set[str], source: Source) -> None:
    missing, extra = sorted(expected - source.names()), sorted(source.names() - expected)
    if missing or extra:
        raise ValueError(f"expected the tensors of the graph; missing: {missing[:5]}, not of it: {extra[:5]}")
