"""The machine's clock as a test wants it: a library, loaded before all others, that shifts the time of day.

    clock = Clock(tmp_path)
    subprocess.Popen(command, env={**os.environ, **clock.environ})
    clock.jump(-3600)                # for all processes that have it, at once

Only the time of day jumps, as when somebody sets the clock; CLOCK_MONOTONIC goes on, and so do sleeps.  What
the kernel notes of files is its own time.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Dict

from disks import unavailable

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const double *offset_s;

__attribute__((constructor)) static void begin(void) {
    int fd = open(getenv("TEST_CLOCK"), O_RDONLY);
    void *page = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (page == MAP_FAILED) abort();
    offset_s = page;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += (time_t)*offset_s;
    return (int)failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *also) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (also) *also = now.tv_sec;
    return now.tv_sec;
}
"""


class Clock:
    """A clock that can be set; it shows the right time at first."""

    def __init__(self, place: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            unavailable("there is no C compiler (apt-get install gcc)")
        source, library, self._offset = place / "clock.c", place / "clock.so", place / "clock.offset"
        source.write_text(SOURCE)
        subprocess.run(
            [str(compiler), "-O1", "-shared", "-fPIC", "-o", str(library), str(source)],
            check=True,
            timeout=60,
        )
        self._offset.write_bytes(bytes(4096))
        self._offset_s = 0.0
        self.environ: Dict[str, str] = {"LD_PRELOAD": str(library), "TEST_CLOCK": str(self._offset)}

    def jump(self, seconds: float) -> None:
        """Set the clock forward, or back if negative; whole seconds."""
        self._offset_s += seconds
        with open(self._offset, "r+b") as file:
            file.write(struct.pack("d", self._offset_s))
