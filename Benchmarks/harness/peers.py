"""The programs that Sluice is measured against: they do one half of its work, and nothing else."""

from dataclasses import dataclass

from . import children
from .errors import BenchmarkError

IO_URING_DIRECT = ("--ioengine=io_uring", "--iodepth=8", "--direct=1", "--fixedbufs=1")


@dataclass
class Written:
    """What fio did."""

    seconds: float
    cpu_seconds: float


@dataclass
class Read:
    """What bare-read did."""

    bytes: int
    vanished_bytes: int
    seconds: float
    cpu_seconds: float


@dataclass
class Stopped:
    """What bare-stop did."""

    bytes: int
    seconds: float


@dataclass
class Piped:
    """What bare-pipe did."""

    bytes: int
    seconds: float


@dataclass
class Copied:
    """What bare-copy did."""

    bytes: int
    cpu_seconds: float


def fio_write(path, size, engine):
    """Writes a new file of random data with fio.

    fio's own clock counts, which leaves out the 0.3 s that it takes to start: nobody's limit. Its buffers are
    filled with random data once, and not again for each write, which would be work that Sluice has not.
    """
    path.unlink(missing_ok=True)
    # --thread: a job that is a process of its own would outlive a killed fio.
    finished = children.run(
        "fio", "--name=peer", f"--filename={path}", "--rw=write", f"--size={size}", "--bs=1M",
        "--end_fsync=1", "--thread", "--output-format=json", *engine,
    )
    job = finished.json["jobs"][0]
    if job["write"]["io_bytes"] != size:
        raise BenchmarkError(f"fio wrote {job['write']['io_bytes']} of {size} bytes")
    # The time of the final fsync is in there.
    return Written(job["job_runtime"] / 1000, finished.cpu_seconds)


def bare_read(setup, pid, threads):
    """Reads all memory of the process, which is stopped, with bare-read."""
    read = _bare_read(setup, pid, threads)
    if read.vanished_bytes:
        raise BenchmarkError(f"bare-read did not find {read.vanished_bytes} bytes of a process that is stopped")
    return read


def bare_read_running(setup, pid):
    """Reads all memory of a process that runs, but for what it unmaps meanwhile, with bare-read."""
    read = _bare_read(setup, pid, 1)
    # What it has of the usual size stays.
    if read.bytes < setup.size:
        raise BenchmarkError(f"bare-read read only {read.bytes} bytes of a process that has {setup.size}")
    return read


def _bare_read(setup, pid, threads):
    figures = children.run(str(setup.bare_read), str(pid), str(threads)).json
    return Read(figures["bytes"], figures["vanished_bytes"], figures["seconds"], figures["cpu_seconds"])


def bare_stop(setup, pid, threads):
    """Stops the process, reads all its memory and lets it go, with bare-stop."""
    figures = children.run(str(setup.bare_stop), str(pid), str(threads)).json
    return Stopped(figures["bytes"], figures["seconds"])


def bare_copy(setup, pid, path):
    """Reads all memory of the process and writes it to a new file, with bare-copy."""
    path.unlink(missing_ok=True)
    figures = children.run(str(setup.bare_copy), str(pid), str(path)).json
    return Copied(figures["bytes"], figures["cpu_seconds"])


def bare_pipe(setup, pid, path, *options):
    """Reads all memory of the process and writes it to a new file at the same time, with bare-pipe."""
    path.unlink(missing_ok=True)
    figures = children.run(str(setup.bare_pipe), str(pid), str(path), *options).json
    return Piped(figures["bytes"], figures["seconds"])
