"""The types of a table's columns: what may stand in them, and how that is written down.

A type is asked what it becomes when a value joins the column (`joined`): itself, a wider type, or nothing at
all, which means that the value does not belong there.
"""

from __future__ import annotations

import datetime
from typing import Any, Dict, Optional, Tuple

from wandb.data_types.media import Media
from wandb.errors import ValidationError


class Type:
    """A type without parameters.

    Attributes:
        name: As wandb writes it.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def joined(self, value: Any) -> Optional[Type]:
        """Return the column's type once `value` stands in it; None if it cannot."""
        return self if self == type_of(value) else None

    def params(self) -> Dict[str, Any]:
        """Return the parameters, as wandb writes them."""
        return {}

    def to_json(self) -> Dict[str, Any]:
        """Return the type as wandb writes it."""
        params = self.params()
        return {"wb_type": self.name, "params": params} if params else {"wb_type": self.name}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


class _Any(Type):
    __slots__ = ()

    def joined(self, value: Any) -> Optional[Type]:
        return self


class _Unknown(Type):
    __slots__ = ()

    def joined(self, value: Any) -> Optional[Type]:
        found = type_of(value)
        return None if found is NONE else found  # an optional type takes it, and this one goes on waiting


class _None(Type):
    __slots__ = ()

    def joined(self, value: Any) -> Optional[Type]:
        return self if value is None or (isinstance(value, float) and value != value) else None


class _Key(Type):
    """Of a column whose texts tell rows apart, or point at rows of another table."""

    __slots__ = ("_params",)

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name)
        self._params = params

    def joined(self, value: Any) -> Optional[Type]:
        return self if isinstance(value, str) else None

    def params(self) -> Dict[str, Any]:
        return self._params


class _Object(Type):
    __slots__ = ("_class_name",)

    def __init__(self, class_name: str) -> None:
        super().__init__("pythonObject")
        self._class_name = class_name

    def params(self) -> Dict[str, Any]:
        return {"class_name": self._class_name}


class Union(Type):
    """One of several types; the first that takes a value is the one that changes."""

    __slots__ = ("members",)

    def __init__(self, *members: Type) -> None:
        super().__init__("union")
        self.members = members

    def joined(self, value: Any) -> Optional[Type]:
        for index, member in enumerate(self.members):
            found = member.joined(value)
            if found is not None:
                if found is member:
                    return self
                return Union(*self.members[:index], found, *self.members[index + 1 :])
        return None

    def params(self) -> Dict[str, Any]:
        return {"allowed_types": [one.to_json() for one in sorted(self.members, key=lambda one: one.name)]}

    def __str__(self) -> str:
        return " or ".join(map(str, self.members))


class ListOf(Type):
    """A list of values of one type; `length` is None if the lists have several."""

    __slots__ = ("element", "length")

    def __init__(self, element: Type, length: Optional[int]) -> None:
        super().__init__("list")
        self.element = element
        self.length = length

    def joined(self, value: Any) -> Optional[Type]:
        other = type_of(value)
        if not isinstance(other, ListOf):
            return None
        element: Optional[Type] = self.element
        for item in _items(value):
            element = element.joined(item) if element is not None else None
        if element is None:
            return None
        return ListOf(element, self.length if self.length == other.length else None)

    def params(self) -> Dict[str, Any]:
        length = {} if self.length is None else {"length": self.length}
        return {"element_type": self.element.to_json(), **length}

    def __str__(self) -> str:
        return f"list of {self.element}"


class DictOf(Type):
    """A dict with these keys."""

    __slots__ = ("types",)

    def __init__(self, types: Dict[str, Type]) -> None:
        super().__init__("typedDict")
        self.types = types

    def joined(self, value: Any) -> Optional[Type]:
        if not isinstance(value, dict):
            return None
        found = {}
        for key in {**self.types, **{str(key): None for key in value}}:
            joined = self.types[key].joined(value.get(key)) if key in self.types else None
            if joined is None:
                return None
            found[key] = joined
        return DictOf(found)

    def params(self) -> Dict[str, Any]:
        return {"type_map": {key: one.to_json() for key, one in self.types.items()}}

    def __str__(self) -> str:
        return f"dict of {', '.join(f'{key}: {one}' for key, one in self.types.items())}"


ANY = _Any("any")
UNKNOWN = _Unknown("unknown")
NONE = _None("none")
BOOLEAN = Type("boolean")
NUMBER = Type("number")
STRING = Type("string")
TIMESTAMP = Type("timestamp")
PRIMARY_KEY = _Key("primaryKey")

_BY_CLASS = {bool: BOOLEAN, int: NUMBER, float: NUMBER, str: STRING, type(None): NONE, complex: NUMBER}
_BY_NUMPY_KIND = {"b": BOOLEAN, "i": NUMBER, "u": NUMBER, "f": NUMBER, "U": STRING, "M": TIMESTAMP}


def type_of(value: Any) -> Type:
    """Return the narrowest type of a value."""
    found = _BY_CLASS.get(type(value))
    if found is not None:
        return found
    if isinstance(value, Media):
        return _Object(type(value).__name__) if value._kind == "histogram" else Type(value._kind)
    if hasattr(value, "dtype") and hasattr(value, "ndim") and not value.ndim:
        return _BY_NUMPY_KIND.get(getattr(value.dtype, "kind", "f"), NUMBER)
    if isinstance(value, (bool, int, float, str)):  # their subclasses
        return next(one for kind, one in _BY_CLASS.items() if isinstance(value, kind))
    if isinstance(value, (datetime.datetime, datetime.date)):
        return TIMESTAMP
    if isinstance(value, dict):
        return DictOf({str(key): type_of(item) for key, item in value.items()})
    if isinstance(value, (list, tuple, set, frozenset)) or hasattr(value, "ndim"):
        element: Optional[Type] = UNKNOWN
        items = _items(value)
        for item in items:
            joined = element.joined(item) if element is not None else None
            if joined is None:
                element = ANY
                break
            element = joined
        return ListOf(element or ANY, len(items))
    return _Object(type(value).__name__)


def _items(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else list(value)


def parse(dtype: Any, where: str) -> Type:
    """Return the type that a user means: a Type, a Python class, a class of media, or None for any.

    Raises:
        ValidationError: It means none.
    """
    if isinstance(dtype, Type):
        return dtype
    if dtype is None or dtype is type(None):
        return NONE
    if dtype is Any or dtype is object:
        return ANY
    if isinstance(dtype, type):
        if issubclass(dtype, Media):
            return Type(dtype._kind)
        if issubclass(dtype, (datetime.datetime, datetime.date)):
            return TIMESTAMP
        for kind, found in _BY_CLASS.items():
            if issubclass(dtype, kind):
                return found
    if isinstance(dtype, (list, dict)) and dtype:
        if isinstance(dtype, list):
            return ListOf(parse(dtype[0], where), None)
        return DictOf({str(key): parse(one, where) for key, one in dtype.items()})
    raise ValidationError(
        where, f"{dtype!r} is no type of a column", hint="int, float, str, bool, wandb.Image"
    )


def optional(one: Type) -> Type:
    """Return a type that takes None too."""
    if one is NONE or isinstance(one, Union):
        return one
    return Union(NONE, one) if one is not ANY else Union(one, NONE)


def foreign_key(table: Any, column: str) -> Type:
    """Return the type of a column whose texts are keys of another table."""
    return _Key("foreignKey", col_name=column)


PLAIN_CLASSES: Tuple[type, ...] = (int, float, str, bool, type(None))
