"""Options and programs that both commands have in common."""

import json
import os
import signal
import subprocess
from pathlib import Path

from .cycle import Programs
from .errors import SoakError
from .subjects import KINDS

_CHECKOUT = Path(__file__).resolve().parent.parent.parent.parent
_BUILT = _CHECKOUT / ".build/programs"


def add_options(parser):
    add = parser.add_argument
    add("--tracker", metavar="NAME", help="give this to sluice")
    add("--sluice", type=Path, default=_CHECKOUT / ".build/release/sluice", metavar="FILE", help="try this program")
    add("--dir", type=Path, default=Path("/var/tmp"), help="on a disk: images, and files read past the page cache")
    add("--seed", type=int, help="of all random numbers")


def check_names(parser, names):
    for name in names:
        if name not in [kind.name for kind in KINDS]:
            parser.error(f"there is no {name}")


def programs(options, round_count=5, may_stop=False):
    found = Programs(
        sluice=options.sluice.resolve(),
        sluice_options=["--tracker", options.tracker] if options.tracker else [],
        trial_target=_BUILT / "trial-target",
        memory_target=_BUILT / "memory-target",
        image_compare=_BUILT / "image-compare",
        images=_BUILT / "images",
        java_source=Path(__file__).resolve().parent.parent / "programs/Load.java",
        round_count=round_count,
        may_stop=may_stop,
    )
    for program in (found.sluice, found.trial_target, found.memory_target, found.image_compare, found.images):
        if not program.exists():
            raise SoakError(f"there is no {program}: make soak builds it")
    return found


def why_rounds_stop(sluice):
    """Why rounds of `sluice` must stop the process here; nothing where they need not."""
    done = subprocess.run([str(sluice), "check", "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SoakError(f"{sluice} check failed with {done.returncode}: {done.stderr.strip()}")
    for finding in json.loads(done.stdout)["findings"]:
        if finding["subject"] == "userfaultfd-wp-async" and finding["available"] is False:
            return finding["found"]
    return ""


def end_on_signals():
    """Makes the usual signals leave by way of every `finally`, with the shell's exit code for them."""

    def leave(number, _):
        # Once: what comes next must not interrupt the cleaning up.
        for other in signals:
            signal.signal(other, signal.SIG_IGN)
        # Not by print, which it may have come in the middle of.
        os.write(2, f"ended by {signal.Signals(number).name}\n".encode())
        raise SystemExit(128 + number)

    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    for number in signals:
        signal.signal(number, leave)
