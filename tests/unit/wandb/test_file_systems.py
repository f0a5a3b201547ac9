"""Which file systems may stop to answer, told from the kernel's list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from wandb.file_systems import file_system_type, may_hang

MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:40 / /home rw,relatime shared:5 - nfs4 server:/home rw,vers=4.2,hard
41 40 0:41 / /home/me/local rw,relatime - xfs /dev/nvme0n1 rw
42 27 0:42 / /with\040space rw - lustre mds@tcp:/fs rw
43 27 0:43 / /twice rw - ext4 /dev/sda rw
44 43 0:44 / /twice rw - beegfs beegfs_nodev rw
45 27 0:45 / /sshfs rw - fuse.sshfs host: rw
46 27 0:46 / /ntfs rw - fuseblk /dev/sdb rw

nonsense
"""


@pytest.fixture
def mounts(tmp_path: Path) -> str:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return str(path)


@pytest.mark.parametrize(
    "path, kind, hangs",
    [
        ("/data/run", "ext4", False),
        ("/home/me/wandb", "nfs4", True),
        ("/home/me/local/wandb", "xfs", False),
        ("/home/me/locally", "nfs4", True),
        ("/homes", "ext4", False),
        ("/with space/x", "lustre", True),
        ("/twice/x", "beegfs", True),
        ("/sshfs", "fuse.sshfs", True),
        ("/ntfs/x", "fuseblk", False),
    ],
)
def test_the_mount_point_nearest_above_the_path_counts(
    mounts: str, path: str, kind: str, hangs: bool
) -> None:
    assert file_system_type(path, mounts) == kind and may_hang(path, mounts) is hangs


def test_a_link_is_followed(mounts: str, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/home/me")
    assert may_hang(str(link / "wandb"), mounts)


def test_without_a_list_of_mounts_nothing_hangs(tmp_path: Path) -> None:
    assert file_system_type("/x", str(tmp_path / "none")) == "" and not may_hang("/x", str(tmp_path / "none"))


def test_the_machine_s_own_list_is_understood() -> None:
    assert file_system_type("/proc/self") == "proc"
