"""Who says which words."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from relay.ports.inference import Segment, Turn, Word
from relay.services.speakers import assign_words

DIALOGUE = [Turn(0, 4, "S1"), Turn(4, 8, "S2")]


def words(*said: tuple[str, float, float]) -> Segment:
    made = tuple(Word(*one) for one in said)
    return Segment(made[0].start, made[-1].end, " ".join(one.word for one in made), made)


def told(segments) -> list[tuple[str | None, str]]:
    return [(segment.speaker, segment.text) for segment in segments]


def test_a_segment_is_split_where_the_speaker_changes():
    segment = words(("How", 0, 1), ("are", 1, 2), ("you?", 2, 3.5), ("Fine,", 4.2, 5), ("thank", 5, 6), ("you.", 6, 7))
    one, other = assign_words([segment], DIALOGUE)
    assert told([one, other]) == [("S1", "How are you?"), ("S2", "Fine, thank you.")]
    assert (one.start, one.end, other.start, other.end) == (0, 3.5, 4.2, 7)
    assert one.words + other.words == segment.words


def test_a_segment_of_one_speaker_keeps_its_text_as_it_is():
    segment = Segment(0, 3, "Well -- hello,  you!", (Word("Well", 0, 1), Word("hello", 1, 2), Word("you", 2, 3)))
    (only,) = assign_words([segment], DIALOGUE)
    assert (only.text, only.speaker, only.words) == ("Well -- hello,  you!", "S1", segment.words)


def test_without_times_of_words_the_text_is_spread_over_the_segment():
    segment = Segment(0, 8, "one two four five six nine")
    assert told(assign_words([segment], DIALOGUE)) == [("S1", "one two four"), ("S2", "five six nine")]
    assert all(part.words == () for part in assign_words([segment], DIALOGUE))


def test_a_word_belongs_to_whoever_is_heard_longest_during_it():
    turns = [Turn(0, 2.4, "S1"), Turn(2, 6, "S2")]
    assert told(assign_words([words(("all", 0, 1), ("of", 1, 2), ("it", 2.1, 2.6), ("and", 2.6, 3))], turns)) == [
        ("S1", "all of"),
        ("S2", "it and"),
    ]


def test_a_word_in_a_pause_belongs_to_the_nearest_within_a_second_else_to_the_one_before():
    turns = [Turn(0, 2, "S1"), Turn(10, 12, "S2")]
    near = words(("so", 9.2, 9.5), ("then", 9.5, 9.8))
    far = words(("um", 5, 5.2), ("er", 5.2, 5.4))
    assert told(assign_words([words(("one", 0, 1), ("two", 1, 2)), far, near], turns)) == [
        ("S1", "one two"),
        ("S1", "um er"),
        ("S2", "so then"),
    ]


def test_words_before_anybody_is_heard_belong_to_the_first_who_is():
    early = words(("noise", 0, 1), ("here", 1, 2))
    assert told(assign_words([early, words(("hi", 9, 9.5), ("you", 9.5, 10))], [Turn(9, 10, "S1")])) == [
        ("S1", "noise here"),
        ("S1", "hi you"),
    ]


def test_a_change_for_one_word_or_a_blink_is_smoothed_away():
    turns = [Turn(0, 2, "S1"), Turn(2, 3, "S2"), Turn(3, 5, "S1")]
    assert told(assign_words([words(("a", 0, 1), ("b", 1, 2), ("c", 2, 3), ("d", 3, 4), ("e", 4, 5))], turns)) == [
        ("S1", "a b c d e")
    ]
    blink = [Turn(0, 2, "S1"), Turn(2, 2.25, "S2"), Turn(2.25, 5, "S1")]
    quick = words(("a", 0, 1), ("b", 1, 2), ("c", 2, 2.1), ("d", 2.1, 2.25), ("e", 3, 4), ("f", 4, 5))
    assert told(assign_words([quick], blink)) == [("S1", "a b c d e f")]


def test_a_segment_of_one_word_keeps_its_own_speaker():
    turns = [Turn(0, 2, "S1"), Turn(2, 3, "S2"), Turn(3, 5, "S1")]
    segments = [words(("Is", 0, 1), ("it?", 1, 2)), words(("Yes.", 2.1, 2.9)), words(("Good", 3, 4), ("so.", 4, 5))]
    assert [part.speaker for part in assign_words(segments, turns)] == ["S1", "S2", "S1"]


def test_words_that_carry_their_own_spaces_are_put_together_as_they_are():
    segment = words((" How", 0, 1), (" are", 1, 2), (" you?", 2, 4), (" Fi", 4, 5), ("ne", 5, 6), (".", 6, 7))
    assert told(assign_words([segment], DIALOGUE)) == [("S1", "How are you?"), ("S2", "Fine.")]


def test_without_turns_nothing_changes():
    segments = [words(("hello", 0, 1))]
    assert assign_words(segments, []) == tuple(segments)
    assert assign_words([], DIALOGUE) == ()


def test_a_segment_without_words_has_no_speaker():
    assert told(assign_words([Segment(0, 1, " ")], DIALOGUE)) == [(None, " ")]


@given(
    gaps=st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 2), st.integers(1, 3)), min_size=1, max_size=30),
    turns=st.lists(st.tuples(st.floats(0, 60), st.floats(0.1, 9), st.sampled_from(["S1", "S2", "S3"])), max_size=12),
    timed=st.booleans(),
)
def test_no_word_is_lost_doubled_or_moved(gaps, turns, timed):
    at, segments = 0.0, []
    for number, (gap, length, count) in enumerate(gaps):
        at += gap
        made = tuple(
            Word(f"w{number}.{i}", at + i * length / count, at + (i + 1) * length / count) for i in range(count)
        )
        segments.append(Segment(at, at + length, " ".join(w.word for w in made), made if timed else ()))
        at += length
    parts = assign_words(segments, [Turn(start, start + length, who) for start, length, who in turns])
    assert " ".join(part.text for part in parts) == " ".join(segment.text for segment in segments)
    assert [w for part in parts for w in part.words] == [w for segment in segments for w in segment.words]
    assert all(part.start <= part.end for part in parts)
    assert all(one.start <= other.start for one, other in pairwise(parts))
    assert {part.speaker for part in parts} <= {who for *_, who in turns} | {None}
