"""Edits of a meeting's text: what each does, and that every one of them can be taken back."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.domain.meeting_edits import (
    Assign,
    Edit,
    Merge,
    Rename,
    Retext,
    Reword,
    Split,
    WrongEdit,
    apply,
    as_text,
    replayed,
)
from relay.domain.meeting_export import FORMATS, as_srt, as_vtt
from relay.domain.meetings import Analysis, Item, Line, Meeting, Options, Result, Said, Speaker, Text

AT = datetime(2026, 1, 31, tzinfo=UTC)


def line(number: int, speaker: str, said: str) -> Line:
    start = number * 10.0
    words = [Said(word, start + n, start + n + 0.8) for n, word in enumerate(said.split())]
    return Line(number, start, start + 9, said, speaker, words)


@pytest.fixture
def result() -> Result:
    lines = [line(0, "S1", "we begin with the budget"), line(1, "S2", "it is too small"), line(2, "S1", "then we cut")]
    speakers = [Speaker("S1", seconds=18), Speaker("S2", seconds=9)]
    analysis = Analysis(summary=[Item("the budget is small", [1])], decisions=[Item("cut", [2], marked=True)])
    return Result("r1", AT, Options(), lines, speakers, analysis, duration=30.0)


@pytest.fixture
def text(result: Result) -> Text:
    return fresh(result)


def fresh(result: Result) -> Text:
    return as_text("m", Meeting("Weekly", "w.wav", AT, 5), result)


def who(text: Text) -> list[str | None]:
    return [one.speaker for one in text.lines]


def test_a_name_is_everywhere_at_once_and_takes_the_suggestion_away(text):
    text.speakers[0].suggestion, text.speakers[0].confidence = "Bob", 0.9
    apply(text, Rename("S1", "  Ana   B. "))
    assert (text.speakers[0].name, text.speakers[0].suggestion, text.speakers[0].confidence) == ("Ana B.", "", None)


def test_two_speakers_become_one(text):
    apply(text, Rename("S2", "Boris"))
    apply(text, Merge("S2", into="S1"))
    assert who(text) == ["S1", "S1", "S1"]
    assert [(one.id, one.name, one.seconds) for one in text.speakers] == [("S1", "Boris", 27.0)]


def test_lines_are_given_to_somebody_else_by_id_or_by_time(text):
    apply(text, Assign("new", lines=[2]))
    apply(text, Assign("S2", start=0.0, end=10.0))
    assert who(text) == ["S2", "S2", "S3"]
    apply(text, Assign("S1", start=0.0, end=100.0, only="S3"))
    assert who(text) == ["S2", "S2", "S1"]
    assert [one.seconds for one in text.speakers] == [9.0, 18.0, 0.0]


def test_a_line_is_split_at_a_word_that_keeps_its_time(text):
    apply(text, Split(0, word=3, to="S2"))
    first, second = text.lines[:2]
    assert (first.text, second.text, second.speaker, second.id) == ("we begin with", "the budget", "S2", 3)
    assert (first.end, second.start, second.end) == (2.8, 3.0, 9.0)
    assert [word.word for word in second.words] == ["the", "budget"]


def test_words_that_stay_keep_their_times_and_others_share_the_time_between(text):
    apply(text, Retext(0, "we start with a new budget"))
    kept = {word.word: word.start for word in text.lines[0].words}
    assert (kept["we"], kept["with"], kept["budget"]) == (0.0, 2.0, 4.0)
    assert 0.8 <= kept["start"] <= 2.0
    starts = [word.start for word in text.lines[0].words]
    assert starts == sorted(starts)


def test_an_empty_text_takes_the_line_out(text):
    apply(text, Retext(1, "  "))
    assert [one.id for one in text.lines] == [0, 2]


def test_an_item_is_reworded_or_taken_out_and_no_longer_marked(text):
    apply(text, Reword("decisions", 0, "they cut the budget"))
    assert (text.analysis.decisions[0].text, text.analysis.decisions[0].marked) == ("they cut the budget", False)
    apply(text, Reword("summary", 0))
    assert text.analysis.summary == []


@pytest.mark.parametrize(
    ("edit", "path"),
    [
        (Rename("S9", "x"), "speaker"),
        (Merge("S1", into="S1"), "into"),
        (Merge("S1", into="S7"), "into"),
        (Assign("S1"), "lines"),
        (Assign("S1", lines=[0], start=1.0, end=2.0), "lines"),
        (Assign("S1", lines=[99]), "lines"),
        (Assign("new", start=500.0, end=501.0), "start"),
        (Split(0, word=5), "word"),
        (Split(77, word=1), "line"),
        (Retext(77, "x"), "line"),
        (Reword("chapters", 0, "x"), "index"),
    ],
)
def test_an_edit_that_does_not_fit_changes_nothing(text, edit, path):
    before = copy.deepcopy(text)
    with pytest.raises(WrongEdit) as refused:
        apply(text, edit)
    assert (refused.value.path, text) == (path, before)


IDS = st.sampled_from(["S1", "S2", "S3", "S4"])
LINES = st.integers(0, 6)
EDITS = st.one_of(
    st.builds(Rename, IDS, st.text(max_size=5)),
    st.builds(Merge, IDS, IDS),
    st.builds(Assign, st.one_of(IDS, st.just("new")), st.lists(LINES, max_size=3)),
    st.builds(Split, LINES, st.integers(1, 5), st.one_of(st.none(), IDS)),
    st.builds(Retext, LINES, st.text("ab ", max_size=12)),
    st.builds(Reword, st.sampled_from(["summary", "decisions"]), st.integers(0, 2), st.one_of(st.none(), st.just("x"))),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(EDITS, max_size=12))
def test_doing_all_edits_again_gives_the_very_same_text(edits):
    lines = [line(0, "S1", "we begin with the budget"), line(1, "S2", "it is too small"), line(2, "S1", "then we cut")]
    result = Result("r1", AT, Options(), lines, [Speaker("S1"), Speaker("S2")], Analysis(summary=[Item("x")]))
    text, states = fresh(result), []
    for edit in edits:
        before = copy.deepcopy(text)
        try:
            apply(text, edit)
        except WrongEdit:
            assert text == before
            continue
        states.append(before)
        text.edits.append({"edit": msgspec.to_builtins(edit)})
    assert replayed(fresh(result), text.edits) == text
    for n, state in enumerate(states):
        assert replayed(fresh(result), text.edits[:n]) == state
    assert all(one.speaker in {speaker.id for speaker in text.speakers} for one in text.lines)


def test_edits_are_read_from_json_by_their_name():
    assert msgspec.json.decode(b'{"op":"split","line":1,"word":2}', type=Edit) == Split(1, word=2)
    for wrong in (
        b'{"op":"rename","speaker":"../x","name":"a"}',
        b'{"op":"explode"}',
        b'{"op":"split","line":1,"word":0}',
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(wrong, type=Edit)


def test_hostile_text_stays_text_in_every_format(text):
    hostile = "<script>alert(1)</script> --> # *x* [a](javascript:b)"
    text.title = hostile
    apply(text, Rename("S1", "<b>Ana"))
    apply(text, Retext(0, hostile))
    for name, (_, write) in FORMATS.items():
        said = write(text)
        assert "alert(1)" in said
        if name in {"html", "md", "vtt"}:
            assert "<script>" not in said
            assert "<b>Ana" not in said
    assert as_srt(text).count("-->") == as_vtt(text).count("-->") == 3


def test_subtitles_of_a_long_line_come_in_readable_parts(text):
    text.lines = [Line(0, 0.0, 60.0, " ".join(["word"] * 100), "S1")]
    cues = as_srt(text).strip().split("\n\n")
    assert len(cues) > 5
    assert all(len(cue.splitlines()[2]) < 100 for cue in cues)
    assert cues[0].splitlines()[1].startswith("00:00:00,000 --> ")
    assert cues[-1].splitlines()[1].endswith("00:01:00,000")


def test_files_call_people_by_their_names_where_the_model_wrote_ids(text):
    text.analysis.actions = [Item("S2 asks S1 about S9", [1], who="S2")]
    apply(text, Rename("S2", "Boris"))
    for name in ("txt", "md", "html"):
        assert "Boris asks Speaker 1 about S9 (Boris)" in FORMATS[name][1](text)
