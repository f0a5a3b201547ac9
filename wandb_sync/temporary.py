"""Temporary directories that do not stay when their process is killed: the next one removes them.

Files need none of that: `tempfile.TemporaryFile` has no name that could stay.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Iterator


@contextlib.contextmanager
def directory(prefix: str) -> Iterator[Path]:
    """Yield an empty directory in TMPDIR; what killed processes of this host have left of such ones goes.

    Raises:
        OSError: It cannot be made.
    """
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(prefix + "*"):
        match = re.match(re.escape(prefix) + r"(\d+)-", left.name)
        if match and not os.path.exists(f"/proc/{match[1]}") and os.path.exists("/proc/self"):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}-") as path:
        yield Path(path).resolve()
