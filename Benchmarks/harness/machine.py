"""What is known of the machine: rates mean nothing without it."""

import os
import platform
from pathlib import Path


def filesystem_of(path):
    """The type of the filesystem that the path is on, and what is mounted there."""
    path = str(Path(path).resolve())
    best = ("", "", "")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        mounted = fields.split()[4]
        # The last of those mounted on the same place hides the others.
        if (path + "/").startswith(mounted.rstrip("/") + "/") and len(mounted) >= len(best[0]):
            kind, device = source.split()[:2]
            best = (mounted, kind, device)
    return best[1], best[2]


def available_memory():
    """How many bytes can be taken without harm."""
    return _meminfo("MemAvailable")


def description(directory, tmpfs):
    """One line that names the machine."""
    kind, _ = filesystem_of(directory)
    # What a distribution puts behind the version says nothing to others.
    release = platform.release().partition("-")[0]
    return (
        f"{_processor()}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, "
        f"{_meminfo('MemTotal') / 2**30:.0f} GiB; Linux {release}; "
        f"{kind}, {filesystem_of(tmpfs)[0]}; load {os.getloadavg()[0]:.1f}"
    )


def _processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _meminfo(name):
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    return 0
