"""Events for the operator's own server: told once, signed, with what they tell of, and never at a caller's cost."""

import json
import re
import shutil
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relay import fetch
from relay.config import load_config
from relay.domain.deliveries import signature
from relay.domain.events import KINDS, crosses_down
from relay.errors import ConfigError, Invalid, UrlNotAllowed
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.services import events as module
from relay.services.events import Events
from relay.services.meter import Meter
from relay.services.outbox import Outbox
from relay.services.till import Till
from relay.settings import EventSettings, Settings, TierSettings
from relay.testing.memory import MemoryStorage
from tests.core.books import START, Books
from tests.core.test_outbox import until
from tests.loopback import Raw, Server, reply

SECRET = "a secret of the operator"
URL = "http://127.0.0.1:1/events"
TEXT = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
CORE = {"core": TierSettings(lifetime_credits=5)}


def settings(url=URL, **more) -> EventSettings:
    return EventSettings(url, SECRET, **more)


class Told(Books):
    """Books whose meter tells events, which stay in the outbox until `outbox.start`."""

    def __init__(self, config: EventSettings, tiers=CORE) -> None:
        self.config = config
        super().__init__(tiers)

    def new_process(self) -> Meter:
        self.outbox = Outbox(self.storage, clock=lambda: self.now)
        self.events = Events(self.storage, self.outbox, self.config, lambda: self.now)
        return Meter(self.storage, self.policy, lambda: self.now, events=self.events)

    def emit(self, kind="payment.credited", data=None, reference="ord_1"):
        return self.storage.transact(lambda tx: self.events.emit(tx, kind, data or {"n": 1}, reference))

    def told(self, kind=None) -> list[dict]:
        """The bodies that wait, oldest first."""
        rows = self.storage.read(lambda tx: tx.scan("outbox", limit=1000))
        bodies = [json.loads(row["body"]) for _, row in sorted(rows, key=lambda row: row[1]["created_at"])]
        return [body for body in bodies if kind in {None, body["event"]}]


def test_an_event_waits_in_the_outbox_under_the_id_in_its_body():
    books = Told(settings())
    key = books.emit("payment.credited", {"order": "ord_1"}, "ord_1")
    row = books.storage.read(lambda tx: tx.get("outbox", key))
    assert json.loads(row["body"]) == {
        "id": key,
        "event": "payment.credited",
        "at": "2026-01-01T00:00:00Z",
        "data": {"order": "ord_1"},
    }
    assert (row["url"], row["secret"], row["trusted"]) == (URL, SECRET, True)
    ((view,),) = [books.outbox.pending(10)[1]]
    assert (view["id"], view["kind"], view["reference"]) == (key, "payment.credited", "ord_1")


def test_an_event_of_a_transaction_that_did_not_happen_is_never_told():
    books = Told(settings())

    def torn(tx):
        books.events.emit(tx, "payment.credited", {}, "ord_1")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        books.storage.transact(torn)
    assert books.told() == []


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (EventSettings(), []),
        (EventSettings(secret=SECRET), []),
        (settings(), ["payment.credited", "rail.down"]),
        (settings(kinds=("rail.down",)), ["rail.down"]),
    ],
)
def test_only_what_is_wanted_is_told(config, told):
    books = Told(config)
    books.emit("payment.credited")
    books.later(seconds=1)
    books.emit("rail.down")
    assert [body["event"] for body in books.told()] == told


def test_while_too_many_wait_new_ones_are_dropped_and_the_log_says_so_once(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    books = Told(settings())
    with capture_logs() as logs:
        keys = [books.emit() for _ in range(6)]
    assert [key is None for key in keys] == [False] * 3 + [True] * 3
    assert [line["event"] for line in logs] == ["events_dropped"]
    books.outbox.drop(keys[0])
    assert books.emit() is not None


class TestLowCredits:
    def test_it_is_told_once_on_the_way_down(self):
        books = Told(settings())
        for _ in range(5):
            books.answer()
        (told,) = books.told("credits.low")
        assert told["data"] == {"account": "user:u", "tier": "core", "left": 2, "threshold": 2}

    def test_it_is_told_again_after_it_was_above(self):
        books = Told(settings())
        for _ in range(4):
            books.answer()
        books.credits.grant("user:u", 2, reason="", actor="test", make_row=False)
        assert len(books.told("credits.low")) == 1
        books.answer()
        assert len(books.told("credits.low")) == 2
        books.answer()
        books.answer()
        assert len(books.told("credits.low")) == 2

    def test_a_grant_that_stays_below_does_not_make_it_ready_again(self):
        books = Told(settings(low_credits=4))
        for _ in range(4):
            books.answer()
        books.credits.grant("user:u", 2, reason="", actor="test", make_row=False)
        books.answer()
        assert len(books.told("credits.low")) == 1

    def test_what_is_held_or_given_back_tells_nothing(self):
        books = Told(settings())
        calls = [books.begin() for _ in range(5)]
        assert books.told() == []
        for call in calls:
            books.meter.release(call)
        assert books.told() == []

    def test_calls_at_the_same_time_tell_once_when_the_third_is_paid(self):
        books = Told(settings())
        calls = [books.begin() for _ in range(5)]
        told = []
        for call in calls:
            books.settle(call)
            told.append(len(books.told("credits.low")))
        assert told == [0, 0, 1, 1, 1]

    def test_a_free_follow_up_and_a_late_answer_tell_nothing(self):
        books = Told(settings(low_credits=4))
        books.answer(job="j")
        books.answer(job="j")
        late = books.begin()
        books.restart()
        books.settle(late)
        assert len(books.told("credits.low")) == 1

    def test_gone_entirely_is_told_with_a_threshold_of_zero(self):
        books = Told(settings(low_credits=0))
        for _ in range(5):
            books.answer()
        (told,) = books.told("credits.low")
        assert told["data"]["left"] == 0

    def test_an_account_without_a_limit_never_runs_low(self):
        books = Told(settings(), tiers={"core": TierSettings()})
        books.answer()
        assert books.told() == []

    def test_without_a_url_nothing_is_stored(self):
        books = Told(EventSettings())
        for _ in range(5):
            books.answer()
        assert books.told() == []

    def test_the_charge_and_the_event_are_one_transaction(self):
        books = Told(settings(low_credits=4))
        call = books.begin()

        def torn(_tx, _receipt):
            raise ConnectionError

        with pytest.raises(ConnectionError):
            books.meter.settle(call, backend="b", model="m", cost_class="local", also=torn)
        assert books.told() == []


@pytest.mark.parametrize(
    ("before", "after", "told"), [(3, 2, True), (4, 0, True), (2, 1, False), (3, 3, False), (2, 3, False)]
)
def test_crossing_is_from_above_to_the_threshold_or_below(before, after, told):
    assert crosses_down(before, after, 2) is told


class TestOutages:
    def test_each_outage_is_told_once_and_its_end_once(self):
        books = Told(settings())
        for down in (True, True, False, False, True):
            books.events.outage("btcpay", down)
            books.later(minutes=20)
        assert [(body["event"], body["data"]) for body in books.told()] == [
            ("rail.down", {"rail": "btcpay", "since": "2026-01-01T00:00:00Z"}),
            (
                "rail.up",
                {"rail": "btcpay", "since": "2026-01-01T00:40:00Z", "down_since": "2026-01-01T00:00:00Z"},
            ),
            ("rail.down", {"rail": "btcpay", "since": "2026-01-01T01:20:00Z"}),
        ]

    def test_a_restart_in_an_outage_does_not_tell_it_again(self):
        books = Told(settings())
        books.events.outage("btcpay", True)
        books.restart()
        assert books.events.rails_down() == {"btcpay"}
        books.events.outage("btcpay", True)
        assert len(books.told()) == 1
        books.events.outage("btcpay", False)
        assert books.events.rails_down() == set()
        assert len(books.told("rail.up")) == 1

    def test_a_rail_that_comes_back_while_the_relay_is_stopped_is_still_watched_for_after_the_start(self):
        books = Told(settings())
        books.events.outage("btcpay", True)
        till = Till(books.storage, books.policy, Settings(events=settings()), {}, books.events)
        try:
            assert till.checks.is_down("btcpay")
            assert not till.checks.is_down("zaprite")
        finally:
            till.checks.close()

    def test_rails_are_told_apart(self):
        books = Told(settings())
        books.events.outage("btcpay", True)
        books.events.outage("zaprite", True)
        books.events.outage("btcpay", False)
        assert books.events.rails_down() == {"zaprite"}


class TestOnTheWire:
    @pytest.fixture
    def server(self):
        with Server() as server:
            yield server

    @pytest.fixture
    def books(self, server):
        books = Told(settings(f"{server.url}/hook?token=abc"))
        books.outbox.start()
        yield books
        books.outbox.stop()

    def test_it_reaches_a_server_in_the_private_network_signed(self, books, server):
        key = books.emit("payment.credited", {"text": "déjà vu"})
        books.events.nudge()
        (request,) = until(lambda: server.requests)
        assert (request.method, request.path) == ("POST", "/hook?token=abc")
        assert request.headers["x-relay-delivery"] == request.json()["id"] == key
        stamp = int(START.timestamp())
        assert request.headers["x-relay-signature"] == signature(SECRET, request.body, stamp)
        until(lambda: not books.told())

    def test_the_id_and_the_body_stay_the_same_on_every_try(self, books, server):
        answers = [503, 200]
        server.answer = lambda _: reply(answers.pop(0))
        books.emit()
        books.events.nudge()
        until(lambda: books.outbox.pending(1)[1][0]["tries"] == 1)
        books.later(seconds=13)
        books.events.nudge()
        until(lambda: not books.told())
        first, second = server.requests
        assert first.body == second.body
        assert first.headers["x-relay-delivery"] == second.headers["x-relay-delivery"]

    def test_a_callback_to_the_same_address_is_refused(self, books, server):
        def add(tx):
            return books.outbox.add(tx, url=server.url, body=b"{}", secret="x", kind="job", reference="job_1")

        books.storage.transact(add)
        books.outbox.nudge()
        row = until(lambda: (row := books.outbox.pending(1)[1][0])["tries"] == 1 and row)
        assert "not public" in row["error"]
        assert server.requests == []
        assert server.connections == 0

    def test_posting_for_a_caller_never_opens_a_private_address(self, server):
        with pytest.raises(UrlNotAllowed):
            fetch.post(server.url, b"{}", {}, timeout=5)
        assert fetch.post_trusted(server.url, b"{}", {}, timeout=5) == 200

    def test_a_trusted_url_is_not_followed_elsewhere_and_takes_no_proxy(self, server, monkeypatch):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        server.answer = lambda _: reply(302, location="http://127.0.0.1:1/")
        assert fetch.post_trusted(server.url, b"{}", {}, timeout=5) == 302

    def test_a_trusted_server_that_never_answers_ends_at_the_time_limit(self, server):
        server.answer = lambda _: Raw(b"HTTP/1.1")
        with pytest.raises(Invalid, match="longer than"):
            fetch.post_trusted(server.url, b"{}", {}, timeout=0.5)

    def test_a_server_that_is_not_there_is_a_failed_try(self):
        with pytest.raises(Invalid, match="could not be reached"):
            fetch.post_trusted("http://127.0.0.1:1/", b"{}", {}, timeout=5)


class TestSettings:
    @pytest.fixture
    def load(self, tmp_path):
        def load(text):
            path = tmp_path / "plugins.toml"
            path.write_text(f"[events]\n{text}", encoding="utf-8")
            return load_config(path)

        return load

    def test_url_and_secret_are_taken_from_the_environment(self, load, monkeypatch):
        monkeypatch.setenv("EV_URL", "http://10.0.0.5:9000/relay")
        monkeypatch.setenv("EV_SECRET", SECRET)
        config = load('url = { env = "EV_URL" }\nsecret = { env = "EV_SECRET" }\nkinds = ["rail.down"]')
        assert config.settings.events == EventSettings("http://10.0.0.5:9000/relay", SECRET, ("rail.down",))
        assert config.warnings == ()

    def test_an_unset_url_means_no_events(self, load, monkeypatch):
        monkeypatch.delenv("EV_URL", raising=False)
        assert load('url = { env = "EV_URL" }').settings.events.url is None

    def test_a_secret_in_the_file_is_warned_of(self, load):
        (warning,) = load(f'url = "{URL}"\nsecret = "{SECRET}"').warnings
        assert "events.secret" in warning
        assert SECRET not in warning

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            (f'url = "{URL}"', "events.secret: needed"),
            (f'url = "{URL}"\nsecret = "short"', "events.secret: expected str of length >= 16"),
            (f'url = "ftp://x/"\nsecret = "{SECRET}"', "events.url: expected str matching"),
            ('kinds = ["payment.lost"]', "events.kinds.0: invalid enum value"),
            ("low_credits = -1", "events.low_credits: expected int >= 0"),
            ("link = 1", "events.link: unknown key"),
        ],
    )
    def test_a_mistake_is_named_by_its_key(self, load, text, complaint):
        with pytest.raises(ConfigError) as error:
            load(text)
        assert error.value.message.startswith(complaint)
        assert SECRET not in error.value.message


def block(language: str) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)[0]


def cases() -> list[tuple[str, str, bytes, bool]]:
    body = json.dumps({"id": "evt_1", "data": "déjà vu"}, ensure_ascii=False).encode()
    now = int(time.time())
    good = signature(SECRET, body, now)
    stamp, mac = good.split(",")
    return [
        (SECRET, good, body, True),
        ("other", good, body, False),
        (SECRET, good, body + b" ", False),
        (SECRET, signature(SECRET, body, now - 400), body, False),
        (SECRET, signature(SECRET, body, now + 400), body, False),
        (SECRET, f"t={now + 1},{mac}", body, False),
        (SECRET, f"{stamp},v1=", body, False),
        (SECRET, f"{stamp},v1=déjà", body, False),
        (SECRET, f"t=x,{mac}", body, False),
        (SECRET, "", body, False),
    ]


class TestDocument:
    def test_the_python_receiver_tells_the_relay_from_others(self):
        space: dict = {}
        exec(compile(block("python"), "docs/events.md", "exec"), space)
        for secret, header, body, genuine in cases():
            event = space["event_from_relay"](secret, header, body)
            assert event == (json.loads(body) if genuine else None), header

    @pytest.mark.skipif(shutil.which("node") is None, reason="the example is for Node")
    def test_the_node_receiver_tells_the_relay_from_others(self):
        given = [[secret, header, body.decode()] for secret, header, body, _ in cases()]
        asked = f"""
          const cases = {json.dumps(given)};
          console.log(JSON.stringify(cases.map(([s, h, b]) => eventFromRelay(s, h, Buffer.from(b)))));
        """
        done = subprocess.run(
            ["node", "-e", block("javascript") + asked], capture_output=True, text=True, timeout=60, check=True
        )
        assert json.loads(done.stdout) == [json.loads(body) if genuine else None for _, _, body, genuine in cases()]

    def test_every_event_is_described_and_shown(self):
        assert set(json.loads(block("json"))) == set(KINDS)
        for kind in KINDS:
            assert re.search(rf"^\| .*`{re.escape(kind)}`", TEXT, re.MULTILINE), kind

    def test_what_is_shown_is_what_is_sent(self):
        shown = json.loads(block("json"))
        books = Told(settings())
        for _ in range(3):
            books.answer("user:ada")
        books.events.outage("btcpay", True)
        books.later(minutes=20)
        books.events.outage("btcpay", False)
        for body in books.told():
            assert shown[body["event"]] == body["data"]
        assert len(books.told()) == 3

    def test_the_settings_shown_are_the_settings(self, tmp_path, monkeypatch):
        monkeypatch.setenv("RELAY_EVENTS_SECRET", SECRET)
        path = tmp_path / "plugins.toml"
        path.write_text(block("toml"), encoding="utf-8")
        assert load_config(path).settings.events == settings("http://10.0.0.5:9000/relay")
        assert f"{module.MAX_WAITING} messages" in TEXT


def test_the_collections_of_the_outbox_take_a_trusted_message_of_an_older_version(tmp_path):
    """A message that was stored before there was such a thing is not trusted."""
    storage = MemoryStorage()
    storage.open(tmp_path, COLLECTIONS, STREAMS)
    row = {
        "url": "http://127.0.0.1:1/",
        "body": "{}",
        "secret": "x",
        "kind": "job",
        "reference": "",
        "created_at": "2026-01-01T00:00:00Z",
        "due_at": "2026-01-01T00:00:00Z",
    }
    storage.transact(lambda tx: tx.put("outbox", "dlv_1", row))
    outbox = Outbox(storage, clock=lambda: START + timedelta(seconds=1))
    outbox.start()
    try:
        row = until(lambda: (row := outbox.pending(1)[1][0])["tries"] == 1 and row)
    finally:
        outbox.stop()
    assert "not public" in row["error"]
