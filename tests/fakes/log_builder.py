"""Logs as a test wants them: record by record, with the protobuf module and the log's own writer.

log = LogBuilder(tmp_path, run_id="abc", project="p")
log.row(loss=1.0).row(loss=0.5).output("hello\n").exit(0)
log.path, log.directory
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from pathlib import Path
from typing import Any, Dict, Optional

from wandb.proto import record_pb2 as pb
from wandb.transaction_log.writer import Writer

STARTED_S = 1_700_000_000


class LogBuilder:
    """A run directory with a log that grows as told.  Every method returns the builder."""

    def __init__(
        self,
        parent: Path,
        run_id: str = "abc",
        *,
        project: str = "p",
        producer: str = "wandb-ng/0.1.0",
        directory: str = "",
        started_s: int = STARTED_S,
        **run_fields: Any,
    ) -> None:
        """Make the directory and the log, with a header and a run record; an empty `producer`: no header."""
        self.run_id = run_id
        self.directory = parent / (directory or f"offline-run-20260102_030405-{run_id}")
        (self.directory / "files").mkdir(parents=True)
        self.path = self.directory / f"run-{run_id}.wandb"
        self.writer = Writer.create(self.path)
        self.n_records = 0
        self.step = 0
        self._started_s = started_s
        if producer:
            header = pb.Record()
            header.header.version_info.producer = producer
            self.add(header)
        self.run(run_id=run_id, project=project, **run_fields)

    def close(self) -> "LogBuilder":
        self.writer.close()
        return self

    def add(self, record: pb.Record) -> "LogBuilder":
        """Append any record."""
        self.n_records += 1
        record.num = self.n_records
        self.writer.write(record.SerializeToString())
        return self

    def run(self, **fields: Any) -> "LogBuilder":
        config = fields.pop("config", None)
        record = pb.Record()
        record.run.CopyFrom(pb.RunRecord(**fields))
        record.run.start_time.seconds = self._started_s
        record.run.telemetry.cli_version = "0.1.0"
        record.run.telemetry.python_version = "3.11.7"
        for key, value in (config or {}).items():
            record.run.config.update.add(key=key, value_json=json.dumps(value))
        return self.add(record)

    def row(self, data: Optional[Dict[str, Any]] = None, nested: bool = False, **values: Any) -> "LogBuilder":
        """Append a row; `nested` writes its keys as wandb's own recorder does."""
        record = pb.Record()
        own = {
            "_step": self.step,
            "_runtime": self.step * 0.5,
            "_timestamp": self._started_s + self.step * 0.5,
        }
        for key, value in {**(data or {}), **values, **own}.items():
            item = record.history.item.add(value_json=json.dumps(value))
            if nested:
                item.nested_key.append(key)
            else:
                item.key = key
        record.history.step.num = self.step
        self.step += 1
        return self.add(record)

    def rows(self, count: int) -> "LogBuilder":
        for _ in range(count):
            self.row(loss=1 / (self.step + 1), acc=self.step)
        return self

    def pending(self, **values: Any) -> "LogBuilder":
        """Append a part of a row that waits for its end."""
        record = pb.Record()
        for key, value in values.items():
            record.footer.pending.item.add(key=key, value_json=json.dumps(value))
        record.footer.pending.step.num = self.step
        return self.add(record)

    def summary(self, remove: Any = (), **values: Any) -> "LogBuilder":
        record = pb.Record()
        record.summary.SetInParent()
        for key, value in values.items():
            record.summary.update.add(key=key, value_json=json.dumps(value))
        for key in remove:
            record.summary.remove.add(key=key)
        return self.add(record)

    def config(self, **values: Any) -> "LogBuilder":
        record = pb.Record()
        for key, value in values.items():
            record.config.update.add(key=key, value_json=json.dumps(value))
        return self.add(record)

    def artifact(
        self,
        name: str,
        files: Dict[str, bytes],
        *,
        outside: Optional[Path] = None,
        refs: Optional[Dict[str, str]] = None,
        **fields: Any,
    ) -> "LogBuilder":
        """Append an artifact.

        Args:
            files: Content by path, kept in the run directory as our recorder does.
            outside: Where they lie instead, as with the real client.
            refs: Address by path.
            fields: Of the record.
        """
        record = pb.Record()
        artifact = record.artifact
        client_id = hashlib.sha512(f"{self.run_id}{self.n_records}".encode()).hexdigest()
        sequence_id = hashlib.sha512(f"{self.run_id}{name}".encode()).hexdigest()
        aliases = fields.pop("aliases", ["latest"])
        defaults = {
            "type": "dataset",
            "client_id": client_id,
            "sequence_client_id": sequence_id,
            "finalize": True,
        }
        artifact.CopyFrom(pb.ArtifactRecord(name=name, run_id=self.run_id, **{**defaults, **fields}))
        artifact.aliases.extend(aliases)
        artifact.manifest.version = 1
        artifact.manifest.storage_policy = "wandb-storage-policy-v1"
        artifact.manifest.storage_policy_config.add(key="storageLayout", value_json='"V2"')
        whole = hashlib.md5(b"wandb-artifact-manifest-v1\n")
        for path, text in sorted({**files, **{p: r.encode() for p, r in (refs or {}).items()}}.items()):
            md5 = hashlib.md5(text)
            digest = base64.b64encode(md5.digest()).decode()
            whole.update(f"{path}:{digest}\n".encode())
            entry = artifact.manifest.contents.add(path=path, digest=digest)
            if path in (refs or {}):
                entry.ref = text.decode()
                continue
            place = self.directory / "artifacts" / "md5" / md5.hexdigest()[:2] / md5.hexdigest()[2:]
            place = outside / f"staged-{md5.hexdigest()}" if outside is not None else place
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text)
            entry.size, entry.local_path = len(text), str(place)
        artifact.digest = artifact.digest or whole.hexdigest()
        return self.add(record)

    def use_artifact(self, name: str, id: str = "") -> "LogBuilder":
        record = pb.Record()
        record.use_artifact.CopyFrom(pb.UseArtifactRecord(id=id, type="dataset", name=name))
        return self.add(record)

    def metric(self, name: str, summary: str = "", **fields: Any) -> "LogBuilder":
        record = pb.Record()
        record.metric.CopyFrom(
            pb.MetricRecord(**{"glob_name" if name.endswith("*") else "name": name}, **fields)
        )
        record.metric.options.defined = True
        for kind in summary.split(",") if summary else ():
            setattr(record.metric.summary, kind, True)
        return self.add(record)

    def stats(self, after_s: float, **values: float) -> "LogBuilder":
        record = pb.Record()
        record.stats.timestamp.FromNanoseconds(self._started_s * 10**9 + int(after_s * 1e9))
        for key, value in values.items():
            record.stats.item.add(key=key, value_json=json.dumps(value))
        return self.add(record)

    def output(self, text: str, *, error: bool = False, after_s: float = 0.0) -> "LogBuilder":
        record = pb.Record()
        record.output_raw.output_type = 0 if error else 1
        record.output_raw.timestamp.FromNanoseconds(self._started_s * 10**9 + int(after_s * 1e9))
        record.output_raw.line = text
        return self.add(record)

    def line(self, text: str) -> "LogBuilder":
        record = pb.Record()
        record.output_logger.line = text
        return self.add(record)

    def file(self, path: str, data: Optional[bytes] = None, policy: int = 0) -> "LogBuilder":
        """Append a file record; with `data` the file is written too."""
        if data is not None:
            target = self.directory / "files" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        record = pb.Record()
        record.files.files.add(path=path, policy=policy)
        return self.add(record)

    def environment(self, **fields: Any) -> "LogBuilder":
        record = pb.Record()
        record.environment.CopyFrom(pb.EnvironmentRecord(**fields))
        return self.add(record)

    def alert(self, title: str, text: str = "") -> "LogBuilder":
        record = pb.Record()
        record.alert.CopyFrom(pb.AlertRecord(title=title, text=text, level="WARN", wait_duration=60000))
        return self.add(record)

    def preempting(self) -> "LogBuilder":
        record = pb.Record()
        record.preempting.SetInParent()
        return self.add(record)

    def exit(self, code: int = 0) -> "LogBuilder":
        record = pb.Record()
        record.exit.exit_code = code
        record.exit.runtime = int(self.step * 0.5)
        return self.add(record).close()


def everything(
    parent: Path, run_id: str = "all", *, n_rows: int = 40, producer: str = "wandb-ng/0.1.0"
) -> LogBuilder:
    """Return a finished log with every kind of record that is uploaded."""
    log = LogBuilder(
        parent,
        run_id,
        producer=producer,
        display_name="a name",
        notes="notes",
        tags=["x", "y"],
        run_group="g",
        job_type="train",
        host="somewhere",
        config={"lr": 0.1, "net": {"layers": [1, 2], "empty": {}}},
    )
    log.environment(
        os="Linux", python="CPython 3.11.7", program="/code/train.py", host="somewhere", writer_id="w1"
    )
    log.file("requirements.txt", b"numpy==2.0\n").file("media/images/a.png", b"\x89PNG")
    log.metric("loss", summary="min,mean").metric("val/*", summary="max")
    for i in range(n_rows):
        log.row(
            {
                "loss": 1 / (i + 1),
                "acc": float(i),
                "val/x": (i * 7) % 5,
                "phase": "train",
                "d": {"e": {"f": i}},
            }
        )
        if i % 5 == 0:
            log.output(f"step {i}\n", after_s=i).stats(i, cpu=i * 1.5)
        if i % 7 == 0:
            log.output("\x1b[Alast line again\n", after_s=i).output("oops\n", error=True, after_s=i)
        if i == n_rows // 2:
            log.config(late={"a": None}).summary(best=3.5, gone=1).alert("half", "way").summary(
                remove=["gone"]
            )
    return log.output("no line feed").exit(0)


def grow(log: LogBuilder, rng: random.Random) -> None:
    """Append a record of a random kind."""
    kind = rng.randrange(9)
    if kind < 3:
        log.row(a=rng.random(), b=rng.randrange(100), text=rng.choice("xyz") * rng.randrange(200))
    elif kind == 3:
        log.output(
            rng.choice(["line\n", "part", "\rover", "\x1b[Aup\n", "many\n" * 40]), after_s=rng.random()
        )
    elif kind == 4:
        log.output("bad\n", error=True)
    elif kind == 5:
        log.stats(rng.random() * 100, cpu=rng.random())
    elif kind == 6:
        log.summary(best=rng.randrange(5))
    elif kind == 7:
        log.config(**{rng.choice("abc"): rng.randrange(5)})
    else:
        log.metric(rng.choice(["a", "b*"]), summary=rng.choice(["min", "mean,max", "none"]))
