"""How much of the machine this process may use: cgroups, as Slurm, Docker and Kubernetes set them.

Version 2 has one hierarchy (`memory.max`, `cpu.max`), version 1 one per resource.  A limit may stand at any
level above the process; the smallest counts.

Rule: nothing raises; where nothing limits, the answer is None.
"""

from __future__ import annotations

import os
from typing import Iterator, Optional, Tuple

_ROOT = "/sys/fs/cgroup"
# Version 1 spells "no limit" as the largest page-aligned int64; anything near it is no limit.
_NO_LIMIT_BYTES = 1 << 60


def memory_limit_bytes(pid: Optional[int] = None, proc: str = "/proc", root: str = _ROOT) -> Optional[int]:
    """Return the memory limit of the process's control group, None if it has none."""
    usage = memory_usage(pid, proc, root)
    return usage[0] if usage else None


def memory_usage(
    pid: Optional[int] = None, proc: str = "/proc", root: str = _ROOT
) -> Optional[Tuple[int, int]]:
    """Return limit and use in bytes of the group with the smallest memory limit, None if there is no limit.

    The use is without the file cache that the kernel gives back when asked.
    """
    smallest: Optional[Tuple[int, int]] = None
    for directory in _groups(pid, proc, root, "memory"):
        limit = _number(os.path.join(directory, "memory.max"))
        used = _number(os.path.join(directory, "memory.current"))
        cache_key = "inactive_file"
        if limit is None and used is None:
            limit = _number(os.path.join(directory, "memory.limit_in_bytes"))
            used = _number(os.path.join(directory, "memory.usage_in_bytes"))
            cache_key = "total_inactive_file"
        if limit is None or used is None or not 0 < limit < _NO_LIMIT_BYTES:
            continue
        if smallest is None or limit < smallest[0]:
            cache = _stat(os.path.join(directory, "memory.stat"), cache_key)
            smallest = limit, max(0, used - cache)
    return smallest


def cpu_limit(pid: Optional[int] = None, proc: str = "/proc", root: str = _ROOT) -> Optional[float]:
    """Return how many CPUs' worth of time the process's control group gets, None if it has no limit."""
    limits = []
    for directory in _groups(pid, proc, root, "cpu"):
        words = (_text(os.path.join(directory, "cpu.max")) or "").split()
        if len(words) == 2:
            quota, period = words
        else:
            quota = (_text(os.path.join(directory, "cpu.cfs_quota_us")) or "").strip()
            period = (_text(os.path.join(directory, "cpu.cfs_period_us")) or "").strip()
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            limits.append(int(quota) / int(period))
    return min(limits) if limits else None


def n_usable_cpus() -> int:
    """Return how many CPUs the process may run on: affinity (Slurm, taskset) and group limit; at least 1."""
    try:
        n_cpus = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        n_cpus = os.cpu_count() or 1
    limit = cpu_limit()
    return max(1, n_cpus if limit is None else min(n_cpus, int(limit + 0.999)))


def _groups(pid: Optional[int], proc: str, root: str, controller: str) -> Iterator[str]:
    """Yield the directories of the process's group and of those above it, innermost first."""
    for line in (_text(os.path.join(proc, str(pid or "self"), "cgroup")) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            base = root
        elif controller in controllers.split(","):
            base = os.path.join(root, controller)
        else:
            continue
        path = path.rstrip("/")
        while True:
            directory = base + path
            if os.path.isdir(directory):  # a container sees its own group as the root
                yield directory
            if not path:
                break
            path = path.rpartition("/")[0]


def _stat(path: str, key: str) -> int:
    for line in (_text(path) or "").splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.isdigit():
            return int(value)
    return 0


def _number(path: str) -> Optional[int]:
    text = (_text(path) or "").strip()
    if text == "max":
        return _NO_LIMIT_BYTES
    return int(text) if text.isdigit() else None


def _text(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return None
