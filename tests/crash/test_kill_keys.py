"""kill -9 with Idempotency-Keys: whatever died, a key is charged once and ends with one answer for ever."""

import itertools
import json
import random
import threading
import time

import pytest
import urllib3

from tests.crash.harness import CREDITS, HEADERS, TIMEOUT, Nursery, credits_of, ledger_verify
from tests.loopback import json_reply, reply

KEYED = ["meter.held", "infer.calling", "infer.answered", "meter.settled", "idempotency.kept"]
LONG = "word " * 1000
ROUNDS = 30


def streamed(request):
    """Upstream: an answer too long to stand in a record, whole or in pieces."""
    if not request.json().get("stream"):
        choice = {"message": {"role": "assistant", "content": LONG}, "finish_reason": "stop"}
        return json_reply({"choices": [choice], "model": "m", "usage": {}})
    pieces = [{"choices": [{"index": 0, "delta": {"content": LONG[:2500]}}], "model": "m"} for _ in range(2)]
    pieces.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "model": "m"})
    body = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n"
    return reply(200, body.encode(), **{"content-type": "text/event-stream"})


class Keys:
    """Callers with a key each; every second one streams. `bodies`: complete answers that were received."""

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.asked: set[int] = set()
        self.bodies: dict[int, bytes] = {}

    def run(self, url, threads=6):
        stop = threading.Event()
        running = [threading.Thread(target=self._loop, args=(url, stop)) for _ in range(threads)]
        for thread in running:
            thread.start()

        def end() -> None:
            stop.set()
            for thread in running:
                thread.join(60)

        return end

    def _loop(self, url, stop) -> None:
        with urllib3.PoolManager(maxsize=1, retries=False) as pool:
            while not stop.is_set():
                number = next(self.numbers)
                self.asked.add(number)
                body = ask(pool, url, number)
                if body is None:
                    return
                self.bodies[number] = body


def ask(pool, url, number):
    """The whole answer, or None when it did not come."""
    body = json.dumps({"prompt": f"key {number}", "stream": number % 2 == 1}).encode()
    headers = HEADERS | {"Idempotency-Key": f"key-{number}"}
    try:
        reply = pool.request("POST", f"{url}/relay/analyze", body=body, headers=headers, timeout=TIMEOUT)
    except urllib3.exceptions.HTTPError:
        return None
    assert reply.status == 200, reply.data
    assert number % 2 == 0 or b"event: done" in reply.data
    return reply.data


@pytest.fixture
def nursery(tmp_path):
    with Nursery(tmp_path) as nursery:
        nursery.upstream.answer = streamed
        yield nursery


@pytest.mark.parametrize("point", KEYED)
def test_a_kill_at_a_named_point(nursery, point):
    keys = Keys()
    end = keys.run(nursery.start(f"{point}:3"))
    reached = nursery.wait(20)
    end()
    assert reached, f"{point} was never reached"
    settle_keys(nursery, keys)


@pytest.mark.timeout(300)
def test_kills_at_random_moments(nursery):
    rng, keys = random.Random(7), Keys()
    for _ in range(ROUNDS):
        end = keys.run(nursery.start())
        time.sleep(rng.uniform(0.01, 0.15))
        nursery.kill()
        end()
    assert keys.bodies
    settle_keys(nursery, keys)


def settle_keys(nursery, keys) -> None:
    url = nursery.start()
    with urllib3.PoolManager(retries=False) as pool:
        for number in sorted(keys.asked):
            body = ask(pool, url, number)
            assert body is not None
            assert keys.bodies.setdefault(number, body) == body, "the answer received before is the answer now"
        for number in sorted(keys.asked)[:40]:
            assert ask(pool, url, number) == keys.bodies[number]
    assert CREDITS - credits_of(url)["total"] == len(keys.asked), "each key is charged exactly once"
    nursery.kill()
    report = ledger_verify(nursery.folder)
    assert report.returncode == 0, report.stdout
