"""One transcript out of chunks that overlap."""

import itertools

import pytest

from relay.ports.inference import Segment, Transcript, Word
from relay.shapes.chunks import Chunk, Chunking
from relay.shapes.seams import joined

FIRST, SECOND = Chunk(0, 0, 12, 0, 10), Chunk(1, 8, 20, 10, 20)


def part(chunk, *segments):
    return chunk, Transcript("", None, chunk.seconds, segments, "m")


def timed(chunk, *said):
    """A segment with a word each second, `said` as (second of the whole, word)."""
    words = tuple(Word(word, at - chunk.start, at - chunk.start + 1) for at, word in said)
    return Segment(words[0].start, words[-1].end, " ".join(word.word for word in words), words)


def texts(parts):
    return [segment.text for segment in joined(parts)]


def test_a_word_belongs_to_the_chunk_that_answers_for_its_middle():
    first = part(FIRST, timed(FIRST, (6, "a"), (9, "b"), (10, "c"), (11, "d")))
    second = part(SECOND, timed(SECOND, (8, "x"), (9, "b"), (10, "c"), (11, "d"), (12, "e")))
    segments = joined([first, second])
    assert [segment.text for segment in segments] == ["a b", "c d e"]
    words = [(word.word, word.start) for segment in segments for word in segment.words]
    assert words == [("a", 6), ("b", 9), ("c", 10), ("d", 11), ("e", 12)]
    assert [(s.start, s.end) for s in segments] == [(6, 10), (10, 13)]


def test_words_heard_twice_because_their_times_differ_are_kept_once():
    first = part(FIRST, timed(FIRST, (6, "we"), (7, "met"), (8, "on"), (9, "Monday,")))
    second = part(SECOND, timed(SECOND, (10, "met"), (11, "on"), (12, "monday"), (13, "and")))
    assert texts([first, second]) == ["we met on Monday,", "and"]


def test_two_equal_words_may_be_how_people_talk():
    first = part(FIRST, timed(FIRST, (7, "no"), (8, "very"), (9, "very")))
    second = part(SECOND, timed(SECOND, (10, "very"), (11, "very"), (12, "good")))
    assert texts([first, second]) == ["no very very", "very very good"]


def test_without_times_the_words_that_both_heard_join_the_texts():
    first = part(FIRST, Segment(0, 12, "It was late. We went home and slept a lo"))
    second = part(SECOND, Segment(0, 12, "ome and slept a long while. Then"))
    assert texts([first, second]) == ["It was late. We went home and slept a", "long while. Then"]
    unalike = part(SECOND, Segment(0, 12, "Something else"))
    assert texts([first, unalike]) == ["It was late. We went home and slept a lo", "Something else"]


def test_a_segment_without_words_belongs_where_its_middle_is():
    first = part(FIRST, Segment(0, 5, "one"), Segment(9, 12, "two"))
    second = part(SECOND, Segment(0, 1.5, "early"), Segment(1.5, 5, "two"), Segment(6, 9, "three"))
    segments = joined([first, second])
    assert [(s.start, s.end, s.text) for s in segments] == [(0, 5, "one"), (10, 13, "two"), (14, 17, "three")]


def test_a_run_over_several_segments_is_cut_out_of_all_of_them():
    first = part(FIRST, timed(FIRST, (5, "go"), (6, "a"), (7, "b"), (8, "c")), timed(FIRST, (9, "d")))
    second = part(SECOND, timed(SECOND, (10, "a"), (11, "b")), timed(SECOND, (12, "c"), (13, "d"), (14, "e")))
    segments = joined([first, second])
    assert [segment.text for segment in segments] == ["go a b c", "d", "e"]
    assert [word.word for word in segments[-1].words] == ["e"]


def test_a_chunk_in_which_nothing_was_said_joins_like_any_other():
    empty = (SECOND, Transcript("", None, 12, (), "m"))
    first = part(FIRST, timed(FIRST, (6, "a")))
    third = Chunk(2, 18, 30, 20, 30)
    assert texts([first, empty, part(third, timed(third, (25, "b")))]) == ["a", "b"]


def test_chunks_that_share_nothing_are_put_one_after_the_other():
    a, b = Chunk(0, 0, 10, 0, 10), Chunk(1, 10, 20, 10, 20)
    assert texts([part(a, Segment(0, 10, "la la la")), part(b, Segment(0, 10, "la la la"))]) == ["la la la"] * 2


@pytest.mark.parametrize("overlap", [0, 10])
def test_halves_cover_the_chunk_and_answer_for_its_halves(overlap):
    left, right = Chunk(3, 95, 205, 100, 200).halves(overlap)
    assert (left.start, right.end) == (95, 205)
    assert (left.first, left.last, right.first, right.last) == (100, 150, 150, 200)
    assert left.end - right.start == overlap


def test_no_chunk_is_longer_than_asked_for(tmp_path):
    from relay.audio import DecodedAudio

    (tmp_path / "a").write_bytes(bytes(32_000 * 100))
    chunks = Chunking(30, 4).cut(DecodedAudio(tmp_path / "a", 100.0))
    assert max(chunk.seconds for chunk in chunks) <= 30
    assert (chunks[0].start, chunks[-1].end) == (0, 100)
    assert all(a.last == b.first for a, b in itertools.pairwise(chunks))
    assert all(a.end - b.start == pytest.approx(4) for a, b in itertools.pairwise(chunks))
