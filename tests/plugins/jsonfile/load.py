"""A process under load, to be killed: `python load.py DIR`. Prints "<thread> <count>" for every acknowledged change."""

import os
import sys
import threading
from functools import partial
from pathlib import Path

from relay_jsonfile import JSONFileStorage

from relay.testing.storage import COLLECTIONS, STREAMS

THREADS = 4


def increment(name, tx):
    for key in (name, "total"):
        doc = tx.get("things", key) or {"rank": 0}
        tx.put("things", key, {"rank": doc["rank"] + 1, "name": key})
    count = tx.get("things", name)["rank"]
    tx.put("notes", f"note-{count % 3}", {"count": count})
    if count % 3 == 0:
        tx.delete("notes", "note-1")
    tx.append("log", "total", {"by": name, "count": count})
    return count


def work(storage, name):
    while True:
        count = storage.transact(partial(increment, name))
        os.write(1, f"{name} {count}\n".encode())


def main():
    storage = JSONFileStorage()
    storage.open(Path(sys.argv[1]), COLLECTIONS, STREAMS)
    for number in range(THREADS):
        threading.Thread(target=work, args=(storage, f"t{number}"), daemon=True).start()
    while True:
        storage.checkpoint()


if __name__ == "__main__":
    main()
