"""Where a run runs: the two halves of its EnvironmentRecord, as plain values by field name.

`software()` is what the process knows of itself; well below a millisecond, nothing is executed or looked
up in a network.  `hardware()` reads files of /proc and asks the GPU driver; call it in a thread.

Formats are the real client's: os "Linux-6.1.0-x86_64-with-glibc2.36", python "CPython 3.11.7".

Rule 1: nothing raises; what cannot be found out is left out of the dict.
Rule 2: nothing secret is recorded: arguments are masked (program.py), Slurm's token is left out, a git remote
        loses its credentials (git.py).
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict, List, Optional

from wandb import env
from wandb.internal import threads
from wandb.internal.git import GitState
from wandb.internal.program import Program, arguments

_SLURM = "SLURM_"
_SLURM_SECRETS = ("SLURM_JWT",)


def software(
    *,
    started_at_s: float,
    writer_id: str,
    program: Optional[Program] = None,
    git: Optional[GitState] = None,
    root: Optional[str] = None,
    host: Optional[str] = None,
    username: Optional[str] = None,
    email: Optional[str] = None,
    executable: Optional[str] = None,
    docker: Optional[str] = None,
    colab: Optional[str] = None,
    argv: Optional[List[str]] = None,
) -> Dict[str, Any]:
    """Return the part of the record that describes the process.

    Args:
        started_at_s: When the run started, in seconds since 1970.
        writer_id: Tells several writers of one run apart; the same one goes into the record of `hardware()`.
        program: What runs; None leaves its fields out.
        git: The repository; None leaves it out.
        root: The directory that the run's own directory was made in.
        host: None for the machine's name.
        executable: The interpreter; None for sys.executable.
        argv: The arguments, without the program; None for sys.argv[1:].
    """
    record = {
        "os": os_name(),
        "python": python_name(),
        "started_at": timestamp(started_at_s),
        "docker": docker,
        "args": arguments(argv),
        "program": program.program if program else None,
        "code_path": program.relpath if program else None,
        "code_path_local": program.local_path if program else None,
        "git": git_record(git),
        "email": email,
        "root": root,
        "host": host or host_name(),
        "username": username,
        "executable": executable or sys.executable,
        "colab": colab,
        "slurm": slurm(),
        "writer_id": writer_id,
    }
    return {name: value for name, value in record.items() if value}


def hardware(disk_paths: Optional[List[str]] = None) -> Dict[str, Any]:
    """Return the part of the record that describes the machine.

    Args:
        disk_paths: Directories whose file systems are measured; "/" if None.
    """
    n_logical = os.cpu_count() or 0
    record = {
        "cpu_count": _n_physical_cpus() or n_logical,
        "cpu_count_logical": n_logical,
        "disk": _disks(disk_paths or ["/"]),
        "memory": _memory(),
        "cpu": _cpu(),
        **_gpus(),
    }
    return {name: value for name, value in record.items() if value}


def os_name() -> str:
    """Return the same as `platform.platform(aliased=True)`, which takes milliseconds to import."""
    if sys.platform != "linux":
        import platform

        return platform.platform(aliased=True)
    system = os.uname()
    parts = [system.sysname, system.release, system.machine]
    try:
        parts += ["with", (os.confstr("CS_GNU_LIBC_VERSION") or "").replace(" ", "")]
    except (ValueError, OSError):  # musl
        import platform

        return platform.platform(aliased=True)
    return "-".join(parts).replace(" ", "_")


def python_name() -> str:
    """Return implementation and version, e.g. "CPython 3.11.7"."""
    if sys.implementation.name != "cpython":
        import platform

        return f"{platform.python_implementation()} {platform.python_version()}"
    return "CPython " + sys.version.split()[0]


def host_name() -> str:
    """Return the machine's name, as `socket.gethostname()` does."""
    try:
        return os.uname().nodename
    except AttributeError:  # Windows
        import socket

        return socket.gethostname()


def writer_identity() -> Dict[str, Any]:
    """Return which process writes, so that another one on the same host can tell whether it is still alive.

    The fields: `host`; `boot_id`, "" where the system has none; `pid`; `pid_start_ticks`, the clock ticks
    from boot to the start of the process, 0 if unknown; `pid_namespace`, "" if unknown.
    """
    boot_id = (_text("/proc/sys/kernel/random/boot_id") or "").strip()
    # The command in parentheses may hold blanks; the 22nd field is the 20th behind it.
    fields = (_text("/proc/self/stat") or "").rpartition(")")[2].split()
    start_ticks = int(fields[19]) if len(fields) > 19 else 0
    return {
        "host": host_name(),
        "boot_id": boot_id,
        "pid": os.getpid(),
        "pid_start_ticks": start_ticks,
        "pid_namespace": _link("/proc/self/ns/pid"),
    }


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def git_record(git: Optional[GitState]) -> Optional[Dict[str, str]]:
    """Return a GitRepoRecord's fields; None if there is nothing to say."""
    if git is None:
        return None
    record = {"remote_url": git.remote_url, "commit": git.commit}
    return {name: value for name, value in record.items() if value} or None


def slurm() -> Dict[str, str]:
    """Return the job's SLURM_* variables without prefix, in lower case, as the real client does."""
    return {
        name[len(_SLURM) :].lower(): value
        for name, value in env.read(_SLURM).items()
        if len(name) > len(_SLURM) and name not in _SLURM_SECRETS
    }


def timestamp(time_s: float) -> Dict[str, int]:
    """Return a protobuf Timestamp's fields."""
    seconds = int(time_s // 1)
    return {"seconds": seconds, "nanos": min(999_999_999, int((time_s - seconds) * 1e9))}


def _n_physical_cpus() -> int:
    cores = set()
    for processor in (_text("/proc/cpuinfo") or "").split("\n\n"):
        fields = _fields(processor)
        if "core id" in fields:
            cores.add((fields.get("physical id"), fields["core id"]))
    return len(cores)


def _cpu() -> Dict[str, Any]:
    first = (_text("/proc/cpuinfo") or "").partition("\n\n")[0]
    model = _fields(first).get("model name")
    return {"model": model} if model else {}


def _memory() -> Dict[str, int]:
    from wandb.internal.limits import memory_limit_bytes  # not needed by software(), which init() waits for

    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return {}
    limit = memory_limit_bytes()
    return {"total": total if limit is None else min(total, limit)}


def _disks(paths: List[str]) -> Dict[str, Dict[str, int]]:
    disks = {}
    for path in paths:
        try:
            system = os.statvfs(path)
        except OSError:
            continue
        used = (system.f_blocks - system.f_bfree) * system.f_frsize
        disks[path] = {"total": system.f_blocks * system.f_frsize, "used": used}
    return disks


def _gpus() -> Dict[str, Any]:
    """Return what NVIDIA's driver says, through `pynvml` if that is installed."""
    if not os.path.exists(threads.NVIDIA_DEVICE) or not threads.may_import():
        return {}
    try:
        import pynvml  # type: ignore[import-not-found,import-untyped,unused-ignore]

        pynvml.nvmlInit()
        gpus = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
            gpus.append(
                {
                    "name": _str(pynvml.nvmlDeviceGetName(gpu)),
                    "memory_total": int(pynvml.nvmlDeviceGetMemoryInfo(gpu).total),
                    "uuid": _str(pynvml.nvmlDeviceGetUUID(gpu)),
                }
            )
        cuda = pynvml.nvmlSystemGetCudaDriverVersion()
    except Exception:  # no driver, no permission, another pynvml: Rule 1
        return {}
    if not gpus:
        return {}
    return {
        "gpu_type": gpus[0]["name"],
        "gpu_count": len(gpus),
        "gpu_nvidia": gpus,
        "cuda_version": f"{cuda // 1000}.{cuda % 1000 // 10}",
    }


def _str(text: Any) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def _fields(text: str) -> Dict[str, str]:
    pairs = [line.partition(":") for line in text.splitlines()]
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _text(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None
