"""What can be measured of the machine and the process, probe by probe.

    key                                 unit        what
    cpu                                 %           of the CPUs it may use; from the second sample on
    memory_percent                      %           of the machine's memory, or of the job's limit
    proc.memory.rssMB                   MiB         resident memory of the process
    proc.memory.percent                 %           the same, of the machine's memory or the job's limit
    proc.memory.availableMB             MiB         what is left of it
    proc.cpu.threads                    1           threads of the process
    disk.<path>.usageGB, usagePercent   GiB, %      file system of <path>
    disk.<device>.in, out               MiB         read, written since the start of the run
    network.sent, recv                  bytes       since the start of the run, without the loopback
    network.tcpRetransmits              segments    since the start of the run
    gpu.<i>.gpu, memory, temp, ...      %, Celsius  NVIDIA's, if `pynvml` is installed
    cpu.<i>.cpu_percent                 %           each CPU, if `psutil` is installed (extra `metrics`)

All but the last two come from /proc and need no package; where there is no /proc, psutil gives what it can.

Rule 1: a probe that fails is told once through `on_problem` and not asked again; the others go on.
Rule 2: a library is imported only when `threads.may_import()` allows it.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import Any, Callable, Dict, List, Optional, Tuple

from wandb.internal import limits, threads

_MIB = 1 << 20
_GIB = 1 << 30
_SECTOR_BYTES = 512  # the unit of /proc/diskstats, whatever the disk's own

Sample = Dict[str, float]
Probe = Callable[[], Sample]


class Probes:
    """The probes of one run; each remembers what it needs to tell a difference."""

    def __init__(self, pid: int, disk_paths: Tuple[str, ...], on_problem: Callable[[str], None]) -> None:
        self._on_problem = on_problem
        if os.path.exists("/proc/self/stat"):
            self._probes: List[Probe] = [
                _Cpu(pid).sample,
                _Memory(pid).sample,
                _Disks(disk_paths).sample,
                _Network().sample,
            ]
        else:
            self._probes = [_Portable(pid, disk_paths).sample]
        self._awaiting_import: List[Callable[[], Probe]] = [_EachCpu, _Gpus]

    def sample(self) -> Sample:
        """Return the values of all probes that work."""
        if self._awaiting_import and threads.may_import():  # Rule 2
            for make in self._awaiting_import:
                try:
                    self._probes.append(make())
                except Exception:  # the library is not installed, or there is no GPU
                    continue
            self._awaiting_import = []
        values: Sample = {}
        for probe in list(self._probes):
            try:
                values.update(probe())
            except Exception as error:
                self._probes.remove(probe)
                what = getattr(probe, "__self__", probe)
                self._on_problem(f"system metrics without {type(what).__name__.strip('_')}: {error!r}")
        return values


class _Cpu:
    """The CPU time and the threads of the process."""

    def __init__(self, pid: int) -> None:
        self._path = f"/proc/{pid}/stat"
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self._before: Optional[Tuple[float, float]] = None

    def sample(self) -> Sample:
        # The command in parentheses may hold blanks.  Behind it: utime and stime are the 12th and 13th,
        # the number of threads the 18th.
        fields = _read(self._path).rpartition(")")[2].split()
        now = (monotonic(), (int(fields[11]) + int(fields[12])) / self._ticks_per_s)
        values = {"proc.cpu.threads": float(fields[17])}
        before, self._before = self._before, now
        if before is not None and now[0] > before[0]:
            used = (now[1] - before[1]) / (now[0] - before[0])
            values["cpu"] = 100 * used / limits.n_usable_cpus()
        return values


class _Memory:
    """The memory of the process and of the machine, or of the job that it is part of."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def sample(self) -> Sample:
        machine = {}
        for line in _read("/proc/meminfo").splitlines():
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                machine[name] = int(rest.split()[0]) * 1024
        total, available = machine["MemTotal"], machine["MemAvailable"]
        job = limits.memory_usage(self._pid)
        if job is not None and job[0] < total:
            total, used = job
            available = min(available, max(0, total - used))
        rss = int(_read(f"/proc/{self._pid}/statm").split()[1]) * self._page_bytes
        return {
            "memory_percent": 100 * (total - available) / total,
            "proc.memory.availableMB": available / _MIB,
            "proc.memory.rssMB": rss / _MIB,
            "proc.memory.percent": 100 * rss / total,
        }


class _Disks:
    """How full the file systems are, and what their devices read and wrote."""

    def __init__(self, paths: Tuple[str, ...]) -> None:
        self._paths = paths
        self._devices = {_device_number(path) for path in paths}
        self._at_start: Dict[str, Tuple[int, int]] = {}

    def sample(self) -> Sample:
        values = _usage(self._paths)
        for line in _optional("/proc/diskstats").splitlines():
            fields = line.split()
            if f"{fields[0]}:{fields[1]}" in self._devices:
                read, written = int(fields[5]), int(fields[9])
                start = self._at_start.setdefault(fields[2], (read, written))
                values[f"disk.{fields[2]}.in"] = (read - start[0]) * _SECTOR_BYTES / _MIB
                values[f"disk.{fields[2]}.out"] = (written - start[1]) * _SECTOR_BYTES / _MIB
        return values


class _Network:
    """What went through the network interfaces of the process's network namespace."""

    def __init__(self) -> None:
        self._at_start: Optional[Tuple[int, int, int]] = None

    def sample(self) -> Sample:
        received = sent = 0
        for line in _read("/proc/net/dev").splitlines()[2:]:
            name, _, rest = line.partition(":")
            fields = rest.split()
            if name.strip() != "lo":
                received += int(fields[0])
                sent += int(fields[8])
        now = (sent, received, self._n_retransmits())
        start = self._at_start = self._at_start or now
        return {
            "network.sent": float(now[0] - start[0]),
            "network.recv": float(now[1] - start[1]),
            "network.tcpRetransmits": float(now[2] - start[2]),
        }

    def _n_retransmits(self) -> int:
        lines = [line.split() for line in _optional("/proc/net/snmp").splitlines() if line.startswith("Tcp:")]
        return int(dict(zip(*lines)).get("RetransSegs", 0)) if len(lines) == 2 else 0


class _Portable:
    """The same keys where there is no /proc, as far as psutil knows them."""

    def __init__(self, pid: int, disk_paths: Tuple[str, ...]) -> None:
        import psutil  # type: ignore[import-untyped,unused-ignore]

        self._psutil: Any = psutil
        self._process: Any = psutil.Process(pid)
        self._disk_paths = disk_paths
        self._at_start: Any = psutil.net_io_counters()
        self._process.cpu_percent()  # the first answer is meaningless; it begins the interval

    def sample(self) -> Sample:
        memory, rss = self._psutil.virtual_memory(), self._process.memory_info().rss
        network = self._psutil.net_io_counters()
        values = {
            "cpu": self._process.cpu_percent() / (os.cpu_count() or 1),
            "memory_percent": 100 * (memory.total - memory.available) / memory.total,
            "proc.memory.availableMB": memory.available / _MIB,
            "proc.memory.rssMB": rss / _MIB,
            "proc.memory.percent": 100 * rss / memory.total,
            "proc.cpu.threads": float(self._process.num_threads()),
            "network.sent": float(network.bytes_sent - self._at_start.bytes_sent),
            "network.recv": float(network.bytes_recv - self._at_start.bytes_recv),
        }
        for path in self._disk_paths:
            disk = self._psutil.disk_usage(path)
            values[f"disk.{path}.usageGB"] = disk.used / _GIB
            values[f"disk.{path}.usagePercent"] = float(disk.percent)
        return values


def _EachCpu() -> Probe:
    """Return a probe of every single CPU."""
    import psutil

    library: Any = psutil
    library.cpu_percent(percpu=True)  # begins the interval

    def sample() -> Sample:
        each = library.cpu_percent(percpu=True)
        return {f"cpu.{index}.cpu_percent": float(percent) for index, percent in enumerate(each)}

    return sample


def _Gpus() -> Probe:
    """Return a probe of the NVIDIA GPUs.

    Raises:
        ImportError: `pynvml` is not installed.
        Exception: pynvml's own, if there is no driver or no GPU.
    """
    import pynvml  # type: ignore[import-not-found,import-untyped,unused-ignore]

    nvml: Any = pynvml
    nvml.nvmlInit()
    gpus = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]

    def sample() -> Sample:
        values: Sample = {}
        for index, gpu in enumerate(gpus):
            for name, read in _GPU_READINGS.items():
                try:
                    values[f"gpu.{index}.{name}"] = float(read(nvml, gpu))
                except nvml.NVMLError:  # not every GPU knows everything
                    continue
        return values

    return sample


_GPU_READINGS: Dict[str, Callable[[Any, Any], float]] = {
    "gpu": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "memory": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).memory,
    "memoryAllocatedBytes": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    "memoryAllocated": lambda nvml, gpu: _used_percent(nvml.nvmlDeviceGetMemoryInfo(gpu)),
    "temp": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
    "powerWatts": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "enforcedPowerLimitWatts": lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,
    "powerPercent": lambda nvml, gpu: (
        100 * nvml.nvmlDeviceGetPowerUsage(gpu) / nvml.nvmlDeviceGetEnforcedPowerLimit(gpu)
    ),
}


def _used_percent(memory: Any) -> float:
    return float(100 * memory.used / memory.total)


def _usage(paths: Tuple[str, ...]) -> Sample:
    values: Sample = {}
    for path in paths:
        try:
            system = os.statvfs(path)
        except OSError:
            continue
        used = (system.f_blocks - system.f_bfree) * system.f_frsize
        usable = used + system.f_bavail * system.f_frsize  # without what is reserved for root, as df counts
        values[f"disk.{path}.usageGB"] = used / _GIB
        if usable:
            values[f"disk.{path}.usagePercent"] = 100 * used / usable
    return values


def _device_number(path: str) -> str:
    try:
        device = os.stat(path).st_dev
    except OSError:
        return ""
    return f"{os.major(device)}:{os.minor(device)}"


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _optional(path: str) -> str:
    """Return the file's text, "" if the kernel or the container does not show it."""
    try:
        return _read(path)
    except OSError:
        return ""
