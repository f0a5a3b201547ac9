"""A thread beside the user's code, without the price of importing `threading`.

Rule 1: the function handles its own exceptions and returns when told to; nobody joins it.
Rule 2: such a thread must never be the first to import `threading` (psutil, pynvml and many others do):
        before Python 3.13 that module takes the thread that imports it for the main thread.  Whoever needs
        such a library there asks `may_import()` first, and goes without until it says yes.
"""

from __future__ import annotations

import os
import sys
from _thread import start_new_thread
from typing import Callable

NVIDIA_DEVICE = "/dev/nvidiactl"  # exists where NVIDIA's driver is loaded


def start(function: Callable[[], None]) -> bool:
    """Run `function` in a thread that does not keep the process alive.

    Returns:
        False if no thread can be started (out of threads, or the interpreter is shutting down).
    """
    if sys.platform != "linux" or os.path.exists(NVIDIA_DEVICE):
        # Without /proc psutil is needed, with a GPU pynvml, from the first look on: pay for it here.
        import threading  # noqa: F401
    try:
        start_new_thread(function, ())
    except RuntimeError:
        return False
    return True


def may_import() -> bool:
    """Return whether a thread of ours may import libraries that use `threading` (Rule 2)."""
    return "threading" in sys.modules
