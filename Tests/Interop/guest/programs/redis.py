"""redis-server, with a client over a Unix socket; every key is checked."""
import random
import socket
import subprocess
import time

KEYS = 8_000
VALUE_BYTES = 400
BATCH = 20


def value_of(key, generation):
    text = f"{key}:{generation}:"
    return (text * (VALUE_BYTES // len(text) + 1))[:VALUE_BYTES].encode()


class Program:
    def __init__(self, directory):
        path = f"{directory}/redis.socket"
        subprocess.Popen(["redis-server", "--unixsocket", path, "--port", "0", "--save", "", "--dir", directory],
                         stdin=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(600):
            try:
                self.socket.connect(path)
                break
            except OSError:
                time.sleep(0.1)
        self.answers = self.socket.makefile("rb")
        self.generations = [0] * KEYS
        self.random = random.Random(1)
        for first in range(0, KEYS, 1000):
            self.set_all(range(first, first + 1000))

    def send(self, commands):
        data = []
        for command in commands:
            data.append(b"*%d\r\n" % len(command))
            data += [b"$%d\r\n%s\r\n" % (len(word), word) for word in command]
        self.socket.sendall(b"".join(data))

    def answer(self):
        line = self.answers.readline()
        if not line.startswith(b"$"):
            return line.strip()
        length = int(line[1:])
        return self.answers.read(length + 2)[:length] if length >= 0 else None

    def set_all(self, keys):
        for key in keys:
            self.generations[key] += 1
        self.send([b"SET", b"key:%d" % key, value_of(key, self.generations[key])] for key in keys)
        for key in keys:
            answer = self.answer()
            assert answer == b"+OK", f"SET key:{key} was answered by {answer}"

    def write(self):
        self.set_all(self.random.sample(range(KEYS), BATCH))
        return BATCH

    def check(self):
        self.send([[b"DBSIZE"]])
        answer = self.answer()
        assert answer == b":%d" % KEYS, f"DBSIZE is {answer}"
        for first in range(0, KEYS, 1000):
            keys = range(first, first + 1000)
            self.send([b"GET", b"key:%d" % key] for key in keys)
            for key in keys:
                found, expected = self.answer(), value_of(key, self.generations[key])
                assert found == expected, f"key:{key} is {found}, not {expected}"
        return f"keys={KEYS}"
