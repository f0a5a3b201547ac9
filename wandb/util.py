"""The names of wandb's toolbox that scripts and libraries use: `wandb.util.generate_id()` and a few more.

Only what public code was seen to use is here; the rest of wandb's module is its own business.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
from typing import Any, List, Optional, Sequence, Tuple, Union

from wandb.errors import MissingLibraryError
from wandb.internal.names import generate_id as generate_id

MAX_ARTIFACT_NAME_CHARS = 128
_NOT_IN_ARTIFACT_NAMES = re.compile(r"[^a-zA-Z0-9_\-.]")
_UNITS_10 = ("B", "KB", "MB", "GB", "TB", "PB", "EB")


def get_module(name: str, required: Union[str, bool, None] = None, lazy: bool = True) -> Any:
    """Import a module that need not be there.

    Args:
        required: What to say if it is missing; without it, None is returned then.
        lazy: Accepted for scripts written for wandb; the module is imported now.

    Raises:
        MissingLibraryError: It is missing, and required.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if required:
            text = required if isinstance(required, str) else f"{name} is not installed"
            raise MissingLibraryError(text, hint=f"pip install {name.partition('.')[0]}") from error
        return None


def get_optional_module(name: str) -> Any:
    """Import a module, or return None."""
    return get_module(name)


def make_artifact_name_safe(name: str) -> str:
    """Return a name for an artifact: other characters become "_", and the middle of a long one is cut."""
    safe = _NOT_IN_ARTIFACT_NAMES.sub("_", name)
    if len(safe) <= MAX_ARTIFACT_NAME_CHARS:
        return safe
    return f"{safe[:63]}..{safe[-63:]}"


def is_numpy_array(obj: Any) -> bool:
    """Whether it is a numpy array; numpy is not imported for it."""
    kind = type(obj)
    return kind.__module__.partition(".")[0] == "numpy" and any(k.__name__ == "ndarray" for k in kind.__mro__)


def is_pandas_data_frame(obj: Any) -> bool:
    """Whether it is a pandas DataFrame; pandas is not imported for it."""
    return type(obj).__module__.startswith("pandas.core.frame")


def json_friendly(obj: Any) -> Tuple[Any, bool]:
    """Return a value that JSON can hold in place of a number, array or tensor of some library.

    Returns:
        The value, and whether it is another one than `obj`.
    """
    if isinstance(obj, float) and math.isnan(obj):
        return None, True
    if type(obj) in (bool, int, float, str, type(None), list, tuple, dict):
        return obj, False
    if isinstance(obj, (set, frozenset)):
        return tuple(obj), True
    for step in ("detach", "cpu", "numpy"):  # torch, and tensorflow for the last
        if hasattr(obj, step):
            obj = getattr(obj, step)()
    if hasattr(obj, "tolist"):  # numpy, jax
        return obj.tolist(), True
    if isinstance(obj, bytes):
        return obj.decode("utf-8", "replace"), True
    if hasattr(obj, "isoformat"):
        return obj.isoformat(), True
    return obj, False


def json_dumps_safer(obj: Any, **kwargs: Any) -> str:
    """As `json.dumps` without spaces; numbers, arrays and tensors of other libraries become plain ones."""

    def other(value: Any) -> Any:
        plain, is_changed = json_friendly(value)
        return plain if is_changed else str(value)

    return json.dumps(obj, default=other, **{"separators": (",", ":"), **kwargs})


def downsample(values: Sequence[Any], target_length: int) -> List[Any]:
    """Return `target_length` of the values, evenly spread, with the first and the last among them.

    Raises:
        ValueError: `target_length` is less than 2.
    """
    if target_length < 2:
        raise ValueError("downsample: target_length must be 2 or more")
    if len(values) <= target_length:
        return list(values)
    ratio = (len(values) - 1) / (target_length - 1)
    return [values[math.floor(i * ratio)] for i in range(target_length)]


def to_human_size(size: float, units: Optional[List[Tuple[str, Any]]] = None) -> str:
    """Return a number of bytes for people: "12.3MB".

    Args:
        units: (name, number of bytes), the smallest first; powers of 1000 if not given.
    """
    known = units or [(name, 1000**power) for power, name in enumerate(_UNITS_10)]
    name, factor = next((unit for unit in reversed(known) if abs(size) >= unit[1]), known[0])
    return f"{round(size / factor, 1)}{name}"


def random_string(length: int = 12) -> str:
    """Return random characters of a-z and 0-9."""
    return generate_id(length)


def to_forward_slash_path(path: str) -> str:
    """Return a path with "/" between its parts, as servers want it."""
    return path.replace(os.sep, "/")
