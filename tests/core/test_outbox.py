"""Messages that must arrive: signed, tried again, given up, and never in each other's way."""

import hashlib
import hmac
import threading
import time
from datetime import timedelta

import pytest
from relay_jsonfile import Plugin as JSONFile
from structlog.testing import capture_logs

from relay.books.outbox import MAX_DEAD, SCAN
from relay.domain.deliveries import RETRY_AFTER_SECONDS
from relay.errors import NotFound, UrlNotAllowed
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.services.outbox import Outbox
from relay.testing.memory import MemoryStorage
from tests.core.books import START
from tests.internet import Internet
from tests.loopback import HANG_UP, Server

PUBLIC, OTHER = "93.184.216.34", "8.8.8.8"


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
    return value


class Receivers:
    """Stands for `fetch.post`: keeps what was sent, answers what `answer` says."""

    def __init__(self) -> None:
        self.sent = []
        self.answer = lambda url: 200

    def __call__(self, url, body, headers, *, timeout):
        assert timeout == 10
        self.sent.append((url, body, dict(headers)))
        return self.answer(url)

    @property
    def urls(self):
        return [url for url, _, _ in self.sent]


class Post:
    """An outbox with a clock that tests turn."""

    def __init__(self, storage, send) -> None:
        self.now = START
        self.storage = storage
        self.send = send
        self.outbox = Outbox(storage, send, lambda: self.now)

    def add(self, url="https://hook.example/x", body=b'{"a":1}', secret="s3cret", reference="job_1"):
        key = self.storage.transact(
            lambda tx: self.outbox.add(tx, url=url, body=body, secret=secret, kind="job", reference=reference)
        )
        self.outbox.nudge()
        return key

    def later(self, seconds):
        self.now += timedelta(seconds=seconds)
        self.outbox.nudge()

    def row(self, key):
        return self.storage.read(lambda tx: tx.get("outbox", key))

    def restart(self) -> None:
        self.outbox.stop()
        self.outbox = Outbox(self.storage, self.send, lambda: self.now)
        self.outbox.start()


@pytest.fixture
def send():
    return Receivers()


@pytest.fixture
def post(send, tmp_path):
    storage = MemoryStorage()
    storage.open(tmp_path, COLLECTIONS, STREAMS)
    post = Post(storage, send)
    post.outbox.start()
    yield post
    post.outbox.stop()


def test_a_message_is_signed_sent_once_and_gone(post, send):
    key = post.add(body=b'{"job":1}')
    until(lambda: post.row(key) is None)
    ((url, body, headers),) = send.sent
    stamp = int(START.timestamp())
    mac = hmac.new(b"s3cret", f"{stamp}.".encode() + b'{"job":1}', hashlib.sha256).hexdigest()
    assert (url, body) == ("https://hook.example/x", b'{"job":1}')
    assert headers == {
        "Content-Type": "application/json",
        "X-Relay-Delivery": key,
        "X-Relay-Signature": f"t={stamp},v1={mac}",
    }


def test_a_message_of_a_transaction_that_did_not_happen_is_never_sent(post, send):
    def torn(tx):
        post.outbox.add(tx, url="https://hook.example/", body=b"{}", secret="x", kind="job", reference="")
        raise ValueError

    with pytest.raises(ValueError):
        post.storage.transact(torn)
    key = post.add("https://b.example/")
    until(lambda: post.row(key) is None)
    assert send.urls == ["https://b.example/"]


def test_a_failing_receiver_is_tried_again_ever_later_and_then_given_up(post, send):
    send.answer = lambda url: 500
    key = post.add()
    waits = []
    for tries in range(1, len(RETRY_AFTER_SECONDS) + 1):
        row = until(lambda tries=tries: (row := post.row(key)).get("tries") == tries and row)
        due = row["due_at"]
        assert len(send.sent) == tries
        while (post.now.isoformat()[:19] + "Z") < due:
            post.now += timedelta(seconds=1)
            waits.append(1)
        waits.append(None)
        post.later(0)
    row = until(lambda: (row := post.row(key)).get("dead_at") and row)
    assert row["tries"] == len(send.sent) == len(RETRY_AFTER_SECONDS) + 1
    assert "due_at" not in row
    spent = [len(part) for part in _split(waits)]
    for seconds, wanted in zip(spent, RETRY_AFTER_SECONDS, strict=True):
        assert wanted <= seconds <= wanted * 1.2 + 1
    assert post.outbox.dead(10)[1][0]["error"] == "the receiver answered 500; a status from 200 to 299 takes it"


def _split(waits):
    part = []
    for wait in waits:
        if wait is None:
            yield part
            part = []
        else:
            part.append(wait)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_takes_the_message(post, send, status):
    send.answer = lambda url: status
    key = post.add()
    until(lambda: post.row(key) is None)


@pytest.mark.parametrize("status", [100, 301, 307, 400, 404, 410, 429, 500, 503])
def test_any_other_status_does_not(post, send, status):
    send.answer = lambda url: status
    key = post.add()
    until(lambda: (post.row(key) or {}).get("tries") == 1)


def test_a_receiver_that_recovers_gets_the_same_delivery_again(post, send):
    answers = [500, 200]
    send.answer = lambda url: answers.pop(0)
    key = post.add()
    until(lambda: post.row(key).get("tries") == 1)
    post.later(13)
    until(lambda: post.row(key) is None)
    (_, first, one), (_, second, two) = send.sent
    assert first == second
    assert one["X-Relay-Delivery"] == two["X-Relay-Delivery"] == key
    assert one["X-Relay-Signature"] != two["X-Relay-Signature"], "each try is signed with its own time"


def test_a_url_that_is_no_longer_allowed_is_a_failed_try(post, send):
    def refuse(url):
        raise UrlNotAllowed("the URL's host has an address that is not public")

    send.answer = refuse
    key = post.add()
    row = until(lambda: (row := post.row(key)).get("tries") == 1 and row)
    assert "not public" in row["error"]


def test_a_surprise_while_sending_is_a_failed_try_that_tells_no_secret(post, send):
    def explode(url):
        raise RuntimeError("https://hook.example/x?token=s3cret")

    send.answer = explode
    with capture_logs() as logs:
        key = post.add()
        row = until(lambda: (row := post.row(key)).get("tries") == 1 and row)
    assert "RuntimeError" in row["error"]
    assert "s3cret" not in f"{row['error']}{logs}"


def test_one_slow_receiver_does_not_hold_up_the_others(post, send):
    slow, running = threading.Event(), []

    def answer(url):
        if "slow" in url.lower():
            running.append(url)
            assert slow.wait(20)
        return 200

    send.answer = answer
    try:
        for n in range(SCAN + 40):
            post.add(f"https://{'SLOW' if n % 2 else 'slow'}.example/{n}")
        until(lambda: len(running) == 2)
        fast = [post.add(f"https://fast.example/{n}") for n in range(20)]
        until(lambda: all(post.row(key) is None for key in fast))
        assert len(running) == 2, "at most two at once to one host"
    finally:
        slow.set()
    until(lambda: post.outbox.pending(1)[0] == 0)
    assert len(send.sent) == SCAN + 60, "nothing was sent twice"


def test_never_more_than_eight_are_sent_at_once(post, send):
    release, lock, running, most = threading.Event(), threading.Lock(), [0], [0]

    def answer(url):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        release.wait(20)
        with lock:
            running[0] -= 1
        return 200

    send.answer = answer
    for n in range(30):
        post.add(f"https://h{n}.example/")
    until(lambda: running[0] == 8)
    release.set()
    until(lambda: post.outbox.pending(1)[0] == 0)
    assert (most[0], len(send.sent)) == (8, 30)


def test_a_message_whose_sender_died_is_sent_again_after_the_lease(post, send):
    died = threading.Event()

    def answer(url):
        died.wait(20)
        return 200

    send.answer = answer
    key = post.add()
    until(lambda: len(send.sent) == 1)
    other = Outbox(post.storage, send, lambda: post.now)  # another process, while the first hangs
    other.start()
    try:
        assert post.row(key)["due_at"] == "2026-01-01T00:01:00Z", "leased"
        post.now += timedelta(seconds=61)
        other.nudge()
        until(lambda: len(send.sent) == 2)
    finally:
        died.set()
        other.stop()
    until(lambda: post.row(key) is None)


def test_messages_survive_a_restart_on_disk(tmp_path, send):
    def opened():
        storage = JSONFile({}).relay_storages()[0]
        storage.open(tmp_path / "data", COLLECTIONS, STREAMS)
        return storage

    send.answer = lambda url: 503
    post = Post(opened(), send)
    post.outbox.start()
    key = post.add(body='{"text":"déjà"}'.encode())
    until(lambda: (post.row(key) or {}).get("tries") == 1)
    post.outbox.stop()
    post.storage.close()

    send.answer = lambda url: 200
    again = Post(opened(), send)
    again.now = START + timedelta(seconds=13)
    again.outbox.start()
    until(lambda: again.row(key) is None)
    again.outbox.stop()
    again.storage.close()
    assert [(body.decode(), headers["X-Relay-Delivery"]) for _, body, headers in send.sent] == [
        ('{"text":"déjà"}', key),
        ('{"text":"déjà"}', key),
    ]


def test_the_dead_can_be_retried_and_dropped(post, send):
    send.answer = lambda url: 500
    key, other = post.add("https://a.example/x?token=s3cret"), post.add("https://b.example/")
    for n in range(1, len(RETRY_AFTER_SECONDS) + 2):
        until(lambda n=n: {post.row(each).get("tries") for each in (key, other)} == {n})
        post.later(200_000)
    count, rows = post.outbox.dead(1)
    assert (count, len(rows)) == (2, 1)
    (row,) = [row for row in post.outbox.dead(10)[1] if row["id"] == key]
    assert row["url"] == "https://a.example/x"
    assert "s3cret" not in str(post.outbox.dead(10))
    send.answer = lambda url: 200
    post.outbox.retry(key)
    until(lambda: post.row(key) is None)
    post.outbox.drop(other)
    assert post.outbox.dead(10) == (0, [])
    for ask in (post.outbox.retry, post.outbox.drop):
        with pytest.raises(NotFound):
            ask(key)


def test_the_dead_are_bounded_and_forgotten_after_30_days(post, send):
    def die(tx):
        for n in range(MAX_DEAD + 5):
            key = post.outbox.add(
                tx, url=f"https://h{n}.example/", body=b"{}", secret="x", kind="job", reference=str(n)
            )
            row = tx.get("outbox", key)
            row["tries"] = len(RETRY_AFTER_SECONDS)
            tx.put("outbox", key, row)

    send.answer = lambda url: 500
    post.storage.transact(die)
    post.outbox.nudge()
    until(lambda: post.outbox.pending(1)[0] == 0)
    assert post.outbox.dead(1)[0] == MAX_DEAD
    post.now += timedelta(days=29)
    post.restart()
    until(lambda: not post.outbox._wake.is_set())
    assert post.outbox.dead(1)[0] == MAX_DEAD
    post.now += timedelta(days=2)
    post.restart()
    until(lambda: post.outbox.dead(1)[0] == 0)


def test_storage_that_fails_for_a_while_delays_a_message_and_does_not_lose_it(post, send):
    send.answer = lambda url: _break(post)
    key = post.add()
    until(lambda: post.storage.disk.failure)
    until(lambda: not post.outbox._sending)
    post.storage.disk.failure = None
    send.answer = lambda url: 200
    post.later(61)
    until(lambda: post.row(key) is None)
    assert len(send.sent) == 2, "at least once: its first sending could not be noted"


def _break(post):
    from relay.errors import StorageFull

    post.storage.disk.failure = StorageFull("the disk is full")
    return 200


def test_it_arrives_at_a_real_receiver_by_its_public_address_only(tmp_path, monkeypatch):
    internet = Internet(monkeypatch)
    storage = MemoryStorage()
    storage.open(tmp_path, COLLECTIONS, STREAMS)
    outbox = Outbox(storage)
    with Server() as good, Server(answer=lambda _: HANG_UP) as bad, Server() as private:
        urls = [internet.place(good, "good.example", PUBLIC), internet.place(bad, "bad.example", OTHER), private.url]
        internet.names["moved.example"] = [["10.0.0.1"]]
        urls.append("http://moved.example")
        outbox.start()
        try:
            for url in urls:
                storage.transact(
                    lambda tx, url=url: outbox.add(tx, url=url, body=b"{}", secret="s", kind="job", reference=url)
                )
            outbox.nudge()
            until(lambda: [row["tries"] for row in outbox.pending(10)[1]] == [1, 1, 1])
        finally:
            outbox.stop()
        assert [request.headers["content-type"] for request in good.requests] == ["application/json"]
        assert private.connections == 0
    errors = {row["reference"]: row["error"] for row in outbox.pending(10)[1]}
    assert "broke off" in errors[urls[1]]
    assert "not public" in errors[urls[2]]
    assert "not public" in errors[urls[3]]


def test_stopping_waits_for_what_is_being_sent(post, send):
    begun = threading.Event()

    def answer(url):
        begun.set()
        time.sleep(0.3)
        return 200

    send.answer = answer
    key = post.add()
    assert begun.wait(20)
    post.outbox.stop()
    assert post.row(key) is None
