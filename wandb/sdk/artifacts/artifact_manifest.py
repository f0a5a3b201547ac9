"""`ArtifactManifest`: what is in an artifact, by name, and the digest of all of it."""

from __future__ import annotations

from json import dumps
from typing import Any, Dict, List, Mapping, Optional

from wandb.errors import ValidationError
from wandb.internal.content_store import MD5, new_hash
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry
from wandb.sdk.artifacts.checks import entry_path

VERSION = 1
STORAGE_POLICY = "wandb-storage-policy-v1"
STORAGE_LAYOUT = "V2"
_DIGEST_HEAD = b"wandb-artifact-manifest-v1\n"


class ArtifactManifest:
    """Entries by name.

    Args:
        algorithm: Of the digests: MD5 or XXH128.
        region: Where the server is to store the files; None: where it wants.

    Attributes:
        entries: Name -> entry.
    """

    def __init__(self, algorithm: str = MD5, region: Optional[str] = None) -> None:
        self.algorithm = algorithm
        self.region = region
        self.entries: Dict[str, ArtifactManifestEntry] = {}

    @classmethod
    def version(cls) -> int:
        """Return the version of the manifest's format."""
        return VERSION

    @classmethod
    def from_manifest_json(cls, manifest: Mapping[str, Any], algorithm: str = MD5) -> ArtifactManifest:
        """Return the manifest that a manifest file holds.

        Raises:
            ValidationError: It is none, or of a version that is not known.
        """
        if manifest.get("version") != VERSION or not isinstance(manifest.get("contents"), dict):
            raise ValidationError("manifest", f"version {manifest.get('version')!r} is not known")
        found = cls(algorithm, (manifest.get("storagePolicyConfig") or {}).get("storageRegion"))
        for path, fields in manifest["contents"].items():
            name = entry_path(path)
            found.entries[name] = ArtifactManifestEntry(
                name,
                fields["digest"],
                ref=fields.get("ref"),
                birth_artifact_id=fields.get("birthArtifactID"),
                size=fields.get("size"),
                extra=fields.get("extra"),
                skip_cache=bool(fields.get("skip_cache")),
            )
        return found

    def to_manifest_json(self) -> Dict[str, Any]:
        """Return what the file `wandb_manifest.json` holds."""
        return {
            "version": VERSION,
            "storagePolicy": STORAGE_POLICY,
            "storagePolicyConfig": self._config(),
            "contents": {path: entry.manifest_fields() for path, entry in self.entries.items()},
        }

    def record_fields(self) -> Dict[str, Any]:
        """Return the fields of an ArtifactManifest record."""
        return {
            "version": VERSION,
            "storage_policy": STORAGE_POLICY,
            "storage_policy_config": [
                {"key": key, "value_json": dumps(value)} for key, value in self._config().items()
            ],
            "contents": [self.entries[path].record_fields() for path in sorted(self.entries)],
        }

    def digest(self) -> str:
        """Return the digest of names and digests: 32 hexadecimal digits."""
        hashed = new_hash(self.algorithm)
        hashed.update(_DIGEST_HEAD)
        for path in sorted(self.entries):
            hashed.update(f"{path}:{self.entries[path].digest}\n".encode())
        return str(hashed.hexdigest())

    def size(self) -> int:
        """Return the bytes of all entries, as far as they are known."""
        return sum(entry.size or 0 for entry in self.entries.values())

    def add_entry(self, entry: ArtifactManifestEntry, overwrite: bool = False) -> None:
        """Add an entry.

        Raises:
            ValidationError: Its name leads out of the artifact, or is another entry's already.
        """
        entry.path = entry_path(entry.path)
        there = self.entries.get(entry.path)
        if there is not None and not overwrite and there.digest != entry.digest:
            raise ValidationError(
                "artifact",
                f"Cannot add the same path twice: {entry.path!r}",
                hint="overwrite=True replaces what is there",
            )
        self.entries[entry.path] = entry

    def remove_entry(self, entry: ArtifactManifestEntry) -> None:
        """Take an entry out.

        Raises:
            FileNotFoundError: It is not in here.
        """
        if entry.path not in self.entries:
            raise FileNotFoundError(f"Cannot remove missing entry: {entry.path!r}")
        del self.entries[entry.path]

    def get_entry_by_path(self, path: str) -> Optional[ArtifactManifestEntry]:
        """Return the entry of this name, or None."""
        return self.entries.get(path)

    def get_entries_in_directory(self, directory: str) -> List[ArtifactManifestEntry]:
        """Return the entries whose names begin with the directory's."""
        return [entry for path, entry in self.entries.items() if path.startswith(f"{directory}/")]

    def __len__(self) -> int:
        return len(self.entries)

    def _config(self) -> Dict[str, str]:
        config = {"storageLayout": STORAGE_LAYOUT}
        if self.region is not None:
            config["storageRegion"] = self.region
        return config
