"""References of artifacts: from an address to entries with digest and size.

One function per scheme; `_entries_for` says which.  Digests, sizes and names are those of wandb 0.31
(observed).
Nothing here is loaded, and no socket opened, before somebody adds a reference that needs it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import parse_qsl, quote, urlsplit
from urllib.request import url2pathname

from wandb import env
from wandb.data_types.media import library
from wandb.errors import ArtifactNotHereError, CommError, UnreadableFileError, ValidationError
from wandb.interface.values import kind_name
from wandb.internal.content_store import file_digest, new_hash, remove, text_of
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry
from wandb.sdk.artifacts.directories import at_once, files_below, told
from wandb.term import termwarn

DEFAULT_MAX_OBJECTS = 10_000_000
HTTP_TIMEOUT_S = 30.0
_UNQUOTED = "!#$%&'()*+,/:;=?@[]~"  # in addresses; all else is quoted, as wandb's client does

Entries = List[ArtifactManifestEntry]


class Asked(NamedTuple):
    """What a call of `add_reference` asks for."""

    address: str
    name: Optional[str]
    checksum: bool
    max_objects: int


def entries_of(address: Any, name: Optional[str], checksum: bool, max_objects: Optional[int]) -> Entries:
    """Return the entries of a reference.

    Raises:
        ValidationError: It is no address, is not there, or has too many objects.
        MissingLibraryError: It is in a bucket, and the library for that is not installed.
        CommError: Whoever has it does not give it.
    """
    if not isinstance(address, str):
        raise ValidationError("add_reference", f"{kind_name(address)} is no address")
    if not urlsplit(address).scheme:
        raise ValidationError(
            "add_reference", "References must be URIs. To reference a local file, use file://"
        )
    asked = Asked(address, name, checksum, max_objects or DEFAULT_MAX_OBJECTS)
    return _entries_for(address)(asked)


def local_path_of(address: str) -> str:
    """Return the path that a file:// address, or a path, means."""
    return url2pathname(urlsplit(address).path if address.startswith("file:") else address)


def fetch(entry: ArtifactManifestEntry, target: str) -> str:
    """Bring what a reference leads to, and return the target.

    Raises:
        ArtifactNotHereError: It is in a place that nothing here knows how to read.
        CommError: It is not there any more, or is not what it was.
    """
    address = entry.ref or ""
    if _entries_for(address) is not _http:
        raise ArtifactNotHereError(
            f"{entry.path} refers to {address}, which is not read from here",
            hint="`entry.ref` is the address",
        )
    from http.client import HTTPException
    from urllib.request import urlopen

    scratch = f"{target}.{os.getpid()}.partial"
    try:
        with urlopen(address, timeout=HTTP_TIMEOUT_S) as page:
            etag = page.headers["ETag"]
            found = etag.strip('"') if etag else page.geturl()
            if found != entry.digest:
                raise CommError(f"Digest mismatch for url {address}: expected {entry.digest}, found {found}")
            with open(scratch, "wb") as file:
                shutil.copyfileobj(page, file)
        os.replace(scratch, target)
    except (HTTPException, OSError) as error:
        raise CommError(f"{address} cannot be read: {error}") from None
    finally:
        remove(scratch)
    return target


# ---- files


def _file(asked: Asked) -> Entries:
    path = local_path_of(asked.address)
    if os.path.isdir(path):
        files = files_below(path, follow_links=False)
        if len(files) > asked.max_objects:
            raise _too_many(asked)

        def entry(file: Tuple[str, str]) -> ArtifactManifestEntry:
            inner, found = file
            return _file_entry(
                os.path.join(asked.name or "", inner), os.path.join(asked.address, inner), found, asked
            )

        if not asked.checksum:
            return [entry(file) for file in files]
        what = f"Generating checksum for up to {asked.max_objects} files in {path!r}"
        with told(what), at_once(entry, files) as found:
            return list(found)
    if not os.path.isfile(path):
        raise ValidationError(
            "add_reference", f"Path {asked.address!r} must be a valid file or directory path"
        )
    return [_file_entry(asked.name or os.path.basename(path), asked.address, path, asked)]


def _file_entry(name: str, address: str, path: str, asked: Asked) -> ArtifactManifestEntry:
    try:
        digest = file_digest(path) if asked.checksum else _digest_of_text(Path(path).resolve().as_uri())
        return ArtifactManifestEntry(name, digest, ref=address, size=os.path.getsize(path))
    except OSError as error:
        raise UnreadableFileError("add_reference", f"{path} cannot be read: {error.strerror}") from None


def _digest_of_text(text: str) -> str:
    hashed = new_hash()
    hashed.update(text.encode("utf-8", "surrogateescape"))
    return text_of(hashed.digest())


# ---- web pages


def _http(asked: Asked) -> Entries:
    name = asked.name or os.path.basename(asked.address)
    if not asked.checksum:
        return [ArtifactManifestEntry(name, asked.address, ref=asked.address)]
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    address = quote(asked.address, safe=_UNQUOTED)
    if not urlsplit(address).path:
        address += "/"
    try:
        with urlopen(
            Request(address, headers={"Accept-Encoding": "identity"}), timeout=HTTP_TIMEOUT_S
        ) as page:
            etag, size, address = page.headers["ETag"], page.headers["Content-Length"], page.geturl()
    except (OSError, HTTPException, ValueError) as error:
        raise CommError(
            f"add_reference: {asked.address} cannot be read: {error}",
            hint="checksum=False adds it without looking at it",
        ) from None
    return [
        ArtifactManifestEntry(
            name,
            etag.strip('"') if etag else address,
            ref=address,
            size=None if size is None else int(size),
            extra={"etag": etag} if etag else {},
        )
    ]


# ---- buckets


def _s3(asked: Asked) -> Entries:
    boto3 = library("boto3", "aws", "a reference to S3")
    from botocore.exceptions import BotoCoreError, ClientError

    url = urlsplit(asked.address)
    bucket, key = url.netloc, url.path[1:]
    version = dict(parse_qsl(url.query)).get("versionId")
    address = f"s3://{bucket}/{key}"
    if not asked.checksum:
        return [ArtifactManifestEntry(asked.name or key or bucket, address, ref=address)]
    try:
        s3 = boto3.session.Session().resource(
            "s3", endpoint_url=env.get("AWS_S3_ENDPOINT_URL"), region_name=env.get("AWS_REGION")
        )
        found: Iterable[Any] = []
        is_prefix = not key
        if key:
            one = s3.ObjectVersion(bucket, key, version).Object() if version else s3.Object(bucket, key)
            try:
                one.load()
                found, is_prefix = [one], "x-directory" in (one.content_type or "")
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                    raise
                is_prefix = True
        if is_prefix:
            objects = s3.Bucket(bucket).objects
            found = (objects.filter(Prefix=key) if key else objects).limit(asked.max_objects + 1)
        return _in_bucket(asked, address, key, is_prefix, (_s3_object(s3, one) for one in found))
    except (ClientError, BotoCoreError) as error:
        raise _bucket_trouble(asked, error) from None


def _s3_object(s3: Any, found: Any) -> _Object:
    """Return an Object, or an ObjectSummary of a listing, which does not know its version."""
    etag = found.e_tag[1:-1]
    size = found.size if hasattr(found, "size") else found.content_length
    whole = found if hasattr(found, "version_id") else s3.Object(found.bucket_name, found.key)
    extra = {"etag": etag}
    if size and getattr(whole, "version_id", None) not in (None, "", "null"):
        extra["versionID"] = whole.version_id
    return _Object(found.key, etag, size, extra)


def _gs(asked: Asked) -> Entries:
    storage = library("google.cloud.storage", "gcp", "a reference to Google Cloud Storage")
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    url = urlsplit(asked.address)
    bucket_name, key, version = url.netloc, url.path.lstrip("/"), url.fragment or None
    address = f"gs://{bucket_name}/{key}"
    if not asked.checksum:
        return [ArtifactManifestEntry(asked.name or key, address, ref=address)]
    try:
        bucket = storage.Client().bucket(bucket_name)
        one: Any = bucket.get_blob(key, generation=version) if key else None
        if one is None and version is not None:
            raise ValidationError("add_reference", f"Object does not exist: {address}#{version}")
        is_prefix = one is None or one.name.endswith("/")
        listed = bucket.list_blobs(prefix=key, max_results=asked.max_objects + 1) if is_prefix else [one]
        found: Iterable[Any] = listed
        objects = (
            _Object(blob.name, blob.etag, blob.size, {"versionID": blob.generation})
            for blob in found
            if not blob.name.endswith("/")
        )
        return _in_bucket(asked, address, key, is_prefix, objects)
    except (GoogleAPIError, GoogleAuthError) as error:
        raise _bucket_trouble(asked, error) from None


def _azure(asked: Asked) -> Entries:
    blobs = library("azure.storage.blob", "azure", "a reference to Azure")
    identity = library("azure.identity", "azure", "a reference to Azure")
    from azure.core.exceptions import AzureError

    url = urlsplit(asked.address)
    account = f"{url.scheme}://{url.netloc}"
    container_name, _, key = url.path[1:].partition("/")
    version = dict(parse_qsl(url.query)).get("versionId")
    top = f"{account}/{container_name}"
    address = f"{top}/{key}"
    if not asked.checksum:
        return [ArtifactManifestEntry(asked.name or key, address, ref=address)]
    try:
        service = blobs.BlobServiceClient(account, credential=identity.DefaultAzureCredential())
        one = service.get_blob_client(container=container_name, blob=key)
        if one.exists(version_id=version):
            found = _azure_object(one.get_blob_properties(version_id=version))
            if found is not None:
                name = asked.name or PurePosixPath(key).name
                return [found.entry(name, f"{top}/{found.key}")]
        listed = service.get_container_client(container_name).list_blobs(name_starts_with=f"{key}/")
        entries: Entries = []
        for found in filter(None, map(_azure_object, listed)):
            if len(entries) == asked.max_objects:
                raise _too_many(asked)
            inner = str(PurePosixPath(found.key).relative_to(key))
            entries.append(found.entry(os.path.join(asked.name or "", inner), f"{top}/{found.key}"))
        return entries
    except AzureError as error:
        raise _bucket_trouble(asked, error) from None


def _azure_object(properties: Any) -> Optional[_Object]:
    """Return a blob; None for what only stands for a directory."""
    if (properties.metadata or {}).get("hdi_isfolder") == "true":
        return None
    etag = properties.etag.strip('"')
    extra = {"etag": etag}
    if properties.version_id:
        extra["versionID"] = properties.version_id
    return _Object(properties.name, etag, properties.size, extra)


class _Object(NamedTuple):
    """An object in a bucket."""

    key: str
    digest: str
    size: int
    extra: Dict[str, Any]

    def entry(self, name: str, address: str) -> ArtifactManifestEntry:
        return ArtifactManifestEntry(name, self.digest, ref=address, size=self.size, extra=self.extra)


def _in_bucket(
    asked: Asked, address: str, prefix: str, is_prefix: bool, objects: Iterator[_Object]
) -> Entries:
    """Return the entries of an object, or of all below a prefix; empty ones stand for directories."""
    entries: Entries = []
    scheme, _, top = address.partition("://")
    for found in objects:
        if not found.size:
            continue
        if len(entries) == asked.max_objects:
            raise _too_many(asked)
        key, above = PurePosixPath(found.key), PurePosixPath(prefix)
        if is_prefix and above in key.parents:
            inner = key.relative_to(above)
            name, place = PurePosixPath(asked.name or "") / inner, PurePosixPath(top) / inner
        elif is_prefix:  # the prefix ends in the middle of a name
            name = PurePosixPath(asked.name or "") / key.name
            place = PurePosixPath(top.partition("/")[0]) / found.key
        else:
            name, place = PurePosixPath(asked.name or key.name), PurePosixPath(top)
        entries.append(found.entry(str(name), f"{scheme}://{place}"))
    return entries


def _bucket_trouble(asked: Asked, error: Exception) -> CommError:
    return CommError(
        f"add_reference: {asked.address}: {error}", hint="are the credentials, and the region, right?"
    )


# ---- all


def _unknown(asked: Asked) -> Entries:
    if asked.name is None:
        raise ValidationError(
            "add_reference",
            'You must pass name="<entry_name>" when tracking references with unknown schemes: '
            f"{asked.address}",
        )
    termwarn(f"Artifact references with unsupported schemes cannot be checksummed: {asked.address}")
    return [ArtifactManifestEntry(asked.name, asked.address, ref=asked.address)]


def _too_many(asked: Asked) -> ValidationError:
    return ValidationError(
        "add_reference", f"Exceeded {asked.max_objects} objects tracked, pass max_objects to add_reference"
    )


def _entries_for(address: str) -> Callable[[Asked], Entries]:
    url = urlsplit(address)
    if url.scheme == "https" and url.netloc.endswith(".blob.core.windows.net"):
        return _azure
    schemes = {"file": _file, "http": _http, "https": _http, "s3": _s3, "gs": _gs}
    return schemes.get(url.scheme, _unknown)
