"""Row A of a network with branches, or without dense layers: its inputs and layer calls as boxes, from left to right."""

from __future__ import annotations

from typing import Any

from lamina.draw.canvas import Box, Canvas, width
from lamina.losses.base import shown
from lamina.trace import Trace
from lamina.wiring import calls_of, nodes_of

COLUMNS = 10  # boxes side by side at most; what follows is left out, and said so


def graph(canvas: Canvas, area: Box, made: Trace) -> None:
    """Draws it into the area."""
    model = made.model
    names = {id(layer): name for name, layer in model.wiring.layers.items()}
    calls = calls_of(nodes_of(model.outputs))
    makers = {serial: call for call in calls for serial in call.outputs}
    inputs = {t.node.serial: t for t in model.inputs}
    level: dict[int, int] = dict.fromkeys(inputs, 0)  # by serial of an input, by id of a call
    edges: list[tuple[int, int]] = []
    for call in calls:
        before = [key for t in call.inputs for key in _origin(t.node, makers, inputs)]
        level[id(call)] = 1 + max((level.get(key, 0) for key in before), default=0)
        edges += [(key, id(call)) for key in dict.fromkeys(before)]
    labels = {key: (f"input {shown(tuple(t.shape))}",) for key, t in inputs.items()}
    texts = {**labels, **{id(c): (names.get(id(c.layer), "layer"), shown(c.shapes[0])) for c in calls}}
    boxes = _placed(area, level, texts)
    for source, target in edges:
        if source in boxes and target in boxes:
            start, end = boxes[source], boxes[target]
            between = [b for b in boxes.values() if start.right < b.cx < end.x and b.y < start.cy < b.bottom]
            if between and start.cy == end.cy:  # a skip: over the boxes in its way
                _skip(canvas, start, end, min(b.y for b in between) - 16 - 7 * (len(between) - 1))
                continue
            bend = (end.x - start.right) / 2
            a, b = (start.right, start.cy), (end.x - 6, end.cy)
            d = f"M{a[0]:.1f} {a[1]:.1f}C{a[0] + bend:.1f} {a[1]:.1f} {end.x - bend:.1f} {b[1]:.1f} {b[0]:.1f} {b[1]:.1f}"
            canvas.path(d, canvas.theme.muted, 1.4)
            canvas.add(f'<path d="M{end.x:.1f} {end.cy:.1f}l-7 -4v8z" fill="{canvas.theme.muted}"/>')
    for key, box in boxes.items():
        canvas.rect(box, canvas.theme.panel, canvas.theme.edge, 6)
        for k, line in enumerate(texts[key]):
            y = box.cy + 5 + (k - (len(texts[key]) - 1) / 2) * 17
            canvas.text(
                box.cx, y, _fitted(line, 13 - k, box.w - 10), 13 - k, anchor="middle", fill=canvas.theme.muted if k else None
            )
    left_out = len(texts) - len(boxes)
    if left_out:
        canvas.text(area.right, area.y + 4, f"{left_out} more layers follow", 12, anchor="end", fill=canvas.theme.muted)


def _skip(canvas: Canvas, start: Box, end: Box, y: float) -> None:
    """An arrow from the top of one box over others to the top of another."""
    a, b = start.cx + start.w / 4, end.cx - end.w / 4
    canvas.path(f"M{a:.1f} {start.y:.1f}C{a:.1f} {y:.1f} {a:.1f} {y:.1f} {a + 24:.1f} {y:.1f}H{b - 24:.1f}"
                f"C{b:.1f} {y:.1f} {b:.1f} {y:.1f} {b:.1f} {end.y - 6:.1f}", canvas.theme.muted, 1.4)  # fmt: skip
    canvas.add(f'<path d="M{b:.1f} {end.y:.1f}l-4 -7h8z" fill="{canvas.theme.muted}"/>')


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


def _placed(area: Box, level: dict[int, int], texts: dict[int, tuple[str, ...]]) -> dict[int, Box]:
    """A column for each level, its boxes one above the other."""
    columns: dict[int, list[int]] = {}
    for key in texts:
        if level[key] < COLUMNS:
            columns.setdefault(level[key], []).append(key)
    n = max(columns, default=0) + 1
    pitch = min(220.0, area.w / n)
    wide = pitch - 44
    left = area.cx - n * pitch / 2
    boxes: dict[int, Box] = {}
    for k, keys in columns.items():
        room = min(74.0, (area.h - 30) / len(keys))
        high = min(52.0, room - 6)
        for i, key in enumerate(keys):
            y = area.cy + 8 + (i - (len(keys) - 1) / 2) * room
            if high >= 34:
                boxes[key] = Box(left + k * pitch + 22, y - high / 2, wide, high)
    return boxes


def _fitted(text: str, size: float, limit: float) -> str:
    while width(text, size) > limit and len(text) > 6:
        text = text[:-4] + "..."
    return text
