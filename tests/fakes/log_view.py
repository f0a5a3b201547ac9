"""What a log says, in Python values: for tests that look at what was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Union

from wandb.proto import record_pb2
from wandb.transaction_log.reader import Reader


class LogView:
    """The records of one log.

    Attributes:
        records: All of them, parsed.
        lost: Damage that the reader met.
    """

    def __init__(self, source: Union[str, Path, Iterable[bytes]]) -> None:
        self.records: List[Any] = []
        self.lost: List[Any] = []
        if isinstance(source, (str, Path)):
            path = Path(source)
            path = next(iter([*path.glob("*.wandb"), *path.glob("*.wandb.zst")])) if path.is_dir() else path
            with Reader(path) as reader:
                for event in reader.events():
                    if hasattr(event, "payload"):
                        self.records.append(_parsed(event.payload))
                    else:
                        self.lost.append(event)
        else:
            self.records = [_parsed(payload) for payload in source]

    def kinds(self) -> List[str]:
        return [record.WhichOneof("record_type") for record in self.records]

    def of(self, kind: str) -> List[Any]:
        return [getattr(record, kind) for record in self.records if record.WhichOneof("record_type") == kind]

    def rows(self, own: bool = False) -> List[Dict[str, Any]]:
        """Return the history; without `_runtime` and `_timestamp` unless `own`."""
        rows = [_tree(history.item) for history in self.of("history")]
        return (
            rows
            if own
            else [{k: v for k, v in r.items() if k not in ("_runtime", "_timestamp")} for r in rows]
        )

    def summary(self) -> Dict[str, Any]:
        """Return what the summary records say, applied in order."""
        result: Dict[str, Any] = {}
        for summary in self.of("summary"):
            for item in summary.update:
                _put(result, list(item.nested_key) or [item.key], json.loads(item.value_json))
            for item in summary.remove:
                path = list(item.nested_key) or [item.key]
                node = result
                for part in path[:-1]:
                    node = node[part]
                node.pop(path[-1], None)
        return result

    def config(self) -> Dict[str, Any]:
        """Return what the run and config records say, applied in order."""
        result: Dict[str, Any] = {}
        for record in self.records:
            kind = record.WhichOneof("record_type")
            change = record.run.config if kind == "run" else record.config if kind == "config" else None
            for item in change.update if change is not None else ():
                _put(result, list(item.nested_key) or [item.key], json.loads(item.value_json))
        return result

    def console(self) -> str:
        return "".join(output.line for output in self.of("output_raw"))


def _parsed(payload: bytes) -> Any:
    record = record_pb2.Record()
    record.ParseFromString(payload)
    return record


def _tree(items: Iterable[Any]) -> Dict[str, Any]:
    result: Dict[str, Any] = {}
    for item in items:
        _put(result, list(item.nested_key) or [item.key], json.loads(item.value_json))
    return result


def _put(node: Dict[str, Any], path: List[str], value: Any) -> None:
    for part in path[:-1]:
        node = node.setdefault(part, {})
    node[path[-1]] = value
