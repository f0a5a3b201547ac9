"""`ArtifactManifestEntry`: one file of an artifact, or one reference to what lies elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, Optional, Union

from wandb.internal.content_store import MD5, XXH128

if TYPE_CHECKING:
    from wandb.sdk.artifacts.logged_artifact import LoggedArtifact

ALGORITHM_KEY = "alg"  # in `extra`; without it the digest is an MD5

# Whose file `local_path` is: a copy of ours that waits to be moved; one that nobody changes, and may be
# linked; or the user's own, which may change.
STAGED, STEADY, LOOSE = "staged", "steady", "loose"


class ArtifactManifestEntry:
    """One file or reference.

    Attributes:
        path: Its name in the artifact.
        digest: MD5 in base64; of a reference an ETag, or the address.
        ref: The address of what is only referred to; None for a file.
        size: Bytes; None where nobody knows.
        local_path: Where the file is on this machine, as far as known.
        birth_artifact_id: The server's id of the artifact that brought the file.
        extra: What else there is to know, e.g. the version of an object in a bucket.
        skip_cache: Whether uploaders and downloads leave the cache alone.
    """

    __slots__ = (
        "path",
        "digest",
        "ref",
        "size",
        "local_path",
        "birth_artifact_id",
        "extra",
        "skip_cache",
        "source",
        "hold",
        "_parent_artifact",
    )

    def __init__(
        self,
        path: str,
        digest: str,
        ref: Optional[str] = None,
        birth_artifact_id: Optional[str] = None,
        size: Optional[int] = None,
        extra: Optional[Dict[str, Any]] = None,
        local_path: Optional[str] = None,
        skip_cache: bool = False,
    ) -> None:
        self.path = path
        self.digest = digest
        self.ref = ref
        self.birth_artifact_id = birth_artifact_id
        self.size = size
        self.extra = dict(extra or {})
        self.local_path = local_path
        self.skip_cache = skip_cache
        self.source: Optional[str] = None  # the user's own file that it was made of
        self.hold = LOOSE
        self._parent_artifact: Optional[LoggedArtifact] = None
        if size is None and local_path is not None:
            self.size = os.path.getsize(local_path)

    @property
    def name(self) -> str:
        """`path`, under an old name."""
        return self.path

    @property
    def algorithm(self) -> str:
        """What the digest was made with: MD5 or XXH128."""
        return XXH128 if self.extra.get(ALGORITHM_KEY) == XXH128 else MD5

    def digest_algorithm(self) -> str:
        """Return what the server calls the algorithm."""
        return f"MANIFEST_{self.algorithm}"

    def parent_artifact(self) -> LoggedArtifact:
        """Return the artifact that it is an entry of.

        Raises:
            NotImplementedError: It was not got from one, as in wandb.
        """
        if self._parent_artifact is None:
            raise NotImplementedError("the entry was not got from an artifact")
        return self._parent_artifact

    def download(
        self, root: Optional[str] = None, skip_cache: Optional[bool] = None, executor: Any = None
    ) -> str:
        """Put the file, or what is referred to, below a directory, and return its path.

        Args:
            root: The directory.  Default: that of the artifact's `download`.
            skip_cache: Do not put what comes from a server into the cache.
            executor: Accepted, without effect.

        Raises:
            NotImplementedError: It was not got from an artifact.
            ArtifactNotHereError, UnreadableFileError: As `Artifact.download`.
        """
        return self.parent_artifact()._download_entry(self, root, keep=not skip_cache)

    def ref_url(self) -> str:
        """Return an address of the entry, for `add_reference` of another artifact.

        Raises:
            ValueError: No server has the artifact yet.
        """
        if self._parent_artifact is None:
            raise ValueError("Parent artifact is not set")
        return self._parent_artifact._address_of(self.path)

    def ref_target(self) -> str:
        """Return the address of what is only referred to.

        Raises:
            ValueError: It is a file.
        """
        if self.ref is None:
            raise ValueError("Only reference entries support ref_target().")
        return self.ref

    def to_json(self) -> Dict[str, Any]:
        """Return all that is known, for programs."""
        fields = {
            "path": self.path,
            "digest": self.digest,
            "ref": self.ref,
            "birthArtifactID": self.birth_artifact_id,
            "size": self.size,
            "extra": self.extra,
            "local_path": self.local_path,
            "skip_cache": self.skip_cache,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def manifest_fields(self) -> Dict[str, Any]:
        """Return what the manifest file says of it."""
        fields: Dict[str, Any] = {"digest": self.digest}
        if self.ref is not None:
            fields["ref"] = self.ref
        if self.birth_artifact_id is not None:
            fields["birthArtifactID"] = self.birth_artifact_id
        if self.size is not None:
            fields["size"] = self.size
        if self.extra:
            fields["extra"] = self.extra
        return fields

    def record_fields(self) -> Dict[str, Any]:
        """Return the fields of an ArtifactManifestEntry record."""
        from json import dumps

        return {
            "path": self.path,
            "digest": self.digest,
            "size": self.size,
            "birth_artifact_id": self.birth_artifact_id,
            "ref": self.ref,
            "local_path": self.local_path,
            "skip_cache": self.skip_cache,
            "extra": [{"key": key, "value_json": dumps(value)} for key, value in self.extra.items()],
        }

    def __eq__(self, other: object) -> Any:
        return isinstance(other, ArtifactManifestEntry) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown: Dict[str, Union[str, int]] = {"path": self.path, "digest": self.digest}
        if self.ref is not None:
            shown["ref"] = self.ref
        if self.size is not None:
            shown["size"] = self.size
        return f"ArtifactManifestEntry({', '.join(f'{name}={value!r}' for name, value in shown.items())})"
