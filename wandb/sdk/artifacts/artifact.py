"""`wandb.Artifact`: named, versioned files, and references to files elsewhere.

    artifact = wandb.Artifact("digits", type="dataset")
    artifact.add_file("train.npz")
    run.log_artifact(artifact)

Rule 1: what counts is the content at the moment a file is added: a copy waits in the staging directory
        until the artifact is logged (policy "mutable"), or the user promises to leave the file alone
        ("immutable").
Rule 2: a logged artifact does not change; logged_artifact.py has what can be read of it.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import (
    IO,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
    Union,
    cast,
)

from wandb.content_names import hex_of
from wandb.errors import (
    ArtifactFinalizedError,
    UnreadableFileError,
    ValidationError,
)
from wandb.interface.values import kind_name
from wandb.internal import names
from wandb.internal.content_store import (
    MD5,
    XXH128,
    SourceError,
    copy_hashed,
    file_digest,
    new_hash,
    remove,
)
from wandb.sdk.artifacts import checks, downloads, staging
from wandb.sdk.artifacts.artifact_manifest import ArtifactManifest
from wandb.sdk.artifacts.artifact_manifest_entry import (
    ALGORITHM_KEY,
    LOOSE,
    STAGED,
    STEADY,
    ArtifactManifestEntry,
)
from wandb.sdk.artifacts.artifact_ttl import ArtifactTTL
from wandb.sdk.artifacts.checks import StrPath
from wandb.sdk.artifacts.logged_artifact import LoggedArtifact, not_logged
from wandb.term import termwarn

Method = TypeVar("Method", bound=Callable[..., Any])

POLICIES = ("mutable", "immutable")
CLIENT_ID_LENGTH = 128  # random letters and digits, as wandb has them
_MEDIA_END = re.compile(r"\.[-\w]+\.json$")  # of the name of a file that stands for media
TTL_INHERITED, TTL_DISABLED = -1, -2  # what stands for these in the record, and on the wire


def _draft_only(method: Method) -> Method:
    """Decorate what changes an artifact."""

    @wraps(method)
    def careful(self: Artifact, *args: Any, **kwargs: Any) -> Any:
        if self._final:
            raise ArtifactFinalizedError(
                f"'Artifact.{method.__name__}' used on logged artifact. Can't modify finalized artifact.",
                method.__name__,
            )
        return method(self, *args, **kwargs)

    return cast(Method, careful)


class Artifact(LoggedArtifact):
    """Files and references under a name; each logged content is a version.

    Args:
        name: Letters, digits, `_`, `-` and `.`, 128 at most; versions of one name are versions of one thing.
        type: What it is for, e.g. "dataset" or "model".
        description: Free text.
        metadata: What else there is to say: plain values, 100 keys at most.
        incremental: Add to the latest version instead of replacing it.
        use_as: Without effect, as in wandb.
        storage_region: Where the server is to store the files.
        digest_algorithm: MD5 or XXH128 (which needs the extra `xxhash`).

    Raises:
        ValidationError: An argument is none of that.
    """

    def __init__(
        self,
        name: str,
        type: str,
        description: Optional[str] = None,
        metadata: Optional[Dict[str, Any]] = None,
        incremental: bool = False,
        use_as: Optional[str] = None,
        storage_region: Optional[str] = None,
        digest_algorithm: str = MD5,
    ) -> None:
        super().__init__()
        self._name = checks.artifact_name(name)
        self._type = checks.artifact_type(type, name)
        self._description = description
        self._metadata = checks.metadata_of(metadata)
        self._incremental = bool(incremental)
        self._algorithm = XXH128 if digest_algorithm == XXH128 else MD5
        new_hash(self._algorithm)  # raises here if the library is missing
        if use_as is not None:
            termwarn(
                "`use_as` argument is deprecated and does not affect the behaviour of `wandb.Artifact()`"
            )
        self._manifest = ArtifactManifest(self._algorithm, storage_region)
        self._client_id = names.generate_id(CLIENT_ID_LENGTH)
        self._sequence_client_id = names.generate_id(CLIENT_ID_LENGTH)
        self._distributed_id: Optional[str] = None
        self._base_id: Optional[str] = None
        self._ttl_seconds: Optional[int] = None
        self._ttl_is_inherited = True
        self._ttl_changed = False
        self._final = False
        self._added_paths: Dict[str, ArtifactManifestEntry] = {}
        self._artifact_media: Any = None
        self._added_objects: Dict[int, Tuple[Any, ArtifactManifestEntry]] = {}
        self._new_files: Set[str] = set()
        self._logged_as: Optional[Tuple[Callable[[], Mapping[str, Any]], List[str]]] = None

    @classmethod
    def _from_facts(cls, facts: Mapping[str, Any]) -> Artifact:
        """Return the artifact that `_facts` has described."""
        artifact = cls("placeholder", "placeholder")  # names on a server may be older than the rules for them
        artifact._name, artifact._type = facts["collection"], facts["type"]
        artifact._take_facts(facts)
        artifact.finalize()
        return artifact

    # ---- what it is

    @property
    def description(self) -> Optional[str]:
        """Free text."""
        return self._description

    @description.setter
    def description(self, description: Optional[str]) -> None:
        self._description = description

    @property
    def metadata(self) -> Dict[str, Any]:
        """What else there is to say: plain values, 100 keys at most.

        Raises:
            ValidationError: What it is set to is no such dict.
        """
        return self._metadata

    @metadata.setter
    def metadata(self, metadata: Dict[str, Any]) -> None:
        self._metadata = checks.metadata_of(metadata)

    @property
    def ttl(self) -> Optional[timedelta]:
        """How long the server keeps it; None for ever, ArtifactTTL.INHERIT for what the team has agreed on.

        Raises:
            ArtifactNotLoggedError: It is inherited, and no server has told how long that is.
            ValueError: What it is set to is not positive.
        """
        if self._ttl_is_inherited and (self.is_draft() or self._ttl_changed):
            raise not_logged("ttl")
        return None if self._ttl_seconds is None else timedelta(seconds=self._ttl_seconds)

    @ttl.setter
    def ttl(self, ttl: Union[timedelta, ArtifactTTL, None]) -> None:
        if self._type == "wandb-history":
            raise ValueError("Cannot set artifact TTL for type wandb-history")
        if ttl is ArtifactTTL.INHERIT:
            self._ttl_changed = self._ttl_is_inherited = True
            return
        if ttl is not None and not isinstance(ttl, timedelta):
            raise ValidationError("Artifact.ttl", f"{kind_name(ttl)} is no timedelta")
        if ttl is not None and ttl.total_seconds() <= 0:
            raise ValidationError(
                "Artifact.ttl", f"Artifact TTL Duration has to be positive. ttl: {ttl.total_seconds()}"
            )
        self._ttl_changed, self._ttl_is_inherited = True, False
        self._ttl_seconds = None if ttl is None else int(ttl.total_seconds())

    @property
    def distributed_id(self) -> Optional[str]:
        """What several processes share that make one artifact together."""
        return self._distributed_id

    @distributed_id.setter
    def distributed_id(self, distributed_id: Optional[str]) -> None:
        self._distributed_id = distributed_id

    @property
    def incremental(self) -> bool:
        """Whether it adds to the latest version."""
        return self._incremental

    @property
    def use_as(self) -> Optional[str]:
        """None; wandb has given it up."""
        return None

    @property
    def aliases(self) -> List[str]:
        """The names of this version; `save()` sends what they are set to.

        Raises:
            ArtifactNotLoggedError: No server has told them.
        """
        return cast(List[str], self._told("aliases"))

    @aliases.setter
    def aliases(self, aliases: List[str]) -> None:
        self._told("aliases")
        self._known["aliases"] = checks.texts("aliases", aliases)

    @property
    def tags(self) -> List[str]:
        """The tags of this version; `save()` sends what they are set to.

        Raises:
            ArtifactNotLoggedError: No server has told them.
        """
        return cast(List[str], self._told("tags"))

    @tags.setter
    def tags(self, tags: List[str]) -> None:
        self._told("tags")
        self._known["tags"] = checks.tags_of(tags)

    def save(self, project: Optional[str] = None, settings: Any = None) -> None:
        """Log the artifact to the current run, or to one that is begun for it.

        Args:
            project, settings: Of that run.

        Raises:
            ArtifactNotHereError: It is on a server, and what is new about it cannot be told to it.
        """
        from wandb import init
        from wandb.sdk import active

        if not self.is_draft():
            self._update()
        elif active.current is not None:
            active.current.log_artifact(self)
        else:
            with init(project=project, job_type="auto", settings=settings) as run:
                run.log_artifact(self)

    def wait(self, timeout: Optional[float] = None) -> Artifact:
        """Wait until the server has the artifact, and return it.  Offline there is nothing to wait for.

        Args:
            timeout: Seconds.

        Raises:
            ArtifactNotLoggedError: It has not been logged.
            WaitTimeoutError: It takes longer; it goes on.
        """
        self._require_content("wait")
        if self.is_draft() and self._logged_as is not None and self._mode == "online":
            from wandb.sdk.artifacts import server

            who, aliases = self._logged_as
            collection = self._name
            facts = server.committed(collection, self.digest, who(), aliases, self._mode, timeout)
            self._known, self._name = facts["known"], f"{collection}:{facts['version']}"
        return self

    def new_draft(self) -> Artifact:
        """Return an artifact with the same contents that can be changed, and logged as the next version.

        Raises:
            ArtifactNotLoggedError: This one has not been logged.
        """
        self._require_content("new_draft")
        draft = type(self)(self.source_name.partition(":")[0], self._type)
        draft._description, draft._metadata = self._description, dict(self._metadata)
        draft._algorithm, draft._base_id = self._algorithm, self.id
        draft._manifest = ArtifactManifest.from_manifest_json(
            self._manifest.to_manifest_json(), self._algorithm
        )
        draft._stores = list(self._stores)
        for name, entry in draft._manifest.entries.items():
            entry.local_path = next(iter(downloads.sources(self, self._manifest.entries[name])), None)
            entry.hold = STEADY
        return draft

    def finalize(self) -> None:
        """End all changes; logging does that too."""
        self._final = True

    def __repr__(self) -> str:
        return f"<Artifact {self._name}>"

    # ---- what is in it

    @_draft_only
    def add_file(
        self,
        local_path: StrPath,
        name: Optional[StrPath] = None,
        is_tmp: Optional[bool] = False,
        skip_cache: Optional[bool] = False,
        policy: Optional[str] = "mutable",
        overwrite: bool = False,
    ) -> ArtifactManifestEntry:
        """Add a file.

        Args:
            local_path: The file.
            name: Its name in the artifact.  Default: the last part of the path.
            is_tmp: Put its digest in the place of its name, up to the first dot.
            skip_cache: Do not keep it in the cache.
            policy: "mutable" copies it now (shares its blocks, where the file system can); "immutable" is the
                promise that it stays as it is.
            overwrite: Replace an entry of this name that has other content.

        Raises:
            ArtifactFinalizedError: The artifact has been logged.
            ValidationError: There is no such file, the name is none, or is taken.
            UnreadableFileError: The file cannot be read.
        """
        path = os.fspath(local_path)
        if not os.path.isfile(path):
            raise ValidationError("add_file", f"Path is not a file: {path!r}")
        logical = checks.logical_path(name or os.path.basename(path))
        entry = self._entry_of(path, logical, bool(skip_cache), policy)
        if is_tmp:
            above, _, last = logical.rpartition("/")
            _, dot, end = last.partition(".")
            entry.path = f"{above}/" * bool(above) + hex_of(entry.digest)[:20] + dot + end
        return self._added(path, entry, overwrite)

    @_draft_only
    def add_dir(
        self,
        local_path: StrPath,
        name: Optional[str] = None,
        skip_cache: Optional[bool] = False,
        policy: Optional[str] = "mutable",
        merge: bool = False,
    ) -> None:
        """Add all files below a directory; links are followed, once.

        Args:
            local_path: The directory.
            name: The directory in the artifact.  Default: its top.
            skip_cache, policy: As of `add_file`.
            merge: Replace entries that have other content.

        Raises:
            ArtifactFinalizedError: The artifact has been logged.
            ValidationError: There is no such directory, or a name is taken.
            UnreadableFileError: A file cannot be read.  Files that came before it have been added.
        """
        from wandb.sdk.artifacts.directories import at_once, files_below, told

        top = os.fspath(local_path)
        if not os.path.isdir(top):
            raise ValidationError("add_dir", f"Path is not a directory: {top!r}")
        files = [(os.path.join(name or "", inner), path) for inner, path in files_below(top)]

        def entry_of(file: Tuple[str, str]) -> ArtifactManifestEntry:
            return self._entry_of(file[1], file[0], bool(skip_cache), policy)

        with told(f"Adding directory to artifact ({top})"), at_once(entry_of, files) as entries:
            for (_, path), entry in zip(files, entries):
                self._added(path, entry, merge)

    @contextmanager
    def new_file(
        self, name: str, mode: str = "x", encoding: Optional[str] = None, policy: str = "mutable"
    ) -> Iterator[IO[Any]]:
        """Open a new file that is added when it is closed.

        Args:
            name: Its name in the artifact.
            mode: As of `open`; with "x" the name must be new.
            encoding: As of `open`.

        Raises:
            ArtifactFinalizedError: The artifact has been logged.
            ValidationError: The name is none, or is taken.
        """
        self._require_draft("new_file")
        _checked_policy(policy)
        logical = checks.entry_path(name)
        if "x" in mode and logical in self._new_files:
            raise ValidationError("new_file", f"File with name {name!r} already exists")
        there = self.manifest.entries.get(logical)
        if there is not None and there.hold is STAGED and there.local_path and logical in self._new_files:
            path = there.local_path  # "a" and "r+" go on with it
        else:
            path = staging.new_path()
        self._new_files.add(logical)
        with open(path, mode, encoding=encoding) as file:
            yield file
        entry = self._staged(path, logical, skip_cache=True)
        self.manifest.add_entry(entry, overwrite="x" not in mode)

    @_draft_only
    def add_reference(
        self,
        uri: Union[ArtifactManifestEntry, str],
        name: Optional[StrPath] = None,
        checksum: bool = True,
        max_objects: Optional[int] = None,
    ) -> Sequence[ArtifactManifestEntry]:
        """Add a reference to what lies elsewhere, and stays there.

        Args:
            uri: file://, http(s)://, s3://, gs://, an address of Azure's blobs, any other address, or an
                entry of another artifact.  Directories and prefixes are taken with all that is in them.
            name: Its name in the artifact; the directory, if it is several.
            checksum: Look at it for digest and size.  Without it the digest is that of the address.
            max_objects: How many files or objects there may be.

        Raises:
            ArtifactFinalizedError: The artifact has been logged.
            ValidationError: It is no address, is not there, or has too many objects.
        """
        from wandb.sdk.artifacts import references

        address = uri.ref_url() if isinstance(uri, ArtifactManifestEntry) else uri
        logical = None if name is None else checks.logical_path(name)
        entries = references.entries_of(address, logical, checksum, max_objects)
        for entry in entries:
            self.manifest.add_entry(entry)
        return entries

    @_draft_only
    def add(self, obj: Any, name: StrPath, overwrite: bool = False) -> ArtifactManifestEntry:
        """Add media or a table, with all files that they consist of.

        Args:
            obj: A value of `wandb.data_types`.
            name: Its name in the artifact; the end that says its type may be left out.
            overwrite: Replace what is there of that name; else that stays as it is.

        Raises:
            ArtifactFinalizedError: The artifact has been logged.
            ValidationError: The value cannot stand in an artifact, or the name is none.
        """
        return self._media().add(obj, checks.logical_path(name), overwrite)  # type: ignore[no-any-return]

    def __setitem__(self, name: str, item: Any) -> None:
        self.add(item, name)

    @_draft_only
    def remove(self, item: Union[StrPath, ArtifactManifestEntry]) -> None:
        """Take out an entry, or all below a directory.

        Raises:
            ArtifactFinalizedError: The artifact has been logged.
            FileNotFoundError: There is nothing of that name.
        """
        if isinstance(item, ArtifactManifestEntry):
            found = [item]
        else:
            path = checks.logical_path(item)
            entry = self.manifest.get_entry_by_path(path)
            found = [entry] if entry is not None else self.manifest.get_entries_in_directory(path)
            if not found:
                raise FileNotFoundError(f"No such file or directory: {path}")
        for entry in found:
            self.manifest.remove_entry(entry)

    def get_added_local_path_name(self, local_path: str) -> Optional[str]:
        """Return the name that a file of the user's has in the artifact; None if it was not added."""
        entry = self._added_paths.get(os.fspath(local_path))
        return None if entry is None else entry.path

    def get(self, name: str) -> Any:
        """Return the media or the table that was added under a name; None if there is none.

        Raises:
            ArtifactNotLoggedError: The artifact has not been logged.
        """
        self._require_content("get")
        return self._media().get(name)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    # ---- for media in artifacts

    def _media(self) -> Any:
        """Return what turns media into files of this artifact, and back; loaded when there are some."""
        if self._artifact_media is None:
            from wandb.data_types.artifact_media import ArtifactMedia

            self._artifact_media = ArtifactMedia(self)
        return self._artifact_media

    def _media_entry(self, name: str) -> Optional[ArtifactManifestEntry]:
        """Return the entry of media that were added under a name."""
        candidates = self.manifest.entries.items()
        return next((entry for path, entry in candidates if _MEDIA_END.sub("", path) == name), None)

    def _add_content(self, content: bytes, name: str, overwrite: bool = False) -> ArtifactManifestEntry:
        """Add a file of these bytes.

        Raises:
            ValidationError: The name is none, or is taken.
            OSError: It could not be written.
        """
        path = staging.new_path()
        with open(path, "xb") as file:
            file.write(content)
        entry = self._staged(path, checks.entry_path(name), skip_cache=False)
        return self._added(path, entry, overwrite)

    def _refer(
        self, address: str, entry: ArtifactManifestEntry, name: str, overwrite: bool = False
    ) -> ArtifactManifestEntry:
        """Add a reference to an entry of another artifact."""
        found = ArtifactManifestEntry(name, entry.digest, ref=address, size=0)
        self.manifest.add_entry(found, overwrite)
        return found

    def _digest_of(self, content: bytes) -> str:
        """Return the digest of bytes, in hexadecimal digits."""
        hashed = new_hash(self._algorithm)
        hashed.update(content)
        return str(hashed.hexdigest())

    # ---- inside

    def _update(self) -> None:
        raise downloads.not_here(self)

    def _entry_of(
        self, path: str, name: str, skip_cache: bool, policy: Optional[str]
    ) -> ArtifactManifestEntry:
        """Return the entry of a user's file, with a copy if it may change; any thread may ask.

        Raises:
            ValidationError: The policy is none of the two.
            UnreadableFileError: The file cannot be read.
        """
        name = checks.entry_path(name)
        if _checked_policy(policy) == "mutable":
            try:
                return self._copied(path, name, skip_cache)
            except OSError as error:  # ours: no room for a copy
                termwarn(
                    f"no copy could be made of {path}: {error.strerror or error}; it is uploaded from "
                    "there, so leave it as it is",
                    repeat=False,
                )
        try:
            digest = file_digest(path, self._algorithm)
            size = os.path.getsize(path)
        except OSError as error:
            raise _unreadable(path, error) from None
        entry = self._new_entry(name, digest, size, os.path.abspath(path), skip_cache)
        entry.source = entry.local_path
        entry.hold = STEADY if policy == "immutable" else LOOSE
        return entry

    def _copied(self, path: str, name: str, skip_cache: bool) -> ArtifactManifestEntry:
        copy = staging.new_path()
        try:
            digest, size = copy_hashed(path, copy, self._algorithm)
        except SourceError as error:
            remove(copy)
            raise _unreadable(path, error.error) from None
        except BaseException:
            remove(copy)
            raise
        entry = self._new_entry(name, digest, size, copy, skip_cache)
        entry.hold = STAGED
        entry.source = os.path.abspath(path)
        return entry

    def _staged(self, path: str, name: str, skip_cache: bool) -> ArtifactManifestEntry:
        """Return the entry of a file that was written in the staging directory."""
        digest = file_digest(path, self._algorithm)
        entry = self._new_entry(name, digest, os.path.getsize(path), path, skip_cache)
        entry.hold = STAGED
        return entry

    def _new_entry(
        self, name: str, digest: str, size: int, path: str, skip_cache: bool
    ) -> ArtifactManifestEntry:
        extra = {ALGORITHM_KEY: XXH128} if self._algorithm == XXH128 else None
        return ArtifactManifestEntry(
            name, digest, size=size, extra=extra, local_path=path, skip_cache=skip_cache
        )

    def _added(self, path: str, entry: ArtifactManifestEntry, overwrite: bool) -> ArtifactManifestEntry:
        before = self.manifest.entries.get(entry.path)
        try:
            self.manifest.add_entry(entry, overwrite)
        except ValidationError:
            _discard(entry)
            raise
        if before is not None:
            _discard(before)
        self._added_paths[path] = entry
        return entry

    def _record_fields(self) -> Dict[str, Any]:
        """Return the fields of an ArtifactRecord that the artifact itself knows."""
        from json import dumps

        fields: Dict[str, Any] = {
            "type": self._type,
            "name": self._name.partition(":")[0],
            "client_id": self._client_id,
            "sequence_client_id": self._sequence_client_id,
            "digest": self.digest,
            "digest_algorithm": self.digest_algorithm,
            "distributed_id": self._distributed_id,
            "description": self._description,
            "base_id": self._base_id,
            "ttl_duration_seconds": self._ttl_field(),
            "incremental_beta1": self._incremental,
            "manifest": self.manifest.record_fields(),
        }
        if self._metadata:
            fields["metadata"] = dumps(self._metadata)
        return fields

    def _ttl_field(self) -> Optional[int]:
        if not self._ttl_changed:
            return None
        return TTL_INHERITED if self._ttl_is_inherited else self._ttl_seconds or TTL_DISABLED

    def _require_draft(self, method: str) -> None:
        if self._final:
            raise ArtifactFinalizedError(
                f"'Artifact.{method}' used on logged artifact. Can't modify finalized artifact.", method
            )


def _checked_policy(policy: Optional[str]) -> str:
    policy = policy or "mutable"
    if policy not in POLICIES:
        raise ValidationError(
            "artifact", f"Invalid policy {policy!r}. Policy may only be `mutable` or `immutable`."
        )
    return policy


def _unreadable(path: str, error: OSError) -> UnreadableFileError:
    return UnreadableFileError("artifact", f"{path} cannot be read: {error.strerror or error}")


def _discard(entry: ArtifactManifestEntry) -> None:
    """Remove the copy of an entry that is in no artifact any more."""
    if entry.hold is STAGED and entry.local_path is not None:
        remove(entry.local_path)
