"""Trees of JSON texts: rows and summaries as the log holds them, never parsed where that can be avoided.

The log stores every value as JSON text, and the server wants JSON text.  So a row is a dict of texts, and a
line is those texts joined.  Only values that are not in the server's form yet are taken apart.  (Rows of
numbers do
not even come here: rows.py.)

Rule 1: a leaf is valid JSON text (NaN, Infinity, -Infinity allowed) in the server's form: numbers with an
        integral value have no fraction, integers fit in 64 bits, no dict is empty.
Rule 2: a tree is a JSON value itself (texts are strings), so that a checkpoint can hold it.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

Leaf = str  # JSON text
Tree = Dict[str, Any]  # of Leaf or Tree; recursive types are beyond what all our mypy targets know
Path = Sequence[str]

# Numbers that need no closer look; the bulk of all values.
_IS_TIDY = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d*[1-9])?\Z").match
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?\Z")
_INT64 = range(-(2**63), 2**63)
_LONG_INTEGER_CHARS = 18  # texts up to this length are below 2**63 if they are integers

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_heads: Dict[str, str] = {}  # key -> '"key":'
_MAX_HEADS = 100_000  # keys remembered; a log with ever new keys must not grow us without end


def head(key: str) -> str:
    """Return the key as it stands in a JSON object, with its colon."""
    known = _heads.get(key)
    if known is None:
        if len(_heads) >= _MAX_HEADS:
            _heads.clear()
        known = _heads[key] = _encode(key) + ":"
    return known


def row_tree(items: Iterable[Any]) -> Tree:
    """Return the items of a record as a tree.

    Args:
        items: Messages with `key` or `nested_key`, and `value_json`.
    """
    row: Tree = {}
    for item in items:
        text = item.value_json or leaf_text(item)
        node = text if _IS_TIDY(text) else tidy(text)
        if node is None:
            continue
        key = item.key
        if key:
            row[key] = node
        else:
            put_node(row, path_of(item), node)
    return row


def path_of(item: Any) -> Tuple[str, ...]:
    """Return where an item stands; `nested_key` if the record has one, else `key`."""
    nested = tuple(item.nested_key)
    return nested or (item.key,)


def leaf_text(item: Any) -> str:
    """Return an item's JSON text, also where the value stands in a typed field."""
    text: str = item.value_json
    if not text and hasattr(item, "WhichOneof"):
        try:
            kind = item.WhichOneof("value")
        except ValueError:  # this kind of item has no typed fields
            return ""
        if kind == "json":
            return str(item.json)
        if kind is not None:
            return _encode(None if kind == "none" else getattr(item, kind))
    return text


def put(tree: Tree, path: Path, text: str, keep_empty: bool = False) -> None:
    """Put a JSON text into the tree.  A dict becomes a subtree; no JSON at all is left out, as wandb does."""
    node = tidy(text, keep_empty)
    if node is not None:
        put_node(tree, path, node)


def put_node(tree: Tree, path: Path, node: Union[Leaf, Tree]) -> None:
    """Put a tidy leaf or subtree into the tree; what stands in its way goes."""
    for key in path[:-1]:
        below = tree.get(key)
        if not isinstance(below, dict):
            below = tree[key] = {}
        tree = below
    tree[path[-1]] = node


def remove(tree: Tree, path: Path) -> None:
    """Take a leaf or subtree out; nothing happens if it is not there.  A dict that this empties goes too."""
    nodes = [tree]
    for key in path[:-1]:
        below = nodes[-1].get(key)
        if not isinstance(below, dict):
            return
        nodes.append(below)
    for node, key in zip(reversed(nodes), reversed(path)):
        node.pop(key, None)
        if node:
            return


def merge(tree: Tree, other: Mapping[str, Any]) -> None:
    """Put every leaf of `other` into the tree."""
    for key, node in other.items():
        if isinstance(node, dict):
            below = tree.get(key)
            if not isinstance(below, dict):
                below = tree[key] = {}
            merge(below, node)
        else:
            tree[key] = node


def text_of(tree: Mapping[str, Any]) -> str:
    """Return the tree's JSON text."""
    return (
        "{"
        + ",".join([head(key) + (n if isinstance(n, str) else text_of(n)) for key, n in tree.items()])
        + "}"
    )


def leaves(tree: Mapping[str, Any], prefix: Tuple[str, ...] = ()) -> List[Tuple[Tuple[str, ...], Leaf]]:
    """Return all (path, text)."""
    found: List[Tuple[Tuple[str, ...], Leaf]] = []
    for key, node in tree.items():
        if isinstance(node, dict):
            found += leaves(node, (*prefix, key))
        else:
            found.append(((*prefix, key), node))
    return found


def tidy(text: str, keep_empty: bool = False) -> Optional[Union[Leaf, Tree]]:
    """Return a JSON text in the server's form: a leaf, or a tree if it is a dict; None if it is no JSON.

    Dicts without anything in them vanish (None if nothing is left) unless `keep_empty`.
    """
    number = _NUMBER.match(text)
    if number:
        return _tidy_number(text, number.group(1), number.group(2))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        return tree_of(value, keep_empty) or ({} if keep_empty else None)
    return dumps(value)


def _tidy_number(text: str, fraction: Optional[str], exponent: Optional[str]) -> str:
    if exponent is None and fraction is None:
        return text if len(text) <= _LONG_INTEGER_CHARS or int(text) in _INT64 else _encode(float(text))
    if exponent is None and fraction is not None and not fraction.strip(".0"):
        whole = text[: -len(fraction)]
        return "0" if whole == "-0" else _tidy_number(whole, None, None)
    return text


def tree_of(value: Mapping[str, Any], keep_empty: bool = False) -> Tree:
    """Return a dict of plain values as a tree; empty dicts vanish unless `keep_empty`."""
    tree: Tree = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            below = tree_of(inner, keep_empty)
            if below or keep_empty:
                tree[key] = below
        else:
            tree[key] = dumps(inner)
    return tree


def dumps(value: Any) -> str:
    """Return the JSON text of a plain value, its numbers in the server's form."""
    return _encode(plain_numbers(value))


def plain_numbers(value: Any) -> Any:
    """Return the value with integral floats as ints, and ints beyond 64 bits as floats."""
    kind = type(value)
    if kind is float:
        return int(value) if math.isfinite(value) and value.is_integer() and int(value) in _INT64 else value
    if kind is int:
        return value if value in _INT64 else _as_float(value)
    if kind is list:
        return [plain_numbers(inner) for inner in value]
    if kind is dict:
        return {key: plain_numbers(inner) for key, inner in value.items()}
    return value


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
