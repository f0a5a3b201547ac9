"""What an event says, as values of a row: numbers, histograms, pictures, curves.

The same plugins as wandb 0.31 (observed): scalars, histograms, images, pr_curves.  Others - text, hparams,
audio, graphs, meshes - are passed over by it, and here.

The numbers of the fields are TensorBoard's: `tensorboard/compat/proto/{event,summary,tensor}.proto`.
"""

from __future__ import annotations

import struct
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

MAX_BINS = 512  # of a histogram on the server; more are joined.  As wandb.Histogram

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DTYPES = {1: ("f", 4), 2: ("d", 8), 3: ("i", 4), 9: ("q", 8)}  # DT_FLOAT, _DOUBLE, _INT32, _INT64
_DTYPE_FIELDS = {1: 5, 2: 6, 3: 7, 9: 10}
_FORMATS = ((b"\x89PNG", "png"), (b"GIF8", "gif"), (b"\xff\xd8\xff", "jpeg"))


class Pictures(NamedTuple):
    """Encoded pictures, all of one size in pixels and one format: "png", "gif" or "jpeg"."""

    contents: Sequence[bytes]
    width: int
    height: int
    format: str


class Curve(NamedTuple):
    """A precision-recall curve: its points, and the tag that it was logged with."""

    points: List[List[float]]


class Event(NamedTuple):
    """An event: step, time in seconds since the epoch, and tag -> float, histogram, Pictures or Curve."""

    step: int
    at_s: float
    values: Dict[str, Any]


Put = Callable[
    [bytes, str, str, str], Mapping[str, Any]
]  # content, folder, key, extension -> path, sha256, size


def read_event(data: bytes, plugins: Dict[str, str]) -> Event:
    """Return what a record says.

    Args:
        plugins: Tag -> plugin, which a file says of each tag once; is added to.

    Raises:
        ValueError: It is no event.
    """
    step, at_s, values = 0, 0.0, {}
    for number, kind, value in fields(data):
        if number == 1 and kind == _FIXED64:
            (at_s,) = struct.unpack("<d", value)
        elif number == 2 and kind == _VARINT:
            step = value - (1 << 64) if value >> 63 else value
        elif number == 5 and kind == _BYTES:
            for inner, inner_kind, summary in fields(value):
                if inner == 1 and inner_kind == _BYTES:
                    tag, found = _value(summary, plugins)
                    if tag and found is not None:
                        values[tag] = found
    return Event(step, at_s, values)


def fields(data: bytes) -> Iterator[Tuple[int, int, Any]]:
    """Yield (number, wire type, value) of a protobuf message's fields.

    Raises:
        ValueError: It is none.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        value: Any
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
            value, at = data[at : at + size], at + size
        elif kind == _BYTES:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {kind}")
        if at > end:
            raise ValueError("is cut")
        yield key >> 3, kind, value


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("no varint")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _value(data: bytes, plugins: Dict[str, str]) -> Tuple[str, Any]:
    """Return (tag, value) of a Summary.Value; None for what is passed over."""
    one = {number: value for number, _, value in fields(data)}
    tag = _text(one.get(1, b""))
    plugin = _plugin(one[9]) if isinstance(one.get(9), bytes) else ""
    if plugin:
        plugins[tag] = plugin
    plugin = plugins.get(tag, "")
    if plugin in ("", "scalars") and _is(one, 2, 4):
        return tag, _float32(one[2])
    if plugin in ("", "histograms") and _is(one, 5):
        return tag, _histogram_of(one[5])
    if plugin in ("", "images") and _is(one, 4):
        picture = {number: value for number, _, value in fields(one[4])}
        return tag, _pictures([picture.get(4, b"")], picture.get(2, 0), picture.get(1, 0))
    if plugin in ("scalars", "histograms", "images", "pr_curves") and _is(one, 8):
        return tag, _of_tensor(plugin, one[8])
    return tag, None


def _is(one: Mapping[int, Any], number: int, size: Optional[int] = None) -> bool:
    value = one.get(number)
    return isinstance(value, bytes) and size in (None, len(value))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _plugin(metadata: bytes) -> str:
    for number, kind, value in fields(metadata):
        if number == 1 and kind == _BYTES:
            for inner, inner_kind, name in fields(value):
                if inner == 1 and inner_kind == _BYTES:
                    return _text(name)
    return ""


def _float32(data: bytes) -> float:
    """Return the number with as few digits as tell it from other 32-bit floats, as wandb writes it."""
    (value,) = struct.unpack("<f", data)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        try:
            if struct.pack("<f", short) == data:
                return short
        except OverflowError:
            continue
    return float(value)


def _packed(data: Union[bytes, int], code: str) -> List[float]:
    size = struct.calcsize(code)
    if not isinstance(data, bytes) or len(data) % size:
        raise ValueError("is cut")
    return list(struct.unpack(f"<{len(data) // size}{code}", data))


def _numbers(data: bytes, number: int, code: str) -> List[float]:
    """Return a repeated field of numbers, packed or not."""
    found: List[float] = []
    for at, kind, value in fields(data):
        if at != number:
            continue
        if code in "fd":
            found += _packed(value, code)
        elif kind == _VARINT:
            found.append(_signed(value))
        else:
            place = 0
            while place < len(value):
                one, place = _varint(value, place)
                found.append(_signed(one))
    return found


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _of_tensor(plugin: str, data: bytes) -> Any:
    if plugin == "images":
        texts = [value for number, kind, value in fields(data) if number == 8 and kind == _BYTES]
        return _pictures(texts[2:], int(texts[0]), int(texts[1])) if len(texts) > 2 else None
    shape: List[int] = []
    dtype, content = 0, b""
    for number, kind, value in fields(data):
        if number == 1 and kind == _VARINT:
            dtype = value
        elif number == 2 and kind == _BYTES:
            shape += [_size(dim) for inner, _, dim in fields(value) if inner == 2]
        elif number == 4 and kind == _BYTES:
            content = value
    if dtype not in _DTYPES:
        return None
    code, _ = _DTYPES[dtype]
    numbers = _packed(content, code) if content else _numbers(data, _DTYPE_FIELDS[dtype], code)
    if plugin == "scalars":
        if len(numbers) != 1:
            return None
        return _float32(struct.pack("<f", numbers[0])) if code == "f" else numbers[0]
    if len(shape) != 2 or len(numbers) != shape[0] * shape[1]:
        return None
    rows = [numbers[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]
    if plugin == "pr_curves":
        return Curve([list(point) for point in zip(rows[-1], rows[-2])]) if len(rows) > 1 else None
    if not rows or len(rows[0]) < 3:
        return None
    return _histogram([row[0] for row in rows] + [rows[-1][1]], [row[2] for row in rows])


def _size(dim: Any) -> int:
    for number, kind, value in fields(dim) if isinstance(dim, bytes) else ():
        if number == 1 and kind == _VARINT:
            return int(value)
    return 0


def _pictures(contents: Sequence[bytes], width: Any, height: Any) -> Optional[Pictures]:
    for mark, name in _FORMATS:
        if contents and all(isinstance(one, bytes) and one.startswith(mark) for one in contents):
            return Pictures(contents, int(width), int(height), name)
    return None


def _histogram_of(data: bytes) -> Optional[Dict[str, Any]]:
    """Return a HistogramProto.  Its first bin reaches to minus infinity: it begins at the smallest value."""
    smallest = 0.0
    for number, kind, value in fields(data):
        if number == 1 and kind == _FIXED64:
            (smallest,) = struct.unpack("<d", value)
    edges, weights = _numbers(data, 6, "d"), _numbers(data, 7, "d")
    if not edges or len(edges) != len(weights):
        return None
    if weights[0] == 0:
        return _histogram(edges, weights[1:])
    return _histogram([smallest, *edges], weights) if smallest < edges[0] else None


def _histogram(edges: List[float], weights: List[float]) -> Optional[Dict[str, Any]]:
    if len(edges) != len(weights) + 1 or not weights:
        return None
    while len(weights) > MAX_BINS:  # two become one
        weights = [sum(weights[at : at + 2]) for at in range(0, len(weights), 2)]
        edges = [*edges[:-1:2], edges[-1]]
    return {"_type": "histogram", "values": [_whole(w) for w in weights], "bins": [_whole(e) for e in edges]}


def _whole(number: float) -> float:
    return int(number) if number == number // 1 and abs(number) < 2**53 else number


def stored(values: Mapping[str, Any], put: Put) -> Tuple[Dict[str, Any], Dict[str, Dict[str, Any]]]:
    """Write the files of an event's values; return what stands for them in the row, and how to draw curves.

    Args:
        put: Keeps a file with the run.

    Raises:
        OSError: As `put`.
    """
    row: Dict[str, Any] = {}
    charts: Dict[str, Dict[str, Any]] = {}
    for key, value in values.items():
        if isinstance(value, Pictures):
            extension = f".{value.format}"
            names = [put(content, "images", key, extension)["path"] for content in value.contents]
            row[key] = {
                "_type": "images/separated",
                "width": value.width,
                "height": value.height,
                "format": value.format,
                "count": len(names),
                "filenames": names,
            }
        elif isinstance(value, Curve):
            row[key] = _stored_curve(key, value, put)
            charts[key] = _chart(key)
        else:
            row[key] = value
    return row, charts


def _stored_curve(key: str, curve: Curve, put: Put) -> Dict[str, Any]:
    from json import dumps

    points = [[_whole(x) for x in point] for point in curve.points]
    content = dumps({"columns": ["recall", "precision"], "data": points}, separators=(",", ":"))
    kept = put(content.encode(), "table", key, ".table.json")
    return {"_type": "table-file", "ncols": 2, "nrows": len(points), **kept}


def _chart(key: str) -> Dict[str, Any]:
    """Return how a curve is drawn, as the config has it below `_wandb.visualize`."""
    fields = [{"name": name} for name in ("id", "name", "_defaultColorIndex")]
    table = {"name": "summaryTable", "args": [{"name": "tableKey", "value": key}]}
    sets = {
        "name": "runSets",
        "args": [{"name": "runSets", "value": "${runSets}"}],
        "fields": [*fields, table],
    }
    return {
        "panel_type": "Vega2",
        "panel_config": {
            "panelDefId": "wandb/line/v0",
            "fieldSettings": {"x": "recall", "y": "precision"},
            "stringSettings": {"title": f"{key} Precision v. Recall"},
            "transform": {"name": "tableWithLeafColNames"},
            "userQuery": {"queryFields": [sets]},
        },
    }
