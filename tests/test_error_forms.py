"""Every error that the package writes out says what was expected, what came, and what to do, in this order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "python" / "lamina"

# What a file holds, and what is said of that in one sentence, before which `foreign.damage` puts expected, got.
OF_FILES = {"storage/rebuild.py", "storage/foreign.py", "storage/states.py", "storage/blueprint.py", "storage/io.py:_once"}
OF_FILES |= {"base/lengths.py:parsed", "training/fit.py:_part", "optim/lbfgs.py:check_state"}
# In words of their own: of matrices that are what was expected, and give no answer; of products, either side of which may be wrong;
# with the words of another library behind them; where Python, or argparse, says the rest.
OTHERS = {
    "linalg/errors.py",
    "ops/products.py:_product",
    "base/checks.py:array",
    "inputs/arrays.py:_read",
    "inputs/data.py:parts",
    "initializers.py:get",
    "base/elsewhere.py:__get__",
    "graph/tensor.py:__array__",
    "cli.py:_whole",
    "graph/lift.py:_split",
}
KINDS = ("Error", "error", "NotYet")


def written(node: ast.AST) -> str:
    """A message, with {} for what is put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(written, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return written(node.left) + written(node.right)
    return "{}"


def errors(node: ast.AST, where: str) -> Iterator[tuple[str, str]]:
    """(the function, the message) of each error that is raised with a text."""
    for child in ast.iter_child_nodes(node):
        inner = f"{where.partition(':')[0]}:{child.name}" if isinstance(child, ast.FunctionDef) else where
        if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call) and ast.unparse(child.exc.func).endswith(KINDS):
            yield inner, written(child.exc.args[0])
        yield from errors(child, inner)


def cases() -> list[tuple[str, str]]:
    paths = sorted(PACKAGE.rglob("*.py"))
    found = [case for path in paths for case in errors(ast.parse(path.read_text()), path.relative_to(PACKAGE).as_posix())]
    return [(where, message) for where, message in found if re.search("[a-z]{4}", message)]  # else a function writes it


def test_errors_say_what_was_expected_what_came_and_what_to_do():
    found = cases()
    assert len(found) > 300
    allowed = OF_FILES | OTHERS
    others = [case for case in found if not {case[0], case[0].partition(":")[0]} & allowed]
    wrong = [f"{where}: {message}" for where, message in others if not re.search(r"(?s)expected .*\bgot\b.*; ", message)]
    assert not wrong, "\n".join(wrong)
    assert allowed <= {name for where, _ in found for name in (where, where.partition(":")[0])}, "an exception that is none"
