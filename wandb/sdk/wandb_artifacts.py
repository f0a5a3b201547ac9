"""Artifacts of one run: their files put into the run directory, and the records that have them uploaded.

    <run directory>/artifacts/md5/d4/1d8cd98f00b204e9800998ecf8427e

Rule 1: all files are in their place before the record is written, so a kill never leaves a record without
        them.  A file's place follows from its digest alone: the run directory can be carried anywhere.
        `local_path` in the record is for the real client, which knows no other.
Rule 2: what the disk, the quota or a file system without an answer does never raises into the program: files
        that cannot be kept are recorded where they lie, and that is told.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from wandb.backend.base import Backend
from wandb.errors import ArtifactNotHereError, LogWriteError, TransientError, ValidationError
from wandb.interface import records
from wandb.interface.values import kind_name
from wandb.internal.content_store import ContentStore, SourceError, remove, sync
from wandb.internal.run_files import RunFiles
from wandb.sdk.artifacts import checks
from wandb.sdk.artifacts.artifact import Artifact
from wandb.sdk.artifacts.cache import ArtifactCache
from wandb.sdk.artifacts.artifact_manifest_entry import LOOSE, STAGED, STEADY, ArtifactManifestEntry
from wandb.term import termwarn

FOLDER = "artifacts"  # of the run directory
MAX_INLINE_ENTRIES = 100_000  # a manifest with more of them is a file of its own, as wandb has it
LISTS = "manifests"  # of `FOLDER`: these files


class RunArtifacts:
    """The artifacts of one run.

    Args:
        who: Returns the fields of the RunRecord that say which run it is.
        directory: The run directory.
        files: Puts files into it.
        backend: Takes the records, and knows the quota.
        failed: Told what the disk did; may raise it.
        is_synced: Whether files are to survive a power cut before the record is written.
        mode: The run's.
    """

    def __init__(
        self,
        who: Callable[[], Mapping[str, Any]],
        directory: str,
        files: RunFiles,
        backend: Backend,
        failed: Callable[[str, Exception], None],
        is_synced: bool,
        mode: str,
    ) -> None:
        self._who = who
        self._cache = ArtifactCache()
        self._store = ContentStore(os.path.join(directory, FOLDER))
        self._files = files
        self._backend = backend
        self._failed = failed
        self._is_synced = is_synced
        self._mode = mode

    def log(
        self,
        artifact: Artifact,
        aliases: List[str],
        tags: List[str],
        *,
        call: str = "log_artifact",
        finalize: bool = True,
        user_created: bool = False,
        use_after_commit: bool = False,
    ) -> None:
        """Keep an artifact's files and record it.

        Args:
            artifact: What `artifact_of` has returned.
            call: What the user has called.
            finalize: Whether no other process adds to it any more.

        Raises:
            LogWriteError: With on_error="raise": it is not recorded.
        """
        entries = [entry for entry in artifact.manifest.entries.values() if entry.ref is None]
        if not self._keep(call, artifact, entries):
            return
        who = self._who()
        fields = {
            **artifact._record_fields(),
            "run_id": who["run_id"],
            "project": who["project"],
            "entity": who["entity"],
            "user_created": user_created,
            "use_after_commit": use_after_commit,
            "finalize": finalize,
            "aliases": aliases,
            "tags": tags,
        }
        self._backend.append(records.artifact(fields))
        artifact._is_recorded, artifact._mode = True, self._mode
        artifact._logged_as = self._who, aliases
        artifact._stores.append(self._store)
        if finalize and artifact.distributed_id is None and not artifact.incremental:
            self._remember(call, artifact, aliases)

    def use(self, name: str, kind: Optional[str]) -> Artifact:
        """Return an artifact that was recorded here, or is in the cache, and record that it is used.

        Raises:
            ArtifactNotHereError: It is neither.
            ValidationError: It is of another type, or the name is none.
        """
        path = checks.ArtifactPath.parse(name)
        who = self._who()
        facts = self._from_server(path, who) or self._cache.recall(path, who["entity"], who["project"])
        if facts is None:
            raise ArtifactNotHereError(
                f"use_artifact: {name!r} was neither recorded on this machine nor brought into the cache "
                f"({self._cache.root})" + (", and the run is offline" if self._mode != "online" else ""),
                hint="`wandb artifact get` brings it into the cache where there is a server, and "
                "WANDB_CACHE_DIR can be carried to where there is none",
            )
        artifact = Artifact._from_facts(facts)
        artifact._mode = self._mode
        if kind is not None and kind != artifact.type:
            raise ValidationError(
                "use_artifact",
                f"Supplied type {kind} does not match type {artifact.type} of artifact {artifact.name}",
            )
        self.record_use(artifact, path)
        return artifact

    def _from_server(self, path: checks.ArtifactPath, who: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
        """Return what the server knows, and note it in the cache; None if it knows none, or is not asked."""
        if self._mode != "online":
            return None
        from wandb.sdk.artifacts import server

        try:
            facts = server.find(path, who, self._mode)
        except TransientError as error:
            termwarn(
                f"use_artifact: {path}: {error}; what is known of it on this machine is used, if anything"
            )
            return None
        if facts is not None:
            self._remember_facts("use_artifact", facts)
        return facts

    def _remember_facts(self, call: str, facts: Mapping[str, Any]) -> None:
        try:
            self._files.in_time(partial(self._cache.remember, facts), 0)
        except OSError as error:
            self._failed(call, OSError(error.errno, f"the cache ({self._cache.root}): {error.strerror}"))

    def record_use(self, artifact: Artifact, path: Optional[checks.ArtifactPath] = None) -> None:
        """Record that the run uses an artifact.

        Args:
            path: What the user has called it.
        """
        self._backend.append(records.use_artifact(self._use_fields(artifact, path)))

    def link(self, artifact: Artifact, target: checks.ArtifactPath, aliases: List[str]) -> None:
        """Record that an artifact is to be linked to a collection."""
        link = {
            "entity": target.entity,
            "project": target.project,
            "collection": target.collection,
            "aliases": aliases,
        }
        self._backend.append(records.use_artifact({**self._use_fields(artifact), "link": link}))

    def _use_fields(self, artifact: Artifact, path: Optional[checks.ArtifactPath] = None) -> Dict[str, Any]:
        name = artifact.name if path is None else f"{path.collection}:{path.alias or checks.LATEST}"
        return {
            "id": artifact.id,
            "type": artifact.type,
            "name": name,
            "client_id": artifact._client_id,
            "digest": artifact.digest,
            "entity": path.entity if path is not None else artifact._known.get("entity"),
            "project": path.project if path is not None else artifact._known.get("project"),
        }

    def _remember(self, call: str, artifact: Artifact, aliases: List[str]) -> None:
        """Let later runs on this machine find the artifact; without that, it is recorded all the same."""

        def share() -> None:
            for entry in artifact.manifest.entries.values():
                may_share = (
                    not entry.skip_cache or entry.source is None
                )  # all new files say "skip", as in wandb
                if entry.hold is STEADY and entry.local_path is not None and may_share:
                    self._cache.files.share(entry.local_path, entry.digest, entry.algorithm)

        try:
            self._files.in_time(share, 0)
        except OSError:  # it is in the run directory, which is enough
            pass
        self._remember_facts(call, artifact._facts(self._who(), aliases))

    def _keep(self, call: str, artifact: Artifact, entries: List[ArtifactManifestEntry]) -> bool:
        """Put the files into the run directory, or leave them where they are; False if one is nowhere."""
        missing = {
            (entry.digest, entry.algorithm): entry.size or 0
            for entry in entries
            if not self._store.has(entry.digest, entry.size or 0, entry.algorithm)
        }
        n_bytes = sum(missing.values())
        try:
            body = records.files([(artifact.name, records.NOW, records.ARTIFACT)])
            if missing and not self._backend.reserve(body, n_bytes):
                raise OSError(0, "the run's quota is used up")
            self._files.in_time(partial(self._place, entries), n_bytes)
            return True
        except (OSError, SourceError) as error:
            reason = getattr(error, "strerror", None) or error
        lost = [entry for entry in entries if not self._is_somewhere(entry)]
        if lost:
            what = f"{lost[0].path} is kept nowhere, so the artifact is not recorded"
        else:
            what = "they are uploaded from where they are, so leave them there"
        trouble = f"{call}: files of {artifact.name} are not in the run directory: {reason}; {what}"
        self._failed(call, LogWriteError(trouble))
        return not lost

    def _place(self, entries: Iterable[ArtifactManifestEntry]) -> None:
        """Give each file its place in the run directory.

        Raises:
            SourceError: A file is not what it was when it was added.
            OSError: The run directory cannot take it.
        """
        directories = set()
        for entry in entries:
            assert entry.local_path is not None
            digest, algorithm, path = entry.digest, entry.algorithm, entry.local_path
            if self._store.has(digest, entry.size or 0, algorithm):
                target = self._store.path_of(digest, algorithm)
                if entry.hold is STAGED:
                    remove(path)
            elif entry.hold is STAGED:
                target = self._store.move_in(path, digest, algorithm)
            elif entry.hold is STEADY:
                target = self._store.link_in(path, digest, algorithm)
            else:
                target = self._store.copy_in(path, digest, algorithm)
            entry.local_path, entry.hold = target, STEADY
            if self._is_synced:
                sync(target)
                directories.add(os.path.dirname(target))
        for directory in directories:
            sync(directory)

    def _is_somewhere(self, entry: ArtifactManifestEntry) -> bool:
        """Let an entry name a file that will still be there when this process has ended."""
        if self._store.has(entry.digest, entry.size or 0, entry.algorithm):
            entry.local_path, entry.hold = self._store.path_of(entry.digest, entry.algorithm), STEADY
        elif entry.hold is STAGED and entry.source is not None:
            if entry.local_path is not None:
                remove(entry.local_path)
            entry.local_path, entry.hold = entry.source, LOOSE
        return entry.hold is not STAGED


def artifact_of(artifact_or_path: Any, name: Optional[str], kind: Optional[str], run_id: str) -> Artifact:
    """Return the artifact that a call of `log_artifact` means; it does not change any more.

    Raises:
        ValidationError: It is no artifact, no file, no directory and no address.
    """
    if isinstance(artifact_or_path, (str, os.PathLike)):
        path = os.fspath(artifact_or_path)
        artifact = Artifact(name or f"run-{run_id}-{os.path.basename(path)}", kind or "unspecified")
        if os.path.isfile(path):
            artifact.add_file(path)
        elif os.path.isdir(path):
            artifact.add_dir(path)
        elif "://" in path:
            artifact.add_reference(path)
        else:
            raise ValidationError(
                "log_artifact", "path must be a file, directory or external reference like s3://bucket/path"
            )
    elif isinstance(artifact_or_path, Artifact):
        artifact = artifact_or_path
    else:
        raise ValidationError(
            "log_artifact",
            "You must pass an instance of wandb.Artifact or a valid file path to log_artifact, not "
            f"{kind_name(artifact_or_path)}",
        )
    artifact.finalize()
    artifact.metadata = artifact.metadata  # it may have been changed in place, and is checked again
    return artifact


Aliases = Union[str, Iterable[str], None]
Checked = Tuple[Artifact, List[str], List[str]]


def checked(
    artifact_or_path: Any,
    name: Optional[str],
    kind: Optional[str],
    aliases: Aliases,
    tags: Aliases,
    run_id: str,
) -> Checked:
    """Return artifact, aliases and tags of a call, all of them as they are recorded.

    Raises:
        ValidationError: One of them is wrong; nothing was recorded.
    """
    found_aliases, found_tags = checks.aliases_of(aliases), checks.tags_of(tags)
    return artifact_of(artifact_or_path, name, kind, run_id), found_aliases, found_tags
