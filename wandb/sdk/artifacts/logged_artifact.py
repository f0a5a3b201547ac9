"""What there is to know of an artifact once it is recorded: its contents, and what a server calls it.

Rule 1: what is in it can be read as soon as a run has recorded it, offline too.
Rule 2: what only a server knows (version, id, aliases ...) raises ArtifactNotLoggedError until it has told.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Optional

from wandb.content_names import hex_of
from wandb.errors import ArtifactNotLoggedError, NeedsServerError, ValidationError
from wandb.internal.content_store import MD5, XXH128, ContentStore
from wandb.sdk.artifacts import checks, downloads, references
from wandb.sdk.artifacts.artifact_manifest import ArtifactManifest
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry
from wandb.sdk.artifacts.cache import ArtifactCache
from wandb.sdk.artifacts.checks import StrPath
from wandb.term import termwarn

PENDING, COMMITTED, DELETED = "PENDING", "COMMITTED", "DELETED"


class LoggedArtifact:
    """The half of `wandb.Artifact` that reads.

    Attributes that begin with an underscore are ours: `_known` is what a server has told, or the cache has
    noted; `_stores` are the places that may have the files.
    """

    _name: str
    _type: str
    _algorithm: str
    _client_id: str
    _description: Optional[str]
    _metadata: Dict[str, Any]
    _manifest: ArtifactManifest

    def __init__(self) -> None:
        self._known: Dict[str, Any] = {}
        self._is_recorded = False
        self._cache = ArtifactCache()
        self._stores: List[ContentStore] = [self._cache.files]
        self._mode = ""  # of the run that has logged or used it; empty: that of the settings

    # ---- what it is

    @property
    def name(self) -> str:
        """The name; with its version (`digits:v3`) once a server has told that."""
        return self._name

    @property
    def type(self) -> str:
        """What it is for, e.g. "dataset" or "model"."""
        return self._type

    @property
    def manifest(self) -> ArtifactManifest:
        """What is in it."""
        return self._manifest

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that follow from names and contents; equal ones are one version."""
        return self._manifest.digest()

    @property
    def digest_algorithm(self) -> str:
        """MANIFEST_MD5 or MANIFEST_XXH128."""
        return f"MANIFEST_{self._algorithm}"

    @property
    def size(self) -> int:
        """Bytes, with those of references, as far as they are known."""
        return self._manifest.size()

    @property
    def file_count(self) -> int:
        """How many files and references it has.

        Raises:
            ArtifactNotLoggedError: It has not been logged.
        """
        self._require_content("file_count")
        return len(self._manifest)

    @property
    def state(self) -> str:
        """PENDING, COMMITTED or DELETED, as far as it is known here."""
        return str(self._known.get("state", PENDING))

    def is_draft(self) -> bool:
        """Tell whether no server is known to have it."""
        return self.state == PENDING

    @property
    def id(self) -> Optional[str]:
        """The server's id; None while no server is known to have it."""
        return self._known.get("id")

    @property
    def entity(self) -> str:
        """The user or team that it belongs to."""
        return str(self._told("entity"))

    @property
    def project(self) -> str:
        """The project that it belongs to."""
        return str(self._told("project"))

    @property
    def version(self) -> str:
        """v0, v1 ..."""
        return str(self._told("version"))

    @property
    def qualified_name(self) -> str:
        """entity/project/name:version."""
        return f"{self.entity}/{self.project}/{self.name}"

    @property
    def source_entity(self) -> str:
        """The entity of the artifact that this one is a link to, or its own."""
        return str(self._told("source_entity", "entity"))

    @property
    def source_project(self) -> str:
        """The project of the artifact that this one is a link to, or its own."""
        return str(self._told("source_project", "project"))

    @property
    def source_name(self) -> str:
        """The name of the artifact that this one is a link to, or its own."""
        return str(self._known.get("source_name") or self._name)

    @property
    def source_version(self) -> str:
        """The version of the artifact that this one is a link to, or its own."""
        return str(self._told("source_version", "version"))

    @property
    def source_qualified_name(self) -> str:
        """entity/project/name:version of the artifact that this one is a link to, or its own."""
        return f"{self.source_entity}/{self.source_project}/{self.source_name}"

    @property
    def is_link(self) -> bool:
        """Whether it stands in a collection that it was linked to."""
        return bool(self._known.get("is_link", False))

    @property
    def commit_hash(self) -> str:
        """What the server called the commit of its files."""
        return str(self._told("commit_hash"))

    @property
    def created_at(self) -> str:
        """When it was made: ISO 8601."""
        return str(self._told("created_at"))

    @property
    def updated_at(self) -> str:
        """When it was changed last: ISO 8601."""
        return str(self._told("updated_at", "created_at"))

    @property
    def linked_at(self) -> Optional[str]:
        """When it was linked to its collection; None if it is no link."""
        self._told("id")
        return self._known.get("linked_at")

    @property
    def history_step(self) -> Optional[int]:
        """The step of the last row before it was logged; None if that is not known."""
        self._told("id")
        step = self._known.get("history_step")
        return None if step is None else max(0, int(step) - 1)

    # ---- what is in it

    def get_entry(self, name: StrPath) -> ArtifactManifestEntry:
        """Return an entry by its name, or by the name that media were added under.

        Raises:
            ArtifactNotLoggedError: The artifact has not been logged.
            KeyError: There is none.
        """
        self._require_content("get_entry")
        path = checks.logical_path(name)
        entry = self._manifest.entries.get(path) or self._media_entry(path)
        if entry is None:
            raise KeyError(f"Path not contained in artifact: {path}")
        entry._parent_artifact = self
        return entry

    def get_path(self, name: StrPath) -> ArtifactManifestEntry:
        """Return `get_entry(name)`, as in older scripts."""
        return self.get_entry(name)

    def download(
        self,
        root: Optional[StrPath] = None,
        allow_missing_references: bool = False,
        skip_cache: Optional[bool] = None,
        path_prefix: Optional[StrPath] = None,
        multipart: Optional[bool] = None,
    ) -> str:
        """Put all files below a directory, and return that.  Other files there stay as they are.

        Args:
            root: The directory.  Default: ./artifacts/<name:version>, or below WANDB_ARTIFACT_DIR.
            allow_missing_references: Only warn of references that lead nowhere.
            skip_cache: Do not put what comes from a server into the cache.
            path_prefix: Only entries whose names begin so.
            multipart: Accepted, without effect.

        Raises:
            ArtifactNotLoggedError: The artifact has not been logged.
            ArtifactNotHereError: A file is not on this machine, and no server can be asked.
            UnreadableFileError: A reference leads nowhere, or to something else than it did.
        """
        from wandb.sdk.artifacts.directories import at_once

        self._require_content("download")
        top = os.fspath(root) if root is not None else downloads.default_root(self)
        prefix = "" if path_prefix is None else os.fspath(path_prefix)
        entries = [entry for path, entry in self._manifest.entries.items() if path.startswith(prefix)]

        def place(entry: ArtifactManifestEntry) -> None:
            try:
                downloads.place(self, entry, top, keep=not skip_cache)
            except FileNotFoundError as error:
                if not allow_missing_references:
                    raise
                termwarn(str(error))

        os.makedirs(top, exist_ok=True)
        missing = [
            entry for entry in entries if entry.ref is None and not downloads.is_here(self, entry, top)
        ]
        if missing and self.id is not None:
            self._bring(missing, top if skip_cache else None)
        with at_once(place, entries) as placed:
            for _ in placed:
                pass
        return top

    def checkout(self, root: Optional[str] = None) -> str:
        """Make a directory hold the artifact's files and no others: **all others in it are removed**.

        Args:
            root: The directory.  Default: ./artifacts/<name>.

        Raises:
            ArtifactNotLoggedError, ArtifactNotHereError, UnreadableFileError: As `download`; nothing was
                removed.
        """
        self._require_content("checkout")
        top = root or downloads.default_root(self, with_version=False)
        self.download(top)
        downloads.remove_others(self, top)
        return top

    def verify(self, root: Optional[str] = None) -> None:
        """Raise unless a directory holds the artifact's files, as they should be, and no others.

        Args:
            root: The directory.  Default: that of `download`.

        Raises:
            ArtifactNotLoggedError: The artifact has not been logged.
            ValueError: A file is missing, is too many, or has other content.
        """
        self._require_content("verify")
        top = root or downloads.default_root(self)
        for directory, _, names in os.walk(top):
            for name in names:
                path = os.path.join(directory, name)
                if os.path.relpath(path, top).replace(os.sep, "/") not in self._manifest.entries:
                    raise ValidationError(
                        "verify", f"Found file {path} which is not a member of artifact {self.name}"
                    )
        n_references = 0
        for entry in self._manifest.entries.values():
            if entry.ref is not None:
                n_references += 1
            elif not downloads.has_content(os.path.join(top, entry.path), entry):
                raise ValidationError("verify", f"Digest mismatch for file: {entry.path}")
        if n_references:
            termwarn(f"skipped verification of {n_references} refs")

    def file(self, root: Optional[str] = None) -> str:
        """Put the only file of the artifact below a directory, and return its path.

        Raises:
            ArtifactNotLoggedError, ArtifactNotHereError, UnreadableFileError: As `download`.
            ValueError: It has several files, or none.
        """
        self._require_content("file")
        if len(self._manifest) != 1:
            raise ValidationError(
                "Artifact.file",
                f"This artifact contains {len(self._manifest)} files, not one; call .download() to get all "
                'files or call .get_entry("filename").download()',
            )
        (name,) = self._manifest.entries
        return self.get_entry(name).download(root)

    # ---- inside

    def _told(self, *fields: str) -> Any:
        """Return the first of some facts that a server has told."""
        for field in fields:
            if self._known.get(field) is not None:
                return self._known[field]
        raise not_logged(fields[0])

    def _require_content(self, method: str) -> None:
        """Raise ArtifactNotLoggedError unless what is in it stands fast, and can be found."""
        if self.is_draft() and not self._is_recorded:
            raise not_logged(method)

    def _media_entry(self, name: str) -> Optional[ArtifactManifestEntry]:
        """Return the entry of media that were added under a name."""
        raise NotImplementedError

    def _fetched(self, entry: ArtifactManifestEntry, root: str, keep: bool) -> str:
        """Have an entry brought from where it lies, and return its path below a directory.

        Args:
            keep: Put it into the cache too.

        Raises:
            ArtifactNotHereError: No server can be asked.
            CommError: The server does not give it.
        """
        if entry.ref is not None:
            return references.fetch(entry, os.path.join(root, *entry.path.split("/")))
        if self.id is None:
            raise downloads.not_here(self, entry)
        self._bring([entry], None if keep else root)
        return downloads.place(self, entry, root, keep, is_last_try=True)

    def _bring(self, entries: List[ArtifactManifestEntry], root: Optional[str]) -> None:
        from wandb.sdk.artifacts import server

        facts = self._facts({"entity": self.entity, "project": self.project}, [])
        try:
            server.bring(facts, [entry.path for entry in entries], self._mode, self._cache, root)
        except NeedsServerError:
            raise downloads.not_here(self, entries[0]) from None

    def _download_entry(self, entry: ArtifactManifestEntry, root: Optional[str], keep: bool) -> str:
        return downloads.place(self, entry, root or downloads.default_root(self), keep)

    def _address_of(self, path: str) -> str:
        """Return the address of an entry: by the server's id, or by ours, which the server comes to know."""
        if self.id is None:
            return f"wandb-client-artifact://{self._client_id}/{path}"
        return f"wandb-artifact://{hex_of(self.id)}/{path}"

    def _facts(self, who: Mapping[str, Any], aliases: List[str]) -> Dict[str, Any]:
        """Return what the cache is to note.

        Args:
            who: `entity` and `project`.
        """
        return {
            "entity": who["entity"],
            "project": who["project"],
            "collection": self._name.partition(":")[0],
            "version": self._known.get("version"),
            "aliases": aliases,
            "type": self._type,
            "description": self._description,
            "metadata": self._metadata,
            "client_id": self._client_id,
            "algorithm": self._algorithm,
            "manifest": self._manifest.to_manifest_json(),
            "stores": [store.root for store in self._stores[1:]],
            "known": self._known,
        }

    def _take_facts(self, facts: Mapping[str, Any]) -> None:
        """Become what the cache has noted.

        Raises:
            ValidationError: The note is damaged.
        """
        self._description, self._metadata = facts["description"], facts["metadata"]
        self._client_id = facts["client_id"]
        self._algorithm = XXH128 if facts["algorithm"] == XXH128 else MD5
        self._manifest = ArtifactManifest.from_manifest_json(facts["manifest"], self._algorithm)
        self._stores += [ContentStore(root) for root in facts["stores"]]
        self._known = dict(facts["known"])
        if facts["version"]:
            self._name = f"{facts['collection']}:{facts['version']}"
        self._is_recorded = True


def not_logged(method: str) -> ArtifactNotLoggedError:
    """Return the error of a method that needs a logged artifact."""
    return ArtifactNotLoggedError(
        f"'Artifact.{method}' used prior to logging artifact or while in offline mode. "
        "Call wait() before accessing logged artifact properties.",
        method,
    )
