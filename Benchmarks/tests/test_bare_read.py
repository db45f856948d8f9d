"""What bare-read does where the process has changed since its pages were found."""

import subprocess
import tempfile
import unittest
from pathlib import Path

TESTS = Path(__file__).parent
SOURCES = (TESTS / "copy-holes/main.c", TESTS.parent / "peers/bare-read/copy.c")


class HoleTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="sluice-bench-")
        cls.addClassCleanup(directory.cleanup)
        cls.program = Path(directory.name) / "copy-holes"
        subprocess.run(["cc", "-std=gnu11", "-o", cls.program, *SOURCES], check=True)

    def run_it(self, *arguments):
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)

    def test_pages_that_are_gone_are_passed_over_and_counted(self):
        finished = self.run_it()
        self.assertEqual((finished.returncode, finished.stderr), (0, ""))
        self.assertEqual(finished.stdout, "read=5 vanished=5 first=6 last=8\n")

    def test_a_process_that_has_ended_is_an_error(self):
        finished = self.run_it("ended")
        self.assertEqual(finished.returncode, 1)
        self.assertEqual(finished.stderr, "copy-holes: reading memory: No such process\n")
        self.assertEqual(finished.stdout, "")


if __name__ == "__main__":
    unittest.main()
