"""Control groups, as files in a directory like /sys/fs/cgroup."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from wandb.internal.limits import cpu_limit, memory_limit_bytes, memory_usage, n_usable_cpus

GB = 1 << 30


def lay_out(directory: Path, cgroup: str, files: Dict[str, str]) -> Dict[str, str]:
    (directory / "proc" / "7").mkdir(parents=True)
    (directory / "proc" / "7" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = directory / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"proc": str(directory / "proc"), "root": str(directory / "cgroup")}


def test_a_slurm_job_of_version_2_has_the_limit_of_the_level_above(tmp_path: Path) -> None:
    where = lay_out(
        tmp_path,
        "0::/slurm/job_7/step_0\n",
        {
            "slurm/job_7/step_0/memory.max": "max\n",
            "slurm/job_7/step_0/memory.current": "1\n",
            "slurm/job_7/memory.max": f"{8 * GB}\n",
            "slurm/job_7/memory.current": f"{3 * GB}\n",
            "slurm/job_7/memory.stat": f"anon 5\ninactive_file {GB}\n",
            "slurm/job_7/cpu.max": "400000 100000\n",
            "slurm/memory.max": f"{64 * GB}\n",
            "slurm/memory.current": "5\n",
            "slurm/cpu.max": "max 100000\n",
        },
    )
    assert memory_usage(7, **where) == (8 * GB, 2 * GB)
    assert memory_limit_bytes(7, **where) == 8 * GB
    assert cpu_limit(7, **where) == 4.0


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    where = lay_out(tmp_path, "0::/../../elsewhere\n", {"memory.max": f"{GB}", "memory.current": "10"})
    assert memory_usage(7, **where) == (GB, 10)


def test_version_1_has_one_hierarchy_per_resource(tmp_path: Path) -> None:
    where = lay_out(
        tmp_path,
        "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n",
        {
            "memory/docker/x/memory.limit_in_bytes": f"{2 * GB}",
            "memory/docker/x/memory.usage_in_bytes": f"{GB}",
            "memory/docker/x/memory.stat": "total_inactive_file 24\n",
            "cpu/docker/x/cpu.cfs_quota_us": "150000",
            "cpu/docker/x/cpu.cfs_period_us": "100000",
        },
    )
    assert memory_usage(7, **where) == (2 * GB, GB - 24)
    assert cpu_limit(7, **where) == 1.5


def test_without_limits_there_is_no_answer(tmp_path: Path) -> None:
    where = lay_out(
        tmp_path,
        "4:memory:/\n3:cpu:/\n",
        {
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/memory.usage_in_bytes": "5",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        },
    )
    assert memory_usage(7, **where) is None and cpu_limit(7, **where) is None
    assert memory_usage(8, **where) is None


def test_nonsense_in_the_files_is_no_limit(tmp_path: Path) -> None:
    where = lay_out(
        tmp_path, "nonsense\n0::\n::\n", {"memory.max": "many", "memory.current": "?", "cpu.max": "0 0"}
    )
    assert memory_usage(7, **where) is None and cpu_limit(7, **where) is None


def test_this_process_may_use_at_least_one_cpu() -> None:
    assert n_usable_cpus() >= 1
