"""The Spark backend against a server on loopback: what it asks, and what it makes of the answers."""

import io
import json
import wave
from types import MappingProxyType

import pytest
from relay_spark import Plugin
from relay_spark.settings import Settings

from relay.errors import BlockedByUpstream, ConfigError, NoSuchModel, NotAccepted, UpstreamFailed
from relay.ports.inference import Audio, ChatRequest, DiarizeRequest, TranscribeRequest
from relay.tables import Table
from tests.loopback import Raw, json_reply, reply

from .conftest import COMPLETION, MODELS, TRANSCRIPT

CHAT, MODEL_LIST, TRANSCRIBE = "/v1/chat/completions", "/v1/models", "/api/audio/transcribe"


def answering(**change):
    choice = {**COMPLETION["choices"][0], **change}
    return json_reply({**COMPLETION, "choices": [choice]})


def test_a_chat_is_sent_in_openais_shape(spark, ask):
    (delta,) = ask(max_output_tokens=50, temperature=0.2)
    assert (delta.text, delta.finish, delta.model, delta.input_tokens, delta.output_tokens) == (
        "hi",
        "stop",
        "gemma",
        7,
        2,
    )
    sent = spark.calls()[-1]
    assert (sent.method, sent.path, sent.headers["authorization"]) == ("POST", CHAT, "Bearer sesame-token")
    assert sent.json() == {
        "model": "gemma",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 50,
        "temperature": 0.2,
    }


def test_messages_are_passed_through_as_they_are(backend, spark, ctx):
    messages = [
        MappingProxyType({"role": "system", "content": "be short"}),
        {"role": "user", "content": [{"type": "text", "text": "é"}], "name": "x"},
    ]
    list(backend.chat(ChatRequest(messages=messages), ctx))
    assert spark.calls()[-1].json()["messages"] == [dict(message) for message in messages]


def test_a_schema_becomes_a_response_format(spark, ask):
    ask(schema={"type": "object"})
    assert spark.calls()[-1].json()["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    }


def test_without_a_token_none_is_sent(spark, backend_for, ctx):
    list(backend_for(spark.url).chat(ChatRequest(messages=[]), ctx))
    assert all("authorization" not in request.headers for request in spark.requests)


def test_paths_and_a_base_path_are_settings(spark, backend_for, ctx):
    spark.says = {"/gpu/m": json_reply(MODELS), "/gpu/c": json_reply(COMPLETION)}
    backend = backend_for(spark.url + "/gpu", models_path="/m", chat_path="c")
    list(backend.chat(ChatRequest(messages=[]), ctx))
    assert spark.paths()[-2:] == ["/gpu/m", "/gpu/c"]


def test_the_list_of_models_is_asked_for_once_and_again_after_a_failure(backend, spark, ask):
    assert spark.requests == []
    assert backend.models("analyze") == ()
    ask()
    ask()
    assert spark.paths().count(MODEL_LIST) == 1
    assert backend.models("analyze") == ("gemma", "other")
    assert backend.models("transcribe") == ()
    spark.says[CHAT] = reply(500)
    with pytest.raises(UpstreamFailed):
        ask()
    assert backend.models("analyze") == ("gemma", "other"), "the last ones known are shown"
    del spark.says[CHAT]
    spark.says[MODEL_LIST] = json_reply({"data": [{"id": "newer"}]})
    ask()
    assert spark.calls()[-1].json()["model"] == "newer"


@pytest.mark.parametrize("asked", ["nobody", None])
def test_what_a_caller_asks_for_does_not_make_the_box_doubtful(spark, ask, asked):
    ask()
    if asked is None:
        spark.says[CHAT] = reply(400)
    with pytest.raises((NoSuchModel, NotAccepted)):
        ask(model=asked)
    spark.says.pop(CHAT, None)
    ask()
    assert spark.paths().count(MODEL_LIST) == 1


@pytest.mark.parametrize("task", ["transcribe", "diarize"])
def test_a_model_other_than_the_announced_one_is_not_replaced_by_it(spark, backend, recording, ctx, task):
    where = {"transcribe": "/api/audio/transcribe", "diarize": "/api/audio/diarize-chunk"}[task]
    spark.says["/api/status"] = json_reply({"services": {task: {"path": where, "model": "parakeet"}}})
    backend.health()
    assert backend.models(task) == ("parakeet",)
    kind = {"transcribe": TranscribeRequest, "diarize": DiarizeRequest}[task]
    with pytest.raises(NoSuchModel, match="'whisper'; it has parakeet"):
        getattr(backend, task)(kind(Audio(recording, "r.wav"), model="whisper"), ctx)
    assert spark.calls() == []


def test_the_announced_model_may_be_named(spark, backend, transcribe):
    where = "/api/audio/transcribe"
    spark.says["/api/status"] = json_reply({"services": {"transcribe": {"path": where, "model": "parakeet"}}})
    assert transcribe(model="parakeet").text == "hi there"


def test_a_model_of_the_settings_is_used_without_asking(spark, backend_for, ctx):
    backend = backend_for(spark.url, model="mine")
    assert backend.models("analyze") == ("mine",)
    list(backend.chat(ChatRequest(messages=[], model="mine"), ctx))
    assert spark.paths() == [CHAT]
    assert spark.calls()[0].json()["model"] == "mine"


def test_a_caller_may_choose_among_the_listed_models(spark, ask):
    ask(model="other")
    assert spark.calls()[-1].json()["model"] == "other"


def test_a_model_the_server_does_not_have_is_not_replaced_by_another(spark, ask):
    with pytest.raises(NoSuchModel, match="gpt-4"):
        ask(model="gpt-4")
    assert spark.paths() == [MODEL_LIST]


def test_a_missing_usage_and_finish_are_no_failure(spark, ask):
    spark.says[CHAT] = json_reply({"choices": [{"message": {"content": "hi", "reasoning_content": "x"}}], "usage": [1]})
    (delta,) = ask()
    assert (delta.text, delta.finish, delta.model, delta.input_tokens) == ("hi", "stop", "gemma", None)


@pytest.mark.parametrize(
    "said",
    [
        answering(finish_reason="content_filter"),
        answering(message={"role": "assistant", "content": None, "refusal": "I cannot"}),
        json_reply({"error": {"code": "content_filter", "message": "x"}}, status=400),
    ],
)
def test_a_refusal_of_the_model_is_blocked(spark, ask, said):
    spark.says[CHAT] = said
    with pytest.raises(BlockedByUpstream):
        ask()


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_an_empty_answer_is_a_failure(spark, ask, content):
    spark.says[CHAT] = answering(message={"role": "assistant", "content": content})
    with pytest.raises(UpstreamFailed, match="empty"):
        ask()


def test_an_answer_cut_at_its_limit_is_a_failure_only_with_a_schema(spark, ask):
    spark.says[CHAT] = answering(finish_reason="length")
    (delta,) = ask()
    assert (delta.text, delta.finish) == ("hi", "length")
    with pytest.raises(UpstreamFailed, match="cut at the limit"):
        ask(schema={"type": "object"})


UNREADABLE = [
    b"", b"null", b"[]", b"<html>busy</html>", json.dumps(COMPLETION).encode()[:-20], b'{"choices": []}',
    b'{"choices": null}', b'{"choices": [{}]}', b'{"error": {"message": "x"}}', b"\xff", b"[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("body", UNREADABLE)
def test_a_200_that_is_no_completion_is_a_failure(spark, ask, body):
    spark.says[CHAT] = reply(200, body)
    with pytest.raises(UpstreamFailed, match="cannot be used"):
        ask()


@pytest.mark.parametrize("body", [*UNREADABLE, b'{"data": null}', b'{"data": [{"name": "x"}]}'])
def test_a_200_that_is_no_list_of_models_is_a_failure(spark, ask, body):
    spark.says[MODEL_LIST] = reply(200, body)
    with pytest.raises(UpstreamFailed, match="cannot be used"):
        ask()


def test_a_recording_is_sent_as_16_khz_mono_wav(spark, transcribe, recording):
    transcript = transcribe(language="en", prompt="names")
    assert (transcript.text, transcript.language, transcript.model) == ("hi there", "en", "parakeet")
    assert transcript.duration == pytest.approx(3.0, abs=0.05)
    assert [word.word for word in transcript.segments[0].words] == ["hi"]
    sent = spark.calls()[-1]
    assert (sent.path, sent.headers["authorization"]) == (TRANSCRIBE, "Bearer sesame-token")
    fields, head, content = parts(sent)
    assert fields == {"language": "en", "timestamps": "word,segment", "response_format": "verbose_json"}
    assert 'name="file"; filename="audio.wav"' in head
    assert "content-type: audio/wav" in head
    with wave.open(io.BytesIO(content)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16000, 1, 2)
        assert sound.getnframes() == pytest.approx(48000, abs=800)
    assert [path.name for path in recording.parent.iterdir()] == ["recording"]


def test_without_a_language_none_is_sent(spark, transcribe):
    transcribe()
    assert "language" not in parts(spark.calls()[-1])[0]


def test_a_busy_server_gets_the_whole_recording_again(spark, transcribe):
    spark.says[TRANSCRIBE] = [reply(503, retry_after="0"), json_reply(TRANSCRIPT)]
    assert transcribe().text == "hi there"
    _models, first, second = spark.calls()
    assert parts(first)[2] == parts(second)[2]


def test_scratch_files_are_removed_after_a_failure_too(spark, transcribe, recording):
    spark.says[TRANSCRIBE] = Raw(close=True)
    with pytest.raises(Exception, match="lost"):
        transcribe()
    assert [path.name for path in recording.parent.iterdir()] == ["recording"]


def test_the_defaults_need_only_a_url():
    settings = Settings(url="http://h")
    assert (settings.max_concurrent, settings.queue_size, settings.read_timeout) == (1, 32, 600)


def test_the_places_for_calls_come_from_the_settings(spark, backend_for):
    backend = backend_for(spark.url, max_concurrent=3, queue_size=0)
    assert (backend.max_concurrent, backend.queue_size) == (3, 0)
    assert backend.tasks == {"transcribe", "diarize", "analyze"}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, r"plugins\.spark\.url: this key is required"),
        ({"url": ""}, r"plugins\.spark\.url: the URL must start with"),
        ({"url": "spark.lan:8000"}, r"plugins\.spark\.url: the URL must start with"),
        ({"url": "http://h", "token": "sesame\nx: y"}, r"plugins\.spark\.token: the value for the header"),
        ({"url": "http://h", "max_concurrent": 0}, r"plugins\.spark\.max_concurrent: "),
        ({"url": "http://h", "read_timeout": 0}, r"plugins\.spark\.read_timeout: "),
        ({"url": "http://h", "read_timeout": float("inf")}, r"plugins\.spark\.read_timeout: "),
        ({"url": "http://h", "modell": "x"}, r"plugins\.spark\.modell: unknown key"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(settings, complaint):
    with pytest.raises(ConfigError, match=complaint) as refusal:
        Plugin(Table(settings, "plugins.spark"))
    assert "sesame" not in refusal.value.message


def parts(request):
    """The fields, the head and the content of the file of a form."""
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    fields = {}
    for part in request.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        if b"filename" in head:
            file = head.decode(), content[:-2]
        else:
            fields[head.decode().split('"')[1]] = content[:-2].decode()
    return fields, *file
