"""SQLite in WAL mode: one connection writes, another one reads; integrity_check, and every row is checked."""
import random
import sqlite3

ROWS = 10_000
BATCH = 20


def text_of(key, generation):
    return f"{key}:{generation}:" * 20


class Program:
    def __init__(self, directory):
        path = f"{directory}/data.sqlite"
        self.writer = sqlite3.connect(path, isolation_level=None)
        mode = self.writer.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        assert mode == "wal", f"the journal's mode is {mode}"
        self.writer.execute("PRAGMA synchronous=OFF")
        self.writer.execute("PRAGMA mmap_size=16777216")
        self.writer.execute("CREATE TABLE rows (key INTEGER PRIMARY KEY, generation INTEGER, text TEXT)")
        self.writer.execute("CREATE INDEX by_text ON rows (text)")
        self.random = random.Random(1)
        self.generations = [1] * ROWS
        self.writer.execute("BEGIN")
        self.writer.executemany("INSERT INTO rows VALUES (?, 1, ?)", ((key, text_of(key, 1)) for key in range(ROWS)))
        self.writer.execute("COMMIT")
        self.reader = sqlite3.connect(path, isolation_level=None)

    def write(self):
        keys = self.random.sample(range(ROWS), BATCH)
        self.writer.execute("BEGIN IMMEDIATE")
        for key in keys:
            self.generations[key] += 1
            self.writer.execute("UPDATE rows SET generation = ?, text = ? WHERE key = ?",
                                (self.generations[key], text_of(key, self.generations[key]), key))
        self.writer.execute("COMMIT")
        # Reads through the index of the write-ahead log, which is shared memory.
        generation = self.reader.execute("SELECT generation FROM rows WHERE key = ?", (keys[0],)).fetchone()[0]
        assert generation == self.generations[keys[0]], f"row {keys[0]} has generation {generation}"
        return BATCH

    def check(self):
        for connection in (self.reader, self.writer):
            found = connection.execute("PRAGMA integrity_check").fetchall()
            assert found == [("ok",)], f"integrity_check: {found}"
        rows = self.reader.execute("SELECT key, generation, text FROM rows ORDER BY key").fetchall()
        assert len(rows) == ROWS, f"there are {len(rows)} rows"
        for (key, generation, text), expected in zip(rows, self.generations):
            assert generation == expected and text == text_of(key, expected), f"row {key} has generation {generation}, not {expected}"
        return f"rows={ROWS}"
