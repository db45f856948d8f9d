"""What gdb says of a core."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from .errors import CoreError

_LIMIT_SECONDS = 600


def asked(program, core, addresses, commands, sysroot=None):
    """Answers by question, and `words`, whose answers are by address."""
    with tempfile.TemporaryDirectory(prefix="core-") as work:
        words, output = Path(work, "words"), Path(work, "output")
        words.write_text("".join(f"{address:x}\n" for address in addresses), encoding="ascii")
        call = ["gdb", "-nx", "-q", "-batch"]
        for setting in ("pagination off", "width 0", "height 0", "debuginfod enabled off", "auto-load off"):
            call += ["-iex", f"set {setting}"]
        if sysroot is not None:
            call += ["-iex", f"set sysroot {sysroot}"]
        call += ["-x", str(Path(__file__).with_name("in_gdb.py"))]
        call += [str(program), str(core)]
        environment = dict(os.environ, CORE_OUTPUT=str(output), CORE_WORDS=str(words), LC_ALL="C.UTF-8")
        environment["CORE_COMMANDS"] = json.dumps(commands)
        try:
            done = subprocess.run(
                call, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CoreError(f"gdb: {error}") from error
        if not output.exists():
            raise CoreError(f"gdb says nothing of {core}: {done.stderr.decode(errors='replace').strip()[-2000:]}")
        answers = json.loads(output.read_text(encoding="utf-8", errors="surrogateescape"))
        # What it complains of when it opens a core, such as one that is cut off, or of which it finds no registers.
        complaints = [line for line in done.stderr.decode(errors="replace").splitlines() if line.startswith("warning:")]
        answers["warnings"] = "\n".join(line.replace(str(core), "CORE") for line in complaints)
        return answers
