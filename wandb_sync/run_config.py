"""The config of a run as the server stores it: the user's values, and under `_wandb` what wandb notes about
the run.

Rule 1: every top-level value is wrapped: {"lr": {"value": 0.1}, "_wandb": {"value": {...}}}.
Rule 2: dicts that are empty vanish, as in wandb; in lists they stay.
Rule 3: what the user's config record puts under `_wandb` (custom charts, class labels) stays there.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence

from google.protobuf import json_format
from google.protobuf.message import Message

from wandb.proto.record_pb2 import ConfigRecord, EnvironmentRecord, TelemetryRecord
from wandb_sync.json_tree import leaf_text, path_of, plain_numbers

SYNCED = 76  # bit of TelemetryRecord.feature: the run came through `wandb sync`
_FEATURE = "3"
# What a resumed run keeps of the server's `_wandb`, as wandb does.
_KEPT_ON_RESUME = ("viz", "visualize", "mask/class_labels")
_OURS = "wandb_ng"  # the key under `_wandb` of what only our syncer reads


class RunConfig:
    """The user's config values, telemetry and environment, merged from the log."""

    __slots__ = ("values", "telemetry", "environment", "notes")

    def __init__(self) -> None:
        self.values: Dict[str, Any] = {}
        self.telemetry = TelemetryRecord()
        self.environment = EnvironmentRecord()
        self.notes: List[Dict[str, int]] = (
            []
        )  # where uploads of ours began in a run that the server had before

    def apply(self, record: ConfigRecord) -> None:
        """Take a config record; a value that is no JSON is left out."""
        for item in record.update:
            try:
                value = json.loads(leaf_text(item))
            except (ValueError, RecursionError):
                continue
            path = path_of(item)
            node = self.values
            for key in path[:-1]:
                below = node.get(key)
                if not isinstance(below, dict):
                    below = node[key] = {}
                node = below
            node[path[-1]] = value
        for item in record.remove:
            _remove(self.values, path_of(item))

    def merge_from_server(self, config: Mapping[str, Any]) -> None:
        """Take over what an earlier part of a resumed run has left, where the log does not say otherwise."""
        for key, wrapped in config.items():
            value = wrapped.get("value") if isinstance(wrapped, dict) else None
            if key != "_wandb":
                self.values.setdefault(key, value)
            elif isinstance(value, dict):
                ours = self.values["_wandb"] = _dict(self.values.get("_wandb"))
                for name in _KEPT_ON_RESUME:
                    if name in value:
                        ours.setdefault(name, value[name])

    @staticmethod
    def notes_on_server(config: Mapping[str, Any]) -> List[Dict[str, int]]:
        """Return `notes` as earlier uploads have left them in the server's config."""
        ours = _dict(_dict(_dict(config.get("_wandb")).get("value")).get(_OURS))
        earlier = ours.get("earlier")
        notes = [*(earlier if isinstance(earlier, list) else ()), ours.get("begin")]
        return [
            dict(note)
            for note in notes
            if isinstance(note, dict) and all(type(n) is int for n in note.values())
        ]

    @staticmethod
    def with_notes(config: Mapping[str, Any], notes: Sequence[Mapping[str, int]]) -> str:
        """Return the server's config as text, with other notes in it."""
        ours = {**_dict(_dict(config.get("_wandb")).get("value")), _OURS: _noted(notes)}
        return json.dumps({**config, "_wandb": {"value": ours}}, separators=(",", ":"), sort_keys=True)

    def tree(self, metrics: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
        """Return the config in the server's form; `metrics` goes under `_wandb.m`."""
        values = dict(self.values)
        ours = _dict(values.get("_wandb"))
        ours["t"] = _telemetry(self.telemetry)
        ours["m"] = list(metrics)
        if self.telemetry.cli_version:
            ours["cli_version"] = self.telemetry.cli_version
        if self.telemetry.python_version:
            ours["python_version"] = self.telemetry.python_version
        environment = self.environment_tree()
        if self.notes:
            ours[_OURS] = _noted(self.notes)
        if environment and self.environment.writer_id:
            ours["e"] = {self.environment.writer_id: environment}
        values["_wandb"] = ours
        return {key: {"value": node} for key, node in _without_empty(values).items()}

    def text(self, metrics: Sequence[Mapping[str, Any]]) -> str:
        """Return the config as JSON text; NaN becomes null, as in wandb."""
        tree = plain_numbers(_without_nan(self.tree(metrics)))
        return json.dumps(tree, separators=(",", ":"), sort_keys=True)

    def environment_tree(self) -> Dict[str, Any]:
        """Return what becomes wandb-metadata.json; empty if the log says nothing."""
        if not self.environment.ListFields():
            return {}
        tree: Dict[str, Any] = json_format.MessageToDict(self.environment)
        tree.pop("Info", None)
        for ours, theirs in (("cpuCount", "cpu_count"), ("cpuCountLogical", "cpu_count_logical")):
            if ours in tree:
                tree[theirs] = tree.pop(ours)
        for ours, theirs in (("gpuType", "gpu"), ("gpuCount", "gpu_count"), ("gpuNvidia", "gpu_nvidia")):
            if ours in tree:
                tree[theirs] = tree.pop(ours)
        if "gpuAmd" in tree:
            tree["gpu_amd"] = tree.pop("gpuAmd")
        git = tree.get("git")
        if isinstance(git, dict) and "remoteUrl" in git:
            git["remote"] = git.pop("remoteUrl")
        return tree

    def state(self) -> Dict[str, Any]:
        """Return what `restore` takes; JSON."""
        return {
            "values": self.values,
            "telemetry": _packed(self.telemetry),
            "environment": _packed(self.environment),
            "notes": self.notes,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> RunConfig:
        config = cls()
        config.values = json.loads(json.dumps(state["values"]))
        config.telemetry = TelemetryRecord.FromString(base64.b64decode(state["telemetry"]))
        config.environment = EnvironmentRecord.FromString(base64.b64decode(state["environment"]))
        config.notes = [
            dict(note) for note in state.get("notes", [state["begin"]] if state.get("begin") else [])
        ]
        return config


def _noted(notes: Sequence[Mapping[str, int]]) -> Dict[str, Any]:
    """Return notes as the server's config has them; most runs have one."""
    earlier = [dict(note) for note in notes[:-1]]
    return {"begin": dict(notes[-1]), **({"earlier": earlier} if earlier else {})}


def yaml_text(tree: Mapping[str, Any], indent: int = 0) -> str:
    """Return a tree of plain values as YAML, keys sorted; `yaml.safe_load` reads the same tree from it."""
    pad = " " * indent
    return "".join(f"{pad}{_key(key, pad)}:{_yaml(tree[key], indent)}" for key in sorted(tree))


def _key(key: str, pad: str) -> str:
    text = _scalar(key)
    # YAML wants keys beyond 1024 characters to be announced.
    return text if len(text) < 1000 else f"? {text}\n{pad}"


def _yaml(value: Any, indent: int) -> str:
    if isinstance(value, dict) and value:
        return "\n" + yaml_text(value, indent + 4)
    if isinstance(value, list) and value:
        pad = " " * (indent + 4)
        return "\n" + "".join(f"{pad}-{_yaml(item, indent + 4)}" for item in value)
    return f" {_scalar(value)}\n"


# Words that mean themselves in every YAML: no number, no date, no yes or no.
_PLAIN_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*\Z")
_YAML_WORDS = frozenset("y n yes no on off true false null nan inf".split())


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        if _PLAIN_WORD.match(value) and value.lower() not in _YAML_WORDS:
            return value
        return _quoted(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        text = repr(value)
        return text if "e" not in text or "." in text else text.replace("e", ".0e")
    return json.dumps(value)


def _quoted(text: str) -> str:
    """Return a YAML double-quoted string: JSON's, but characters beyond 16 bits in YAML's own escape."""
    if max(text, default="") < "\U00010000":
        return json.dumps(text)
    return "".join(
        json.dumps(char)[1:-1] if ord(char) < 0x10000 else f"\\U{ord(char):08x}" for char in text
    ).join('""')


def _telemetry(record: TelemetryRecord) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for field, value in record.ListFields():
        if field.name == "_info":
            continue
        found[str(field.number)] = _bits(value) if isinstance(value, Message) else value
    found[_FEATURE] = sorted({*found.get(_FEATURE, ()), SYNCED})
    return found


def _bits(message: Message) -> Any:
    """Return the numbers of the fields that are set; texts (labels) as a dict by number."""
    fields = message.ListFields()
    if any(isinstance(value, str) for _, value in fields):
        return {str(field.number): value for field, value in fields}
    return [field.number for field, value in fields if value]


def _dict(value: Any) -> Dict[str, Any]:
    """Return a copy; of anything else, which nobody but a user's own key can be, an empty one."""
    return dict(value) if isinstance(value, dict) else {}


def _packed(message: Message) -> str:
    return base64.b64encode(message.SerializeToString()).decode()


def _remove(tree: Dict[str, Any], path: Sequence[str]) -> None:
    node: Optional[Any] = tree
    for key in path[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict):
        node.pop(path[-1], None)


def _without_empty(tree: Mapping[str, Any]) -> Dict[str, Any]:
    found = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            value = _without_empty(value)
            if not value:
                continue
        found[key] = value
    return found


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return value
