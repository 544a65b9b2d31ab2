"""Row A of a network with branches, or without dense layers: its inputs and layer calls as boxes, from left to right."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from lamina.draw.canvas import Box, Canvas, cut
from lamina.tensor import shown
from lamina.trace import Trace
from lamina.wiring import calls_of, nodes_of

COLUMNS = 10  # side by side at most: of more, the first and the last ones, with dots between
TALL, LOW = 34.0, 18.0  # px: a box with its shape, and one with its name alone
WAY = 0.4  # of a box's room: that of a line which passes a column

Key = Hashable  # of an input its node's serial, of a call its id, of a line's place in a column it passes (source, target, column)


def graph(canvas: Canvas, area: Box, made: Trace) -> None:
    """Draws it into the area."""
    model = made.model
    names = {id(layer): name for name, layer in model.wiring.layers.items()}
    calls = calls_of(nodes_of(model.outputs))
    inputs = {t.node.serial: t for t in model.inputs}
    texts: dict[Key, tuple[str, ...]] = {t.node.serial: (name, shown(tuple(t.shape))) for name, t in model.named_inputs.items()}
    makers = {serial: call for call in calls for serial in call.outputs}
    made_of: dict[int, list[str]] = {}
    for output, t in model.named_outputs.items():
        for maker in _origin(t.node, makers, inputs) if len(model.outputs) > 1 else ():
            made_of.setdefault(maker, []).append(output)
    for call in calls:
        name, made_here = names.get(id(call.layer), "layer"), ", ".join(made_of.get(id(call), []))
        texts[id(call)] = (f"{name} → {made_here}" if made_here else name, shown(call.shapes[0]))
    level, lines = _levels(calls, inputs)
    places = _placed(area, level, lines)
    for line in lines:
        if all(key in places for key in line):
            _arrow(canvas, [places[key] for key in line])
    boxes = {key: box for key, box in places.items() if key in texts}
    for key, box in boxes.items():
        _box(canvas, box, texts[key])
    if max(level.values(), default=0) >= COLUMNS:
        pitch = _pitch(area, COLUMNS)
        canvas.text(area.cx + pitch / 2, area.cy + 12, "⋯", 20, anchor="middle", fill=canvas.theme.muted)
    left_out = len(texts) - len(boxes)
    if left_out:
        canvas.text(area.right, area.y + 4, f"{left_out} more layers are left out", 12, anchor="end", fill=canvas.theme.muted)


def is_chain(model: Any) -> bool:
    """Whether each call reads one value and nobody else reads that: a line of columns then shows all the links that there are."""
    calls = calls_of(nodes_of(model.outputs))
    inputs = {t.node.serial: t for t in model.inputs}
    makers = {serial: call for call in calls for serial in call.outputs}
    _, lines = _levels(calls, inputs)
    read = [line[0] for line in lines] + [key for t in model.outputs for key in _origin(t.node, makers, inputs)]
    readers = [line[-1] for line in lines]
    return len(read) == len(set(read)) and len(readers) == len(set(readers)) and len(read) == len(readers) + 1


def _levels(calls: list[Any], inputs: dict[int, Any]) -> tuple[dict[Key, int], list[list[Key]]]:
    """The column of each key, and the keys on each line from box to box: it has a place of its own in a column that it passes."""
    makers = {serial: call for call in calls for serial in call.outputs}
    level: dict[Key, int] = dict.fromkeys(inputs, 0)
    lines: list[list[Key]] = []
    for call in sorted(calls, key=lambda call: max(call.outputs, default=0)):  # what makes a tensor before what reads it
        before = dict.fromkeys(key for t in call.inputs for key in _origin(t.node, makers, inputs))
        level[id(call)] = 1 + max((level[key] for key in before), default=0)
        for key in before:
            passed: dict[Key, int] = {(key, id(call), k): k for k in range(level[key] + 1, level[id(call)])}
            level.update(passed)
            lines.append([key, *passed, id(call)])
    return level, lines


def _arrow(canvas: Canvas, places: list[Box]) -> None:
    """From the right side of the first box through the places between to the left side of the last one."""
    d = f"M{places[0].right:.1f} {places[0].cy:.1f}"
    for here, to in zip(places, places[1:], strict=False):
        end = to.x - 6 if to is places[-1] else to.x
        middle = (here.right + to.x) / 2
        d += f"H{here.right:.1f}C{middle:.1f} {here.cy:.1f} {middle:.1f} {to.cy:.1f} {end:.1f} {to.cy:.1f}"
    canvas.path(d, canvas.theme.muted, 1.4)
    canvas.add(f'<path d="M{places[-1].x:.1f} {places[-1].cy:.1f}l-7 -4v8z" fill="{canvas.theme.muted}"/>')


def _box(canvas: Canvas, box: Box, lines: tuple[str, ...]) -> None:
    """A box with its lines of text; a low one with the first of them."""
    lines = lines if box.h >= TALL else lines[:1]
    canvas.rect(box, canvas.theme.panel, canvas.theme.edge, 6)
    for k, line in enumerate(lines):
        y = box.cy + 5 + (k - (len(lines) - 1) / 2) * 17
        canvas.text(box.cx, y, cut(line, 13 - k, box.w - 10), 13 - k, anchor="middle", fill=canvas.theme.muted if k else None)


def _origin(node: Any, makers: dict[int, Any], inputs: dict[int, Any]) -> list[int]:
    """The calls and inputs that a tensor comes from, through operations outside of layers."""
    found: list[int] = []
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if node.serial in seen:
            continue
        seen.add(node.serial)
        if node.serial in makers:
            found.append(id(makers[node.serial]))
        elif node.serial in inputs:
            found.append(node.serial)
        else:
            waiting += node.inputs
    return found


def _placed(area: Box, level: dict[Key, int], lines: list[list[Key]]) -> dict[Key, Box]:
    """A column for each level; in it the boxes, and the places of lines that pass, one above the other."""
    columns = _columns(level, lines)
    half, over = COLUMNS // 2, max(columns, default=0) + 1 - COLUMNS
    n = COLUMNS + min(over, 0)
    pitch = _pitch(area, n)
    left = area.cx - n * pitch / 2
    places: dict[Key, Box] = {}
    for level_, keys in columns.items():
        if over > 0 and half <= level_ <= half + over:  # behind the dots, which have a column
            continue
        k = level_ - (over if over > 0 and level_ > half else 0)
        keys = keys[: max(1, int((area.h - 30) / (LOW + 6)))]  # in a higher column the last ones are left out
        shares = [WAY if isinstance(key, tuple) else 1.0 for key in keys]
        room = min(74.0, (area.h - 30) / sum(shares))
        high = min(52.0, room - 6)
        y = area.cy + 8 - room * sum(shares) / 2
        for key, share in zip(keys, shares, strict=True):
            h = 0.0 if isinstance(key, tuple) else high
            places[key] = Box(left + k * pitch + 22, y + (room * share - h) / 2, pitch - 44, h)
            y += room * share
    return places


def _pitch(area: Box, n: int) -> float:
    """From one of n columns to the next."""
    return min(220.0, area.w / n)


def _columns(level: dict[Key, int], lines: list[list[Key]]) -> dict[int, list[Key]]:
    """The keys of each column, in the order of what they read, so that few lines cross."""
    columns: dict[int, list[Key]] = {}
    for key, k in level.items():
        columns.setdefault(k, []).append(key)
    before: dict[Key, list[Key]] = {key: [] for key in level}
    for line in lines:
        for source, target in zip(line, line[1:], strict=False):
            before[target].append(source)
    height: dict[Key, float] = {}
    for k in sorted(columns):
        columns[k].sort(key=lambda key: sum(height[b] for b in before[key]) / max(len(before[key]), 1))
        height |= {key: i - (len(columns[k]) - 1) / 2 for i, key in enumerate(columns[k])}
    return columns
