"""Spark Control as the sandbox plays it, over HTTP."""

from __future__ import annotations

import math

import pytest

from tests.sandbox.conftest import Client, tone

TRANSCRIBE = "/spark/api/audio/transcribe"
DIARIZE = "/spark/api/audio/diarize-chunk"
CHAT = "/spark/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def spark(client):
    """Set the Spark over HTTP."""

    def settle(**changes):
        reply = client.put("/_sandbox/spark", changes)
        assert reply.status == 200, reply.data
        return reply.json()

    return settle


class TestDiscovery:
    def test_it_names_the_services_with_their_paths_and_limits(self, box, client):
        told = client.get("/spark/api/status").json()
        assert told["ready"] is True
        assert set(told["services"]) == {"transcribe", "diarize", "chat"}
        assert told["services"]["diarize"]["max_speakers"] == 4
        assert told["services"]["chat"]["base_url"] == f"{box.url}/spark/v1"

    def test_a_part_the_box_lacks_is_neither_named_nor_there(self, client, spark):
        spark(parts=["chat"])
        assert set(client.get("/spark/api/status").json()["services"]) == {"chat"}
        assert client.upload(TRANSCRIBE, tone(0.1)).status == 404
        assert client.upload(DIARIZE, tone(0.1)).status == 404
        spark(parts=["transcribe"])
        assert client.post(CHAT, HELLO).status == 404
        assert client.get("/spark/v1/models").status == 404

    def test_it_may_be_missing(self, client, spark):
        spark(discovery=False)
        assert client.get("/spark/api/status").status == 404
        assert client.get("/spark/health").status == 200
        assert client.get("/spark/v1/health/ready").status == 200

    def test_it_counts_the_calls_that_run(self, box, client):
        box.faults.add("spark", "slow_chunks", route="chat", seconds=30)
        with Client(box.url) as other:
            reply = other.post(CHAT, HELLO | {"stream": True}, preload_content=False)
            reply.read1(10)
            assert client.get("/spark/api/status").json()["queue"] == {"running": 1, "waiting": 0}
            reply.close()
        box.requests.wait(lambda record: record.hung_up and record.ended is not None, 5)
        assert client.get("/spark/api/status").json()["queue"]["running"] == 0


class TestTokens:
    def test_without_the_token_nothing_but_health_is_answered(self, client, spark):
        spark(token="right")
        for reply in (
            client.get("/spark/api/status"),
            client.get("/spark/v1/models"),
            client.post(CHAT, HELLO, headers={"authorization": "Bearer wrong"}),
            client.upload(TRANSCRIBE, tone(0.1)),
            client.upload(DIARIZE, tone(0.1)),
        ):
            assert (reply.status, reply.json()["error"]["type"]) == (401, "AuthenticationError")
        assert client.get("/spark/health").status == 200
        assert client.post(CHAT, HELLO, headers={"authorization": "Bearer right"}).status == 200


class TestTranscribe:
    def test_words_and_segments_cover_the_decoded_length(self, client):
        told = client.upload(TRANSCRIBE, tone(8)).json()
        assert told["duration"] == pytest.approx(8)
        assert len(told["words"]) == 20
        assert told["text"] == " ".join(word["word"] for word in told["words"])
        assert told["text"] == " ".join(segment["text"] for segment in told["segments"])
        ends = [word["end"] for word in told["words"]]
        assert ends == sorted(ends)
        assert ends[-1] <= 8

    def test_the_same_recording_has_the_same_words_and_another_has_others(self, client):
        first, again, other = (client.upload(TRANSCRIBE, tone(s)).json()["text"] for s in (3, 3, 3.1))
        assert first == again
        assert first != other

    def test_the_text_can_be_told(self, client, spark):
        spark(transcript="Anna sends the draft.")
        told = client.upload(TRANSCRIBE, tone(2)).json()
        assert told["text"] == "Anna sends the draft."
        assert [word["start"] for word in told["words"]] == [0, 0.5, 1, 1.5]
        spark(transcript="")
        assert client.upload(TRANSCRIBE, tone(2)).json()["text"] == ""

    def test_every_shape_that_servers_have(self, client, spark):
        spark(transcript="hi there", transcript_shape="text")
        assert client.upload(TRANSCRIBE, tone(1)).json() == {"text": "hi there"}
        spark(transcript_shape="nemo")
        nemo = client.upload(TRANSCRIBE, tone(1)).json()["timestamp"]
        assert nemo["word"][1] == {"word": "there", "start": 0.5, "end": 0.9}
        assert nemo["segment"] == [{"segment": "hi there", "start": 0, "end": 0.9}]
        spark(transcript_shape="vllm")
        assert client.upload(TRANSCRIBE, tone(1)).json()["duration"] == "1.0"

    def test_what_is_no_recording_too_long_or_not_there_is_refused(self, client, spark):
        assert client.upload(TRANSCRIBE, b"words").status == 415
        assert client("POST", TRANSCRIBE, fields={"language": "en"}).status == 422
        spark(max_seconds=1)
        assert client.upload(TRANSCRIBE, tone(2)).status == 413

    def test_memory_runs_out_for_long_recordings_only(self, box, client):
        box.faults.add("spark", "oom", above_seconds=2)
        reply = client.upload(TRANSCRIBE, tone(3))
        assert reply.status == 500
        assert "CUDA out of memory" in reply.json()["error"]["message"]
        assert client.upload(TRANSCRIBE, tone(1)).status == 200


TRUTH = [
    {"start": 0.0, "end": 4.0, "speaker": "ann"},
    {"start": 3.0, "end": 6.0, "speaker": "ben"},
    {"start": 7.0, "end": 12.0, "speaker": "ann"},
    {"start": 12.0, "end": 16.0, "speaker": "cleo"},
]


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


class TestDiarize:
    def test_a_chunk_has_the_part_of_the_truth_inside_it_in_its_own_time(self, client, spark):
        spark(speakers=TRUTH)
        told = client.upload(DIARIZE, tone(8), chunk_index="1", offset="5").json()
        assert (told["chunk_index"], told["duration"]) == (1, pytest.approx(8))
        assert [(s["start"], s["end"]) for s in told["segments"]] == [(0.0, 0.96), (2.0, 7.04), (7.04, 8.0)]
        assert len({s["speaker"] for s in told["segments"]}) == 3
        assert told["embedding_dim"] == 192
        assert {len(speaker["embedding"]) for speaker in told["speakers"]} == {192}

    def test_numbers_mean_nothing_beyond_the_chunk(self, client, spark):
        spark(speakers=[{"start": at, "end": at + 1, "speaker": "abc"[at % 3]} for at in range(60)])
        orders = set()
        for offset in range(0, 60, 6):
            segments = client.upload(DIARIZE, tone(6), offset=str(offset)).json()["segments"]
            orders.add(tuple(s["speaker"] for s in segments[:3]))
        assert len(orders) > 1

    def test_a_person_sounds_more_like_themselves_than_like_another(self, client, spark):
        spark(speakers=TRUTH)
        chunks = [client.upload(DIARIZE, tone(8), offset=offset).json() for offset in ("0", "6")]
        voices = []
        for chunk, seconds in zip(chunks, (5, 5), strict=True):
            (ann,) = [s for s in chunk["speakers"] if s["seconds"] == pytest.approx(seconds, abs=0.2)]
            others = [s for s in chunk["speakers"] if s is not ann]
            voices.append((ann["embedding"], [s["embedding"] for s in others]))
        (ann, others), (ann_again, _) = voices
        same, different = cosine(ann, ann_again), max(cosine(other, ann_again) for other in others)
        assert 0.75 < same < 0.98
        assert 0.2 < different < same

    def test_at_most_four_speakers_are_told_apart(self, client, spark):
        spark(speakers=[{"start": at, "end": at + 1 - at / 10, "speaker": f"p{at}"} for at in range(6)])
        told = client.upload(DIARIZE, tone(6)).json()
        assert len(told["speakers"]) == 4
        assert len(told["segments"]) == 6
        assert len(client.upload(DIARIZE, tone(6), max_speakers="2").json()["speakers"]) == 2

    @pytest.mark.parametrize(("form", "kind"), [("number", int), ("digits", str), ("label", str)])
    def test_speakers_are_written_in_every_way(self, client, spark, form, kind):
        spark(speaker_form=form)
        speaker = client.upload(DIARIZE, tone(4)).json()["segments"][0]["speaker"]
        assert type(speaker) is kind
        assert str(speaker).startswith("speaker_") == (form == "label")

    def test_vectors_are_written_in_every_way(self, client, spark):
        spark(embedding_form="map")
        assert set(client.upload(DIARIZE, tone(9)).json()["embeddings"]) == {"speaker_0", "speaker_1"}
        spark(embedding_form="segments")
        assert {len(s["embedding"]) for s in client.upload(DIARIZE, tone(9)).json()["segments"]} == {192}
        spark(embedding_form="none")
        assert set(client.upload(DIARIZE, tone(9)).json()) == {"chunk_index", "duration", "segments"}
        spark(segment_form="lines", embedding_form="none")
        assert client.upload(DIARIZE, tone(4)).json()["segments"][0].startswith("0.000 4.000 speaker_")

    def test_silence_has_no_speaker(self, client, spark):
        spark(speakers=[{"start": 100, "end": 101, "speaker": "a"}])
        told = client.upload(DIARIZE, tone(2)).json()
        assert (told["segments"], told["speakers"]) == ([], [])

    def test_fields_that_are_no_numbers_are_refused(self, client):
        assert client.upload(DIARIZE, tone(0.1), offset="soon").status == 422

    def test_everybody_can_be_heard_as_one(self, box, client):
        box.faults.add("spark", "one_speaker")
        assert len(client.upload(DIARIZE, tone(20)).json()["speakers"]) == 1


class TestChat:
    def test_an_answer_comes_from_the_question(self, client):
        told = client.post(CHAT, HELLO).json()
        assert told["choices"][0]["message"] == {"role": "assistant", "content": "The sandbox read: hello"}
        assert told["choices"][0]["finish_reason"] == "stop"
        usage = told["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    def test_tokens_move_with_the_input(self, client):
        def prompt_tokens(text: str) -> int:
            return client.post(CHAT, {"messages": [{"role": "user", "content": text}]}).json()["usage"]["prompt_tokens"]

        assert prompt_tokens("x" * 4000) - prompt_tokens("x" * 2000) == 500

    def test_a_stream_says_the_same_and_ends_with_usage_and_done(self, client):
        asked = HELLO | {"stream": True, "stream_options": {"include_usage": True}}
        *chunks, usage, done = client.events(CHAT, asked)
        assert done == "[DONE]"
        assert usage["choices"] == []
        assert usage["usage"] == client.post(CHAT, HELLO).json()["usage"]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert "".join(delta.get("content") or "" for delta in deltas) == "The sandbox read: hello"
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert all("usage" not in event for event in client.events(CHAT, HELLO | {"stream": True})[:-1])

    def test_the_answer_can_be_told_and_cut_by_a_limit(self, client, spark):
        spark(answer="one two three four")
        told = client.post(CHAT, HELLO | {"max_tokens": 2}).json()
        assert told["choices"][0] == {
            "index": 0,
            "message": {"role": "assistant", "content": "one two "},
            "finish_reason": "length",
        }
        assert told["usage"]["completion_tokens"] == 2

    def test_an_unknown_model_is_not_found(self, client):
        reply = client.post(CHAT, HELLO | {"model": "nobody"})
        assert (reply.status, reply.json()["error"]["message"]) == (404, "The model `nobody` does not exist.")
        listed = client.get("/spark/v1/models").json()["data"][0]
        assert (listed["id"], listed["max_model_len"]) == ("gemma-4-26b-a4b-it", 131_072)

    def test_a_question_without_messages_is_refused(self, client):
        for asked in ({}, {"messages": []}, {"messages": "hello"}, []):
            assert client.post(CHAT, asked).status == 400

    def test_a_prompt_beyond_the_context_is_refused_in_the_words_of_vllm(self, box, client, spark):
        spark(max_model_len=100)
        reply = client.post(CHAT, {"messages": [{"role": "user", "content": "x" * 400}]})
        assert reply.status == 400
        assert "maximum context length is 100 tokens" in reply.json()["error"]["message"]
        box.faults.add("spark", "context_length", tokens=7)
        assert "context length is 7 tokens" in client.post(CHAT, HELLO).json()["error"]["message"]

    @pytest.mark.parametrize("fault", ["length", "content_filter"])
    def test_an_answer_may_end_for_other_reasons(self, box, client, fault):
        whole = client.post(CHAT, HELLO).json()["choices"][0]["message"]["content"]
        box.faults.add("spark", fault)
        choice = client.post(CHAT, HELLO).json()["choices"][0]
        assert choice["finish_reason"] == fault
        assert choice["message"]["content"] != whole

    def test_choices_and_usage_may_be_missing(self, box, client):
        box.faults.add("spark", "no_choices", times=1)
        assert client.post(CHAT, HELLO).json()["choices"] == []
        box.faults.add("spark", "no_usage", times=1)
        assert "usage" not in client.post(CHAT, HELLO).json()

    @pytest.mark.parametrize(
        ("shape", "where"),
        [
            ("openai", lambda reply: reply.json()["error"]["message"]),
            ("vllm", lambda reply: reply.json()["message"]),
            ("fastapi", lambda reply: reply.json()["detail"]),
            ("text", lambda reply: reply.data.decode()),
        ],
    )
    def test_errors_have_every_shape(self, box, client, spark, shape, where):
        spark(error_shape=shape)
        box.faults.add("spark", "status", status=500, message="it fell over")
        assert where(client.post(CHAT, HELLO)) == "it fell over"


class TestBusy:
    def test_more_calls_than_places_are_told_when_to_come_back(self, box, client, spark):
        spark(slots=1, busy_seconds=3)
        box.faults.add("spark", "slow_chunks", route="chat", times=1, seconds=30)
        with Client(box.url) as other:
            running = other.post(CHAT, HELLO | {"stream": True}, preload_content=False)
            running.read1(10)
            reply = client.post(CHAT, HELLO)
            assert (reply.status, reply.headers["retry-after"]) == (503, "3")
            running.close()
        box.requests.wait(lambda record: record.hung_up and record.ended is not None, 5)
        assert client.post(CHAT, HELLO).status == 200

    def test_a_place_is_free_again_when_the_answer_is_there(self, client, spark):
        spark(slots=1)
        assert {client.post(CHAT, HELLO).status for _ in range(200)} == {200}

    def test_what_cannot_be_set_is_refused_and_nothing_changes(self, client):
        before = client.get("/_sandbox/spark").json()
        for changes in ({"slots": -1}, {"nothing": 1}, {"transcript_shape": "round"}, {"speakers": [{"start": 0}]}):
            reply = client.put("/_sandbox/spark", changes)
            assert reply.status == 400
            assert reply.json()["error"]
        assert client.get("/_sandbox/spark").json() == before
