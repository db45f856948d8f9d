"""Runs inside gdb: writes what it says of the core that it has opened into a file."""

import json
import os
import re

import gdb

_OUTPUT = os.environ["CORE_OUTPUT"]
_WORDS = os.environ["CORE_WORDS"]
_COMMANDS = json.loads(os.environ["CORE_COMMANDS"])


def said(command):
    try:
        return gdb.execute(command, to_string=True)
    except gdb.error as error:
        return f"error: {error}\n"


def threads():
    return sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.ptid[1])


def of_thread(thread, command):
    thread.switch()
    return said(command)


def word(address):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, 8)).hex()
    except gdb.error as error:
        return f"error: {error}"


def main():
    result = {"info sharedlibrary": said("info sharedlibrary")}
    for command in _COMMANDS:
        result[command] = said(command)
    for thread in threads():
        name = f"thread {thread.ptid[1]}"
        # gdb's numbers for threads are in the order in which they are in the core; which thread is which says the system.
        result[f"{name}: bt full"] = of_thread(thread, "bt full")
        result[f"{name}: info all-registers"] = of_thread(thread, "info all-registers")
        result[f"{name}: name"] = re.sub(r"^\[Current thread is \d+ ", "[", of_thread(thread, "thread"))
    with open(_WORDS, encoding="ascii") as file:
        addresses = [int(line, 16) for line in file]
    result["words"] = {f"{address:#x}": word(address) for address in addresses}
    with open(_OUTPUT, "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(result, file)


main()
