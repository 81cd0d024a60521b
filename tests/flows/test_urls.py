"""`{"url": …}` instead of a recording. The network is stubbed: nothing but loopback is ever asked."""

from pathlib import Path

import pytest

import relay.fetch
from relay.errors import TooLarge
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import assert_error, install, wav

URL = "https://recordings.example/talk.wav"


@pytest.fixture
def fetched(monkeypatch):
    """The URLs that were downloaded; each is a second of silence."""
    urls = []

    def download(url, target: Path, *, max_bytes, timeout, check):
        check()
        urls.append(url)
        target.write_bytes(wav())
        return "talk.wav"

    monkeypatch.setattr(relay.fetch, "check_url", lambda url: None)
    monkeypatch.setattr(relay.fetch, "download", download)
    return urls


def ask(live, who="i", path="/relay/transcribe", headers=None, **body):
    return live.call("POST", path, headers=install(who) | (headers or {}), json=body)


@pytest.mark.parametrize(("path", "task"), [("/relay/transcribe", "transcribe"), ("/relay/diarize", "diarize")])
def test_a_recording_is_fetched_and_charged_like_one_that_was_sent(start, fetched, path, task) -> None:
    backend = FakeBackend(tasks=(task,))
    with start(backend) as live:
        reply = ask(live, path=path, url=URL)
        assert reply.charged == 1
        assert fetched == [URL]
        assert backend.asked[0].audio.duration == 1.0
        assert not list(live.core.spool_dir.iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/x",
        "http://localhost/x",
        "http://[::1]/x",
        "http://169.254.169.254/latest",
        "http://2130706433/",
        "ftp://recordings.example/x",
        "file:///etc/passwd",
        "nonsense",
    ],
)
@pytest.mark.parametrize("path", ["/relay/transcribe", "/relay/diarize"])
def test_addresses_inside_are_refused(start, url, path) -> None:
    backend = FakeBackend(tasks=("transcribe", "diarize"))
    with start(backend) as live:
        assert_error(ask(live, path=path, url=url), 400, "url_not_allowed")
        assert backend.calls == 0
        assert live.credits("i")["total"] == 10


def test_without_a_url_the_caller_is_told_both_ways(start) -> None:
    with start(FakeBackend()) as live:
        reply = ask(live)
        assert_error(reply, 422, "invalid")
        assert reply.error["details"]["path"] == "url"


def test_nothing_is_fetched_for_a_call_that_nobody_can_pay(start, fetched) -> None:
    with start(FakeBackend()) as live:
        for _ in range(10):
            live.analyze("i")
        assert_error(ask(live, url=URL), 402, "insufficient_credits")
        assert fetched == []


def test_nothing_is_fetched_for_a_blocked_account_or_a_closed_job(start, fetched) -> None:
    named = {"X-Recap-Job-Id": "j"}
    with start(FakeBackend(), settings="[jobs]\nmax_calls = 1\n") as live:
        assert ask(live, url=URL, headers=named).charged == 1
        assert_error(ask(live, url=URL, headers=named), 409, "job_closed")
        live.edit("inst:i", blocked=True)
        assert_error(ask(live, url=URL), 403, "blocked")
        assert_error(ask(live, url=URL, headers=named), 403, "blocked")
        assert fetched == [URL]


def test_nothing_is_fetched_for_an_answer_from_the_store(start, fetched) -> None:
    with start(FakeBackend()) as live:
        first = ask(live, url=URL, headers={"Idempotency-Key": "k"})
        again = ask(live, url=URL, headers={"Idempotency-Key": "k"})
        assert again.body == first.body
        assert fetched == [URL]


def test_a_recording_that_is_too_large_is_free(start, monkeypatch, fetched) -> None:
    def download(*_args, **_more):
        raise TooLarge("too large")

    monkeypatch.setattr(relay.fetch, "download", download)
    with start(FakeBackend()) as live:
        assert_error(ask(live, url=URL), 413, "too_large")
        live.assert_balanced()
