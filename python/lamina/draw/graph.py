"""Row A of a network with branches, or without dense layers: its inputs and layer calls as boxes, from left to right; between them,
as circles, the operations in which several of them meet.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lamina import _core as core
from lamina.draw.canvas import DOTS, Box, Canvas, cut, width
from lamina.graph.tensor import shown
from lamina.layers.base import LayerCall
from lamina.models.wiring import nodes_of
from lamina.trace import Trace

COLUMNS = 10  # side by side at most: of more, the first and the last ones, with dots between
NARROW, NAMED = 0.45, 0.75  # of a column's width: that of one with circles alone, and of one with names of operations
CIRCLE = 24.0  # px across
SIGNS = {"add": "+", "sub": "−", "mul": "×", "div": "÷", "matmul": "·", "concatenate": "join"}
TALL, LOW = 34.0, 18.0  # px: a box with its shape, and one with its name alone
WAY = 0.4  # of a box's room: that of a line which passes a column

# Of an input and an operation its node's serial, of a part its id, of an output its name, of a line's place in a column (source,
# target, column).
Key = Hashable


def graph(canvas: Canvas, area: Box, made: Trace) -> None:
    """Draws it into the area."""
    parts = Parts(made.model)
    texts = _texts(made.model, parts)
    level, lines = parts.levels([name for name in made.model.named_outputs if name in texts])
    signs: dict[Key, str] = {serial: _sign(node) for serial, node in parts.meetings.items()}
    places = _placed(area, level, lines, signs)
    for line in lines:
        if all(key in places for key in line):
            _arrow(canvas, [places[key] for key in line])
    boxes = {key: box for key, box in places.items() if key in texts}
    for key, box in boxes.items():
        _box(canvas, box, texts[key])
    for serial, sign in signs.items():
        if serial in places:
            _circle(canvas, places[serial], sign)
    muted = canvas.theme.muted
    if DOTS in places:
        canvas.text(places[DOTS].cx, area.cy + 12, DOTS, 20, anchor="middle", fill=muted)
    left_out = len(texts) - len(boxes)
    if left_out:
        said = f"{left_out} more box{'es are' if left_out > 1 else ' is'} left out"
        canvas.text(area.right, area.y + 4, said, 12, anchor="end", fill=muted)


def _texts(model: Any, parts: Parts) -> dict[Key, tuple[str, str]]:
    """The name and shape in each box: inputs; what layers make, with the outputs among it; outputs made outside of layers."""
    names = {id(layer): name for name, layer in model.wiring.layers.items()}
    boxes: dict[Key, tuple[str, tuple[Any, ...]]] = {
        t.node.serial: (name, tuple(t.shape)) for name, t in model.named_inputs.items()
    }
    boxes |= {id(part): (names.get(id(part.call.layer), "layer"), part.shape) for part in parts.found}
    held: dict[Key, list[str]] = {key: [] for key in boxes}  # the outputs that a box is
    texts: dict[Key, tuple[str, str]] = {}
    for name, t in model.named_outputs.items():
        key = id(parts.of[t.node.serial]) if t.node.serial in parts.of else t.node.serial
        if key in held:
            held[key].append(name)
        else:
            texts[name] = (name, shown(tuple(t.shape)))
    for key, (title, shape) in boxes.items():
        named = held[key] and len(model.outputs) > 1
        texts[key] = (f"{title} → {', '.join(held[key])}" if named else title, shown(shape))
    return texts


def is_chain(model: Any) -> bool:
    """Whether each call reads one value and nobody else reads that: a line of columns then shows all the links that there are."""
    parts = Parts(model)
    links = [box for box, before in parts.links() for _ in before]
    ends = [key for t in model.outputs for key in parts.behind([t.node])]
    return len(ends) == 1 and len(links) == len({*links})  # then nothing else leads to the one end


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
    """The parts of a network, in the order in which they were made, and what each reads of the others and of the inputs.

    `meetings`: the operations outside of layers that read several of them; none where these are more than twice the parts, as in
    derivatives.
    """

    def __init__(self, model: Any):
        self.outputs: dict[str, core.Node] = {name: t.node for name, t in model.named_outputs.items()}
        self.inputs = dict.fromkeys(t.node.serial for t in model.inputs)  # in the user's order
        self.found: list[Part] = []
        self.of: dict[int, Part] = {}  # serial of a node -> the part that it is in
        self.meetings: dict[int, core.Node] = {}
        self._through: dict[int, list[int]] = {}  # serial of another one of them -> what it comes from
        nodes = sorted(nodes_of(model.outputs), key=lambda node: node.serial)
        read = {n.serial for node in nodes for n in node.inputs}
        ends = {node.serial for node in self.outputs.values()} - read  # they have a box
        for node in nodes:
            if node.serial in self.inputs:
                continue
            if node.scope is None:
                before = self.behind(node.inputs)
                if node.serial not in ends and len(before) > 1:
                    self.meetings[node.serial] = node
                else:
                    self._through[node.serial] = before
                continue
            if not self.found or self.found[-1].call is not node.scope or self._meets_since(self.found[-1], node):
                self.found.append(Part(node.scope))
            self.found[-1].nodes.append(node)
            self.of[node.serial] = self.found[-1]
        if len(self.meetings) > 2 * len(self.found):
            self.meetings, self._through = {}, {}

    def _meets_since(self, part: Part, node: core.Node) -> bool:
        """Whether the node, of the part's call, reads a meeting made since: that would stand before and behind one box."""
        return any(key in self.meetings and key > part.nodes[0].serial for key in self.behind(node.inputs))

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
        """Each part, meeting and output with what it reads; a part or meeting behind those that it reads."""
        made: dict[int, tuple[Key, list[core.Node]]] = {serial: (serial, n.inputs) for serial, n in self.meetings.items()}
        made |= {p.nodes[0].serial: (id(p), [i for n in p.nodes for i in n.inputs]) for p in self.found}
        boxes = [made[serial] for serial in sorted(made)]
        boxes += [(name, [self.outputs[name]]) for name in outputs]
        for box, read in boxes:
            yield box, [key for key in self.behind(read) if key != box]

    def behind(self, nodes: Iterable[core.Node]) -> list[int]:
        """The parts, inputs and meetings that nodes come from, through operations outside of layers."""
        found: dict[int, None] = {}  # a set in order
        waiting, seen = list(nodes), set()
        while waiting:
            node = waiting.pop()
            if node.serial in seen:
                continue
            seen.add(node.serial)
            if node.serial in self.of:
                found[id(self.of[node.serial])] = None
            elif node.serial in self.inputs or node.serial in self.meetings:
                found[node.serial] = None
            elif node.serial in self._through:
                found |= dict.fromkeys(self._through[node.serial])
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


def _sign(node: core.Node) -> str:
    name = str(node.attrs["name"]) if node.op == "host" else node.op
    return SIGNS.get(name, name.replace("_", " "))


def _circle(canvas: Canvas, box: Box, sign: str) -> None:
    """A sign in a circle, which is longer for a name."""
    canvas.rect(box, canvas.theme.panel, canvas.theme.edge, box.h / 2)
    size, lower = (16, 5.5) if len(sign) == 1 else (11, 4)
    canvas.text(box.cx, box.cy + lower, cut(sign, size, box.w - 8), size, anchor="middle")


def _placed(area: Box, level: dict[Key, int], lines: list[list[Key]], signs: Mapping[Key, str] | None = None) -> dict[Key, Box]:
    """A column for each level; in it the boxes, circles, and the places of lines that pass, one above the other."""
    columns = _columns(level, lines)
    signs = signs or {}
    widths = {k: max(_share(key, signs) for key in keys) for k, keys in columns.items()}
    visible = _visible(widths)
    pitch = min(220.0, area.w / max(sum(widths.get(k, 1.0) for k in visible), 1.0))
    x = area.cx - pitch * sum(widths.get(k, 1.0) for k in visible) / 2
    places: dict[Key, Box] = {}
    for k in visible:
        wide = pitch * widths.get(k, 1.0)
        if k not in columns:
            places[DOTS] = Box(x, area.y, wide, area.h)
        keys = _fitting(columns.get(k, []), (area.h - 30) / (LOW + 6))
        shares = [_part(key) for key in keys]
        room = min(74.0, (area.h - 30) / sum(shares)) if shares else 0.0
        y = area.cy + 8 - room * sum(shares) / 2
        for key, share in zip(keys, shares, strict=True):
            w, h = max(wide - 44, 0.0), min(52.0, room - 6)
            if isinstance(key, tuple):
                h = 0.0
            elif key in signs:
                h = min(CIRCLE, room - 6)
                w = h if len(signs[key]) == 1 else min(width(signs[key], 11) + 18, wide - 30)
            places[key] = Box(x + (wide - w) / 2, y + (room * share - h) / 2, w, h)
            y += room * share
        x += wide
    return places


def _fitting(keys: list[Key], room: float) -> list[Key]:
    """Those that a column of so many low boxes has room for: of more, the last lines are left out, then the last boxes."""
    kept: set[Key] = set()
    for key in sorted(keys, key=lambda key: isinstance(key, tuple)):
        room -= _part(key)
        if kept and room < 0:
            break
        kept.add(key)
    return [key for key in keys if key in kept]


def _part(key: Key) -> float:
    """Of a box's height, what a key takes."""
    return WAY if isinstance(key, tuple) else 1.0


def _share(key: Key, signs: Mapping[Key, str]) -> float:
    """Of a column's width, what a key takes."""
    if isinstance(key, tuple):
        return NARROW
    return 1.0 if key not in signs else NARROW if len(signs[key]) == 1 else NAMED


def _visible(widths: dict[int, float]) -> list[int]:
    """The columns that there is room for, of more the first and the last ones, with -1, for dots, between them."""
    order = sorted(widths)
    if sum(widths.values()) <= COLUMNS:
        return order
    first, last, room = 0, len(order), COLUMNS / 2
    while (room := room - widths[order[first]]) >= 0:
        first += 1
    room = COLUMNS / 2 - 1
    while (room := room - widths[order[last - 1]]) >= 0:
        last -= 1
    return [*order[:first], -1, *order[last:]]


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
