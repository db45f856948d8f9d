"""Random memory into the page cache, and left there, against a bare loop and against CRIU, who leave it there too."""

from ..criu import Criu
from ..errors import BenchmarkError
from ..peers import bare_pipe
from ..ratios import Comparison, at_least, take_turns
from ..rows import compared, skipped
from ..setup import GB, settle, size_text
from ..sluice import pre_dump, remove_images
from ..targets import idle_target, stopped_target

# The page cache has room for a quarter of the usual size on most machines.
_PARTS = 4


def measure(setup):
    images, file = setup.disk / "images", setup.disk / "file"

    def peer(pid):
        run = bare_pipe(setup, pid, file, "loop")
        return run.bytes / run.seconds / GB

    yield _compare(
        setup, "cached", "bare loop", 0.90, stopped_target, peer, lambda: (remove_images(images), file.unlink(True))
    )


def measure_criu(setup):
    criu = Criu.found(setup)
    if criu is None:
        yield skipped("cached-criu", "there is no CRIU 4.2: make interop fetches it, or name one with --criu")
        return
    images, theirs = setup.disk / "images", setup.disk / "theirs"

    def peer(pid):
        seconds = criu.dump(pid, theirs)
        written = sum(pages.stat().st_size for pages in theirs.glob("pages-*.img"))
        if written < setup.size // _PARTS:
            raise BenchmarkError(f"{criu.version} has written {written} of {setup.size // _PARTS} bytes")
        return written / seconds / GB

    # CRIU leaves stopped processes out.
    yield _compare(
        setup, "cached-criu", f"{criu.version} ({criu.action[0]})", 1.0, idle_target, peer,
        lambda: (remove_images(images), remove_images(theirs)),
    )


def _compare(setup, name, title, bound, target, peer, remove):
    size = setup.size // _PARTS
    setup.need_memory(2 * size)

    def clean():
        remove()
        settle()

    def ours():
        run, figures = pre_dump(setup, pid, setup.disk / "images", "--io", "cached")
        return figures["bytes_written"] / run.wall_seconds / GB

    with target(setup.memory_target, "--size", str(size)) as pid:
        rates = take_turns([ours, lambda: peer(pid)], setup.pairs, clean, setup.progress)
    clean()
    return compared(
        name,
        f"{size_text(size)} into the page cache of {setup.disk_kind}; {title}",
        "GB/s",
        Comparison(*rates),
        setup.bound(name, at_least(bound)),
    )
