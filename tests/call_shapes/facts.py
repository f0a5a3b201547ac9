"""What a log says that a user has said: for comparing the logs of two clients.

Left out: times, the machine, versions, and what makes two recordings of the same thing differ (file names of
media, ids). What one client says several times (config, summary, the run) counts as it is in the end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

from google.protobuf.json_format import MessageToDict
from log_view import LogView

OWN = ("_runtime", "_timestamp", "_wandb", "wandb")
NAMED_BY_CHANCE = (
    "path",
    "sha256",
    "size",
    "filenames",
    "artifact_path",
    "_latest_artifact_path",
    "id",
    "digest",
)
RUN_FIELDS = ("project", "entity", "display_name", "notes", "tags", "run_group", "job_type", "resumed")
KINDS_OF_OURS = ("run_table",)


def facts_of(directory: Path) -> Dict[str, Any]:
    """Return the facts of the run that was recorded in `directory`, a run directory."""
    log = LogView(directory)
    assert log.lost == []
    run: Dict[str, Any] = {}
    config: Dict[str, Any] = {}
    for record in log.records:
        kind = record.WhichOneof("record_type")
        if kind == "run":
            fields = MessageToDict(record.run, preserving_proto_field_name=True)
            run.update({name: fields[name] for name in RUN_FIELDS if name in fields})
            _apply(config, record.run.config)
        elif kind == "config":
            _apply(config, record.config)
    pinned = config.get("_wandb", {}).get("pinned_keys")
    config = {key: value for key, value in config.items() if key not in OWN}
    return {
        "run": run,
        "config": config,
        **({"pinned": pinned} if pinned else {}),
        "rows": [_plain({k: v for k, v in row.items() if k not in OWN}) for row in log.rows()],
        "summary": _plain({k: v for k, v in log.summary().items() if k not in OWN}),
        "metrics": sorted((_metric(one) for one in log.of("metric")), key=json.dumps),
        "alerts": [[one.title, one.text, one.level, int(one.wait_duration)] for one in log.of("alert")],
        "files": sorted(_files(log)),
        "artifacts": [_artifact(one) for one in log.of("artifact") if one.type not in KINDS_OF_OURS],
        "written": [one.line for one in log.of("output_raw")],
        "preempting": len(log.of("preempting")),
        "exit": [one.exit_code for one in log.of("exit")],
    }


def _apply(config: Dict[str, Any], record: Any) -> None:
    for item in record.update:
        path = list(item.nested_key) or [item.key]
        node = config
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = json.loads(item.value_json)
    for item in record.remove:
        config.pop(item.key, None)


def _plain(value: Any) -> Any:
    """Return a value without what names its files."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if "_type" not in value or k not in NAMED_BY_CHANCE}
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return repr(value)  # a NaN is not equal to itself
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _metric(record: Any) -> Dict[str, Any]:
    fields: Dict[str, Any] = MessageToDict(record, preserving_proto_field_name=True)
    fields.pop("_info", None)
    return fields


def _files(log: LogView) -> List[Tuple[str, str]]:
    from wandb.proto.record_pb2 import FilesItem

    return [
        (item.path, FilesItem.PolicyType.Name(item.policy))
        for record in log.of("files")
        for item in record.files
        if item.type == FilesItem.FileType.OTHER and not item.path.startswith(("media/", "media\\"))
    ]


def _artifact(record: Any) -> Dict[str, Any]:
    manifest = record.manifest
    return {
        "name": record.name,
        "type": record.type,
        "description": record.description,
        "metadata": json.loads(record.metadata or "{}"),
        "aliases": sorted(record.aliases),
        "digest": record.digest,
        "files": sorted(entry.path for entry in manifest.contents),
    }
