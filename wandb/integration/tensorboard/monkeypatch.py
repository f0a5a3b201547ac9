"""Hear of the directories that TensorBoard's writers write to.

The real client exchanges the class `EventFileWriter` in each module that uses it, and imports these modules
for it, PyTorch and TensorFlow among them.  Here the class itself tells: `torch.utils.tensorboard` uses
TensorBoard's, so PyTorch need not be loaded, and it makes no difference what was imported before.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from typing import Any, Callable, Dict, List, Optional

from wandb.errors import UsageError
from wandb.term import termwarn

_WRITERS = ("tensorboard.summary.writer.event_file_writer", "tensorboardX.event_file_writer")
_TENSORFLOW = "tensorflow.python.ops.gen_summary_ops"
_TENSORFLOW_CALL = "create_summary_file_writer"

patched: Dict[str, List[List[str]]] = {"tensorboard": [], "keras": [], "gym": []}  # name and form of wandb's
_originals: Dict[str, Callable[..., Any]] = {}  # by module


def patch(
    save: bool = True,
    tensorboard_x: Optional[bool] = None,
    pytorch: Optional[bool] = None,
    root_logdir: str = "",
) -> None:
    """Record from now on what is written into each directory that a writer is made for.

    Args:
        save: Keep the event files with the run.
        tensorboard_x, pytorch: If one is true, TensorFlow is left alone; its writers all are heard anyway.
        root_logdir: What is above all directories; what is below it stands before the tags ("train/loss").
            "": what they have in common.

    Raises:
        ValueError: It was called before, and `unpatch` was not.
        UsageError: Neither tensorboard nor tensorboardX is installed.
    """
    if patched["tensorboard"]:
        raise ValueError(
            "Tensorboard already patched. Call `wandb.tensorboard.unpatch()` first; remove "
            "`sync_tensorboard=True` from `wandb.init`; or only call `wandb.tensorboard.patch` once."
        )
    told = _Told(save, root_logdir)
    for name in _WRITERS:
        module = _loaded(name)
        if module is not None:
            _patch_writer(module.EventFileWriter, name, told)
    if not pytorch and not tensorboard_x:
        module = _loaded(_TENSORFLOW)
        if module is not None:
            _patch_tensorflow(module, told)
    if not patched["tensorboard"]:
        raise UsageError(
            "TensorBoard's event files cannot be recorded: neither tensorboard nor tensorboardX is installed",
            hint="pip install tensorboard",
        )


def unpatch() -> None:
    """Hear of no directory any more; those that were heard of are read until their run ends."""
    for name, attribute in patched["tensorboard"]:
        original = _originals.pop(name)
        module = sys.modules[name]
        if attribute == _TENSORFLOW_CALL:
            setattr(module, attribute, original)
        else:
            module.EventFileWriter.__init__ = original
    patched["tensorboard"].clear()


def patch_for_init() -> None:
    """Do what `sync_tensorboard=True` says, unless the user has called `patch` with options of his own."""
    if not patched["tensorboard"]:
        patch()


class _Told:
    """Tells the current run of a directory."""

    def __init__(self, save: bool, root: str) -> None:
        self._save = save
        self._root = root
        self._directories: List[str] = []

    def directory(self, path: str, writer: Any = None) -> None:
        from wandb.sdk import active

        run = active.current
        if run is None:
            return
        path = os.fspath(path)
        if path not in self._directories:
            self._directories.append(path)
        if len(self._directories) > 1 and not self._root:
            termwarn(
                "When using several event log directories, please call "
                '`wandb.tensorboard.patch(root_logdir="...")` before `wandb.init`',
                repeat=False,
            )
        run._tensorboard_callback(path, save=self._save, root_logdir=self._root_of(path))
        if writer is not None and not run.disabled:
            run._watched_events().flush_with(writer.flush)

    def _root_of(self, path: str) -> str:
        """Return what is above a directory: as wandb, also where the writer has made up the name itself."""
        host = re.escape(os.uname().nodename) if hasattr(os, "uname") else "$^"
        made_up = re.search(rf"-\d+_{host}", path)
        if made_up:
            return path[: made_up.end()]
        if self._root and not os.path.abspath(path).startswith(os.path.abspath(self._root)):
            termwarn(
                "Found log directory outside of given root_logdir, dropping given root_logdir for event "
                f"file in {path}"
            )
            return ""
        return self._root


def _loaded(name: str) -> Any:
    """Return a module, None if it is not installed or cannot be loaded."""
    try:
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            return None
        return importlib.import_module(name)
    except Exception:  # of another version, or broken: the others may still be heard
        return None


def _patch_writer(writer: Any, name: str, told: _Told) -> None:
    original = writer.__init__

    def __init__(self: Any, logdir: str, *args: Any, **kwargs: Any) -> None:
        original(self, logdir, *args, **kwargs)
        told.directory(logdir, self)

    __init__.__doc__ = original.__doc__
    writer.__init__ = __init__
    _originals[name] = original
    patched["tensorboard"].append([name, "EventFileWriter"])


def _patch_tensorflow(module: Any, told: _Told) -> None:
    original = getattr(module, _TENSORFLOW_CALL)

    def create_summary_file_writer(*args: Any, **kwargs: Any) -> Any:
        logdir = kwargs.get("logdir", args[1] if len(args) > 1 else "")
        told.directory(logdir.numpy().decode() if hasattr(logdir, "numpy") else logdir)
        return original(*args, **kwargs)

    setattr(module, _TENSORFLOW_CALL, create_summary_file_writer)
    _originals[_TENSORFLOW] = original
    patched["tensorboard"].append([_TENSORFLOW, _TENSORFLOW_CALL])
