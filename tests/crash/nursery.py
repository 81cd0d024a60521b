"""A process that has everything imported and forks one relay per line it reads: a start costs little.

Reads JSON lines `{"config", "data", "crash_point"}`; the child serves like `relay serve`, its standard output
and standard error going to the files `out` and `err` beside the config.
"""

import json
import os
import signal
import sys
from pathlib import Path

import relay.cli.serve
from relay import crash
from relay.cli.options import Places

PLUGINS = ("relay_btcpay", "relay_install_id", "relay_jsonfile", "relay_operator_key", "relay_spark")


def main() -> None:
    for name in PLUGINS:
        __import__(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(order)
        print(pid, flush=True)


def child(order: dict[str, str]) -> None:
    config = Path(order["config"])
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(config.parent / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    crash._name, _, count = order["crash_point"].partition(":")
    crash._left = int(count or 1)
    try:
        code = relay.cli.serve.run(Places(config, Path(order["data"])), None, 0)
    except BaseException as exc:  # noqa: BLE001 - a forked child must never go on as the nursery
        print(f"{type(exc).__name__}: {exc}", file=sys.stderr, flush=True)
        code = 70
    os._exit(code)


if __name__ == "__main__":
    main()
