"""PostgreSQL with data checksums; amcheck over the index, a sequential scan that checks every page, and every row."""
import random
import subprocess
import time

import psycopg2

ROWS = 5_000
BATCH = 10
BIN = "/usr/lib/postgresql/15/bin"
# Not in the case's own directory, which is root's.
SETTINGS = {
    "unix_socket_directories": "/tmp",
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "jit": "off",
    # Its workers come and go: the suite would find a process that the round before did not know.
    "autovacuum": "off",
}


def text_of(key, generation):
    return f"{key}:{generation}:" * 10


class Program:
    def __init__(self, directory):
        data = "/tmp/postgres"
        as_postgres = {"user": "postgres", "group": "postgres", "extra_groups": [], "stdin": subprocess.DEVNULL}
        subprocess.run(["rm", "-rf", data], check=True)
        subprocess.run([f"{BIN}/initdb", "--data-checksums", "--no-sync", "--auth=trust", "--locale=C", "--encoding=UTF8", data],
                       check=True, cwd="/tmp", **as_postgres)
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        subprocess.Popen([f"{BIN}/postgres", "-D", data, *settings], cwd="/tmp", **as_postgres)
        for _ in range(600):
            try:
                self.connection = psycopg2.connect(host="/tmp", user="postgres", dbname="postgres")
                break
            except psycopg2.OperationalError:
                time.sleep(0.1)
        self.connection.autocommit = True
        self.random = random.Random(1)
        self.generations = [1] * ROWS
        with self.connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION amcheck")
            cursor.execute("CREATE TABLE rows (key integer PRIMARY KEY, generation integer, text text)")
            cursor.execute("CREATE INDEX by_text ON rows (text)")
            cursor.execute("INSERT INTO rows SELECT k, 1, repeat(k || ':1:', 10) FROM generate_series(0, %s) k", (ROWS - 1,))

    def write(self):
        with self.connection.cursor() as cursor:
            cursor.execute("BEGIN")
            for key in self.random.sample(range(ROWS), BATCH):
                self.generations[key] += 1
                cursor.execute("UPDATE rows SET generation = %s, text = %s WHERE key = %s",
                               (self.generations[key], text_of(key, self.generations[key]), key))
            cursor.execute("COMMIT")
        return BATCH

    def check(self):
        with self.connection.cursor() as cursor:
            for index in ("rows_pkey", "by_text"):
                cursor.execute("SELECT bt_index_parent_check(%s, true)", (index,))
            cursor.execute("SELECT count(*) FROM verify_heapam('rows')")
            damaged = cursor.fetchone()[0]
            assert damaged == 0, f"verify_heapam finds {damaged} faults"
            cursor.execute("SELECT key, generation, text FROM rows ORDER BY key")
            rows = cursor.fetchall()
        assert len(rows) == ROWS, f"there are {len(rows)} rows"
        for (key, generation, text), expected in zip(rows, self.generations):
            assert generation == expected and text == text_of(key, expected), f"row {key} has generation {generation}, not {expected}"
        return f"rows={ROWS}"
