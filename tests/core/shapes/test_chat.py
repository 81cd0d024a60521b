"""Chat in OpenAI's shape: what is asked, and what is made of an answer, whole or streamed."""

import json

import pytest
from structlog.testing import capture_logs

from relay.errors import BlockedByUpstream, NotAccepted, OutcomeUnknown, UpstreamFailed
from relay.ports.inference import ChatRequest, Delta
from relay.shapes.chat import completion_request, read_completion, read_stream
from relay.shapes.failures import OutOfMemory
from relay.shapes.sse import Event
from relay.upstream import HTTPReply

QUESTION = [{"role": "user", "content": "hi"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.fixture
def read(endpoint):
    """The deltas of a stream of these objects; text is sent as it is."""

    def read(*said, structured=False):
        stream = [Event("", one.encode() if isinstance(one, str) else json.dumps(one).encode()) for one in said]
        return list(read_stream(stream, "asked-for", endpoint, structured=structured))

    return read


def piece(finish=None, index=0, **delta):
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def test_a_request_carries_the_options_and_not_what_is_ours_to_say():
    asked = ChatRequest(QUESTION, options={"top_p": 0.1, "tools": [CALL], "n": 5, "stream": False, "model": "x"})
    assert completion_request(asked, "m") == {"model": "m", "messages": QUESTION, "top_p": 0.1, "tools": [CALL]}


def test_a_streamed_request_asks_for_the_usage():
    body = completion_request(ChatRequest(QUESTION, stream=True, max_output_tokens=5), "m", "max_completion_tokens")
    assert body == {
        "model": "m",
        "messages": QUESTION,
        "max_completion_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_whole_answer_with_calls_of_tools_needs_no_text(endpoint):
    answer = {"choices": [{"message": {"content": None, "tool_calls": [CALL]}, "finish_reason": "tool_calls"}]}
    delta = read_completion(HTTPReply(200, {}, json.dumps(answer).encode()), "m", endpoint, structured=False)
    assert delta == Delta("", "tool_calls", "m", None, None, [{**CALL, "index": 0}])


def test_a_stream_becomes_its_pieces_and_one_end(read):
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}, "model": "real"}
    said = [piece(role="assistant", content=""), piece(content="he"), piece(content="llo"), piece("stop"), usage]
    assert read(*said, "[DONE]") == [Delta("he"), Delta("llo"), Delta("", "stop", "real", 7, 2)]


def test_null_contents_reasoning_and_other_choices_are_passed_over(read):
    said = [piece(content=None), piece(reasoning_content="hm"), piece(index=1, content="no"), piece(content="yes")]
    said += [{"choices": [{"delta": None, "finish_reason": "length"}], "usage": None, "x": 1}, {"choices": None}]
    assert read(*said) == [Delta("yes"), Delta("", "length", "asked-for")]


def test_pieces_of_calls_of_tools_are_passed_on(read):
    first, second = [{"index": 0, **CALL}], [{"index": 0, "function": {"arguments": "{}"}}]
    assert read(piece(tool_calls=first), piece(tool_calls=second), piece("tool_calls"), "[DONE]") == [
        Delta(tool_calls=first),
        Delta(tool_calls=second),
        Delta("", "tool_calls", "asked-for"),
    ]


def test_done_is_an_end_though_no_finish_was_told(read):
    assert read(piece(content="x"), "[DONE]")[-1] == Delta("", "stop", "asked-for")


def test_a_finish_is_an_end_though_done_was_not_told(read):
    assert read(piece(content="x"), piece("stop"))[-1].finish == "stop"


def test_a_stream_that_just_ends_has_an_unknown_outcome(read):
    with pytest.raises(OutcomeUnknown, match="ended before"):
        read(piece(content="x"))


@pytest.mark.parametrize(
    "said", ['{"half": "an obj', "[]", "7", '{"choices": 7}', '{"choices": [{"delta": []}]}', "[" * 9999]
)
def test_a_stream_that_makes_no_sense_has_an_unknown_outcome(read, said):
    with pytest.raises(OutcomeUnknown, match="cannot be read"):
        read(piece(content="x"), said)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"error": {"message": "boom", "code": 500}}, UpstreamFailed),
        ({"error": "boom"}, UpstreamFailed),
        ({"object": "error", "message": "boom", "code": 500}, UpstreamFailed),
        ({"error": {"message": "CUDA out of memory"}}, OutOfMemory),
        ({"error": {"message": "boom", "code": 400}}, NotAccepted),
        ({"error": {"message": "boom, out of memory", "type": "invalid_request_error"}}, NotAccepted),
        ({"error": {"message": "no", "code": "content_filter"}}, BlockedByUpstream),
        (piece("content_filter"), BlockedByUpstream),
        (piece("stop", refusal="I will not"), BlockedByUpstream),
    ],
)
def test_an_error_inside_a_stream_has_its_name(read, said, error):
    with pytest.raises(error) as failure:
        read(piece(content="x"), said)
    assert type(failure.value) is error
    assert "boom" not in failure.value.message


def test_an_event_called_error_is_one(endpoint):
    with capture_logs() as logs, pytest.raises(UpstreamFailed):
        list(read_stream([Event("error", b'{"message": "sesame-token is odd"}')], "m", endpoint, structured=False))
    assert "*** is odd" in logs[0]["said"]


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_stream_is_no_answer(read, text):
    with pytest.raises(UpstreamFailed, match="empty"):
        read(piece(content=text), piece("stop"), "[DONE]")


def test_half_an_answer_to_a_schema_is_none(read):
    with pytest.raises(NotAccepted, match="limit of output tokens"):
        read(piece(content="{"), piece("length"), "[DONE]", structured=True)


def test_a_limit_that_leaves_no_answer_is_the_callers_own(read):
    with pytest.raises(NotAccepted, match="raise max_output_tokens"):
        read(piece("length"), "[DONE]")


def test_the_prompt_that_an_error_in_a_stream_repeats_is_not_logged(endpoint):
    said = b'{"error": {"message": "you wrote: my diagnosis", "type": "BadRequestError", "code": 400}}'
    with capture_logs() as logs, pytest.raises(NotAccepted):
        list(read_stream([Event("", said)], "m", endpoint, structured=False))
    assert "diagnosis" not in str(logs)
