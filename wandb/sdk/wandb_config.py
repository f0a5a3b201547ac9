"""`run.config`: what the run was started with.

A value may be set once; changing it takes `update(..., allow_val_change=True)`, so that a config says what
was really used.  Every change goes into the log at once, changes inside nested dicts too (wandb 0.31 forgets
those).

Readers of wandb's merge a dict into the one that had its place; so a change says too what is gone.

Rule 1: an item or attribute that is a dict records what is changed in it, and so it is a `_Nested`.
Rule 2: what takes the config apart (`dict(config)`, `**config`, `items()`, `values()`, `as_dict()`) gets
        plain dicts, which YAML, OmegaConf and `torch.load` ask for by their exact type.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from wandb.errors import ConfigError, ValidationError
from wandb.interface.values import CONFIG, checked_text, kind_name, plain
from wandb.sdk.guard import Failed, is_deliberate, pass_on

# Top-level keys and their whole new values, and the paths inside of them that are gone -> into the log.
Record = Callable[[Dict[str, Any], List[Tuple[str, ...]]], None]


class _Items(Dict[str, Any]):
    """A dict whose items are attributes too."""

    __slots__ = ()

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"{type(self)!r} object has no attribute {key!r}") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __ior__(self, values: Any) -> Any:  # type: ignore[misc]  # `|` gives a plain dict
        self.update(values)
        return self


class Config(_Items):
    """The config: a mapping of str keys whose items are attributes too.

    It is a dict, because `dict(config)` and `**config` copy one without asking `__getitem__`: what it holds
    as a dict are plain copies, kept for them alone.  `_items` is what counts.

    Args:
        record: Called with each change, before it is made; if it raises, nothing has changed.
        warn: Told when a locked key was not changed.
        allow_val_change: What `update` does when it is not told.
        failed: Takes errors that are not the user's.
    """

    def __init__(
        self,
        record: Optional[Record] = None,
        warn: Optional[Callable[[str], None]] = None,
        *,
        allow_val_change: bool = False,
        failed: Failed = pass_on,
    ) -> None:
        object.__setattr__(self, "_items", {})
        object.__setattr__(self, "_locked", {})
        object.__setattr__(self, "_recorded", {})
        object.__setattr__(self, "_record", record or (lambda change, gone: None))
        object.__setattr__(self, "_warn", warn or (lambda text: None))
        object.__setattr__(self, "_failed", failed)
        object.__setattr__(self, "_allow_val_change", allow_val_change)

    def open(self, values: Any, locked: Any, record: Record) -> None:
        """Take what the run starts with, and record every change from then on."""
        self.update(values, allow_val_change=True)
        self.update_locked(locked)
        object.__setattr__(self, "_record", record)

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._change({key: value}, allow_val_change=None)

    def __delitem__(self, key: str) -> None:
        raise ConfigError(f"config.{key} cannot be deleted", hint="update it to None")

    def update(self, d: Any, allow_val_change: Optional[bool] = None) -> None:  # type: ignore[override]
        """Set several keys at once.

        Args:
            d: A dict, an argparse Namespace, absl FLAGS, any object with attributes, or the path of a YAML
                file.
            allow_val_change: Take new values for keys that have one already.

        Raises:
            ConfigError: A key has another value already, or the file cannot be read; nothing has changed.
            ValidationError: A value cannot be stored; nothing has changed.
        """
        self._change(parse_config(d), allow_val_change)

    def setdefaults(self, d: Any) -> None:
        """Set the keys that have no value yet."""
        missing = {key: value for key, value in parse_config(d).items() if key not in self._items}
        self._change(missing, allow_val_change=None)

    def update_locked(
        self, d: Any, user: Optional[str] = None, _allow_val_change: Optional[bool] = None
    ) -> None:
        """Set keys that later changes by the user's code do not touch: a sweep has chosen them."""
        chosen = parse_config(d)
        for key in chosen:
            self._locked.pop(key, None)
        self._change(chosen, allow_val_change=True)
        self._locked.update({key: user or "sweep" for key in chosen})

    def merge_locked(
        self, d: Any, user: Optional[str] = None, _allow_val_change: Optional[bool] = None
    ) -> None:
        """As `update_locked`, but merge dicts with what is there."""
        chosen = parse_config(d)
        self.update_locked({key: _merged(self._items.get(key), value) for key, value in chosen.items()}, user)

    def is_locked(self, key: str) -> bool:
        """Whether a sweep has chosen the value."""
        return key in self._locked

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or `default`."""
        return self._items.get(key, default)

    def keys(self) -> List[str]:  # type: ignore[override]
        """Return the keys, but for those that wandb uses itself."""
        return [key for key in self._items if key != "_wandb"]

    def values(self) -> List[Any]:  # type: ignore[override]
        """Return copies of the values, in the order of `keys`."""
        return [_unwrapped(self._items[key]) for key in self.keys()]

    def items(self) -> List[Any]:  # type: ignore[override]
        """Return (key, value) pairs, with copies of the values."""
        return [(key, _unwrapped(self._items[key])) for key in self.keys()]

    def as_dict(self) -> Dict[str, Any]:
        """Return a copy."""
        return _unwrapped(self._items)  # type: ignore[no-any-return]

    def persist(self) -> None:
        """Do nothing: every change is recorded when it is made.  Kept for scripts that call it."""

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __reduce__(self) -> Any:
        return _apart, (self.as_dict(),)

    def __repr__(self) -> str:
        return repr(self.as_dict())

    __str__ = __repr__

    def _change(self, values: Mapping[str, Any], allow_val_change: Optional[bool]) -> None:
        try:
            self._take(values, allow_val_change)
        except Exception as error:
            if is_deliberate(error):
                raise
            self._failed("config", error)

    def _take(self, values: Mapping[str, Any], allow_val_change: Optional[bool]) -> None:
        allowed = self._allow_val_change if allow_val_change is None else allow_val_change
        fresh: Dict[str, Any] = {}
        for key, value in values.items():
            if not isinstance(key, str):
                raise ValidationError(f"config: {key!r}", f"the key is {kind_name(key)}, not str")
            key = checked_text(str.__str__(key), "config")
            if key in self._locked:
                self._warn(f"Config item '{key}' was locked by '{self._locked[key]}' (ignored update).")
                continue
            stored = without_nan(plain(value, f"config.{key}", home=CONFIG))
            if not allowed and key in self._items and _unwrapped(self._items[key]) != stored:
                raise ConfigError(
                    f'Attempted to change value of key "{key}" from {self._items[key]!r} to {stored!r}',
                    hint="If you really want to do this, pass allow_val_change=True to config.update()",
                )
            fresh[key] = stored
        if fresh:
            self._write(fresh)
            self._items.update({key: self._wrapped(key, value) for key, value in fresh.items()})

    def _write(self, change: Dict[str, Any]) -> None:
        """Record the whole new values of top-level keys; if that raises, nothing was recorded."""
        gone = [path for key, new in change.items() for path in _gone(self._recorded.get(key), new, (key,))]
        self._record(change, gone)
        self._recorded.update(change)
        dict.update(self, {key: _unwrapped(value) for key, value in change.items() if key != "_wandb"})

    def _wrapped(self, key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return _Nested({k: self._wrapped(key, v) for k, v in value.items()}, self, key)
        if isinstance(value, list):
            return [self._wrapped(key, item) for item in value]
        return value


def _attribute(name: str) -> property:
    return property(lambda config: config.__getattr__(name))


for _name in ("clear", "copy", "fromkeys", "pop", "popitem", "setdefault"):
    setattr(Config, _name, _attribute(_name))  # what a dict can and a config cannot: a user's keys, if any


def _apart(values: Dict[str, Any]) -> Config:
    """Return a config that records nothing: what a copy of a run's config is."""
    config = Config()
    config.update(values)
    return config


class _Nested(_Items):
    """A dict inside the config: changing it records the whole top-level key it stands in."""

    __slots__ = ("_config", "_top_key")

    def __init__(self, items: Dict[str, Any], config: Config, top_key: str) -> None:
        super().__init__(items)
        object.__setattr__(self, "_config", config)
        object.__setattr__(self, "_top_key", top_key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        before = self[key]
        super().__delitem__(key)
        self._record_or_restore(lambda: dict.__setitem__(self, key, before))

    def update(self, *args: Any, **more: Any) -> None:
        before = dict(self)
        path = f"config.{self._top_key}"
        fresh = without_nan(plain(dict(*args, **more), path, home=CONFIG))
        super().update({key: self._config._wrapped(self._top_key, value) for key, value in fresh.items()})

        def restore() -> None:
            dict.clear(self)
            dict.update(self, before)

        self._record_or_restore(restore)

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self.update({key: default})
        return self[key]

    def pop(self, key: str, *default: Any) -> Any:
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> Any:
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        for key in list(self):
            del self[key]

    def __reduce__(self) -> Any:
        return dict, (_unwrapped(self),)

    def _record_or_restore(self, restore: Callable[[], None]) -> None:
        try:
            self._config._write({self._top_key: _unwrapped(self._config._items[self._top_key])})
        except BaseException:
            restore()
            raise


def parse_config(values: Any) -> Dict[str, Any]:
    """Return the config that `values` mean, as a dict.

    Args:
        values: None, a mapping, an argparse Namespace, absl FLAGS, a dataclass, any other object with
            attributes, or a str: the path of a YAML file, plain or in the form `key: {desc: ..., value:
            ...}`.

    Raises:
        ConfigError: The file does not exist or is no YAML mapping, or the value is nothing of these.
    """
    if values is None:
        return {}
    if isinstance(values, Config):
        return values.as_dict()
    if isinstance(values, str):
        return load_yaml(values)
    if hasattr(values, "keys") and hasattr(values, "__getitem__"):
        return {key: values[key] for key in values.keys()}
    if hasattr(values, "flag_values_dict"):  # absl: a FlagValues holds more than the flags
        return dict(values.flag_values_dict())
    if hasattr(values, "__dict__") and not callable(values):
        return {key: value for key, value in vars(values).items() if not key.startswith("_")}
    raise ValidationError(
        "config",
        f"{kind_name(values)} is no config",
        hint="pass a dict, a Namespace or the path of a YAML file",
    )


def load_yaml(path: str) -> Dict[str, Any]:
    """Return the config in a YAML file.

    Raises:
        ConfigError: The file cannot be read, is no YAML mapping, or PyYAML is missing.
    """
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise ConfigError(f"{path}: reading YAML needs PyYAML", hint='pip install "wandb-ng[yaml]"') from None
    try:
        with open(path, encoding="utf-8") as file:
            loaded = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(f"config file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path} is no YAML: {error}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"config file {path} holds no mapping of keys to values")
    loaded.pop("wandb_version", None)
    return {
        str(key): value["value"] if isinstance(value, dict) and "value" in value else value
        for key, value in loaded.items()
    }


def selected(
    values: Dict[str, Any], include: Optional[List[str]] = None, exclude: Optional[List[str]] = None
) -> Dict[str, Any]:
    """Return the keys that `config_include_keys` or `config_exclude_keys` leave.

    Raises:
        ConfigError: Both are given.
    """
    if include and exclude:
        raise ConfigError("Expected at most only one of config_include_keys and config_exclude_keys")
    if include:
        return {key: value for key, value in values.items() if key in include}
    return {key: value for key, value in values.items() if key not in (exclude or ())}


def without_nan(value: Any) -> Any:
    """Return a plain value with None for NaN, which a config does not know (as in wandb 0.31)."""
    if isinstance(value, float):
        return None if value != value else value
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, list) else value


def _unwrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unwrapped(item) for key, item in value.items()}
    return [_unwrapped(item) for item in value] if isinstance(value, list) else value


def _gone(old: Any, new: Any, path: Tuple[str, ...]) -> Iterator[Tuple[str, ...]]:
    """Yield the paths of what the dict `old` holds and the dict `new` does not."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            if key not in new:
                yield (*path, key)
            else:
                yield from _gone(value, new[key], (*path, key))


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new
