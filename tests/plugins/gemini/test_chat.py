import json

import pytest

from relay.errors import BlockedByUpstream, Invalid, Unsupported, UpstreamFailed
from relay.ports.inference import ChatRequest
from relay.testing.sandbox.gemini_answers import SIGNATURE

SCHEMA = {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "of a town",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}


def sent(box):
    """The last request for an answer, as Google would read it."""
    return box.requests("gemini", "stream")[-1].json


def text_of(deltas):
    return "".join(delta.text for delta in deltas)


def test_the_answer_comes_in_pieces_and_ends_with_the_running_total_of_tokens(ask, box):
    deltas = ask("one two three four five six seven eight nine ten", stream=True)
    assert len(deltas) > 2
    assert text_of(deltas) == "In short: one two three four five six seven eight nine ten"
    facts = box.requests("gemini", "stream")[-1].notes
    assert (deltas[-1].input_tokens, deltas[-1].output_tokens) == (facts["input_tokens"], facts["output_tokens"])
    assert deltas[-1].output_tokens > 64, "thoughts are billed as output"
    assert (deltas[-1].finish, deltas[-1].model) == ("stop", "gemini-3.8-flash")


def test_a_call_that_wants_one_answer_is_sent_as_a_stream_too(ask, calls):
    ask(stream=False)
    assert (calls("stream"), calls("generate")) == (1, 0)


def test_roles_and_options_arrive(backend, ctx, box):
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "and"},
        {"role": "user", "content": "now?"},
    ]
    options = {"top_p": 0.5, "seed": 7, "stop": "END", "reasoning_effort": "low", "logit_bias": {"1": 2}}
    request = ChatRequest(messages=messages, temperature=0.2, max_output_tokens=500, options=options)
    list(backend.chat(request, ctx))
    body = sent(box)
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "hello\nthere"}]},
        {"role": "model", "parts": [{"text": "hi"}]},
        {"role": "user", "parts": [{"text": "and"}, {"text": "now?"}]},
    ]
    assert body["systemInstruction"]["parts"] == [{"text": "be brief\n\nbe kind"}]
    config = body["generationConfig"]
    assert config["thinkingConfig"] == {"thinking_level": "LOW"}
    assert {name: config[name] for name in ("temperature", "topP", "seed", "maxOutputTokens", "stopSequences")} == {
        "temperature": 0.2,
        "topP": 0.5,
        "seed": 7,
        "maxOutputTokens": 500,
        "stopSequences": ["END"],
    }


def test_a_system_message_alone_is_answered(backend, ctx):
    assert text_of(backend.chat(ChatRequest(messages=[{"role": "system", "content": "say yes"}]), ctx))


def test_a_schema_is_sent_as_it_is_and_its_answer_fits(ask, box):
    assert json.loads(text_of(ask(schema=SCHEMA))) == {"who": "words of the sandbox"}
    config = sent(box)["generationConfig"]
    assert config["responseJsonSchema"] == SCHEMA
    assert config["responseMimeType"] == "application/json"


def test_a_json_object_can_be_asked_for_without_a_schema(ask):
    assert json.loads(text_of(ask(options={"response_format": {"type": "json_object"}}))) == {}


def test_pictures_are_for_another_backend(backend, ctx, calls):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    with pytest.raises(Unsupported, match="no pictures"):
        list(backend.chat(ChatRequest(messages=[{"role": "user", "content": [picture]}]), ctx))
    assert calls() == 0


def test_a_model_the_settings_do_not_name_is_not_asked(ask, backend_for, ctx, calls):
    with pytest.raises(Unsupported, match=r"no model 'gemini-3\.1-pro-preview'; it has gemini-3\.8-flash"):
        ask(model="gemini-3.1-pro-preview")
    assert calls() == 0
    lite = backend_for(other_models=["gemini-3.5-flash-lite"])
    request = ChatRequest(messages=[{"role": "user", "content": "hi"}], model="gemini-3.5-flash-lite")
    assert list(lite.chat(request, ctx))[-1].model == "gemini-3.5-flash-lite"


def test_the_thinking_of_the_settings_is_asked_for(backend_for, ctx, box):
    list(backend_for(thinking="high").chat(ChatRequest(messages=[{"role": "user", "content": "hi"}]), ctx))
    assert sent(box)["generationConfig"]["thinkingConfig"] == {"thinking_level": "HIGH"}


@pytest.mark.parametrize("reason", ["PROHIBITED_CONTENT", "SAFETY", "OTHER", "BLOCKLIST"])
def test_a_blocked_prompt_is_a_refusal(ask, fault, calls, reason):
    fault("blocked_prompt", reason=reason)
    with pytest.raises(BlockedByUpstream, match="refused"):
        ask()
    assert calls() == 1


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "SPII", "PROHIBITED_CONTENT"])
def test_a_blocked_answer_is_a_refusal(ask, fault, reason):
    fault("blocked_answer", reason=reason)
    with pytest.raises(BlockedByUpstream):
        ask()


@pytest.mark.parametrize("reason", ["OTHER", "LANGUAGE", "MALFORMED_RESPONSE"])
def test_an_answer_that_ended_in_trouble_is_a_failure(ask, fault, reason):
    fault("blocked_answer", reason=reason)
    with pytest.raises(UpstreamFailed, match=reason):
        ask()


@pytest.mark.parametrize("nothing", ["no_candidates", "no_text", "thinking_only", "empty"])
def test_nothing_is_a_failure_and_not_an_answer(ask, fault, nothing):
    fault(nothing)
    with pytest.raises(UpstreamFailed):
        ask()


def test_an_answer_eaten_by_thinking_says_so(ask):
    with pytest.raises(UpstreamFailed, match="thinking; raise max_output_tokens"):
        ask(max_output_tokens=10)


@pytest.mark.parametrize("cut", ["cut_short", "continuation"])
def test_a_cut_answer_is_told_to_be_cut(ask, fault, cut, calls):
    fault(cut)
    deltas = ask("one two three four five six seven eight nine ten")
    assert text_of(deltas).startswith("In short: one")
    assert deltas[-1].finish == "length"
    assert calls() == 1, "Google's SDK did not go on by itself"


@pytest.mark.parametrize("cut", ["cut_short", "continuation"])
def test_a_cut_answer_does_not_fit_a_schema(ask, fault, cut):
    fault(cut)
    with pytest.raises(UpstreamFailed, match="cut at the limit"):
        ask(schema=SCHEMA)


def test_an_answer_that_just_ends_is_not_taken_for_a_whole_one(ask, fault):
    fault("no_finish")
    with pytest.raises(UpstreamFailed, match="may not be whole"):
        ask()


def test_a_function_is_called_and_its_result_goes_back_with_the_signature(backend, ctx, box):
    question = {"role": "user", "content": "How is the weather in Rome?"}
    deltas = list(backend.chat(ChatRequest(messages=[question], options={"tools": [WEATHER]}), ctx))
    (call,) = [call for delta in deltas for call in delta.tool_calls]
    assert deltas[-1].finish == "tool_calls"
    assert call["function"] == {"name": "weather", "arguments": '{"town": "words of the sandbox"}'}
    assert call["id"].startswith("call_")
    history = [question, {"role": "assistant", "content": None, "tool_calls": [dict(call)]}]
    result = {"role": "tool", "tool_call_id": call["id"], "content": '{"sky": "blue"}'}
    answer = list(backend.chat(ChatRequest(messages=[*history, result], options={"tools": [WEATHER]}), ctx))
    assert answer[-1].finish == "stop"
    _, called, given = sent(box)["contents"]
    assert called["parts"][0]["thoughtSignature"] == SIGNATURE
    assert given["parts"][0]["functionResponse"]["response"] == {"sky": "blue"}


def test_a_client_that_drops_the_signature_can_still_use_functions(backend, ctx, box):
    made = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    assert text_of(backend.chat(ChatRequest(messages=messages, options={"tools": [WEATHER]}), ctx))
    assert sent(box)["contents"][1]["parts"][0]["thoughtSignature"] == "skip_thought_signature_validator"
    assert sent(box)["contents"][2]["parts"][0]["functionResponse"]["response"] == {"result": "sunny"}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("required", {"mode": "ANY"}),
        ("none", {"mode": "NONE"}),
        ({"type": "function", "function": {"name": "weather"}}, {"mode": "ANY", "allowedFunctionNames": ["weather"]}),
    ],
)
def test_the_choice_of_functions_arrives(ask, box, choice, config):
    ask(options={"tools": [WEATHER], "tool_choice": choice})
    found = sent(box)["toolConfig"]["functionCallingConfig"]
    assert {
        "mode": found["mode"],
        **({"allowedFunctionNames": config["allowedFunctionNames"]} if len(config) > 1 else {}),
    } == config


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "wizard", "content": "hi"}],
        [{"role": "user", "content": 7}],
        [{"role": "tool", "tool_call_id": "nobody", "content": "x"}],
        [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "[1]"}}]}],
    ],
)
def test_messages_that_are_no_chat_are_the_callers_mistake(backend, ctx, messages, calls):
    with pytest.raises(Invalid):
        list(backend.chat(ChatRequest(messages=messages), ctx))
    assert calls() == 0
