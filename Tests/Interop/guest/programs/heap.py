"""Python itself, with a heap of many objects of which some are made anew all the while; every one is checked. A timer goes
off all the while too: whoever holds the process for a moment makes a signal wait for it.
"""
import random
import signal
import zlib

OBJECTS = 20_000
BATCH = 10
TIMER_SECONDS = 0.1


def make(key, generation):
    text = f"{key}:{generation}:" * (5 + key % 20)
    return {"key": key, "generation": generation, "text": text, "sum": zlib.crc32(text.encode()), "parts": text.split(":")}


class Program:
    def __init__(self, directory):
        self.random = random.Random(1)
        self.generations = [1] * OBJECTS
        self.objects = {key: make(key, 1) for key in range(OBJECTS)}
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, TIMER_SECONDS, TIMER_SECONDS)

    def write(self):
        for key in self.random.sample(range(OBJECTS), BATCH):
            self.generations[key] += 1
            self.objects[key] = make(key, self.generations[key])
        return BATCH

    def check(self):
        assert len(self.objects) == OBJECTS, f"there are {len(self.objects)} objects"
        for key, generation in enumerate(self.generations):
            expected = make(key, generation)
            assert self.objects[key] == expected, f"object {key} is {self.objects[key]}, not {expected}"
        return f"objects={OBJECTS}"
