"""Rows of history, cut out of their bytes: the hot path of every sync.

A log is mostly rows with the same keys and other numbers, and a number's JSON text stands in the record as
the server wants it.  So the keys of a row that was seen before make a *layout*: a pattern that a record of
that shape matches as a whole, and a template that takes the texts between the keys and is the line.

Rule 1: a record that matches no layout is not touched: None, and the caller takes the long way
        (json_tree.py).
Rule 2: the short way and the long way give the same line and the same row; a test holds them together.
Rule 3: a match is not ambiguous.  Between two texts of a valid record stand the bytes 82 01, which are no
        UTF-8 after a whole character, so they cannot be part of a key or a text; the last text's length is
        compared.

The shape (field numbers: schema/proto):

    08 <num> | 12 <length> | (0a <length> | 0a <length> key | 82 01 <length> value_json)* | 12 <length> step
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

MAX_LAYOUTS = 8  # tried for each record; a loop logs few kinds of rows
MAX_KEYS = 1000  # per layout; a pattern takes a millisecond to compile per 20 keys
LEARN_AFTER = (
    3  # rows with the same keys: in the logs of wandb 0.31 the order is random and never comes again
)
_MAX_SEEN = 10_000  # shapes counted; those of a log with ever new keys must not grow us without end

_RECORD = rb"(?:\x08[\x80-\xff]*[\x00-\x7f])?\x12[\x80-\xff]*[\x00-\x7f]"
_ITEM = rb"\n[\x00-\x7f]\n"
_STEP = rb"(?:\x12(?:\x00|[\x02-\x0b]\x08[\x80-\xff]*[\x00-\x7f]))?"
# A number that is in the server's form, or nearly: what ends in ".0" is looked for in the line.
_NUMBER = rb"(-?[0-9]{1,18}(?:[.e][-+0-9.e]*)?)"
# A text without anything that JSON would escape: not once, nor again inside the post.
_TEXT = rb'"([ !#-\[\]-~]*)"'
_IS_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?\Z")
_IS_TEXT = re.compile(r'"[ !#-\[\]-~]*"\Z')


class Layout:
    """Rows with the same keys in the same order, and numbers or texts at the same places."""

    __slots__ = ("keys", "match", "template", "texts")

    def __init__(self, shape: Tuple[Tuple[str, bool], ...]) -> None:
        """Compile it; `shape` has each key, and whether its value is a text."""
        self.keys = tuple(key for key, _ in shape)
        self.texts = tuple(is_text for _, is_text in shape)
        pattern, template = [_RECORD], []
        for number, (key, is_text) in enumerate(shape):
            encoded = key.encode("utf-8")
            length = b"([\x00-\x7f])" if number == len(shape) - 1 else b"[\x00-\x7f]"
            pattern += [_ITEM, re.escape(bytes([len(encoded)]) + encoded), b"\x82\x01", length]
            pattern.append(_TEXT if is_text else _NUMBER)
            head = _in_string(_in_string(key) + ":")
            template.append(head[1:-1].replace("%", "%%") + ('\\"%b\\"' if is_text else "%b"))
        self.match = re.compile(b"".join((*pattern, _STEP)), re.DOTALL).fullmatch
        self.template = ('"{' + ",".join(template) + '}"').encode("utf-8")

    def row(self, values: Tuple[bytes, ...]) -> Dict[str, Any]:
        """Return the row as a json_tree.Tree."""
        texts = [value.decode("ascii") for value in values]
        if any(self.texts):
            texts = [f'"{text}"' if is_text else text for text, is_text in zip(texts, self.texts)]
        return dict(zip(self.keys, texts))


class Cut(NamedTuple):
    """A row: its line as it stands in a post (a JSON string, quotes included), and what it was made of."""

    line: bytes
    layout: Layout
    values: Tuple[bytes, ...]

    @property
    def row(self) -> Dict[str, Any]:
        return self.layout.row(self.values)


class Cutter:
    """Knows the layouts of one log."""

    __slots__ = ("_layouts", "_seen")

    def __init__(self) -> None:
        self._layouts: List[Layout] = []  # the last one used first
        self._seen: Dict[Tuple[Tuple[str, bool], ...], int] = {}

    def cut(self, payload: bytes) -> Optional[Cut]:
        """Return the row of a serialized Record; None if it is none, or of no known layout."""
        for layout in self._layouts:
            found = layout.match(payload)
            if found is not None:
                if layout is not self._layouts[0]:
                    self._layouts.remove(layout)
                    self._layouts.insert(0, layout)
                return _cut(layout, found.groups())
        return None

    def learn(self, row: Mapping[str, Any]) -> None:
        """Take note of a row that came the long way: top-level keys in the record's order -> JSON texts."""
        shape = _shape(row)
        if shape is None:
            return
        n_seen = self._seen.get(shape, 0) + 1
        if n_seen < LEARN_AFTER:
            if len(self._seen) >= _MAX_SEEN:
                self._seen.clear()
            self._seen[shape] = n_seen
            return
        self._seen.pop(shape, None)
        self._layouts.insert(0, Layout(shape))
        del self._layouts[MAX_LAYOUTS:]


def _cut(layout: Layout, groups: Tuple[bytes, ...]) -> Optional[Cut]:
    values = (*groups[:-2], groups[-1])
    if groups[-2][0] != len(groups[-1]) + 2 * layout.texts[-1]:
        return None
    line = layout.template % values
    if b".0," in line or b".0}" in line:
        return None
    return Cut(line, layout, values)


def _shape(row: Mapping[str, Any]) -> Optional[Tuple[Tuple[str, bool], ...]]:
    """Return a row's shape; None if rows like it cannot have a layout."""
    if not row or len(row) > MAX_KEYS or "_step" not in row:
        return None
    shape = []
    for key, text in row.items():
        if not isinstance(text, str) or not key or len(key.encode("utf-8")) > 100:
            return None
        is_text = _IS_TEXT.match(text) is not None
        if not is_text and not _IS_NUMBER.match(text):
            return None
        shape.append((key, is_text))
    return tuple(shape)


def _in_string(text: str) -> str:
    """Return a text as a JSON string, quotes included."""
    return json.dumps(text, ensure_ascii=False)
