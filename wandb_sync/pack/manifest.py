"""What a pack says of itself.  Spec, with reasons: schema/pack/FORMAT.md.

The first member of a pack is its manifest: everything that follows, in order, with sizes.  The last is its
sums: the digests of what came.  So a reader can refuse a pack before it has written anything, and nothing can
be in a pack that the manifest does not name.

Rule 1: a manifest comes from a stranger.  What is not exactly as the spec has it is refused (BadPack), never
        mended.
Rule 2: nothing here does any I/O.
Rule 3: which pack follows which is told by the content alone: where each log's piece begins, and which files
        must be there already.  No counter, no register can be lost or be wrong.
"""

from __future__ import annotations

import enum
import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

from wandb.errors import BadPack
from wandb.transaction_log.format import LOG_SUFFIX, SIDE_MARK

MANIFEST_NAME, SUMS_NAME = "wandb-pack.json", "wandb-pack-sums.json"
MANIFEST_FORMAT, SUMS_FORMAT = "wandb-ng pack", "wandb-ng pack sums"
VERSION = 1

MAX_MANIFEST_BYTES = 1 << 30  # some four million files; the bound of a reader's memory
MAX_PATH_BYTES, MAX_NAME_BYTES = 4000, 255  # of Linux; what is longer could not be written anyway
MEMORY_NAME = "wandb.packed"
# What the syncer itself keeps beside a log never travels: it says what *this* side knows.
_SIDECAR = re.compile(
    re.escape(LOG_SUFFIX) + r"\.(.*\.)?(checkpoint|receipt|lease|synced|syncstate|printed|refused)(\..*)?\Z|"
    r"\A" + re.escape(MEMORY_NAME) + r"(\..*)?\Z"
)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class LogPiece(NamedTuple):
    """A piece of a log: bytes `begin` to `end`, none if they are equal.

    Attributes:
        path: Relative to the run directory.
        crc32_before: Of the log's first `begin` bytes: what the piece may be put behind.
        mtime_ns: When the log was last written to.
    """

    path: str
    begin: int
    end: int
    crc32_before: int
    mtime_ns: int


class FileState(NamedTuple):
    """A file of a run, carried or not.

    Attributes:
        path: Relative to the run directory.
        sha256: Of a file that an earlier pack carried; empty for one that this pack carries (see the sums).
    """

    path: str
    n_bytes: int
    mtime_ns: int
    sha256: str

    @property
    def is_carried(self) -> bool:
        return not self.sha256


class Run(NamedTuple):
    """A run directory.

    Attributes:
        directory: Its name.
        run: entity, project and id, as the log says; which directories belong together.
        made_at_ns: When its state was taken; grows from pack to pack.
        before_ns: The same of the pack before, if this one builds on it; else 0.
        is_open: Whether the run was going on.
        left_out: Path -> why it is not in this pack.
    """

    directory: str
    run: Tuple[str, str, str]
    made_at_ns: int
    before_ns: int
    is_open: bool
    directories: Tuple[str, ...]
    logs: Tuple[LogPiece, ...]
    files: Tuple[FileState, ...]
    left_out: Mapping[str, str]

    @property
    def n_bytes(self) -> int:
        """How much of it this pack carries."""
        return sum(log.end - log.begin for log in self.logs) + sum(
            file.n_bytes for file in self.files if file.is_carried
        )


class Member(NamedTuple):
    """One member of the tar file, between manifest and sums."""

    name: str
    n_bytes: int
    run: Run
    content: Any  # LogPiece or FileState

    @property
    def is_log(self) -> bool:
        return isinstance(self.content, LogPiece)


class Sum(NamedTuple):
    """What was really packed.

    Attributes:
        has_changed: Whether the file was written to while it was packed, so that the member is of no use.
        crc32: Of a log's first `end` bytes; 0 for a file.
    """

    sha256: str
    crc32: int
    has_changed: bool


class Manifest(NamedTuple):
    """See the module."""

    made_at_ns: int
    producer: str
    runs: Tuple[Run, ...]

    def members(self) -> List[Member]:
        """Return what follows the manifest, in order."""
        found = []
        for run in self.runs:
            for log in run.logs:
                if log.end > log.begin:
                    found.append(Member(member_name(run, log), log.end - log.begin, run, log))
            for file in run.files:
                if file.is_carried:
                    found.append(Member(f"{run.directory}/{file.path}", file.n_bytes, run, file))
        return found

    def to_json(self) -> Dict[str, Any]:
        runs = []
        for run in self.runs:
            body = run._asdict()
            body["run"] = dict(zip(("entity", "project", "id"), run.run))
            body["directories"] = list(run.directories)
            body["logs"] = [log._asdict() for log in run.logs]
            body["files"] = [file._asdict() for file in run.files]
            runs.append({**body, "left_out": dict(run.left_out)})
        return {
            "format": MANIFEST_FORMAT,
            "version": VERSION,
            "made_at_ns": self.made_at_ns,
            "producer": self.producer,
            "runs": runs,
        }


def member_name(run: Run, log: LogPiece) -> str:
    """Return what a piece of a log is called; the whole log has its own name, so that `tar -x` does."""
    return f"{run.directory}/{log.path}" + (f".from-{log.begin}" if log.begin else "")


def is_sidecar(path: str) -> bool:
    """Whether a path of a run directory is one of the syncer's own files."""
    return "/" not in path and bool(_SIDECAR.search(path))


def is_log(path: str) -> bool:
    """Whether a path of a run directory is a log, or a side log of one, in its plain form."""
    main, mark, side = path.partition(LOG_SUFFIX + SIDE_MARK)
    return "/" not in path and (path.endswith(LOG_SUFFIX) or bool(mark and main and side) and "." not in side)


def check_path(path: str, what: str) -> None:
    """Refuse what is not a plain path below the directory that it is relative to.

    Raises:
        BadPack: It is absolute, leads upwards, is not in its simplest form, or no file could have it.
    """
    parts = path.split("/") if isinstance(path, str) else []
    try:
        names = [part.encode("utf-8", "surrogateescape") for part in parts]
    except UnicodeEncodeError:
        names = []
    good = names and all(
        name not in (b"", b".", b"..")
        and len(name) <= MAX_NAME_BYTES
        and not re.search(rb"[\0-\x1f\x7f\\]", name)
        for name in names
    )
    if not good or sum(map(len, names)) + len(names) > MAX_PATH_BYTES:
        raise BadPack(f"{what}: {str(path)[:100]!r} is not a plain relative path")


# ---- JSON -> manifest, sums


def read_manifest(body: Any) -> Manifest:
    """Return the manifest of a JSON value.

    Raises:
        BadPack: It is not exactly as the spec has it.
    """
    top = _object(body, "the manifest", _MANIFEST)
    _check_version(top, MANIFEST_FORMAT, "the manifest")
    runs = tuple(_run(run) for run in top["runs"])
    _refuse_twice((run.directory for run in runs), "run directory")
    return Manifest(top["made_at_ns"], top["producer"], runs)


def _run(body: Any) -> Run:
    where = "the manifest"
    fields = _object(body, where, _RUN)
    directory = fields["directory"]
    check_path(directory, where)
    if "/" in directory or directory.startswith(".") or directory in (MANIFEST_NAME, SUMS_NAME):
        raise BadPack(f"{where}: {directory!r} is no name of a run directory")
    who = _object(fields["run"], where, {"entity": str, "project": str, "id": str})
    logs = tuple(LogPiece(**_object(log, where, _LOG)) for log in fields["logs"])
    files = tuple(FileState(**_object(file, where, _FILE)) for file in fields["files"])
    directories = fields["directories"]
    for path in (*directories, *(file.path for file in files), *(log.path for log in logs)):
        check_path(path, where)
        if is_sidecar(path):
            raise BadPack(f"{where}: {path!r} is the syncer's own and does not travel")
    for log in logs:
        if not is_log(log.path):
            raise BadPack(f"{where}: {log.path!r} is no log of a run directory")
        if log.begin > log.end or log.crc32_before >> 32 or (not log.begin and log.crc32_before):
            raise BadPack(f"{where}: {log.path!r} has a piece that cannot be")
    for file in files:
        if file.sha256 and not _SHA256.match(file.sha256):
            raise BadPack(f"{where}: {file.path!r} has a digest that is none")
    leaves = [log.path for log in logs] + [file.path for file in files]
    _refuse_twice([*leaves, *directories], "path")
    # What a tar member is called must not be the name of something else either.
    _refuse_twice([*leaves, *(f"{log.path}.from-{log.begin}" for log in logs if log.begin)], "path")
    known = set(leaves)
    for path in (*leaves, *directories):
        parent = path
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in known:
                raise BadPack(f"{where}: {parent!r} is a file and a directory")
    left_out = {str(path): str(reason) for path, reason in fields["left_out"].items()}
    return Run(
        directory,
        (who["entity"], who["project"], who["id"]),
        fields["made_at_ns"],
        fields["before_ns"],
        fields["is_open"],
        tuple(directories),
        logs,
        files,
        left_out,
    )


def read_sums(body: Any, members: Sequence[Member]) -> List[Sum]:
    """Return the sums, in the order of the members.

    Raises:
        BadPack: They are not exactly as the spec has it.
    """
    top = _object(body, "the sums", {"format": str, "version": int, "members": list})
    _check_version(top, SUMS_FORMAT, "the sums")
    sums = []
    for one in top["members"]:
        fields = _object(one, "the sums", {"sha256": str, "crc32": int, "has_changed": bool})
        if not _SHA256.match(fields["sha256"]) or fields["crc32"] >> 32:
            raise BadPack("the sums: one of them is none")
        sums.append(Sum(**fields))
    if len(sums) != len(members):
        raise BadPack(f"the sums: there are {len(sums)} of {len(members)} members")
    if any(one.has_changed and member.is_log for one, member in zip(sums, members)):
        raise BadPack("the sums: a log is said to have changed, which no log does")
    return sums


def sums_to_json(sums: Sequence[Sum]) -> Dict[str, Any]:
    return {"format": SUMS_FORMAT, "version": VERSION, "members": [one._asdict() for one in sums]}


_LOG = {"path": str, "begin": int, "end": int, "crc32_before": int, "mtime_ns": int}
_FILE = {"path": str, "n_bytes": int, "mtime_ns": int, "sha256": str}
_RUN = {
    "directory": str,
    "run": dict,
    "made_at_ns": int,
    "before_ns": int,
    "is_open": bool,
    "directories": list,
    "logs": list,
    "files": list,
    "left_out": dict,
}
_MANIFEST = {"format": str, "version": int, "made_at_ns": int, "producer": str, "runs": list}


def _object(body: Any, where: str, members: Mapping[str, type]) -> Dict[str, Any]:
    """Return a JSON object that has exactly these members, of these types; numbers are natural."""
    if not isinstance(body, dict) or set(body) != set(members):
        raise BadPack(f"{where}: its members are not {', '.join(members)}")
    for name, kind in members.items():
        value: Any = body[name]
        if type(value) is not kind or (type(value) is int and not 0 <= value < 1 << 63):
            raise BadPack(f"{where}: {name} is no {kind.__name__} that it could be")
    return body


def _check_version(top: Mapping[str, Any], wanted: str, where: str) -> None:
    if top["format"] != wanted:
        raise BadPack(f"{where}: is not one of a pack")
    if top["version"] != VERSION:
        raise BadPack(
            f"{where}: has version {top['version']}, we read {VERSION}", hint="use a newer wandb-ng"
        )


def _refuse_twice(names: Iterable[str], what: str) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise BadPack(f"the manifest: names the {what} {name!r} twice")
        seen.add(name)


# ---- what is to be done with a run of a pack


class Here(NamedTuple):
    """What is at the place where a run is to be unpacked.

    Attributes:
        made_at_ns: Of the newest pack that was unpacked here; 0: none was.
        logs: Path -> length in bytes.
        files: Path -> size and SHA-256, as the packs that were unpacked here have brought them.
    """

    made_at_ns: int = 0
    logs: Mapping[str, int] = {}
    files: Mapping[str, Tuple[int, str]] = {}


class Verdict(enum.Enum):
    """What is to be done with a run of a pack."""

    UNPACK = "unpacked"  # there is something new in it
    ALREADY = "already here"  # this pack, or a newer one, was unpacked before
    GAP = "gap"  # a pack in between is missing
    CONFLICT = "conflict"  # what is here is something else


def judge(run: Run, here: Here) -> Tuple[Verdict, str]:
    """Say what is to be done with a run, and why it cannot be done if so."""
    for log in run.logs:
        n_bytes = here.logs.get(log.path, 0)
        if n_bytes < log.begin:
            return Verdict.GAP, f"bytes {n_bytes} to {log.begin} of {log.path} are missing"
    if run.made_at_ns <= here.made_at_ns:
        if all(here.logs.get(log.path, 0) >= log.end for log in run.logs):
            return Verdict.ALREADY, ""
        return Verdict.UNPACK, ""  # an older pack with bytes that somebody has cut off here
    for file in run.files:
        if not file.is_carried and here.files.get(file.path) != (file.n_bytes, file.sha256):
            return Verdict.GAP, f"{file.path} was carried by an earlier pack"
    return Verdict.UNPACK, ""


def takes_files(run: Run, here: Here) -> bool:
    """Whether the files of the run are newer than those that are here."""
    return run.made_at_ns > here.made_at_ns
