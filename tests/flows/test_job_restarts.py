"""Jobs across restarts: they go on where they were, and end once."""

import hashlib
import hmac
import json

import pytest

from relay.errors import UpstreamFailed
from tests.flows.background import RECORDING, Pause, cancel, ended, job, submit, upload
from tests.flows.live import FakeBackend, eventually, running
from tests.internet import Internet
from tests.loopback import Server, json_reply, reply

PUBLIC = "93.184.216.34"
ONE = "[jobs]\nworkers = 1\n"


@pytest.fixture
def internet(monkeypatch):
    return Internet(monkeypatch)


def test_a_stop_ends_no_job_and_the_next_start_goes_on_in_the_old_order(tmp_path):
    before, after = FakeBackend(), FakeBackend()
    before.act = Pause()
    with running(tmp_path, [before], settings=ONE) as live:
        for n in range(4):
            submit(live, job=f"job-{n}", prompt=f"job-{n}")
        cancel(live, "job-2")
        assert before.entered.acquire(timeout=10)
        eventually(lambda: job(live, "job-0")["state"] == "processing")
    after.act = pause = Pause()
    with running(tmp_path, [after], settings=ONE) as live:
        assert after.entered.acquire(timeout=10)
        assert (live.credits()["held"], live.credits()["total"]) == (3, 7)
        states = [job(live, f"job-{n}")["state"] for n in range(4)]
        assert states == ["processing", "queued", "cancelled", "queued"]
        pause.go.set()
        eventually(lambda: all(job(live, f"job-{n}")["state"] == "completed" for n in (0, 1, 3)))
        asked = [request.messages[0]["content"] for request in after.asked]
        assert asked == ["job-0", "job-1", "job-3"]
        assert live.credits()["total"] == 7
        live.assert_balanced()


def test_a_finished_piece_is_not_done_again_after_a_restart(tmp_path):
    done: list[str] = []

    def in_pieces(pause):
        def work(ctx):
            for name in ("one", "two"):
                if name not in ctx.pieces:
                    done.append(name)
                    ctx.pieces[name] = name.encode()
                assert ctx.pieces[name] == name.encode()
            pause(ctx)

        return work

    before, after = FakeBackend(), FakeBackend()
    before.act = in_pieces(Pause())
    with running(tmp_path, [before]) as live:
        reply = upload(live, task="transcribe")
        eventually(lambda: done == ["one", "two"])
    pause = Pause()
    pause.go.set()
    after.act = in_pieces(pause)
    with running(tmp_path, [after]) as live:
        assert ended(live, reply)["state"] == "completed"
        assert done == ["one", "two"]
        live.assert_balanced()


def test_the_pieces_of_one_backend_are_not_shown_to_another(start):
    seen = []

    def work(name):
        def act(ctx):
            seen.append((name, dict(ctx.pieces)))
            ctx.pieces["part"] = name.encode()

        return act

    first, second = FakeBackend("first"), FakeBackend("second")
    first.act, second.act = work("first"), work("second")
    first.fail = UpstreamFailed("no")
    with start(first, second) as live:
        done = ended(live, upload(live, task="transcribe"))
        assert done["meta"]["backend"] == "second"
    assert seen == [("first", {}), ("second", {})]


def test_a_recap_keeps_its_finished_stages(tmp_path):
    before, after = FakeBackend(), FakeBackend(text="said after the restart")
    pause = Pause()
    before.act = lambda ctx: pause(ctx) if before.calls == 2 else None
    with running(tmp_path, [before]) as live:
        reply = upload(live, task="recap")
        eventually(lambda: before.calls == 2)
        eventually(lambda: job(live, reply.json["job"]["id"])["progress"] == 0.75)
    with running(tmp_path, [after]) as live:
        result = ended(live, reply)["result"]
        assert after.calls == 1
        assert result["transcript"]["text"] == "the answer of fake"
        assert result["analysis"]["text"] == "said after the restart"
        assert live.credits()["total"] == 9
        live.assert_balanced()


def test_a_job_that_stops_the_relay_each_time_is_given_up(tmp_path):
    before, after = FakeBackend(), FakeBackend()
    before.act = Pause()
    with running(tmp_path, [before]) as live:
        reply = submit(live)
        assert before.entered.acquire(timeout=10)
        name = reply.json["job"]["server_job_id"]
        live.core.storage.transact(lambda tx: tx.put("work", name, tx.get("work", name) | {"starts": 20}))
    with running(tmp_path, [after]) as live:
        assert ended(live, reply)["state"] == "failed"
        assert after.calls == 0
        assert live.credits()["total"] == 10
        live.assert_balanced()


def test_a_job_whose_row_is_gone_gives_its_credit_back(live, backend):
    backend.act = Pause()
    reply = submit(live)
    assert backend.entered.acquire(timeout=10)
    live.core.storage.transact(lambda tx: tx.delete("work", reply.json["job"]["server_job_id"]))
    assert live.core.jobs.sweep() == 1
    assert live.credits()["total"] == 10
    live.assert_balanced()


def test_a_recording_at_a_url_is_fetched_once_even_across_a_restart(tmp_path, internet):
    before, after = FakeBackend(), FakeBackend()
    before.act = Pause()
    with Server(lambda _request: reply(body=RECORDING, content_type="audio/wav")) as host:
        url = internet.place(host, "talks.example", PUBLIC)
        with running(tmp_path, [before]) as live:
            accepted = submit(live, task="transcribe", prompt="names", url=f"{url}/talk.wav")
            assert before.entered.acquire(timeout=10)
        with running(tmp_path, [after]) as live:
            assert ended(live, accepted)["state"] == "completed"
            assert after.asked[0].audio.filename == "talk.wav"
        assert len(host.requests) == 1


def test_a_url_that_gives_no_recording_fails_the_job_for_nothing(live, backend, internet):
    with Server(lambda _request: reply(404)) as host:
        url = internet.place(host, "talks.example", PUBLIC)
        failed = ended(live, submit(live, task="transcribe", url=f"{url}/talk.wav"))
    assert (failed["state"], failed["error"]["code"]) == ("failed", "invalid")
    assert backend.calls == 0
    assert live.credits()["total"] == 10
    live.assert_balanced()


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_the_end_of_a_job_is_posted_to_its_callback_signed(live, backend, internet, state):
    backend.act = pause = Pause()
    if state == "failed":
        backend.fail = UpstreamFailed("no")
    with Server(lambda _request: json_reply({})) as receiver:
        url = internet.place(receiver, "app.example", PUBLIC)
        accepted = submit(live, callback_url=f"{url}/hook")
        secret = accepted.json["callback_secret"]
        assert backend.entered.acquire(timeout=10)
        if state == "cancelled":
            cancel(live, accepted.json["job"]["id"])
        pause.go.set()
        ended(live, accepted)
        eventually(lambda: receiver.requests and receiver.requests[0].sha256)
        sent = receiver.requests[0]
    told = json.loads(sent.body)["job"]
    assert (told["state"], told["id"]) == (state, accepted.json["job"]["id"])
    assert (told["result"] is not None) == (state == "completed")
    stamp, signature = (part.partition("=")[2] for part in sent.headers["x-relay-signature"].split(","))
    expected = hmac.new(secret.encode(), f"{stamp}.".encode() + sent.body, hashlib.sha256).hexdigest()
    assert signature == expected
    live.assert_balanced()


def test_a_large_result_is_not_in_the_callback_but_where_to_find_it_is(live, backend, internet):
    backend.text = "x" * (2**20 + 1)
    with Server(lambda _request: json_reply({})) as receiver:
        url = internet.place(receiver, "app.example", PUBLIC)
        accepted = submit(live, callback_url=url)
        ended(live, accepted)
        eventually(lambda: receiver.requests and receiver.requests[0].sha256)
        told = json.loads(receiver.requests[0].body)["job"]
    assert told["result"] is None
    assert told["result_url"] == f"http://127.0.0.1:8484/relay/jobs/{accepted.json['job']['server_job_id']}"
