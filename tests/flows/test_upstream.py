"""Real backends: the spark plugin with something strange on the other end of its wire, and the embedded one."""

import importlib.util
import json
import math
import struct
import threading
from array import array

import pytest

from tests.flows.live import Reply, assert_error, running, wav
from tests.loopback import HANG_UP, Raw, Server, json_reply, reply

MODELS = {"data": [{"id": "gemma"}]}
STATUS = {"services": {"chat": {}, "transcribe": True}}
ANSWER = {
    "model": "gemma",
    "choices": [{"message": {"content": "We agreed to ship."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 4},
}
CHAT = "/v1/chat/completions"


def spark(url: str, **more: object) -> str:
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in more.items())
    return f'[plugins.spark]\nurl = "{url}"\nmax_concurrent = 4\n{lines}'


def saying(answer: Raw):
    """A server that says what it has and answers everything else with this."""
    about = {"/v1/models": json_reply(MODELS), "/api/status": json_reply(STATUS)}
    return lambda request: about.get(request.path, answer)


def test_an_answer_of_a_real_upstream_is_charged(tmp_path) -> None:
    with Server(saying(json_reply(ANSWER))) as upstream, running(tmp_path, plugins=spark(upstream.url)) as live:
        answer = live.analyze(transcript="We met.")
        assert answer.status == 200
        assert answer.json["result"]["text"] == "We agreed to ship."
        assert answer.json["result"]["usage"] == {"input_tokens": 11, "output_tokens": 4}
        assert (answer.json["meta"]["backend"], answer.json["meta"]["model"]) == ("spark", "gemma")
        assert answer.charged == 1
        live.assert_balanced()


BAD_ANSWERS = {
    "500": (reply(500, b"internal failure"), 502, "upstream_failed"),
    "400": (reply(400, b"{}"), 502, "upstream_failed"),
    "401": (reply(401, b"{}"), 503, "upstream_unavailable"),
    "404": (reply(404, b"{}"), 503, "upstream_unavailable"),
    "refusal": (json_reply({"error": {"code": "content_filter"}}, 400), 422, "blocked_by_upstream"),
    "garbage": (reply(200, b"\xff\x00 no json"), 502, "upstream_failed"),
    "another json": (json_reply(["x"]), 502, "upstream_failed"),
    "deep json": (reply(200, b"[" * 50_000), 502, "upstream_failed"),
    "nothing": (reply(200, b""), 502, "upstream_failed"),
    "no choice": (json_reply({"choices": []}), 502, "upstream_failed"),
    "an empty answer": (json_reply({"choices": [{"message": {"content": "  "}}]}), 502, "upstream_failed"),
    "cut off": (Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{", close=True), 502, "upstream_failed"),
    "no http": (Raw(b"SSH-2.0-OpenSSH\r\n\r\n", close=True), 502, "upstream_failed"),
    "a hang-up": (HANG_UP, 502, "upstream_failed"),
    "a reset": (Raw(reset=True), 502, "upstream_failed"),
}


def test_a_bad_answer_charges_nothing_and_leaves_no_hold(tmp_path) -> None:
    said = {"now": reply()}

    def answer_now(request):
        return saying(said["now"])(request)

    with Server(answer_now) as upstream, running(tmp_path, plugins=spark(upstream.url)) as live:
        for name, (answer, status, code) in BAD_ANSWERS.items():
            said["now"] = answer
            got = live.analyze()
            assert (got.status, got.code) == (status, code), (name, got.body)
            assert_error(got, status, code, "upstream")
        for answer in (reply(500), reply(200, b"{"), HANG_UP):
            said["now"] = answer
            assert_error(live.transcribe(), 502, "upstream_failed", "upstream")
        assert live.credits()["total"] == 10
        assert live.entries("inst:inst-1") == []
        live.assert_balanced()


def test_an_upstream_that_says_nothing_is_504(tmp_path) -> None:
    silent = threading.Event()

    def answer(request):
        if request.path == "/v1/models":
            return json_reply(MODELS)
        silent.wait(20)
        return HANG_UP

    with Server(answer) as upstream, running(tmp_path, plugins=spark(upstream.url, read_timeout=1)) as live:
        assert_error(live.analyze(), 504, "upstream_timeout", "upstream")
        silent.set()
        assert live.credits()["total"] == 10
        live.assert_balanced()


def test_an_upstream_that_is_not_there_is_503(tmp_path) -> None:
    with Server() as gone:
        url = gone.url
    with running(tmp_path, plugins=spark(url)) as live:
        for answer in (live.analyze(), live.transcribe()):
            assert_error(answer, 503, "upstream_unavailable", "upstream")
        assert live.credits()["total"] == 10
        live.assert_balanced()


def test_after_a_failing_upstream_the_embedded_backend_answers(tmp_path) -> None:
    needs_local()
    with Server(saying(reply(500, b"no"))) as upstream:
        plugins = spark(upstream.url) + "[plugins.local]\n"
        with running(tmp_path, plugins=plugins) as live:
            got = live.analyze(transcript="We met on Monday. We agreed to ship on Friday. Ann writes the notes.")
            assert (got.status, got.json["meta"]["backend"], got.charged) == (200, "local", 1)
            assert live.credits()["total"] == 9
            live.assert_balanced()


def needs_local() -> None:
    if importlib.util.find_spec("moonshine_voice") is None:
        pytest.skip("the embedded backend is not installed")


def tone(seconds: float) -> bytes:
    samples = array("h", (int(9000 * math.sin(n / 9)) for n in range(int(16_000 * seconds))))
    header = wav(seconds)[:44]
    assert struct.unpack("<I", header[40:44])[0] == len(samples) * 2
    return header + samples.tobytes()


def refused(answer: Reply) -> bool:
    return answer.status in {415, 422, 502} and answer.error["charged"] == 0


def test_silence_and_a_hum_charge_nothing(tmp_path) -> None:
    needs_local()
    with running(tmp_path, plugins="[plugins.local]\n") as live:
        silence = live.transcribe(recording=wav(2))
        assert_error(silence, 422, "invalid")
        assert silence.error["details"]["path"] == "file"
        assert refused(live.transcribe(recording=tone(1)))
        assert_error(live.transcribe(recording=b"no sound" * 99), 415, "unsupported_media")
        assert live.credits()["total"] == 10
        assert live.entries("inst:inst-1") == []
        live.assert_balanced()
