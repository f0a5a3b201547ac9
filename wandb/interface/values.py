"""What a user may log, and what becomes of it: any Python value -> plain value -> JSON text.

A *plain* value is None, bool, int, float, str, or a list or str-keyed dict of plain values.  Which values are
taken, and as what, follows wandb 0.31 (observed): numpy, torch, jax and tensorflow scalars become numbers,
small arrays lists, larger ones histograms; dates, paths, decimals, complex numbers, classes and functions
become text.  A config takes a few kinds more, as text (decision 0009); no other object is stored by how it
prints.

Rule 1: what cannot be stored raises ValidationError with the path of the key, and so does a value whose own
        code fails while it is looked at; nothing is half converted.
Rule 2: no optional library is imported here; a value that has one's type has it loaded already.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from wandb.errors import Error, ValidationError
from wandb.interface.limits import HISTOGRAM_BINS, MAX_DEPTH, MAX_INT_BITS, MAX_LIST_ARRAY

Path = Union[str, Tuple[str, ...]]  # a top-level key, or the keys from the top down

_SCALARS = (int, float, str)

# Where a value goes.  What wandb makes of a few kinds depends on that:
#                 array of > 32 elements   Enum    timedelta      iterator       dtype, device, Namespace
#     ROW         histogram                value   ISO 8601       its items      not storable
#     CONFIG      text                     name    as it prints   as it prints   as it prints
#     SUMMARY     statistics               name    ISO 8601       its items      not storable
ROW, CONFIG, SUMMARY = "row", "config", "summary"
PERCENTILES = (10, 25, 75, 90)


def plain(value: Any, path: str, *, depth: int = 0, home: str = ROW) -> Any:
    """Return `value` as a plain value.

    Args:
        path: Where the value stands, for the error: "log: loss", "config.model.layers[3]".
        home: Where the value goes: ROW, CONFIG or SUMMARY.

    Raises:
        ValidationError: The value, or one inside it, is of no type that can be stored.
    """
    kind = type(value)
    if value is None or kind is bool or kind is float or kind is str:
        return value
    if kind is int:
        return _checked_int(value, path)
    if depth > MAX_DEPTH:
        raise ValidationError(path, f"is nested deeper than {MAX_DEPTH} levels; does it contain itself?")
    try:
        return _plain(value, path, home, {"depth": depth + 1, "home": home})
    except Error:
        raise
    except Exception as error:  # whatever a user's object does when it is looked at
        raise _not_storable(value, path, f"{type(error).__name__}: {error}") from error


def _plain(value: Any, path: str, home: str, inner: Dict[str, Any]) -> Any:
    kind = type(value)
    if hasattr(kind, "_member_map_"):  # an Enum
        return value.name or str(value) if home != ROW else plain(value.value, path, **inner)
    if isinstance(value, float):  # numpy.float64 is one
        return float(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__name__}"
    if isinstance(value, dict) or (hasattr(kind, "keys") and hasattr(kind, "__getitem__")):
        return {
            key: plain(value[original], f"{path}.{key}", **inner)
            for original in value.keys()
            for key in (key_text(original, path),)
        }
    if isinstance(value, (list, tuple, set, frozenset, range)) or hasattr(kind, "appendleft"):  # a deque
        return [plain(item, f"{path}[{index}]", **inner) for index, item in enumerate(value)]
    foreign = _FOREIGN.get(kind.__module__.partition(".")[0])
    if foreign is not None:
        array = foreign(value)
        if array is not None and array.size == 1 and home == CONFIG and array is value:
            return str(array.item())  # as wandb: in a config, an array of one element is the text of it
        if array is not None:
            return _from_array(array, path, inner)
        if home == CONFIG and (
            not callable(value) or kind.__name__ == "device"
        ):  # torch's is a decorator too
            return str(value)
    if isinstance(value, _SCALARS):  # their subclasses: a str of somebody's
        for base in _SCALARS:
            if isinstance(value, base):
                return plain(base(value), path) if base is not str else str.__str__(value)
    return _as_text(value, path, inner)


def key_text(key: Any, path: str) -> str:
    """Return a dict's key as text: numbers as they print, tuples joined by commas, as wandb does.

    Raises:
        ValidationError: It is of another type, or no valid text.
    """
    text = _unchecked_key_text(key, path)
    return text if text.isascii() else checked_text(text, f"{path}{'' if path.endswith(' ') else '.'}{text}")


def _unchecked_key_text(key: Any, path: str) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, int):
        _checked_int(key, path)
    if key is None or isinstance(key, (bool, int, float)):
        return str(key)
    if isinstance(key, tuple):
        return ",".join(_unchecked_key_text(part, path) for part in key)
    if hasattr(key, "item") and getattr(key, "ndim", None) == 0:
        return str(key.item())
    raise ValidationError(path, f"has a key of type {kind_name(key)}, which is no text", hint="use a str")


def _checked_int(number: int, path: str) -> int:
    if number.bit_length() > MAX_INT_BITS:
        bits = number.bit_length()
        raise ValidationError(path, f"an int of {bits} bits has more digits than Python reads as a number")
    return number


def checked_text(text: str, path: str) -> str:
    """Return a text that goes into the log as it is: a key, a name, the title of an alert.

    Raises:
        ValidationError: UTF-8 has no form for it: it has a half of a surrogate pair.
    """
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            where = path.encode("ascii", "backslashreplace").decode()
            raise ValidationError(where, f"{text!r} is not valid text: {error.reason}") from None
    return text


def holds_media(value: Any, depth: int = 0) -> bool:
    """Whether a value is one that becomes a file (see wandb/data_types), or a dict or a list of such.

    It is asked of every value of every row that is not of numbers only; so it imports nothing.
    """
    kind = type(value)
    if kind in _NEVER_MEDIA:
        return False
    if depth > MAX_DEPTH:
        return False
    if kind is dict:
        return any([holds_media(item, depth + 1) for item in value.values()])
    if kind is list or kind is tuple:
        return bool(value) and holds_media(value[0], depth + 1)  # media stand among media only
    if hasattr(kind, "_store") or hasattr(kind, "table_key"):  # a Media, a chart
        return kind.__module__.startswith("wandb.") or hasattr(kind, "_content")
    is_module = kind.__module__ == "builtins" and kind.__name__ == "module"  # as pyplot is
    home = (value.__name__ if is_module else kind.__module__).partition(".")[0]
    if home == "pandas":
        return kind.__name__ == "DataFrame"
    if home == "matplotlib":
        return any(hasattr(value, method) for method in ("savefig", "get_figure", "gcf"))
    return home == "plotly" and hasattr(kind, "to_plotly_json")


_NEVER_MEDIA = frozenset((int, float, str, bool, type(None), bytes, complex))


def flatten(data: Dict[str, Any], prefix: Tuple[str, ...] = ()) -> Iterator[Tuple[Path, Any]]:
    """Yield (path, leaf) of plain data: dicts are walked into, lists are leaves, empty dicts vanish."""
    for key, value in data.items():
        if type(value) is dict:
            yield from flatten(value, (*prefix, key))
        elif prefix:
            yield (*prefix, key), value
        else:
            yield key, value


def put(tree: Dict[str, Any], path: Path, value: Any) -> None:
    """Set a value in a tree, replacing whatever stands in the way."""
    if isinstance(path, str):
        tree[path] = value
        return
    for key in path[:-1]:
        below = tree.get(key)
        if not isinstance(below, dict):
            below = tree[key] = {}
        tree = below
    tree[path[-1]] = value


def remove(tree: Dict[str, Any], path: Path) -> None:
    """Drop a value of a tree if it is there."""
    parts = (path,) if isinstance(path, str) else path
    node: Any = tree
    for key in parts[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict):
        node.pop(parts[-1], None)


def kind_name(value: Any) -> str:
    """Return the type's name as an error should show it."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def json_text(value: Any) -> str:
    """Return a plain value as compact JSON in ASCII; NaN and the infinities stand as bare words."""
    kind = type(value)
    if kind is str and value.isascii() and value.isprintable() and not ('"' in value or "\\" in value):
        return f'"{value}"'
    if kind is float or kind is int:
        text = repr(value)
        return text if "n" not in text else _NO_NUMBERS[text]
    if kind is bool or value is None:
        return "null" if value is None else "true" if value else "false"
    return _encoder()(value)


_NO_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_encode: Optional[Callable[[Any], str]] = None


def _encoder() -> Callable[[Any], str]:
    """Return json's encoder, for all that is not plainly spelled; it takes 2 ms to load."""
    global _encode
    if _encode is None:
        from json import JSONEncoder

        _encode = JSONEncoder(separators=(",", ":"), check_circular=False).encode
    return _encode


def histogram(numbers: Any, bins: int = HISTOGRAM_BINS) -> Dict[str, Any]:
    """Return {"_type": "histogram", "values": counts, "bins": edges} of a numpy array; NaN is left out.

    Numbers between which a float knows nothing, or that lie further apart than one can say, share one bin.
    """
    import numpy

    flat = numpy.asarray(numbers, dtype=float).ravel()
    flat = flat[numpy.isfinite(flat)]
    try:
        with numpy.errstate(all="ignore"):
            counts, edges = numpy.histogram(flat, bins=bins)
    except (ValueError, IndexError):  # there are no such bins; numpy before 2.1 finds out too late
        return {"_type": "histogram", "values": [flat.size], "bins": [flat.min().item(), flat.max().item()]}
    return {"_type": "histogram", "values": counts.tolist(), "bins": edges.tolist()}


def statistics(array: Any) -> Dict[str, Any]:
    """Return what a summary keeps of a numpy array of numbers, as wandb does."""
    import numpy

    numbers = array.astype(float) if array.dtype.kind == "b" else array
    with numpy.errstate(all="ignore"):  # the variance of large numbers is infinite, and no reason to fail
        found = {
            "_type": "numpy.ndarray",
            "var": numpy.var(numbers),
            "mean": numpy.mean(numbers),
            "min": numpy.amin(numbers),
            "max": numpy.amax(numbers),
            **{f"{percent}%": numpy.percentile(numbers, percent) for percent in PERCENTILES},
            "size": array.size,
        }
    return {name: value.item() if hasattr(value, "item") else value for name, value in found.items()}


def _from_array(array: Any, path: str, inner: Dict[str, Any]) -> Any:
    """Return a numpy array, of any shape, as a plain value."""
    if array.dtype.kind in "mM":  # times print as ISO 8601
        array = array.astype(str)
    elif array.dtype.char in "gG":  # longdouble, clongdouble: Python has no such numbers
        array = array.astype(float if array.dtype.char == "g" else complex)
    if array.ndim == 0:
        return plain(array.item(), path, **inner)
    if array.size == 1:
        return plain(array.reshape(()), path, **inner)
    if array.size <= MAX_LIST_ARRAY:
        return plain(array.tolist(), path, **inner)
    if inner["home"] == CONFIG:
        return str(array)
    if array.dtype.kind not in "biuf":
        raise ValidationError(path, f"an array of {array.size} elements of {array.dtype} has no histogram")
    return statistics(array) if inner["home"] == SUMMARY else histogram(array)


def _array_of(value: Any) -> Any:
    """Return a torch, jax or tensorflow value as a numpy array; None if it is none."""
    if hasattr(value, "detach"):  # torch: off the graph and the device; numpy has no bfloat16
        value = value.detach().cpu()
        return (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    if not hasattr(value, "__array__"):
        return None
    import numpy

    array = numpy.asarray(value)
    return array.astype(float) if array.dtype.kind == "V" else array  # "V": a bfloat16 of ml_dtypes


def _numpy_array(value: Any) -> Any:
    import numpy

    return numpy.asarray(value) if isinstance(value, (numpy.generic, numpy.ndarray)) else None


# The first part of a type's module -> how to make a numpy array of its values.
_FOREIGN: Dict[str, Callable[[Any], Any]] = {
    "numpy": _numpy_array,
    "torch": _array_of,
    "jax": _array_of,
    "jaxlib": _array_of,
    "tensorflow": _array_of,
}


def _as_text(value: Any, path: str, inner: Dict[str, Any]) -> Any:
    """Return what wandb stores as text (or as a list, or by its fields) as such; raise for all the rest."""
    kind = type(value)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if isinstance(value, complex):
        return str(value).strip("()")
    if hasattr(kind, "isoformat"):
        return value.isoformat()
    if kind.__module__ in ("decimal", "uuid", "fractions") or hasattr(kind, "__fspath__"):
        return str(value)
    if (kind.__module__, kind.__name__) == ("re", "Pattern"):
        return str(value)
    if hasattr(kind, "total_seconds"):
        return str(value) if inner["home"] == CONFIG else _duration_text(value)
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields  # loaded already, by whoever made it one

        names = [field.name for field in fields(value)]
        return {name: plain(getattr(value, name), f"{path}.{name}", **inner) for name in names}
    if callable(value):
        return f"{getattr(value, '__module__', kind.__module__)}.{getattr(value, '__name__', kind.__name__)}"
    if inner["home"] == CONFIG and (hasattr(kind, "__next__") or kind_name(value) in _TEXT_IN_CONFIG):
        return str(value)  # a file or a generator is for the program to read, not for us
    if hasattr(kind, "__next__"):
        items: List[Any] = list(value)
        return plain(items, path, **inner)
    raise _not_storable(value, path, "it is not JSON serializable")


_TEXT_IN_CONFIG = ("argparse.Namespace", "types.SimpleNamespace")


def _not_storable(value: Any, path: str, reason: str) -> ValidationError:
    return ValidationError(
        path,
        f"{kind_name(value)} is not storable: {reason}",
        hint="log numbers, text, lists and dicts of them, or convert the value first",
    )


def _duration_text(duration: Any) -> str:
    """Return a timedelta in ISO 8601, as wandb writes it: a year has 365 days, and there are no months."""
    span = abs(duration)
    years, days = divmod(span.days, 365)
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{span.microseconds:06d}".rstrip("0") if span.microseconds else ""
    date = "".join(f"{number}{unit}" for number, unit in ((years, "Y"), (days, "D")) if number)
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    if seconds or fraction or not (date or time):
        time += f"{seconds}{fraction}S"
    return f"{'-' if duration < span else ''}P{date}{'T' if time else ''}{time}"
