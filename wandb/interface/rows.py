"""Rows of history -> record bytes: the hot path of everybody's training loop.

A row is mostly the same keys with other numbers.  What depends on the key alone, and on the length of the
value's text, is encoded once and kept; a row is then one C call that prints all numbers, one join and one
encode.  Text is joined as latin-1 `str`, in which every byte is a character, because numbers arrive as `str`.

Rule 1: the bytes are those that `wire.encode("HistoryRecord", ...)` gives; a test holds them together.
Rule 2: nothing here looks at a clock, a file or a run.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Sequence, Tuple

from wandb.errors import ValidationError
from wandb.interface.values import Path, json_text, plain
from wandb.interface.wire import BYTES, fields_of, varint

FAST_KINDS = frozenset((float, int))  # exact types whose repr is their JSON, but for NaN and the infinities
MAX_CACHED_TEXT = 64  # characters: numbers fit; longer texts come in too many lengths to be worth keeping
MAX_CACHED_KEYS = 50_000  # keys and layouts; a loop that logs ever new keys must not grow us without end


def _tag(message: str, name: str) -> bytes:
    return varint(fields_of(message)[name][0] << 3 | BYTES)


_ITEM = _tag("HistoryRecord", "item")
_STEP = _tag("HistoryRecord", "step")
_KEY = _tag("HistoryItem", "key")
_NESTED_KEY = _tag("HistoryItem", "nested_key")
_VALUE = _tag("HistoryItem", "value_json")
_STEP_NUM = varint(fields_of("HistoryStep")["num"][0] << 3)
_HISTORY = _tag("Record", "history").decode("latin-1")
_FOOTER = _tag("Record", "footer")
_PENDING = _tag("FooterRecord", "pending")
_LATE = _tag("FooterRecord", "late")


class _Heads(Dict[int, str]):
    """For one key: length of the value's text -> everything of the item that stands before that text."""

    __slots__ = ("path", "_key")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        try:
            if isinstance(path, str):
                encoded = path.encode("utf-8")
                self._key = _KEY + varint(len(encoded)) + encoded
            else:
                parts = [part.encode("utf-8") for part in path]
                self._key = b"".join(_NESTED_KEY + varint(len(part)) + part for part in parts)
        except UnicodeEncodeError as error:
            raise ValidationError(f"log: {path!r}", f"the key is not valid text: {error.reason}") from None

    def __missing__(self, length: int) -> str:
        inside = self._key + _VALUE + varint(length)
        head = (_ITEM + varint(len(inside) + length) + inside).decode("latin-1")
        if length <= MAX_CACHED_TEXT:
            self[length] = head
        return head


class RowEncoder:
    """Encodes rows; remembers the keys it has seen.  Not thread-safe: the caller holds the run's lock."""

    __slots__ = ("_heads", "_layouts")

    def __init__(self) -> None:
        self._heads: Dict[Path, _Heads] = {}
        self._layouts: Dict[Tuple[str, ...], List[_Heads]] = {}

    def layout(self, keys: Tuple[str, ...]) -> List[_Heads]:
        """Return what `fast_row` wants for rows of these top-level keys, in this order.

        Raises:
            ValidationError: A key is no text.
        """
        known = self._layouts.get(keys)
        if known is None:
            if len(self._heads) + len(self._layouts) > MAX_CACHED_KEYS:
                self._heads.clear()
                self._layouts.clear()
            known = self._layouts[keys] = self._heads_of(keys)
        return known

    def fast_row(self, layout: List[_Heads], values: Sequence[Any], step: int) -> bytes:
        """Return the body of a history record (a Record without `num`).

        Args:
            layout: Of the keys, from `layout`.
            values: One per key; each of exactly the type float or int.
            step: The row's step.

        Raises:
            ValidationError: An int has more digits than Python prints.
        """
        try:
            texts = [*map(repr, values)]
        except ValueError:
            for heads, value in zip(layout, values):
                plain(value, f"log: {heads.path}")
            raise
        if "nan" in texts or "inf" in texts or "-inf" in texts:  # which JSON spells differently
            texts = [*map(json_text, values)]
        number = _varint_text(step) if step else ""
        parts = [heads[len(text)] + text for heads, text in zip(layout, texts)]
        history = f"{''.join(parts)}{_STEP_HEADS[len(number)]}{number}"
        return f"{_HISTORY}{_varint_text(len(history))}{history}".encode("latin-1")

    def row(self, row: Dict[Path, Any], step: int) -> bytes:
        """Return the body of a history record of any plain leaves."""
        return self._record(self._items(row), step)

    def pending(self, row: Dict[Path, Any], step: int) -> bytes:
        """Return the body of a footer record that holds a part of a row that is not complete yet."""
        return self._in_footer(_PENDING, row, step)

    def late(self, row: Dict[Path, Any], step: int) -> bytes:
        """Return the body of a footer record that holds a row whose step went back."""
        return self._in_footer(_LATE, row, step)

    def _in_footer(self, tag: bytes, row: Dict[Path, Any], step: int) -> bytes:
        history = (self._items(row) + _step_field(step)).encode("latin-1")
        footer = tag + varint(len(history)) + history
        return _FOOTER + varint(len(footer)) + footer

    def _record(self, items: str, step: int) -> bytes:
        history = items + _step_field(step)
        return (_HISTORY + _varint_text(len(history)) + history).encode("latin-1")

    def _items(self, row: Dict[Path, Any]) -> str:
        layout = self._heads_of(row)
        texts = [json_text(value) for value in row.values()]
        return "".join([heads[len(text)] + text for heads, text in zip(layout, texts)])

    def _heads_of(self, paths: Iterable[Path]) -> List[_Heads]:
        known = self._heads
        found = []
        for path in paths:
            heads = known.get(path)
            if heads is None:
                heads = known[path] = _Heads(path)
            found.append(heads)
        return found


def check_keys(data: Dict[Any, Any]) -> None:
    """Refuse what is no row.

    Raises:
        ValidationError: A key is not a non-empty str.
    """
    for key in data:
        if not isinstance(key, str):
            raise ValidationError(
                f"log: {key!r}",
                "Key values passed to `wandb.log` must be strings.",
                hint="use a str as the key",
            )
        if not key:
            raise ValidationError("log: ''", "the key is empty", hint="name the metric")


def plain_row(data: Dict[Any, Any]) -> Dict[str, Any]:
    """Return the user's data with plain values, its top-level keys checked.  `data` is not changed."""
    check_keys(data)
    return {str.__str__(key): plain(value, f"log: {key}") for key, value in data.items()}


# Varints as text: the last byte of one, and a byte that is not the last.
_LAST = [chr(low) for low in range(128)]
_MORE = [chr(low | 128) for low in range(128)]


def _varint_text(number: int) -> str:
    """Return `wire.varint(number)` as text, quickly for what lengths and steps mostly are."""
    if number < 128:
        return _LAST[number]
    if number < 16_384:
        return _MORE[number & 127] + _LAST[number >> 7]
    return _MORE[number & 127] + _varint_text(number >> 7)


def _step_head(n_bytes: int) -> str:
    if n_bytes == 0:  # step 0 is the default: the message is there, and empty
        return (_STEP + b"\x00").decode("latin-1")
    return (_STEP + varint(len(_STEP_NUM) + n_bytes) + _STEP_NUM).decode("latin-1")


# Length of the step's varint -> everything of the step field that stands before it.
_STEP_HEADS = [_step_head(n_bytes) for n_bytes in range(11)]


def _step_field(step: int) -> str:
    number = _varint_text(step) if step else ""
    return _STEP_HEADS[len(number)] + number
