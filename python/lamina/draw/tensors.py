"""Rows B and C: every tensor as a heatmap in the order of the equation, and its gradient directly under it, in the same size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lamina.draw.canvas import DOTS, WIDTH, Box, Canvas, equation_width, width
from lamina.draw.chain import Block, Item, Sign, equation_of, has_name, line_of, readable
from lamina.draw.heatmap import heatmap, scale_of
from lamina.trace import Step, Trace
from lamina.trace.notation import Equation, Sym, number, shape_text, text
from lamina.trace.rounding import cancels, terms_of
from lamina.trace.terms import ROWS_SAID, of_rows

GAP = 26.0  # for a sign
ARROW = 64.0  # for a function's arrow
EDGE = 20.0  # px: no equation comes nearer to the picture's sides
NEAR = 30.0  # px: how far from its arrow an equation stands, past the ends of others
LANE = 23.0  # between the lines that carry the backward equations
LANES = 6
HEAD, LINE = 44.0, 20.0  # over row B: names and a line of equations; each other line
LINES = 3
UNDER = 36.0  # over row C: names
DOTS_SAID = f"{DOTS}: what explain() alone has a line for"
DASHED = ' stroke-dasharray="5 3"'
LABELLED = 38.0  # px: how wide a tensor's shape and scale are, about
NOTHING = "≈ 0"
NOTHING_SAID = f"{NOTHING}: terms cancel, up to rounding"
SMALLEST = 14.0  # px: the side of a block of one row


def length(n: int) -> float:
    """How long a side of n cells is, before everything is fitted: 20 px a cell up to 8, then ever more slowly."""
    return 20.0 * n if n <= 8 else 160.0 * (1 + 0.13 * math.log2(n / 8))


def layout(items: list[Item], x: float, width: float, tallest: float) -> float:
    """Places the blocks from x on so that they fill the width, none taller than `tallest`; returns the height that they need."""
    blocks = [item for item in items if isinstance(item, Block)]
    if not blocks:  # a network without layers
        return 0.0
    gaps = sum(_gap(item) for item in items if isinstance(item, Sign))
    scaled = _sizes(blocks, width - gaps, tallest)
    spare = width - gaps - sum(w for _, w in scaled)
    stretch = 1 + min(0.6, max(0.0, spare) / gaps) if gaps else 1.0
    left = x + max(0.0, (width - gaps * stretch - sum(w for _, w in scaled)) / 2)
    boxes = iter(scaled)
    for item in items:
        if isinstance(item, Block):
            h, w = next(boxes)
            item.box = Box(left, 0, w, h)
            left += w
        else:
            wide = _gap(item) * stretch
            item.x = left + wide / 2
            left += wide
    return max(h for h, _ in scaled)


def _sizes(blocks: list[Block], width: float, tallest: float) -> list[tuple[float, float]]:
    """(height, width) of each, in one scale as far as their labels allow, so that they have room side by side."""
    sizes = [(length(b.matrix.shape[0]), length(b.matrix.shape[1])) for b in blocks]
    fit = min(1.25, width / sum(w for _, w in sizes), tallest / max(h for h, _ in sizes))
    floors = [_narrowest(b) for b in blocks]
    scaled = [(max(SMALLEST, h * fit), max(floor, w * fit)) for (h, w), floor in zip(sizes, floors, strict=True)]
    over = sum(w for _, w in scaled) - width
    if over > 0:  # what was too narrow has taken room: the wide ones give it back
        loose = sum(w for _, w in scaled) - sum(floors)
        less = min(1.0, over / loose) if loose else 0.0
        scaled = [(h, w - less * (w - floor)) for (h, w), floor in zip(scaled, floors, strict=True)]
    return scaled


def fits(items: list[Item], trace: Trace, width: float) -> bool:
    """Whether there is room for the items, every tensor as narrow as its labels allow, and for the loss beside the last one."""
    least = [max(LABELLED, _narrowest(item)) if isinstance(item, Block) else _gap(item) for item in items]
    last, lines = _start(items, trace)
    beside = 0.0 if last is None else _beside(lines) - sum(least[1 + next(i for i, item in enumerate(items) if item is last) :])
    return sum(least) + max(0.0, beside) <= width


def _narrowest(block: Block) -> float:
    """How wide a tensor is at least: its name, and that of its gradient, may reach half into the signs beside it."""
    return max(34.0, equation_width((block.symbol.d,), 16) - GAP)


def _gap(sign: Sign) -> float:
    """The room between two tensors that a sign takes: of an arrow, at least that of its name."""
    return max(ARROW, 12 + width(sign.text, _size(sign))) if sign.arrow else max(GAP, 9.0 * len(sign.text))


def _size(sign: Sign) -> float:
    """Of an arrow's name, in px."""
    return 12.0 if len(sign.text) <= 9 else 11.0


def forward(canvas: Canvas, items: list[Item], trace: Trace, top: float, height: float) -> list[str]:
    """Row B; returns the names of the matrices that were shrunk."""
    above = head(items, trace)
    middle = top + above + height / 2
    small: list[str] = []
    for item in items:
        if isinstance(item, Sign):
            _sign(canvas, item, middle)
            continue
        item.box = Box(item.box.x, middle - item.box.h / 2, item.box.w, item.box.h)
        if heatmap(canvas, item.box, item.values, item.symbol.plain):
            small.append(item.symbol.unicode())
        canvas.equation(item.box.cx, item.box.y - 8, (item.symbol,), 16)
        canvas.text(item.box.cx, item.box.bottom + 16, shape_text(item.values.shape), 12, anchor="middle", fill=canvas.theme.muted)
        scale = _scale(item.matrix)
        canvas.text(item.box.cx, item.box.bottom + 30, scale, 11, anchor="middle", fill=canvas.theme.muted)
    for equation, x, line in equations(items, trace):
        canvas.equation(x, top + above - HEAD + 14 - LINE * line, equation, 16)
    return small


def _scale(values: NDArray[np.float64]) -> str:
    """±.38, ±970, ±1.2e+06; all 0; all NaN; not finite"""
    if not values.any():
        return "all 0"
    if not np.isfinite(values).any():
        return "all NaN" if np.isnan(values).all() else "not finite"
    largest = scale_of(values)
    return f"±{number(largest, 2 if largest < 100 or largest >= 1e5 else 5)}"


def _sign(canvas: Canvas, sign: Sign, y: float) -> None:
    theme = canvas.theme
    if not sign.arrow:
        small = len(sign.text) > 1 or sign.text == DOTS
        canvas.text(sign.x, y + (5 if small else 8), sign.text, 13 if small else 24, anchor="middle", fill=theme.muted)
        return
    half = ARROW / 2 - 8
    arrow(canvas, f"M{sign.x - half:.1f} {y:.1f}H{sign.x + half - 5:.1f}", (sign.x + half, y), "right", theme.muted, dashed=False)
    canvas.text(sign.x, y - 8, sign.text, _size(sign), anchor="middle", fill=theme.ink)


def arrow(canvas: Canvas, d: str, tip: tuple[float, float], to: str, colour: str, *, dashed: bool) -> None:
    """A line with a small filled head at its tip."""
    x, y = tip
    heads = {"right": "l-7 -4v8z", "left": "l7 -4v8z", "up": "l-4 7h8z"}
    canvas.path(d, colour, 1.3, DASHED if dashed else "")
    canvas.add(f'<path d="M{x:.1f} {y:.1f}{heads[to]}" fill="{colour}"/>')


def equations(items: list[Item], trace: Trace) -> list[tuple[Equation, float, int]]:
    """The equation of each value over the tensors that it names, its middle, and its line: 0, or a higher one where two would
    touch; none where all are taken.
    """
    found: list[tuple[Equation, float, int]] = []
    taken: list[Box] = []
    for i, item in enumerate(items):
        equation = readable(trace, item.step.equation) if isinstance(item, Block) and item.step is not None else ()
        if not isinstance(item, Block) or item.step is None or not equation:
            continue
        wide = equation_width(equation, 16)
        first = items[max(0, i - (4 if len(item.step.operands) > 2 else 2))] if item.step.kind == "dense" else item
        left = first.box.x if isinstance(first, Block) else item.box.x
        middle = (left + item.box.right) / 2
        middle = min(max(middle, 30 + wide / 2), WIDTH - 30 - wide / 2)
        for line in range(LINES):
            box = Box(middle - wide / 2 - 8, -line * LINE, wide + 16, 18)
            if not any(box.overlaps(other) for other in taken):
                taken.append(box)
                found.append((equation, middle, line))
                break
    return found


def head(items: list[Item], trace: Trace) -> float:
    """The height over row B."""
    return HEAD + LINE * max((line for _, _, line in equations(items, trace)), default=0)


# ---- backward ----


def backward(canvas: Canvas, items: list[Item], ways: list[Route], trace: Trace, top: float, height: float) -> None:
    """Row C, with its arrows."""
    middle = top + UNDER + height / 2
    theme = canvas.theme
    last, _ = _start(items, trace)
    for item in items:
        if not isinstance(item, Block):
            continue
        item.under = Box(item.box.x, middle - item.box.h / 2, item.box.w, item.box.h)
        if item.gradient is None:
            why = _why_none(item, trace)
            if why and last is not None and item.box.x < last.box.x:  # right of it the loss stands
                canvas.rect(item.under, "none", theme.edge, extra=' stroke-dasharray="4 3"')
                canvas.equation(item.under.cx, item.under.y - 8, (item.symbol.d,), 16, fill=theme.muted)
                canvas.text(item.under.cx, item.under.bottom + 16, why, 12, anchor="middle", fill=theme.muted)
            continue
        terms = _cancelled(item, trace)
        heatmap(canvas, item.under, item.gradient, item.symbol.d.plain, None if terms is None else scale_of(terms))
        canvas.equation(item.under.cx, item.under.y - 8, (item.symbol.d,), 16)
        scale = _scale(np.asarray(item.gradient, np.float64)) if terms is None else NOTHING
        canvas.text(item.under.cx, item.under.bottom + 15, scale, 11, anchor="middle", fill=theme.muted)
    _plain_arrows(canvas, items, ways, middle)
    _arrows(canvas, ways, middle + height / 2 + 24)
    _loss(canvas, items, trace, middle)


def _cancelled(block: Block, trace: Trace) -> NDArray[np.float64] | None:
    """The terms of a gradient that cancel, so that rounding alone is left: in the colours of their sizes it is none."""
    step = line_of(trace, block.symbol.d.plain)
    return terms_of(trace, step) if step is not None and cancels(trace, step) else None


def _why_none(block: Block, trace: Trace) -> str:
    """Why an input or a parameter has no gradient; '' for other tensors."""
    if block.kind in ("weight", "bias") and trace.sources[block.symbol.plain]["kind"] == "state":
        return "frozen"
    skipped = block.kind == "input" and any(skipped["equation"][0] == block.symbol.d for skipped in trace.skipped)
    return "skipped" if skipped else ""


@dataclass
class Route:
    """The way of an arrow below row C: from the middle of gradients to that of another one, on a lane, its equation on the way.

    `outs`: where it leaves each of the sources; the equation is empty where it names nothing that the picture shows.
    """

    sources: list[Block]
    target: Block
    equation: Equation
    outs: list[float]
    to: float
    centre: float
    wide: float
    lane: int

    @property
    def ends(self) -> list[float]:
        """Where it comes down and goes up, from the left."""
        return sorted([self.to, *self.outs])

    @property
    def span(self) -> tuple[float, float]:
        """What it takes of its lane."""
        left, right = self.ends[0], self.ends[-1]
        return min(left, self.centre - self.wide / 2) - 3, max(right, self.centre + self.wide / 2) + 3


def routes(items: list[Item], trace: Trace) -> list[Route]:
    """An arrow for each gradient that is made from others, short ones first: on the highest lane where nothing is in its way.

    No equation stands on another arrow, where that can be; those that find no such place beside others come below them.
    """
    waiting = _ways(items, trace)
    found: list[Route] = []
    for beside in (True, False):
        for way in [*waiting]:
            others = [end for other in waiting if other is not way for end in other.ends] if beside else []
            if _laid(way, found, others, beside):
                waiting.remove(way)
                found.append(way)
    for way in waiting:  # on what is in its way
        way.centre = _over(way)
        way.lane = next((k for k in range(LANES) if not any(_meet(way, other) for other in found if other.lane == k)), LANES)
        found += [way] if way.lane < LANES else []
    return found


def _ways(items: list[Item], trace: Trace) -> list[Route]:
    """The arrows, short ones first, without their lanes."""
    blocks = {item.symbol.d.plain: item for item in items if isinstance(item, Block) and item.gradient is not None}
    links = []
    for step in trace.backward:
        sources = _made_from(trace, step, blocks) if step.name in blocks else []
        if sources:
            links.append(([blocks[name] for name in sources], blocks[step.name], readable(trace, step.equation)))
    leaving: dict[str, int] = {}
    ways = []
    for before, target, equation in sorted(links, key=lambda link: max(abs(s.box.cx - link[1].box.cx) for s in link[0])):
        outs = []
        for source in before:
            name = source.symbol.plain
            outs.append(source.box.cx - 12 + 7 * min(leaving.get(name, 0), 2))  # left of what comes from the right
            leaving[name] = leaving.get(name, 0) + 1
        far = max(outs, key=lambda out: abs(out - target.box.cx))
        to = target.box.cx + (9 if target.box.cx < far else -9)
        wide = equation_width(equation, 15) + 16 if equation else 0.0
        ways.append(Route(before, target, equation, outs, to, 0.0, wide, LANES))
    return ways


def _laid(way: Route, found: list[Route], others: list[float], beside: bool) -> bool:
    """Gives the arrow the highest lane where neither it nor its equation stands on those found; `others`: where more will pass.

    The equation stands `beside` the arrow's ends, or on them below the first lane, so that what is under an arrowhead is seen.
    """
    for lane in range(0 if beside else 1, LANES):
        passing = [end for other in found if other.lane > lane for end in other.ends] + others
        for centre in _places(way, passing) if beside else [_over(way)]:
            way.lane, way.centre = lane, centre
            if _is_free(way, found, passing):
                return True
    return False


def _is_free(way: Route, found: list[Route], passing: list[float]) -> bool:
    """Whether its equation covers nothing that passes, no equation above it covers its ends, and its lane is free."""
    on_it = any(abs(end - way.centre) < way.wide / 2 for end in passing)
    above = [other for other in found if other.lane < way.lane]
    on_others = any(abs(end - other.centre) < other.wide / 2 for other in above for end in way.ends)
    return not (on_it or on_others or any(_meet(way, other) for other in found if other.lane == way.lane))


def _places(way: Route, passing: list[float]) -> list[float]:
    """Where its equation has room: between its ends, in the widest gap first; else right or left of them, the nearest first."""
    ends, half = way.ends, way.wide / 2
    inside = sorted({*ends, *(end for end in passing if ends[0] < end < ends[-1])})
    gaps = sorted(zip(inside, inside[1:], strict=False), key=lambda gap: gap[0] - gap[1])
    places = [(a + b) / 2 for a, b in gaps if way.wide < b - a - 14]
    right = [end + 4 + half for end in [ends[-1], *passing] if 0 <= end - ends[-1] <= NEAR]
    left = [end - 4 - half for end in [ends[0], *passing] if 0 <= ends[0] - end <= NEAR]
    aside = sorted([*right, *left], key=lambda centre: max(centre - ends[-1], ends[0] - centre))
    return places + [centre for centre in aside if EDGE + half <= centre <= WIDTH - EDGE - half]


def _meet(a: Route, b: Route) -> bool:
    """Whether two arrows on one lane touch."""
    return a.span[0] < b.span[1] and b.span[0] < a.span[1]


def meanings(items: list[Item], ways: list[Route], trace: Trace) -> str:
    """What those letters mean that the equations of row C have beside tensors; first, which gradients no arrow has room for."""
    _, lines = _start(items, trace)
    blocks = [item for item in items if isinstance(item, Block)]
    written = [way.equation for way in ways if way.equation] + lines[1:]
    shown = [*written, *(readable(trace, block.step.equation) for block in blocks if block.step is not None)]
    drawn = {id(way.target) for way in ways}
    without = [way.target.symbol.d.unicode() for way in _ways(items, trace) if id(way.target) not in drawn]
    said = [f"{', '.join(without)}: see explain()"] if without else []
    for step in trace.backward:
        if step.where and readable(trace, step.equation) in written:
            said += text(step.where).split(";  ")
    if any(_cancelled(block, trace) is not None for block in blocks):
        said.append(NOTHING_SAID)
    if any(map(of_rows, written)):
        said.append(ROWS_SAID)
    signs = [item.text == DOTS for item in items if isinstance(item, Sign)]
    if any(signs) or any(isinstance(part, str) and DOTS in part for equation in shown for part in equation):
        said.append(DOTS_SAID)
    return ";  ".join(dict.fromkeys(said))


def _made_from(trace: Trace, step: Step, blocks: dict[str, Block]) -> list[str]:
    """The gradients in the picture that a line reads, also those behind values that have no name."""
    found: dict[str, None] = {}
    waiting = list(step.operands)
    while waiting:
        name = waiting.pop()
        if name in blocks:
            found[name] = None
        elif name in trace and not has_name(trace, name):
            waiting += [operand for operand in trace.step(name).operands if operand != name]
    return list(found)


def _over(way: Route) -> float:
    """Where its equation stands on the arrow itself: in the widest gap between its ends, else left of the last one."""
    a, b = max(zip(way.ends, way.ends[1:], strict=False), key=lambda gap: gap[1] - gap[0])
    return max((a + b) / 2 if way.wide < b - a - 14 else way.ends[-1] - way.wide / 2 - 3, EDGE + way.wide / 2)


def _plain_arrows(canvas: Canvas, items: list[Item], ways: list[Route], y: float) -> None:
    """Between two values with an arrow between them, where no lane had room for that from one gradient to the other."""
    reached = {id(way.target) for way in ways}
    for left, sign, right in zip(items, items[1:], items[2:], strict=False):
        if not (isinstance(left, Block) and isinstance(sign, Sign) and isinstance(right, Block)):
            continue
        flows = sign.arrow and left.gradient is not None and right.gradient is not None
        if flows and left.kind == right.kind == "value" and id(left) not in reached:
            d = f"M{right.under.x - 8:.1f} {y:.1f}H{left.under.right + 15:.1f}"
            arrow(canvas, d, (left.under.right + 8, y), "left", canvas.theme.muted, dashed=True)


def _arrows(canvas: Canvas, ways: list[Route], top: float) -> None:
    """Dashed arrows from gradients to those made from them; what comes from several places meets on one line."""
    for way in ways:
        y = top + (way.lane + 0.5) * LANE
        tip = way.target.under.bottom + 20
        for source, out in zip(way.sources, way.outs, strict=True):
            last = out == (min(way.outs) if out < way.to else max(way.outs))  # on its side: the others meet its line
            joins = f"H{way.to:.1f}" if last else ""
            canvas.path(f"M{out:.1f} {source.under.bottom + 20:.1f}V{y:.1f}{joins}", canvas.theme.muted, 1.3, DASHED)
        if not way.ends[0] <= way.centre <= way.ends[-1]:  # its equation stands beside it
            end = way.ends[-1] if way.centre > way.to else way.ends[0]
            canvas.path(f"M{end:.1f} {y:.1f}H{way.centre:.1f}", canvas.theme.muted, 1.3, DASHED)
        arrow(canvas, f"M{way.to:.1f} {y:.1f}V{tip + 5:.1f}", (way.to, tip), "up", canvas.theme.muted, dashed=True)
    for way in ways:
        if way.equation:
            y = top + (way.lane + 0.5) * LANE
            canvas.rect(Box(way.centre - way.wide / 2, y - 10, way.wide, 20), canvas.theme.paper)
            canvas.equation(way.centre, y + 5, way.equation, 15)


def _start(items: list[Item], trace: Trace) -> tuple[Block | None, list[Equation]]:
    """The last gradient of the row, which is the first to be computed, and what stands beside it: L, and its equation."""
    last = next((item for item in reversed(items) if isinstance(item, Block) and item.gradient is not None), None)
    if last is None or "L" not in trace:
        return None, []
    lines: list[Equation] = [(Sym("L"), f" = {number(float(trace['L']), 4)}")]
    first = equation_of(trace, last.symbol.d.plain) if last.kind == "value" else ()  # else other ways lead from L to it
    return last, [*lines, first] if first else lines


def missing(items: list[Item], trace: Trace, right: float) -> float:
    """How much room is missing beside the last gradient for the loss, up to `right`."""
    last, lines = _start(items, trace)
    return 0.0 if last is None else last.box.right + _beside(lines) - right


def _beside(lines: list[Equation]) -> float:
    """How much room the loss takes beside a gradient."""
    return 40 + max(equation_width(line, 16) for line in lines)


def _loss(canvas: Canvas, items: list[Item], trace: Trace, middle: float) -> None:
    """Where the backward pass begins: the loss, and the equation of the first gradient, right of the last one."""
    last, lines = _start(items, trace)
    if last is None or missing(items, trace, canvas.width - 40) > 0:
        return
    x = last.under.right + 34
    y = middle - 12 * (len(lines) - 1) + 5
    if len(lines) > 1:
        way, tip = f"M{x - 6:.1f} {middle:.1f}H{last.under.right + 15:.1f}", (last.under.right + 8, middle)
        arrow(canvas, way, tip, "left", canvas.theme.muted, dashed=True)
    for k, line in enumerate(lines):
        canvas.equation(x, y + 24 * k, line, 16, anchor="start")
