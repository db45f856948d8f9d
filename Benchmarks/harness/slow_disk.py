"""A disk that takes no more than so many bytes a second: Tests/Programs/slow-disk."""

import contextlib
import subprocess
import tempfile
from pathlib import Path

from . import children
from .errors import BenchmarkError


@contextlib.contextmanager
def slow_disk(setup, bytes_per_second):
    """Mounts one, in memory; gives its directory."""
    with tempfile.TemporaryDirectory(prefix="slow-disk-", dir=setup.tmpfs) as directory:
        child = subprocess.Popen(
            [str(setup.slow_disk), directory, str(bytes_per_second)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            if child.stdout.readline() != b"ready\n":
                raise BenchmarkError("slow-disk is not to be had: it takes root and /dev/fuse")
            yield Path(directory)
        finally:
            children.end(child)
            child.stdin.close()
            child.stdout.close()
            subprocess.run(["umount", "--lazy", directory], stderr=subprocess.DEVNULL, check=False)
