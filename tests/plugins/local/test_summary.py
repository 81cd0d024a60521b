"""The extractive summary: real sentences of the text, the same ones every time, and no pretence."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import jsonschema
import pytest
from relay_local import answer, summary

from relay.api import ChatRequest, Invalid, Unsupported, UpstreamTimeout

from .conftest import context

MEETING = """Anna: Welcome everybody. Today we talk about the budget of the new website.
Bob: The budget is ten percent over plan because the hosting costs more than Dr. Smith expected.
Anna: Can we cut the hosting costs? Carl: We could move the website to a smaller host, and the budget
would be fine again. Anna: Good. Carl, please ask the host for an offer by Wednesday.
Carl: I will ask the host for an offer by Wednesday.
Anna: I will send the draft report on the budget on Wednesday. The next meeting is on Monday. Thank you all! Bye."""


def ask(transcript: str | None = MEETING, *, content="Summarise this.", ctx=None, **options):
    request = ChatRequest([{"role": "user", "content": content}], transcript=transcript, **options)
    return list(answer.deltas(request, ctx or context()))


def text_of(deltas) -> str:
    return "".join(delta.text for delta in deltas)


def bullets(text: str) -> list[str]:
    return [line.removeprefix("- ") for line in text.splitlines() if line.startswith("- ")]


def long_text(count: int) -> str:
    chance = random.Random(5)
    words = [f"word{i}" for i in range(500)]
    return " ".join(" ".join(chance.choices(words, k=12)).capitalize() + "." for _ in range(count))


def schema(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required)}


DRAFT = "https://json-schema.org/draft/2020-12/schema"
STRING = {"type": "string"}
STRINGS = {"type": "array", "items": {"type": "string"}}


def test_the_summary_says_what_it_is_and_quotes_the_text_word_for_word():
    deltas = ask()
    text = text_of(deltas)
    assert text.startswith("Extractive summary (sentences chosen from the text, no language model):\n")
    assert len(bullets(text)) == 3
    even = " ".join(MEETING.split())
    assert all(sentence in even for sentence in bullets(text))
    last = deltas[-1]
    assert (last.finish, last.model) == ("stop", "extractive-summary")
    assert (last.input_tokens, last.output_tokens) == (len(MEETING.split()), len(text.split()))


def test_the_sentences_stand_in_the_order_of_the_text():
    even = " ".join(MEETING.split())
    places = [even.index(sentence) for sentence in bullets(text_of(ask()))]
    assert places == sorted(places)


def test_the_keywords_are_words_of_substance():
    found = summary.keywords(summary.sentences(MEETING), 8)
    assert {"budget", "host", "website", "wednesday"} <= set(found)
    assert not {"the", "will", "for", "dr"} & set(found)


def test_one_text_has_one_summary_whatever_the_hash_seed():
    code = (
        "from tests.plugins.local.test_summary import ask, text_of, long_text\n"
        "import sys; sys.stdout.write(text_of(ask()) + text_of(ask(long_text(450))))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, timeout=60
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


def test_the_same_thing_said_twice_is_chosen_once():
    chosen = bullets(text_of(ask("The ship sails at dawn on Friday. " * 10 + "Bring warm coats for the cold deck.")))
    assert chosen == ["The ship sails at dawn on Friday.", "Bring warm coats for the cold deck."]


def test_five_thousand_sentences_are_summarised_in_ten():
    text = long_text(5000)
    chosen = bullets(text_of(ask(text)))
    assert len(chosen) == 10
    assert all(sentence in text for sentence in chosen)


def test_a_long_text_is_ranked_block_by_block():
    rounds = []
    assert len(summary.choose(summary.sentences(long_text(1000)), 10, lambda: rounds.append(1))) == 10
    assert len(rounds) == 11  # ten blocks of a hundred, and the best of all


def test_ranking_a_long_text_stops_when_the_time_is_up():
    with pytest.raises(UpstreamTimeout):
        ask(long_text(1000), ctx=context(0))


def test_the_summary_keeps_to_the_words_it_was_allowed():
    chosen = bullets(text_of(ask(max_output_tokens=15)))
    assert len(chosen) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith came. He left!", ["Dr. Smith came.", "He left!"]),
        ('She said "no." Then she left…  And?', ['She said "no."', "Then she left…", "And?"]),
        ("a line that is\nwrapped here\nNext line", ["a line that is wrapped here", "Next line"]),
        ("It costs 3.50 today. Really", ["It costs 3.50 today.", "Really"]),
        ("Wait... what?", ["Wait...", "what?"]),
        ("你好。再见。", ["你好。", "再见。"]),
        ("... !!! - \n\n *", []),
        ("", []),
    ],
)
def test_sentences_end_where_people_would_end_them(text, expected):
    assert summary.sentences(text) == expected


def test_text_without_punctuation_is_cut_into_stretches():
    found = summary.sentences("word " * 150)
    assert [len(sentence.split()) for sentence in found] == [60, 60, 30]


@pytest.mark.parametrize("text", ["." * 300_000 + "a", "\n" * 300_000 + "a", ".'" * 150_000 + "a", "mr. " * 75_000])
def test_a_text_made_to_be_slow_is_not(text):
    """Each of these takes minutes when looking for ends is quadratic: the limit on the test would end it."""
    assert summary.sentences(text)


@pytest.mark.parametrize("text", ["", "  \n ", "...!"])
def test_a_text_that_says_nothing_is_refused(text):
    with pytest.raises(Invalid, match="no text") as caught:
        ask(text)
    assert caught.value.details == {"path": "transcript"}
    with pytest.raises(Invalid) as caught:
        ask(None, content=text)
    assert caught.value.details == {"path": "messages"}


def test_without_a_transcript_the_last_message_of_the_user_is_the_text():
    messages = [
        {"role": "user", "content": "Old news is here."},
        {"role": "user", "content": [{"type": "text", "text": "Fresh news arrived."}]},
        {"role": "assistant", "content": "Never mine."},
    ]
    assert bullets(text_of(answer.deltas(ChatRequest(messages), context()))) == ["Fresh news arrived."]


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize(
    "options",
    [{"tools": TOOLS}, {"tools": TOOLS, "tool_choice": "required"}, {"response_format": {"type": "json_object"}}],
)
def test_what_needs_a_language_model_is_left_to_others(options):
    with pytest.raises(Unsupported):
        ask(options=options)


def test_tools_that_are_not_to_be_called_do_no_harm():
    assert text_of(ask(options={"tools": TOOLS, "tool_choice": "none"})).startswith(answer.HEADER)


@pytest.mark.parametrize("transcript", [None, MEETING])
def test_a_picture_is_not_passed_over(transcript):
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png,x"}}]
    with pytest.raises(Unsupported, match="only text"):
        ask(transcript, content=parts)


def test_a_text_of_stop_words_is_quoted_without_keywords():
    assert text_of(ask("It is what it is.")) == answer.HEADER + "- It is what it is.\n"


@pytest.mark.parametrize(
    "wanted",
    [
        schema(["summary"], summary=STRING),
        schema(["summary", "keywords"], summary=STRING, keywords=STRINGS, title={"type": "string", "title": "Title"}),
        schema(sentences=STRINGS, owner={"type": "integer"}),
        schema(summary={"type": ["string", "null"]}, keywords=STRING, sentences={"type": "array"}, title=STRINGS),
        schema(["title"], title=STRING)
        | {
            "additionalProperties": False,
            "$schema": DRAFT,
            "description": "d",
        },
    ],
)
def test_a_schema_it_can_fill_is_filled(wanted):
    deltas = ask(schema=wanted)
    filled = json.loads(text_of(deltas))
    jsonschema.validate(filled, wanted)
    assert set(filled) == set(wanted["properties"]) & answer.FIELDS
    assert all(filled.values())
    assert deltas[-1].model == "extractive-summary"


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "string"},
        {"type": "object"},
        {},
        schema(),
        schema(answer=STRING),
        schema(["summary", "decisions"], summary=STRING, decisions=STRINGS),
        schema(["date"], summary=STRING),
        schema(summary={"type": "string", "maxLength": 5}),
        schema(summary={"type": "string", "enum": ["good", "bad"]}),
        schema(summary={"$ref": "#/$defs/x"}),
        schema(keywords={"type": "array", "items": {"type": "integer"}}),
        schema(keywords={"type": "array", "items": {"type": "string"}, "minItems": 20}),
        schema(summary={"type": "integer"}),
        schema(summary=True),
        schema(summary=STRING) | {"minProperties": 3},
    ],
)
def test_a_schema_it_cannot_fill_honestly_is_left_to_another_backend(wanted):
    with pytest.raises(Unsupported, match="can only choose sentences"):
        ask(schema=wanted)
