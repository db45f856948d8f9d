"""How exactly --max-rate is kept, onto a disk and over a wire."""

import statistics

from ..ratios import at_most
from ..rows import limited
from ..setup import MIB, settle, size_text
from ..sluice import pre_dump, remove_images
from ..targets import stopped_target
from ..wires import PageServer, send

# Long enough that the start of the program is no part of the figure, and slow enough for any disk.
_SECONDS = 8
_SIZE = 512 * MIB


def measure(setup):
    size = min(setup.size, _SIZE)
    rate = size // _SECONDS
    images, received = setup.tmpfs / "client", setup.tmpfs / "received"
    on_disk = setup.disk / "images"
    limit = ("--max-rate", str(rate))

    def disk():
        return pre_dump(setup, pid, on_disk, *limit)

    def wire():
        with PageServer(setup, received) as server:
            sent = send(setup, server, pid, images, *limit)
            server.expect_end()
        return sent

    with stopped_target(setup.memory_target, "--size", str(size)) as pid:
        off = {}
        for way, run_once in (("disk", disk), ("wire", wire)):
            off[way] = []
            for number in range(setup.pairs):
                setup.progress(f"{way}: {number + 1} of {setup.pairs}")
                run, figures = run_once()
                off[way].append((figures["bytes_written"] / run.wall_seconds / rate - 1) * 100)
                for directory in (on_disk, images, received):
                    remove_images(directory)
                settle()
    medians = {way: statistics.median(values) for way, values in off.items()}
    yield limited(
        "throttle",
        f"{size_text(size)} at --max-rate {rate / 1e6:.0f} MB/s, {setup.disk_kind} and loopback: off by",
        "%",
        max(map(abs, medians.values())),
        setup.bound("throttle", at_most(3)).value,
        figures={"percent": off},
        details="throttle: " + ", ".join(f"{way} {median:+.2f} %" for way, median in medians.items())
        + " of what was asked for, by the whole command's time.",
        digits=2,
    )
