"""Row A of a network with branches, or without dense layers: its inputs and layer calls as boxes, from left to right."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lamina import _core as core
from lamina.draw.canvas import Box, Canvas, cut
from lamina.graph.tensor import shown
from lamina.layers.base import LayerCall
from lamina.models.wiring import nodes_of
from lamina.trace import Trace

COLUMNS = 10  # side by side at most: of more, the first and the last ones, with dots between
TALL, LOW = 34.0, 18.0  # px: a box with its shape, and one with its name alone
WAY = 0.4  # of a box's room: that of a line which passes a column

# Of an input its node's serial, of a part its id, of an output its name, of a line's place in a column (source, target, column).
Key = Hashable


def graph(canvas: Canvas, area: Box, made: Trace) -> None:
    """Draws it into the area."""
    model = made.model
    names = {id(layer): name for name, layer in model.wiring.layers.items()}
    parts = Parts(model)
    texts: dict[Key, tuple[str, ...]] = {t.node.serial: (name, shown(tuple(t.shape))) for name, t in model.named_inputs.items()}
    for part in parts.found:
        outputs = [name for name, t in model.named_outputs.items() if parts.of.get(t.node.serial) is part]
        title = names.get(id(part.call.layer), "layer")
        titled = f"{title} → {', '.join(outputs)}" if outputs and len(model.outputs) > 1 else title
        texts[id(part)] = (titled, shown(part.shape))
    for name, t in model.named_outputs.items():
        if t.node.serial not in parts.of and t.node.serial not in texts:  # operations outside of layers have made it
            texts[name] = (name, shown(tuple(t.shape)))
    level, lines = parts.levels([name for name in model.named_outputs if name in texts])
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
        canvas.text(
            area.right,
            area.y + 4,
            f"{left_out} more layer{'s are' if left_out > 1 else ' is'} left out",
            12,
            anchor="end",
            fill=canvas.theme.muted,
        )


def is_chain(model: Any) -> bool:
    """Whether each call reads one value and nobody else reads that: a line of columns then shows all the links that there are."""
    parts = Parts(model)
    links = [(key, box) for box, before in parts.links() for key in before]
    read = [key for key, _ in links] + [key for t in model.outputs for key in parts.behind([t.node])]
    readers = [box for _, box in links]
    return len(read) == len(set(read)) and len(readers) == len(set(readers)) and len(read) == len(readers) + 1


@dataclass(eq=False)
class Part:
    """What a layer's call computes itself, from one call of a layer within it to the next: a box."""

    call: LayerCall
    nodes: list[core.Node] = field(default_factory=list)  # in the order in which they were made

    @property
    def shape(self) -> tuple[Any, ...]:
        """Of the first output of the call that it makes, else of what it makes last."""
        made = {node.serial for node in self.nodes}
        several = zip(self.call.outputs, self.call.shapes, strict=True)
        return next((shape for serial, shape in several if serial in made), tuple(self.nodes[-1].shape))


class Parts:
    """The parts of a network, in the order in which they were made, and what each reads of the others and of the inputs."""

    def __init__(self, model: Any):
        self.outputs: dict[str, core.Node] = {name: t.node for name, t in model.named_outputs.items()}
        self.inputs = dict.fromkeys(t.node.serial for t in model.inputs)  # in the user's order
        self.found: list[Part] = []
        self.of: dict[int, Part] = {}  # serial of a node -> the part that it is in
        for node in sorted(nodes_of(model.outputs), key=lambda node: node.serial):
            if node.scope is None or node.serial in self.inputs:
                continue
            if not self.found or self.found[-1].call is not node.scope:
                self.found.append(Part(node.scope))
            self.found[-1].nodes.append(node)
            self.of[node.serial] = self.found[-1]

    def levels(self, outputs: Iterable[str] = ()) -> tuple[dict[Key, int], list[list[Key]]]:
        """The column of each key, and the keys on each line from box to box: it has a place of its own in a column that it passes.

        `outputs`: those that have a box.
        """
        level: dict[Key, int] = dict.fromkeys(self.inputs, 0)
        lines: list[list[Key]] = []
        for box, before in self.links(outputs):
            level[box] = 1 + max((level[key] for key in before), default=0)
            for key in before:
                passed: dict[Key, int] = {(key, box, k): k for k in range(level[key] + 1, level[box])}
                level.update(passed)
                lines.append([key, *passed, box])
        return level, lines

    def links(self, outputs: Iterable[str] = ()) -> Iterator[tuple[Key, list[Key]]]:
        """Each part and output with what it reads."""
        boxes: list[tuple[Key, list[core.Node]]] = [(id(p), [i for n in p.nodes for i in n.inputs]) for p in self.found]
        boxes += [(name, [self.outputs[name]]) for name in outputs]
        for box, read in boxes:
            yield box, [key for key in self.behind(read) if key != box]

    def behind(self, nodes: Iterable[core.Node]) -> list[int]:
        """The parts and inputs that nodes come from, through operations outside of layers."""
        found: dict[int, None] = {}  # a set in order
        waiting, seen = list(nodes), set()
        while waiting:
            node = waiting.pop()
            if node.serial in seen:
                continue
            seen.add(node.serial)
            if node.serial in self.of:
                found[id(self.of[node.serial])] = None
            elif node.serial in self.inputs:
                found[node.serial] = None
            else:
                waiting += node.inputs
        return list(found)


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

    def mean(key: Key) -> float:
        several = before[key]  # of a line that passes one
        return height[several[0]] if len(several) == 1 else sum(height[b] for b in several) / max(len(several), 1)

    for k in sorted(columns):
        columns[k].sort(key=mean)
        height |= {key: i - (len(columns[k]) - 1) / 2 for i, key in enumerate(columns[k])}
    return columns
