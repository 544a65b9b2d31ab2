"""net.profile(x, y): microseconds, FLOP, bytes and the bound of every step of the program, adding up to the whole."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core as core
from lamina.base import checks, tables
from lamina.graph.tensor import placeholder
from lamina.models import feed, steps
from lamina.models.programs import Task
from lamina.trace.graph import steps_by_batch
from lamina.trace.notation import short
from lamina.trace.run import unchanged
from lamina.trace.write import title_of

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]

CALL = "call"  # the last row: what of the whole no step accounts for
BUDGET, MOST = 0.3, 200  # seconds of measuring, and rounds at most, when nobody says how many
BOUNDS = ("compute", "bandwidth", "overhead")
EXPLAINED = 1 / 3  # a step is bound by what takes more than this share of its time; below, by overhead
SIDE = 384  # of the product that sets the ceiling: three matrices of 0.6 MB, long enough for every thread
SMALLEST, LARGEST = 1 << 14, 1 << 25  # bytes moved by the passes that measure bandwidth: from L1 to beyond the caches
WIDTH = 46  # characters of a step's name in the table


@dataclass(frozen=True)
class ProfileStep:
    """One step of the program: a matrix product with all that is folded into it, a pass over elements, an update; `rule_constants`
    is what an optimizer's rule makes of its rate and its clock, once for all parameters.

    `seconds`: the best of the rounds. `flops`: of the product, or one for each instruction and element. `bytes`: operands read and
    results written, each once. `units`: pieces that threads may share. `percent`: of the ceiling. `share`: of the whole.
    `bound`: "compute", "bandwidth" or "overhead", what its time goes to. On several threads, where steps run beside each other,
    `seconds` is a step's part of what they took together.
    """

    name: str
    seconds: float
    flops: float
    bytes: float
    units: int
    percent: float
    bound: str
    share: float

    @property
    def gflops(self) -> float:
        """FLOP a nanosecond."""
        return 1e-9 * self.flops / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, repr=False)
class Profile:
    """The steps of one program in order, with their times; the last one is the call: checks, and all between the steps.

    whole = sum of the steps' seconds

    `about`: title, batch, dtype, threads, instruction set, rounds, and `call_seconds`, the fastest of the calls that were timed as
    a whole (on a busy machine it is longer than the best of each step together). `ceiling`: FLOP/s of a 384 x 384 x 384 matrix
    product on the same threads, measured in the same process: what 100 % stands for. `bandwidth`: bytes/s of a pass over large
    arrays, in the same way. It prints as a table, in a notebook too; `to_dict` gives plain numbers.
    """

    about: dict[str, Any]
    ceiling: float
    bandwidth: float
    steps: tuple[ProfileStep, ...]

    @property
    def seconds(self) -> float:
        """The whole: one run of the program, called from Python."""
        return sum(step.seconds for step in self.steps)

    @property
    def flops(self) -> float:
        """FLOP of the whole."""
        return sum(step.flops for step in self.steps)

    def share(self, bound: str) -> float:
        """The share of the whole in steps of this bound, from 0 to 1."""
        bound = checks.choice("profile", "bound", bound, BOUNDS)
        return sum(step.share for step in self.steps if step.bound == bound)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, as for JSON: what it was, the ceilings, the whole, and a dict for each step."""
        return {
            **self.about,
            "ceiling_flops": self.ceiling,
            "bandwidth_bytes": self.bandwidth,
            "seconds": self.seconds,
            "flops": self.flops,
            "steps": [asdict(step) for step in self.steps],
        }

    def __repr__(self) -> str:
        numbers = [*range(1, len(self.steps) + 1), ""]
        rows = [(str(i), short(name, WIDTH), *figures) for i, (name, *figures) in zip(numbers, self._rows(), strict=True)]
        return "\n".join([*self._heading(), "", *tables.text([("", *HEADS), *rows], ">" + ALIGNS, (0, *WIDTHS))])

    def _repr_html_(self) -> str:
        return tables.html(HEADS, self._rows(), ALIGNS, self._heading())

    def _heading(self) -> list[str]:
        about = self.about
        threads = f"{about['threads']} thread{'s' * (about['threads'] != 1)}"
        shares = ", ".join(f"{bound} {100 * self.share(bound):.0f} %" for bound in BOUNDS)
        return [
            f"{about['title']}: {about['program']}, batch {about['batch']}, {about['dtype']}, {threads}, {about['isa']}",
            f"100 % = {1e-9 * self.ceiling:.1f} GFLOP/s, a matrix product of side {SIDE}; memory {1e-9 * self.bandwidth:.1f} GB/s",
            f"bound by {shares}; a call by itself took {1e6 * about['call_seconds']:.1f} us "
            f"(best of {about['rounds']}; the rows are longer by their timing)",
        ]

    def _rows(self) -> list[tuple[str, ...]]:
        rows = [_cells(s.name, s.seconds, s.share, s.flops, s.bytes, s.gflops, s.percent, s.bound) for s in self.steps]
        whole, moved = self.seconds, sum(step.bytes for step in self.steps)
        percent = 100 * self.flops / whole / self.ceiling
        return [*rows, _cells("whole", whole, 1.0, self.flops, moved, 1e-9 * self.flops / whole, percent, "")]


HEADS = ("step", "us", "share", "MFLOP", "KB", "GFLOP/s", "%", "bound")
ALIGNS, WIDTHS = "<>>>>>><", (5, 9, 6, 8, 8, 7, 3, 0)


def _cells(name: str, seconds: float, share: float, flops: float, moved: float, rate: float, percent: float, bound: str) -> Any:
    return (
        name,
        f"{1e6 * seconds:.1f}",
        f"{100 * share:.1f} %",
        f"{1e-6 * flops:.3f}",
        f"{moved / 1024:.1f}",
        f"{rate:.1f}",
        f"{percent:.0f}",
        bound,
    )


# ---- Measuring ----


def profile(model: Model, x: Any, y: Any = None, sample_weight: Any = None, *, repeats: int | None = None) -> Profile:
    """See `Model.profile`."""
    rounds = None if repeats is None else checks.integer("profile", "repeats", repeats)
    if y is None:
        model.ensure_built(x)
        arrays = feed.inputs(model, x)
        program = model.programs.predict()
        return _measured(model, program, "predict", arrays, rounds)
    batch, targets = steps.checked(model, x, y, sample_weight)
    task, arrays = Task(targets, batch.weight is not None), batch.arrays
    if steps_by_batch(model):
        program, kind = model.programs.train(task), "train_step"
    else:  # the optimizer's step is a loop around these
        program, kind = model.programs.gradients(task), "gradients"
    return _measured(model, program, kind, arrays, rounds)


def _measured(model: Model, program: core.Program, kind: str, arrays: list[Array], rounds: int | None) -> Profile:
    """Runs it, and says for each step what its time goes to; the model stays as it was."""
    about = {
        "title": title_of(model).replace(" \u2192 ", "-"),  # for terminals of any encoding
        "program": kind,
        "batch": len(arrays[0]) if arrays else 1,
        "dtype": model.dtype,
        "threads": core.get_num_threads(),
        "isa": core.isa(),
    }
    with unchanged(model):
        rows, calls, rest = _alternate(program, arrays, rounds)
    about.update(rounds=len(calls), call_seconds=min(calls))
    top = _ceiling(model.dtype, core.get_num_threads())
    total = sum(row["seconds"] for row in rows) + rest
    made = [_step(row, top, total) for row in rows]
    made.append(ProfileStep(CALL, rest, 0.0, 0.0, 1, 0.0, "overhead", rest / total))
    return Profile(about, top, _bandwidth(LARGEST, core.get_num_threads()), tuple(made))


def _alternate(program: core.Program, arrays: list[Array], rounds: int | None) -> tuple[list[dict[str, Any]], list[float], float]:
    """The program's steps and whole calls, in turn, so that both see the same machine.

    (the best of each step, the times of the calls, what a call takes beyond its steps). The last is a median of differences: a
    whole call is longer than a step, so on a busy machine its best would be disturbed more often, and the difference of bests
    would grow with the disturbance.
    """
    begun = time.perf_counter()
    rows = program.profile(arrays, 1)
    calls: list[float] = []
    rests: list[float] = []
    while len(calls) < (MOST if rounds is None else rounds):
        start = time.perf_counter()
        program.run(arrays)
        now = time.perf_counter()
        calls.append(now - start)
        inside = program.profile(arrays, 1)
        rests.append(calls[-1] - sum(row["seconds"] for row in inside))
        for best, row in zip(rows, inside, strict=True):
            best["seconds"] = min(best["seconds"], row["seconds"])
        if rounds is None and now - begun > BUDGET and len(calls) >= 3:
            break
    return rows, calls, max(0.0, float(np.median(rests)))


def _step(row: dict[str, Any], top: float, total: float) -> ProfileStep:
    seconds, flops, moved = float(row["seconds"]), float(row["flops"]), float(row["bytes"])
    reasons = {"compute": flops / top, "bandwidth": moved / _bandwidth(_power(moved), core.get_num_threads())}
    bound = max(reasons, key=lambda reason: reasons[reason])
    if reasons[bound] < EXPLAINED * seconds:
        bound = "overhead"
    percent = 100 * flops / seconds / top if seconds > 0 else 0.0
    return ProfileStep(str(row["name"]), seconds, flops, moved, int(row["units"]), percent, bound, seconds / total)


def _power(count: float) -> int:
    """The power of four next to it, within what is measured: caches of different levels differ by more than that."""
    exponent = round(np.log2(max(count, 1.0)) / 2)
    return int(min(max(4**exponent, SMALLEST), LARGEST))


@cache
def _ceiling(dtype: str, threads: int) -> float:
    """FLOP/s of a large matrix product in this element type."""
    a, b = (placeholder((SIDE, SIDE), dtype) for _ in range(2))
    values = np.random.default_rng(0).random((SIDE, SIDE)).astype(dtype)
    return 2.0 * SIDE**3 / _best(core.Program([a.node, b.node], [(a @ b).node]), [values, values.T.copy()])


@cache
def _bandwidth(moved: int, threads: int) -> float:
    """Bytes/s of y = x1 + x2 with so many bytes in all three."""
    n = moved // 12
    a, b = (placeholder((n,)) for _ in range(2))
    return 12.0 * n / _best(core.Program([a.node, b.node], [(a + b).node]), [np.ones(n, np.float32)] * 2)


def _best(program: core.Program, arrays: list[Array]) -> float:
    """Seconds of the program's one step: the best of about 20 ms."""
    once = max(program.profile(arrays, 2)[0]["seconds"], 1e-7)
    return float(program.profile(arrays, int(min(max(0.02 / once, 5), 1000)))[0]["seconds"])
