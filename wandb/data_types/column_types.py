"""The types of a table's columns: what may stand in them, and how that is written down.

A type is asked what it becomes when a value joins the column (`joined`): itself, a wider type, or nothing at
all, which means that the value does not belong there.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Tuple

from wandb.data_types.media import Media
from wandb.errors import ValidationError

if TYPE_CHECKING:
    from wandb.data_types.artifact_media import ArtifactMedia

MAX_DEPTH = 64  # of lists in lists
LAYERS = (
    "box_layers",
    "box_score_keys",
    "mask_layers",
    "box_class_maps",
    "mask_class_maps",
    "class_map",
)
_MEDIA = frozenset(
    {"audio-file", "video-file", "html-file", "object3D-file", "bokeh-file"}
)  # types of their own


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

    def params(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
        """Return the parameters, as wandb writes them.

        Args:
            media: Of the artifact that the type is written into; it takes the tables and classes that are
                pointed at.
        """
        return {}

    def rank(self) -> str:
        """Return what says in which order wandb writes the types of a union."""
        return self.name.capitalize()

    def to_json(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
        """Return the type as wandb writes it."""
        params = self.params(media)
        return {"wb_type": self.name, "params": params} if params else {"wb_type": self.name}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


class _Number(Type):
    __slots__ = ()

    def joined(self, value: Any) -> Optional[Type]:
        return self if type_of(value).name in (self.name, "foreignIndex") else None


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

    __slots__ = ("_table", "_params")

    def __init__(self, name: str, table: Any = None, **params: Any) -> None:
        super().__init__(name)
        self._table = table
        self._params = params

    def joined(self, value: Any) -> Optional[Type]:
        return self if isinstance(value, str) else None

    def params(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
        if media is None or self._table is None:
            return self._params
        return {**self._params, "table": media.name_of_table(self._table)}


class _Index(_Key):
    """Of a column whose numbers are those of rows of another table."""

    __slots__ = ()

    def joined(self, value: Any) -> Optional[Type]:
        other = type_of(value)
        if isinstance(other, _Index):
            return self if other._table is self._table else None
        return self if other is NUMBER else None


class _ClassId(Type):
    """Of a column whose values are ids of classes."""

    __slots__ = ("_classes",)

    def __init__(self, classes: Any) -> None:
        super().__init__("classesId")
        self._classes = classes

    def joined(self, value: Any) -> Optional[Type]:
        return self if any(value == one["id"] for one in self._classes._class_set) else None

    def params(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
        ids = [{"wb_type": "const", "params": _const(one["id"])} for one in self._classes._class_set]
        params: Dict[str, Any] = {"valid_ids": {"wb_type": "union", "params": {"allowed_types": ids}}}
        if media is not None:
            params["classes_obj"] = media.classes(self._classes, "media/cls")
        return params


class _Picture(Type):
    """Of pictures: which masks and boxes lie over them, and what the classes there are called.

    Args:
        layers: As `Image._layers` returns them.
    """

    __slots__ = ("_layers",)

    def __init__(self, layers: Mapping[str, Any]) -> None:
        super().__init__("image-file")
        self._layers = layers

    def joined(self, value: Any) -> Optional[Type]:
        other = type_of(value)
        if not isinstance(other, _Picture):
            return None
        whole = {name: _merged(layer, other._layers[name]) for name, layer in self._layers.items()}
        return self if whole == self._layers else _Picture(whole)

    def params(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
        return {
            name: {"wb_type": "const", "params": _const(layer)}
            for name, layer in sorted(self._layers.items())
        }


class _Tables(Type):
    """Of whole tables; `columns` is the type of their columns, if they have one."""

    __slots__ = ("_columns",)

    def __init__(self, columns: Type) -> None:
        super().__init__("table")
        self._columns = columns

    def joined(self, value: Any) -> Optional[Type]:
        other = type_of(value)
        if not isinstance(other, _Tables):
            return None
        return self if other._columns == self._columns else _Tables(UNKNOWN)

    def params(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
        return {"column_types": self._columns.to_json(media)}


class ArrayOf(Type):
    """Numpy arrays of one shape.

    Attributes:
        shape: As of the arrays.
        path, key: The file in an artifact that has the column as one array, and the array's name there.
    """

    __slots__ = ("shape", "path", "key")

    def __init__(self, shape: Tuple[int, ...], path: Optional[str] = None, key: Optional[str] = None) -> None:
        super().__init__("ndarray")
        self.shape = tuple(shape)
        self.path = path
        self.key = key

    def joined(self, value: Any) -> Optional[Type]:
        other = type_of(value)
        is_same = isinstance(other, ArrayOf) and other.shape == self.shape
        return self if is_same or isinstance(other, ListOf) else None

    def params(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
        where = None if self.path is None else {"path": self.path, "key": self.key}
        return {"shape": list(self.shape), "serialization_path": where}

    def __str__(self) -> str:
        return f"array of shape {self.shape}"


class _Object(Type):
    __slots__ = ("_class_name",)

    def __init__(self, class_name: str) -> None:
        super().__init__("pythonObject")
        self._class_name = class_name

    def params(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
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

    def params(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
        return {
            "allowed_types": [one.to_json(media) for one in sorted(self.members, key=lambda one: one.rank())]
        }

    def rank(self) -> str:
        return " or ".join(one.rank() for one in self.members)

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

    def params(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
        length = {} if self.length is None else {"length": self.length}
        return {"element_type": self.element.to_json(media), **length}

    def rank(self) -> str:
        return f"{self.element.rank()}[]"

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

    def params(self, media: Optional[ArtifactMedia] = None) -> Dict[str, Any]:
        return {"type_map": {key: one.to_json(media) for key, one in self.types.items()}}

    def rank(self) -> str:
        return "{"

    def __str__(self) -> str:
        return f"dict of {', '.join(f'{key}: {one}' for key, one in self.types.items())}"


ANY = _Any("any")
MIXED = _Any("invalid")  # as wandb calls the elements of a list that have nothing in common
UNKNOWN = _Unknown("unknown")
NONE = _None("none")
BOOLEAN = Type("boolean")
NUMBER = _Number("number")
STRING = Type("string")
TIMESTAMP = Type("timestamp")
PRIMARY_KEY = _Key("primaryKey")

_BY_CLASS = {bool: BOOLEAN, int: NUMBER, float: NUMBER, str: STRING, type(None): NONE, complex: NUMBER}
_BY_NUMPY_KIND = {"b": BOOLEAN, "i": NUMBER, "u": NUMBER, "f": NUMBER, "U": STRING, "M": TIMESTAMP}


def type_of(value: Any, depth: int = 0) -> Type:
    """Return the narrowest type of a value.

    Raises:
        ValidationError: It is nested too deeply, or contains itself.
    """
    found = _BY_CLASS.get(type(value))
    if found is not None:
        return found
    if isinstance(value, Media):
        return _type_of_media(value)
    if hasattr(value, "dtype") and hasattr(value, "ndim") and not value.ndim:
        return _BY_NUMPY_KIND.get(getattr(value.dtype, "kind", "f"), NUMBER)
    if isinstance(value, int) and hasattr(value, "get_row"):
        return _Index("foreignIndex", getattr(value, "_table", None))
    if isinstance(value, (bool, int, float, str)):  # their subclasses
        return next(one for kind, one in _BY_CLASS.items() if isinstance(value, kind))
    if isinstance(value, (datetime.datetime, datetime.date)):
        return TIMESTAMP
    if depth > MAX_DEPTH:
        raise ValidationError(
            "wandb.Table", f"a value is nested deeper than {MAX_DEPTH} levels; does it contain itself?"
        )
    if isinstance(value, dict):
        return DictOf({str(key): type_of(item, depth + 1) for key, item in value.items()})
    if type(value).__name__ == "ndarray":
        return ArrayOf(value.shape)
    if isinstance(value, (list, tuple, set, frozenset)) or hasattr(value, "ndim"):
        items = _items(value)
        element: Type = Union(NONE, UNKNOWN) if any(item is None for item in items) else UNKNOWN
        for item in items:
            inner = type_of(item, depth + 1)
            if element is UNKNOWN:
                element = inner
            elif element is not inner and element != inner:
                element = element.joined(item) or MIXED
        return ListOf(element, len(items))
    return _Object(type(value).__name__)


def _type_of_media(value: Media) -> Type:
    if value._kind == "image-file":
        return _Picture(value._layers())  # type: ignore[attr-defined]
    if value._kind == "table":
        return _Tables(value._type_of_columns())  # type: ignore[attr-defined]
    return Type(value._kind) if value._kind in _MEDIA else _Object(type(value).__name__)


def _const(value: Any) -> Dict[str, Any]:
    """Return the parameters of a constant; sets are lists there, in order."""
    return {"val": _listed(value), "is_set": isinstance(value, (set, frozenset))}


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _listed(item) for key, item in value.items()}
    return (
        sorted(value, key=lambda one: (str(type(one)), one)) if isinstance(value, (set, frozenset)) else value
    )


def _merged(value: Any, other: Any) -> Any:
    """Return what is in either of two layers; what both have is as in the first."""
    if isinstance(value, dict):
        return {**other, **{key: _merged(item, other.get(key, item)) for key, item in value.items()}}
    return value | other if isinstance(value, (set, frozenset)) else value


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
            return _type_of_media_class(dtype)
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


def _type_of_media_class(kind: Any) -> Type:
    if kind._kind == "image-file":
        return _Picture({name: set() if name == "box_score_keys" else {} for name in LAYERS})
    if kind._kind == "table":
        return _Tables(UNKNOWN)
    return Type(kind._kind) if kind._kind in _MEDIA else _Object(kind.__name__)


def class_id(classes: Any) -> Type:
    """Return the type of a column whose values are ids of these classes."""
    return _ClassId(classes)


def array_in(one: Type) -> Optional[ArrayOf]:
    """Return the type of the arrays in a column; None if there are none."""
    members = one.members if isinstance(one, Union) else (one,)
    return next((member for member in members if isinstance(member, ArrayOf)), None)


def with_array(one: Type, array: ArrayOf) -> Type:
    """Return a column's type with another one of its arrays."""
    if isinstance(one, Union):
        return Union(*(array if isinstance(member, ArrayOf) else member for member in one.members))
    return array


def holds_times(one: Type) -> bool:
    """Tell whether dates stand in a column."""
    return TIMESTAMP in (one.members if isinstance(one, Union) else (one,))


def index_instead(one: Type, value: Any) -> Optional[Type]:
    """Return the type of a column of row numbers, if nothing was in it yet, and `value` is one; else None."""
    if not hasattr(value, "get_row") or UNKNOWN not in (one.members if isinstance(one, Union) else (one,)):
        return None
    return type_of(value)


def optional(one: Type) -> Type:
    """Return a type that takes None too."""
    if one is NONE or isinstance(one, Union):
        return one
    return Union(NONE, one) if one is not ANY else Union(one, NONE)


def foreign_key(table: Any, column: str) -> Type:
    """Return the type of a column whose texts are keys of another table."""
    return _Key("foreignKey", table, col_name=column)


def from_json(tree: Any, get: Callable[[str], Any]) -> Type:
    """Return the type that wandb has written down; ANY for what is not known here.

    Args:
        get: Returns what an artifact has under a name.
    """
    name = tree.get("wb_type") if isinstance(tree, dict) else None
    params = tree.get("params") or {} if isinstance(tree, dict) else {}
    if name == "union":
        return Union(*(from_json(one, get) for one in params.get("allowed_types", ())))
    if name == "typedDict":
        return DictOf({key: from_json(one, get) for key, one in params.get("type_map", {}).items()})
    if name == "list":
        return ListOf(from_json(params.get("element_type"), get), params.get("length"))
    if name == "ndarray":
        where = params.get("serialization_path") or {}
        return ArrayOf(tuple(params.get("shape") or ()), where.get("path"), where.get("key"))
    if name == "pythonObject":
        return _Object(str(params.get("class_name")))
    if name == "image-file":
        return _Picture({layer: _unconst(one) for layer, one in params.items()})
    if name == "table":
        return _Tables(from_json(params.get("column_types"), get))
    if name == "foreignKey":
        return _Key(name, get(params["table"]), col_name=params.get("col_name"))
    if name == "foreignIndex":
        return _Index(name, get(params["table"]))
    if name == "classesId":
        classes = get((params.get("classes_obj") or {}).get("path", ""))
        return ANY if classes is None else _ClassId(classes)
    for one in (UNKNOWN, NONE, BOOLEAN, NUMBER, STRING, TIMESTAMP, PRIMARY_KEY, MIXED):
        if one.name == name:
            return one
    return Type(name) if isinstance(name, str) and name.endswith("-file") else ANY


def _unconst(tree: Any) -> Any:
    """Return the layer that a constant stands for: sets of ids are sets again."""
    params = tree.get("params") or {}
    value = params.get("val")
    if isinstance(value, dict):
        return {key: set(item) if isinstance(item, list) else item for key, item in value.items()}
    return set(value) if params.get("is_set") and isinstance(value, list) else value


PLAIN_CLASSES: Tuple[type, ...] = (int, float, str, bool, type(None))
