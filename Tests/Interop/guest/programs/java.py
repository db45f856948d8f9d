"""A Java virtual machine: threads that make objects anew while the collector moves others; it checks all by itself."""
import os
import subprocess

JAVA = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"


class Program:
    def __init__(self, directory):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "Heap.java")
        # The file of performance counters in /tmp is no business of this.
        self.process = subprocess.Popen([JAVA, "-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", source],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.writes = 0
        answer = self.process.stdout.readline()
        assert answer == "ready\n", f"the Java program says {answer}"

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def write(self):
        before, self.writes = self.writes, int(self.ask("writes"))
        return self.writes - before

    def check(self):
        answer = self.ask("check")
        assert answer.startswith("ok "), f"the Java program says {answer}"
        return answer[len("ok "):]
