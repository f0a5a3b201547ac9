"""What a client of the W&B API offers: each public name with its kind and signature, and each command.

    python tools/surface_look.py > surface.json

Runs in any interpreter that has a `wandb`, the real one's too, and needs nothing else.

A row is `name -> [kind, items]`.  Kinds: module, function, class, method, property, settable property,
field, value, command.  Items: the parameters of a function, method or class as they are written in Python
("x", "y=None", "*", "**more"); the default of a field; the options of a command.

Rule 1: a name is public if no part of it begins with "_".
Rule 2: names are those of MODULES; a class is opened where it is met first.  Every other module of the
        package is one row, which says that it can be imported.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import inspect
import io
import json
import os
import sys
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

# The modules whose names scripts use.  What others hold is reached through these, or is nobody's business.
MODULES = (
    "wandb",
    "wandb.data_types",
    "wandb.plot",
    "wandb.errors",
    "wandb.errors.errors",
    "wandb.errors.term",
    "wandb.util",
    "wandb.env",
    "wandb.apis.public",
    "wandb.automations",
    "wandb.sdk",
    "wandb.sdk.lib",
    "wandb.sdk.lib.runid",
    "wandb.wandb_run",
    "wandb.integration.tensorboard",
)

Row = Tuple[str, List[str]]


def surface() -> Dict[str, Row]:
    """Return all rows of the `wandb` of this interpreter."""
    rows: Dict[str, Row] = {name: ("module", []) for name in _module_names()}
    opened: Set[type] = set()
    for module_name in MODULES:
        module = _imported(module_name)
        if module is None:
            continue
        for name in _public_names(module):
            path = f"{module_name}.{name}"
            found = getattr(module, name)
            if path not in rows or not inspect.ismodule(found):  # a function may hide a module of its name
                rows[path] = described(found)
            if inspect.isclass(found) and found not in opened and _is_ours(found):
                opened.add(found)
                for member in _member_names(found):
                    rows[f"{path}.{member}"] = described_member(found, member)
    for words, command in _commands():
        rows["$ " + " ".join(words)] = ("command", options_of(command))
    return rows


def resolved(path: str) -> Optional[Row]:
    """Return the row of one name, or None if there is no such thing here."""
    if path.startswith("$ "):
        for words, command in _commands():
            if "$ " + " ".join(words) == path:
                return "command", options_of(command)
        return None
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        module = _imported(".".join(parts[:cut]))
        if module is None:
            continue
        found: Any = module
        for depth, part in enumerate(parts[cut:], cut + 1):
            if inspect.isclass(found) and depth == len(parts):
                return described_member(found, part) if _has(found, part) else None
            if not hasattr(found, part):
                return None
            found = getattr(found, part)
        return described(found)
    return None


def described(found: Any) -> Row:
    """Return kind and items of what a module holds."""
    if inspect.ismodule(found):
        return "module", []
    if inspect.isclass(found):
        return "class", _parameters(found)
    if inspect.isroutine(found):
        return "function", _parameters(found)
    return "value", []


def described_member(owner: type, name: str) -> Row:
    """Return kind and items of what a class holds."""
    fields = getattr(owner, "model_fields", None)
    if fields and name in fields:
        return "field", [_text(fields[name].default)]
    declared = inspect.getattr_static(owner, name, None)
    if isinstance(declared, property):
        return ("settable property" if declared.fset else "property"), []
    if isinstance(declared, (staticmethod, classmethod)) or inspect.isroutine(declared):
        return "method", _parameters(getattr(owner, name))
    if inspect.isclass(declared):
        return "class", _parameters(declared)
    if inspect.isdatadescriptor(declared) or isinstance(owner, enum.EnumMeta):
        return "value", []
    return "field", [_text(declared)]


def options_of(command: Any) -> List[str]:
    """Return what may be said behind a command: options in all their spellings, arguments by name."""
    found = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            found.append(parameter.name.upper())
        elif not parameter.hidden and "--help" not in parameter.opts:
            found.append("/".join(sorted([*parameter.opts, *parameter.secondary_opts])))
    return sorted(found)


def _parameters(function: Any) -> List[str]:
    if isinstance(function, enum.EnumMeta):  # nobody makes one, and each Python says something else
        return []
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a builtin's
        return ["..."]
    if parameters and parameters[0].name in ("self", "cls"):
        del parameters[0]
    found: List[str] = []
    keyword_only = False
    for index, one in enumerate(parameters):
        if one.kind is one.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            if "*" not in (text[:1] for text in found):
                found.append("*")
        star = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
        default = "" if one.default is one.empty else f"={_text(one.default)}"
        found.append(f"{star}{one.name}{default}")
        after = parameters[index + 1].kind if index + 1 < len(parameters) else None
        if one.kind is one.POSITIONAL_ONLY and after is not one.POSITIONAL_ONLY:
            found.append("/")
    return found


def _text(value: Any) -> str:
    """Return a value as it is written, where that says anything."""
    if isinstance(value, int) and value == os.getpid():
        return "..."
    if isinstance(value, enum.Enum):
        return repr(value.value)
    if isinstance(value, (bool, int, float, str, type(None))):
        return repr(value)
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)  # the order of a set's own is another in each process
    if isinstance(value, (list, tuple, dict)) and " at 0x" not in repr(value):
        return repr(value)
    return "..."


def _has(owner: type, name: str) -> bool:
    fields = getattr(owner, "model_fields", None)
    return bool(fields and name in fields) or hasattr(owner, name)


def _public_names(module: Any) -> List[str]:
    """Return the names of a module that are of wandb's making."""
    found = []
    names = set(dir(module)) | set(getattr(module, "__all__", ()))
    for name in sorted(names):
        if name.startswith("_") or name == "wandb":
            continue
        try:
            value = getattr(module, name)
        except Exception:  # a name that needs a library which is not there
            continue
        home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        is_import = isinstance(home, str) and home.partition(".")[0] != "wandb"
        is_constant = not callable(value) and not inspect.ismodule(value) and name.isupper() and len(name) > 1
        is_constant = is_constant and name != "TYPE_CHECKING"
        if module.__name__ == "wandb" and name in ("run", "config", "summary", "patched"):
            found.append(name)
        elif is_constant or (isinstance(home, str) and not is_import):
            found.append(name)
    return found


def _member_names(owner: type) -> List[str]:
    """Return the public members of a class that a class of wandb's declares."""
    fields = set(getattr(owner, "model_fields", ()))
    found = set(fields)
    for base in owner.__mro__:
        if _is_ours(base):
            found |= set(vars(base))
    return sorted(name for name in found if not name.startswith("_"))


def _is_ours(cls: type) -> bool:
    return str(getattr(cls, "__module__", "")).partition(".")[0] == "wandb"


def _module_names() -> Iterator[str]:
    """Yield every public module of the package, as its files say, without importing them."""
    import wandb

    top = os.path.dirname(str(wandb.__file__))
    for directory, children, files in os.walk(top):
        children[:] = sorted(one for one in children if one[0] not in "_." and "-" not in one)
        below = os.path.relpath(directory, top)
        parts = [] if below == "." else below.split(os.sep)
        if "__init__.py" not in files:
            children[:] = []
            continue
        yield ".".join(["wandb", *parts])
        for file in sorted(files):
            name, extension = os.path.splitext(file)
            if extension == ".py" and name[0] != "_":
                yield ".".join(["wandb", *parts, name])


def _imported(name: str) -> Any:
    """Return a module, or None if there is none, or if it needs what is not installed."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return importlib.import_module(name)
    except Exception:
        return None


def _commands() -> Iterator[Tuple[List[str], Any]]:
    """Yield every command with its words, groups before what is in them."""
    group = getattr(_imported("wandb.cli.cli"), "cli", None) or getattr(_imported("wandb.cli"), "main", None)
    import click

    waiting: List[Tuple[List[str], Any]] = [(["wandb"], group)]
    while waiting:
        words, command = waiting.pop(0)
        yield words, command
        if hasattr(command, "list_commands"):
            context = click.Context(command)
            children = ((name, command.get_command(context, name)) for name in command.list_commands(context))
            waiting += [([*words, name], child) for name, child in children if child and not child.hidden]


if __name__ == "__main__":
    json.dump(surface(), sys.stdout, indent=0, sort_keys=True)
