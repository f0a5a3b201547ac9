"""Whether the file system of a path is this machine's own: asked by whoever writes there, and by who watches.

A hard-mounted NFS whose server is gone holds write(2) until it comes back, be it for days; a local disk
either answers or fails.  And what other hosts change on a remote file system, the kernel here tells nobody:
inotify is silent.
"""

from __future__ import annotations

import os

MOUNTS = "/proc/self/mountinfo"

# Types as the kernel spells them.  Besides: "fuse.*", which run in a process of their own (sshfs, s3fs ...),
# but not "fuseblk", which is a local disk.
_REMOTE = frozenset(
    (
        "9p afs beegfs ceph cifs coda davfs daos fuse gfs gfs2 glusterfs gpfs lustre mmfs ncpfs nfs nfs4 "
        "ocfs2 orangefs panfs prl_fs pvfs2 quobyte smb2 smb3 smbfs vboxsf virtiofs vmhgfs wekafs zfuse"
    ).split()
)


def may_hang(path: str, mounts: str = MOUNTS) -> bool:
    """Return whether `path` is on a network or cluster file system, or one that another process runs.

    There a write may not return, and inotify does not see what others change.

    Takes some 0.1 ms.  Where the kernel does not list the mounts (not Linux), the answer is no.
    """
    kind = file_system_type(path, mounts)
    return kind in _REMOTE or kind.startswith("fuse.")


def file_system_type(path: str, mounts: str = MOUNTS) -> str:
    """Return the type of the file system of a path, as in /proc/self/mountinfo; "" if it is not known."""
    try:
        with open(mounts, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return ""
    where = os.fsencode(os.path.realpath(path)) + b"/"
    found, length = b"", 0
    for line in lines:
        # 36 35 98:0 /root/within /mount/point rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        before, _, after = line.partition(b" - ")
        words = before.split(b" ", 5)
        if len(words) < 5:
            continue
        point = _unescaped(words[4]).rstrip(b"/") + b"/"
        if len(point) >= length and where.startswith(
            point
        ):  # of two on one point the later one hides the other
            found, length = after.split(b" ", 1)[0], len(point)
    return found.decode("ascii", "replace")


def _unescaped(text: bytes) -> bytes:
    """Return a mount point with the characters that mountinfo writes as octal numbers."""
    if b"\\" not in text:
        return text
    for char in b" \t\n\\":
        text = text.replace(b"\\%03o" % char, bytes((char,)))
    return text
