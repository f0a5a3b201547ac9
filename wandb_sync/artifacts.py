"""The artifacts that a log names: their files, and how one of them comes to the server.

The log is the queue: the session notes where the records are (`Noted`), and the checkpoint keeps which of
them are done.  A record is read again when its turn comes.

Rule 1: nothing is sent that is not what was recorded: a file's digest is looked at before its bytes go.
Rule 2: a kill between any two requests costs no version and makes none twice: whoever goes on asks the server
        first what it has of the id that the recorder made up.
Rule 3: versions of one name come one after the other, in the order of the log; different names side by side.
Rule 4: one that cannot be uploaded is told, and the run is not called synced; the others are uploaded.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import gzip
import hashlib
import json
import mimetypes
import os
import queue
import re
import threading
from collections import deque
from pathlib import Path
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from google.protobuf.message import DecodeError

from wandb.content_names import place_of
from wandb.errors import AuthenticationError, Error, LogError, RejectedError, SyncError
from wandb.proto.record_pb2 import ArtifactManifest, ArtifactRecord, Record, UseArtifactRecord
from wandb.transaction_log.parser import Record as LogRecord
from wandb.transaction_log.reader import Reader
import wandb_sync.artifact_protocol as protocol
from wandb_sync.artifact_protocol import FileToSend, Version
from wandb_sync.noted import Noted
from wandb_sync.protocol import Bucket, upload
from wandb_sync.record_kind import kind_of
from wandb_sync.transport.base import FileBody, Request, Transport

FILES_PER_REQUEST = 25  # as the real client asks
PARALLEL_ARTIFACTS = 4  # names per run
PARALLEL_FILES = 8  # per artifact; the connections are shared by all runs
MULTIPART_FROM_BYTES = 2 * 1024**3
PART_BYTES = 100 * 1024**2
MAX_PARTS = 10_000
FOLDER = "artifacts"  # of a run directory: files by their digests; our recorder puts them there, and packs
PIECE_BYTES = 1 << 20
_RUN_DIRECTORY = re.compile(r"(offline-)?run-\d{8}_\d{6}-.+")
_ADDRESS = re.compile(rf"{protocol.CLIENT_SCHEME}://([^/:]+)(:latest)?/(.*)", re.DOTALL)


class Failed(SyncError):
    """One artifact cannot be uploaded; the message says why."""


class _NotYet(Exception):
    """It refers to an artifact that is on its way itself."""


class Entry(NamedTuple):
    """One line of a manifest; `ref` is empty for a file.

    Attributes:
        algorithm: Of the digest, "MD5" or "XXH128".
        digest: In base64.
    """

    path: str
    digest: str
    size: int
    ref: str
    local_path: str
    birth_id: str
    algorithm: str
    skip_cache: bool
    extra: Dict[str, Any]

    @property
    def place(self) -> str:
        """Where a run directory has it, if it has it."""
        return f"{FOLDER}/{place_of(self.digest, self.algorithm)}"


def read_noted(log: Path, begin: int) -> "Union[ArtifactRecord, UseArtifactRecord]":
    """Return the record that follows `begin`.

    Raises:
        Failed: It is not there any more.
    """
    try:
        with Reader(log, begin) as reader:
            for event in reader.events():
                if isinstance(event, LogRecord):
                    record = Record.FromString(event.payload)
                    if record.HasField("artifact"):
                        return record.artifact
                    if record.HasField("use_artifact"):
                        return record.use_artifact
                    break
    except (LogError, DecodeError) as error:
        raise Failed(f"its record cannot be read again: {error}") from error
    raise Failed("its record cannot be read again: the log has changed")


def entries_of(manifest: ArtifactManifest, run_directory: Path) -> Iterator[Entry]:
    """Yield what a manifest lists, in order of the paths.

    Raises:
        Failed: The list is in a file of its own, which cannot be read.
    """
    if manifest.manifest_file_path:
        yield from sorted(_entries_of_file(manifest.manifest_file_path, run_directory), key=_by_path)
        return
    for item in sorted(manifest.contents, key=lambda item: item.path.encode("utf-8", "surrogatepass")):
        extra = {}
        for one in item.extra:
            with contextlib.suppress(ValueError):
                extra[one.key] = json.loads(one.value_json)
        yield Entry(
            item.path,
            item.digest,
            item.size,
            item.ref,
            item.local_path,
            item.birth_artifact_id,
            _algorithm(extra),
            item.skip_cache,
            extra,
        )


def _entries_of_file(path: str, run_directory: Path) -> Iterator[Entry]:
    """Yield what is in a list of JSON lines, packed, which stands in for a manifest of very many files."""
    try:
        found = _inside(path, run_directory) or Path(path)
        with gzip.open(found, "rt", encoding="utf-8") as file:
            for line in file:
                item = json.loads(line)
                extra = item.get("extra") or {}
                yield Entry(
                    str(item["path"]),
                    str(item["digest"]),
                    int(item.get("size") or 0),
                    str(item.get("ref") or ""),
                    str(item.get("local_path") or ""),
                    str(item.get("birthArtifactID") or ""),
                    _algorithm(extra),
                    bool(item.get("skip_cache")),
                    extra,
                )
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Failed(f"the list of its files {path} cannot be read: {reason}") from error


def _algorithm(extra: Dict[str, Any]) -> str:
    """Return one of two words: it becomes a part of paths, whatever a log from elsewhere says."""
    return "XXH128" if extra.get("alg") == "XXH128" else "MD5"


def _by_path(entry: Entry) -> bytes:
    return entry.path.encode("utf-8", "surrogatepass")


def find_file(entry: Entry, run_directory: Path) -> Path:
    """Return where a file of an artifact is now: in the run directory, or where it was recorded.

    Raises:
        Failed: It is nowhere, or has another size.
    """
    sizes = []
    named = Path(entry.local_path) if os.path.isabs(entry.local_path) else None
    for path in (run_directory / entry.place, _inside(entry.local_path, run_directory), named):
        with contextlib.suppress(OSError, ValueError):
            if path is not None and path.is_file():
                if path.stat().st_size == entry.size:
                    return path
                sizes.append(path.stat().st_size)
    if sizes:
        raise Failed(f"its file {entry.path} has changed: it has {sizes[0]} bytes, not {entry.size}")
    where = entry.local_path or run_directory / entry.place
    raise Failed(f"its file {entry.path} is gone: there is no {where}")


class Made(NamedTuple):
    """An artifact that a log makes, and whether its files are here.

    Attributes:
        n_files, n_bytes: Without references.
        trouble: What is the matter with the first file that cannot be uploaded from here; empty if all can.
    """

    name: str
    type: str
    n_files: int
    n_bytes: int
    trouble: str


def made_in(log: Path) -> Iterator[Made]:
    """Yield the artifacts that a log makes, in order; reads all of it.

    Raises:
        LogError: The log cannot be read.
    """
    for record in _records_in(log):
        n_files = n_bytes = 0
        trouble = ""
        try:
            for entry in entries_of(record.manifest, log.parent):
                if not entry.ref:
                    n_files, n_bytes = n_files + 1, n_bytes + entry.size
                    trouble = trouble or _trouble_with(entry, log.parent)
        except Failed as error:
            trouble = error.message
        yield Made(record.name, record.type, n_files, n_bytes, trouble)


def _trouble_with(entry: Entry, run_directory: Path) -> str:
    try:
        find_file(entry, run_directory)
    except Failed as error:
        return error.message
    return ""


def _records_in(log: Path) -> Iterator[ArtifactRecord]:
    with Reader(log) as reader:
        for event in reader.events():
            if isinstance(event, LogRecord) and kind_of(event.payload) == Record.ARTIFACT_FIELD_NUMBER:
                with contextlib.suppress(DecodeError):
                    yield Record.FromString(event.payload).artifact


def files_outside(log: Path) -> Dict[str, Path]:
    """Return files of a log's artifacts that are not in its run directory, by the place that they have there.

    The real client keeps all of them elsewhere.  What is gone, or has another size, is left out.

    Raises:
        LogError: The log cannot be read.
    """
    outside: Dict[str, Path] = {}
    for record in _records_in(log):
        with contextlib.suppress(Failed):
            for entry in entries_of(record.manifest, log.parent):
                if entry.ref or entry.place in outside:
                    continue
                with contextlib.suppress(Failed):
                    path = find_file(entry, log.parent)
                    if log.parent not in path.parents:
                        outside[entry.place] = path
    return outside


def _inside(path: str, run_directory: Path) -> Optional[Path]:
    """Return where a path that led into the run directory leads to, wherever that is by now."""
    parts = Path(path).parts
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == run_directory.name or _RUN_DIRECTORY.fullmatch(parts[index]):
            rest = parts[index + 1 :]
            return None if ".." in rest else run_directory.joinpath(*rest)
    return None


class _Ready(NamedTuple):
    """A file that is what it was recorded as, with the MD5s that the server wants; `path` is where it is."""

    entry: Entry
    path: Path
    told: FileToSend


def _told(entry: Entry, run_directory: Path) -> FileToSend:
    """Return what the server is told of a file; it is read only if its record does not say that already."""
    if entry.algorithm == "MD5" and entry.size < MULTIPART_FROM_BYTES:
        return FileToSend(entry.path, entry.digest, mimetypes.guess_type(entry.path)[0] or "")
    return _checked(entry, run_directory).told


def _checked(entry: Entry, run_directory: Path) -> _Ready:
    """Read a file and see that it is what was recorded.

    Raises:
        Failed: It is not.
    """
    path = find_file(entry, run_directory)
    whole = hashlib.md5(usedforsecurity=False)
    other = _xxh128() if entry.algorithm == "XXH128" else None
    if entry.algorithm == "XXH128" and other is None and run_directory not in path.parents:
        raise Failed(f"its file {entry.path} cannot be checked: XXH128 needs the package xxhash")
    part_bytes = max(PART_BYTES, -(-entry.size // MAX_PARTS)) if entry.size >= MULTIPART_FROM_BYTES else 0
    parts: List[str] = []
    part, left = hashlib.md5(usedforsecurity=False), part_bytes
    try:
        with open(path, "rb") as file:
            while piece := file.read(min(PIECE_BYTES, left) if part_bytes else PIECE_BYTES):
                whole.update(piece)
                if other is not None:
                    other.update(piece)
                if part_bytes:
                    part.update(piece)
                    left -= len(piece)
                    if not left:
                        parts.append(part.hexdigest())
                        part, left = hashlib.md5(usedforsecurity=False), part_bytes
    except OSError as error:
        raise Failed(f"its file {entry.path} cannot be read: {error.strerror}") from error
    if part_bytes and left < part_bytes:
        parts.append(part.hexdigest())
    md5 = base64.b64encode(whole.digest()).decode()
    found = base64.b64encode(other.digest()).decode() if other is not None else md5
    if found != entry.digest and (other is not None or entry.algorithm != "XXH128"):
        raise Failed(f"its file {entry.path} has changed since it was logged: its digest is another")
    mimetype = mimetypes.guess_type(entry.path)[0] or ""
    return _Ready(entry, path, FileToSend(entry.path, md5, mimetype, parts))


def _xxh128() -> Any:
    try:
        from xxhash import xxh128  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    return xxh128()


class ArtifactUpload:
    """The upload of one artifact; used by one thread."""

    def __init__(
        self,
        transport: Transport,
        where: Bucket,
        noted: Noted,
        log: Path,
        *,
        ask_first: bool,
        is_coming: Callable[[str], bool],
        known_ids: Mapping[str, str],
    ) -> None:
        """Prepare; nothing is read or sent.

        Args:
            where: The run on the server.
            log: The log that has the record.
            ask_first: Whether an earlier attempt may have begun it.
            is_coming: Whether an artifact of the run, by its recorder's id, is yet to be uploaded.
            known_ids: What the server calls those that have arrived, by their recorder's ids, which it need
                not know itself: it may have had the same content before.  Others add to it meanwhile.
        """
        self._transport = transport
        self._where = where
        self._noted = noted
        self._log = log
        self._ask_first = ask_first
        self._is_coming = is_coming
        self._known_ids = known_ids

    def run(self) -> Version:
        """Upload it; if it was made elsewhere, say that it was used, or link it.

        Raises:
            Failed: It cannot be uploaded.
            RejectedError: The server does not take it.
            CommError: It may work later; what has arrived is there.
        """
        record = read_noted(self._log, self._noted.begin)
        if isinstance(record, UseArtifactRecord):
            return self._use(record)
        return self._upload(record)

    # ---- used

    def _use(self, record: UseArtifactRecord) -> Version:
        found = self._meant(record)
        if record.HasField("link"):
            link = record.link
            entity, project = link.entity or self._where.entity, link.project or self._where.project
            self._send(protocol.link_artifact(found.id, entity, project, link.collection, link.aliases))
        else:
            self._send(protocol.use_artifact(found.id, self._where))
        return found

    def _meant(self, record: UseArtifactRecord) -> Version:
        """Return the version that is meant: by the server's id, the recorder's, or a name and a digest."""
        found = None
        if record.client_id:
            found = self._by_id(self._id_of(record.client_id))
        found = found or self._by_id(record.id)
        if found is None and record.name:
            *place, name = record.name.split("/")
            entity = record.entity or (place[-2] if len(place) > 1 else self._where.entity)
            project = record.project or (place[-1] if place else self._where.project)
            found = protocol.read_by_name(self._send(protocol.artifact_by_name(entity, project, name)))
            if found is not None and record.digest not in ("", found.digest):
                collection = name.partition(":")[0]
                answer = self._send(protocol.collection_versions(entity, project, collection))
                same = [one for one in protocol.read_versions(answer) if one.digest == record.digest]
                found = same[0] if same else None
        if found is None:
            raise Failed("the server does not have it")
        return found

    def _id_of(self, client_id: str) -> str:
        """Return what the server calls an artifact of a recorder; empty if it does not have it."""
        is_coming = self._is_coming(client_id)  # before the other questions: it may arrive meanwhile
        id = self._known_ids.get(client_id)
        id = id or protocol.read_mapping(self._send(protocol.client_id_mapping(client_id)))
        if not id and is_coming:
            raise _NotYet
        return id

    def _by_id(self, id: str) -> Optional[Version]:
        return protocol.read_by_id(self._send(protocol.artifact_by_id(id))) if id else None

    # ---- made

    def _upload(self, record: ArtifactRecord) -> Version:
        name = self._name(record)
        found = self._begun(record, name) if self._ask_first and record.client_id else None
        if found is None:
            step = self._noted.step if self._noted.step >= 0 else None
            request = protocol.create_artifact(record, self._where, name, step)
            found = protocol.read_created(self._send(request))
        if found.state != protocol.COMMITTED:
            try:
                found = self._fill(record, found)
            except RejectedError:
                now = self._by_id(found.id)
                if now is None or now.state != protocol.COMMITTED:
                    raise
                found = now  # by somebody else, who has another copy of the log
        if record.use_after_commit:
            self._send(protocol.use_artifact(found.id, self._where))
        return found

    def _name(self, record: ArtifactRecord) -> str:
        """Return its name: one that begins with the run's id has that of the run as it is called now."""
        prefix = f"run-{record.run_id}-"
        if record.run_id and record.name.startswith(prefix):
            return f"run-{self._where.name}-{record.name[len(prefix):]}"
        return record.name

    def _begun(self, record: ArtifactRecord, name: str) -> Optional[Version]:
        """Return what an earlier attempt has left on the server."""
        found = self._by_id(protocol.read_mapping(self._send(protocol.client_id_mapping(record.client_id))))
        if found is None or found.place != (self._where.entity, self._where.project, name):
            return None
        return found if found.state in (protocol.PENDING, protocol.COMMITTED) else None

    def _fill(self, record: ArtifactRecord, version: Version) -> Version:
        """Bring files and manifest, and commit."""
        directory = self._log.parent
        entries = [self._resolved(entry) for entry in entries_of(record.manifest, directory)]
        kind = (
            protocol.PATCH
            if record.distributed_id
            else protocol.INCREMENTAL if record.incremental_beta1 else protocol.FULL
        )
        base_id = (record.base_id or version.latest_id) if kind != protocol.FULL else record.base_id
        create = protocol.create_manifest
        answer = self._send(create(version.id, base_id, kind, self._where, "", with_upload=False))
        manifest_id, _ = protocol.read_manifest(answer)
        born = self._send_files(version.id, manifest_id, [entry for entry in entries if not entry.ref])
        body = _manifest_body(record.manifest, entries, born)
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        answer = self._send(create(version.id, base_id, kind, self._where, digest, with_upload=True))
        _, place = protocol.read_manifest(answer)
        if place is None:
            raise RejectedError("CreateArtifactManifest: the server has no address for the manifest")
        self._send(upload(place, body))
        if record.distributed_id and not record.finalize:
            return version  # another process will say that it is whole
        return protocol.read_committed(self._send(protocol.commit_artifact(version.id)))

    def _resolved(self, entry: Entry) -> Entry:
        """Let what refers to an artifact by its recorder's id refer to it as the server knows it."""
        address = _ADDRESS.fullmatch(entry.ref)
        if address is None:
            return entry
        id = self._id_of(address[1])
        if not id:
            raise Failed(f"{entry.path} refers to an artifact that the server does not have")
        return entry._replace(ref=f"{protocol.ARTIFACT_SCHEME}://{protocol.hex_id(id)}/{address[3]}")

    def _send_files(self, artifact_id: str, manifest_id: str, entries: Sequence[Entry]) -> Dict[str, str]:
        """Bring the files; returns by path which artifact their bytes have come with."""
        born: Dict[str, str] = {}
        with concurrent.futures.ThreadPoolExecutor(PARALLEL_FILES) as pool:
            for start in range(0, len(entries), FILES_PER_REQUEST):
                some = entries[start : start + FILES_PER_REQUEST]
                told = list(pool.map(lambda entry: _told(entry, self._log.parent), some))
                request = protocol.create_files(artifact_id, manifest_id, told)
                places = protocol.read_files(self._send(request), [entry.path for entry in some])
                for entry, place in zip(some, places):
                    born[entry.path] = place.birth_id or artifact_id
                for _ in pool.map(self._send_file, some, places, [artifact_id] * len(some)):
                    pass
        return born

    def _send_file(self, entry: Entry, place: protocol.FilePlace, artifact_id: str) -> None:
        """Send one file, if the server wants it."""
        if place.upload is None and not place.parts:
            return
        file = _checked(entry, self._log.parent)
        if place.parts:
            for request in _part_requests(file, place):
                self._send(request)
            self._send(protocol.complete_multipart(artifact_id, place, file.told.parts))
        elif place.upload is not None:
            self._send(upload(place.upload, FileBody(str(file.path), entry.size)))

    def _send(self, request: Request) -> Any:
        return self._transport.send(request)


def _part_requests(file: _Ready, place: protocol.FilePlace) -> Iterator[Request]:
    n_parts = len(file.told.parts)
    part_bytes = max(PART_BYTES, -(-file.entry.size // MAX_PARTS))
    for number in range(1, n_parts + 1):
        begin = (number - 1) * part_bytes
        if number not in place.parts:
            raise RejectedError(f"CreateArtifactFiles: no address for part {number} of {file.entry.path}")
        n_bytes = min(part_bytes, file.entry.size - begin)
        yield upload(place.parts[number], FileBody(str(file.path), n_bytes, begin))


def _manifest_body(manifest: ArtifactManifest, entries: Iterable[Entry], born: Dict[str, str]) -> bytes:
    """Return the file that lists an artifact's files, as the real client writes it, without our paths."""
    config: Dict[str, Any] = {}
    for item in manifest.storage_policy_config:
        try:
            config[item.key] = json.loads(item.value_json)
        except ValueError:
            config[item.key] = item.value_json
    contents: Dict[str, Any] = {}
    for entry in entries:
        one: Dict[str, Any] = {"digest": entry.digest}
        if entry.ref:
            one["ref"] = entry.ref
        one["size"] = entry.size
        birth_id = born.get(entry.path) or entry.birth_id
        if birth_id:
            one["birthArtifactID"] = birth_id
        one["skip_cache"] = entry.skip_cache
        if entry.extra:
            one["extra"] = entry.extra
        contents[entry.path] = one
    body = {
        "version": manifest.version or 1,
        "storagePolicy": manifest.storage_policy or "wandb-storage-policy-v1",
        "storagePolicyConfig": config or {"storageLayout": "V2"},
        "contents": contents,
    }
    return json.dumps(body, separators=(",", ":")).encode()


class Result(NamedTuple):
    """What became of one: the server's answer, or why there is none."""

    noted: Noted
    version: Optional[Version]
    error: Optional[Error]


def is_final(error: Error) -> bool:
    """Say whether an error is of the artifact itself, and not one that may pass."""
    is_refused = isinstance(error, RejectedError) and not isinstance(error, AuthenticationError)
    return is_refused or isinstance(error, Failed)


class ArtifactQueue:
    """Uploads artifacts in threads of its own.  The methods are for one thread."""

    def __init__(self, start: Callable[[Noted, Callable[[str], bool]], ArtifactUpload]) -> None:
        """Prepare; a thread is started with the first artifact.

        Args:
            start: Makes an upload; gets also what says which artifacts are yet to come.
        """
        self._start = start
        self._known: Set[str] = set()  # keys of all that were ever added
        self._open: Dict[str, Noted] = {}  # by key; those that have not come back
        self._chains: Dict[str, Deque[Noted]] = {}  # by name; a thread is at the first of each
        self._lock = threading.Lock()  # for the chains
        self._parked: Set[str] = set()  # names whose first refers to one that is yet to come
        self._n_back = 0  # how many have come back
        # Or a name that is to be parked, and how many had come back when it was begun.
        self._results: "queue.SimpleQueue[Union[Result, Tuple[str, int]]]" = queue.SimpleQueue()
        self._pool: Optional[concurrent.futures.ThreadPoolExecutor] = None
        self.closed = threading.Event()  # no request is to be begun any more

    @property
    def n_open(self) -> int:
        """How many have been added and not come back."""
        return len(self._open)

    @property
    def has_results(self) -> bool:
        return not self._results.empty()

    def add(self, noted: Sequence[Noted]) -> None:
        """Begin with those that are new."""
        for one in noted:
            if one.key in self._known:
                continue
            self._known.add(one.key)
            self._open[one.key] = one
            name = one.name.rpartition("/")[2].partition(":")[0]
            with self._lock:
                chain = self._chains.setdefault(name, deque())
                chain.append(one)
                is_idle = len(chain) == 1
            if is_idle:
                self._submit(name)

    def results(self, wait_s: float = 0.0) -> Iterator[Result]:
        """Yield what has come back; with `wait_s`, wait so long for the first one."""
        while True:
            try:
                found = self._results.get(timeout=wait_s) if wait_s else self._results.get_nowait()
            except queue.Empty:
                return
            if isinstance(found, Result):
                yield found  # before those that have waited for it go on
                del self._open[found.noted.key]
                self._n_back += 1
                parked, self._parked = self._parked, set()
                for name in parked:
                    self._submit(name)
                wait_s = 0.0
                continue
            name, n_back = found
            if n_back != self._n_back:
                self._submit(name)  # what it refers to may have come back meanwhile
                continue
            self._parked.add(name)
            if sum(len(self._chains[one]) for one in self._parked) == len(self._open):
                # They wait for each other, or for what has failed.
                self._parked.discard(name)
                self._come_back(name, Failed("it refers to an artifact that has not arrived"))
                if self._chains[name]:
                    self._submit(name)

    def close(self) -> None:
        """Begin with no other; wait for the requests that are under way."""
        self.closed.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    def _submit(self, name: str) -> None:
        if self._pool is None:
            self._pool = concurrent.futures.ThreadPoolExecutor(PARALLEL_ARTIFACTS, "artifacts")
        self._pool.submit(self._work, name)

    def _work(self, name: str) -> None:
        has_more = True
        while has_more and not self.closed.is_set():
            noted = self._chains[name][0]
            n_back = self._n_back
            try:
                found = self._start(noted, lambda client_id: self._is_coming(client_id, noted)).run()
                has_more = self._come_back(name, found)
            except _NotYet:
                self._results.put((name, n_back))
                return
            except Error as error:
                has_more = self._come_back(name, error)
            except Exception as error:  # our own fault costs this artifact, not the run
                has_more = self._come_back(name, Failed(f"{type(error).__name__}: {error}"))

    def _come_back(self, name: str, what: Union[Version, Error]) -> bool:
        """Give back what became of the first of a chain; says whether there is another one."""
        with self._lock:
            noted = self._chains[name].popleft()
            has_more = bool(self._chains[name])
        if isinstance(what, Error):
            self._results.put(Result(noted, None, what))
        else:
            self._results.put(Result(noted, what, None))
        return has_more

    def _is_coming(self, client_id: str, asking: Noted) -> bool:
        others = list(self._open.values())
        return any(
            client_id in (one.client_id, one.sequence_client_id) and one.key != asking.key for one in others
        )
