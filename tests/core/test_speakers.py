"""Who is who across chunks, against truths that are known because they were made up first."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.api import DiarizedChunk, SpeakerTurn, Turn, stitch_speakers

DIMENSIONS = 16
CHUNK, OVERLAP = 60.0, 10.0
# Cosines measured on a telephone call of two, cut in halves: the same person 0.88 and 0.86, the other one 0.65 to 0.78.
SAME_PERSON, OTHER_PERSON = (0.88, 0.86), (0.78, 0.65)


def turn(start: float, end: float, speaker: object = "0") -> SpeakerTurn:
    return SpeakerTurn(start, end, str(speaker))


def basis(i: int) -> tuple[float, ...]:
    return tuple(float(i == j) for j in range(DIMENSIONS))


def leaning(*parts: float) -> tuple[float, ...]:
    """A unit vector with these cosines to the first axes; what is missing to length 1 lies on an axis of its own."""
    rest = math.sqrt(1 - sum(part * part for part in parts))
    return (*parts, *([0.0] * (DIMENSIONS - len(parts) - 1)), rest)


def direction(degrees: float) -> tuple[float, float]:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def names(turns) -> list[str]:
    return [one.speaker for one in turns]


def conversation(seed: int, people: int, seconds: float) -> list[tuple[float, float, int]]:
    """Everybody in turn, in an order that changes each round, so that everybody is heard in every chunk's overlap."""
    chance = random.Random(seed)
    at, said, round_ = 0.0, [], list(range(people))
    while at < seconds:
        chance.shuffle(round_)
        for person in round_:
            length = chance.uniform(0.8, 1.6)
            said.append((at, min(at + length, seconds), person))
            at += length + chance.uniform(0.1, 0.4)
    return [one for one in said if one[1] - one[0] > 0.5]


def cut(said, seconds: float, seed: int, *, noise: float = 0.0, voices: bool = True) -> list[DiarizedChunk]:
    """The conversation as a diarizer tells it: overlapping chunks, labels shuffled in each, times and voices noisy."""
    chance = random.Random(seed)
    chunks, offset = [], 0.0
    people = 1 + max(person for *_, person in said)
    while offset == 0 or offset + OVERLAP < seconds:
        duration = min(CHUNK, seconds - offset)
        labels = chance.sample(range(people), people)
        turns = []
        for start, end, person in said:
            start, end = max(start - offset, 0), min(end - offset, duration)
            if end - start > 0.4:
                jitter = chance.uniform(-0.1, 0.1) if noise else 0.0
                turns.append(turn(max(start + jitter, 0), min(end + jitter, duration), labels[person]))
        heard = {}
        for person in range(people) if voices else ():
            vector = [value + chance.gauss(0, noise / math.sqrt(DIMENSIONS)) for value in basis(person)]
            heard[str(labels[person])] = tuple(vector)
        chunks.append(DiarizedChunk(offset, duration, turns, heard))
        offset += CHUNK - OVERLAP
    return chunks


def mistaken(said, turns) -> float:
    """The share of the time in which somebody speaks that is given to nobody or the wrong one, names apart."""
    people = {person for *_, person in said}
    weights = {
        (person, name): sum(
            max(0.0, min(end, t.end) - max(start, t.start))
            for start, end, who in said
            if who == person
            for t in turns
            if t.speaker == name
        )
        for person in people
        for name in set(names(turns))
    }
    right = 0.0
    for person in people:
        name = max(set(names(turns)), key=lambda name, person=person: weights[person, name])
        if weights[person, name] == max(weights[other, name] for other in people):
            right += weights[person, name]
    return 1 - right / sum(end - start for start, end, _ in said)


conversations = given(
    seed=st.integers(0, 10_000), people=st.integers(2, 4), seconds=st.floats(30, 400), known=st.booleans()
)


@settings(deadline=None, max_examples=60, derandomize=True)
@conversations
def test_shuffled_labels_and_noisy_voices_come_back_as_the_truth(seed, people, seconds, known):
    said = conversation(seed, people, seconds)
    turns, voices = stitch_speakers(cut(said, seconds, seed, noise=0.4), num_speakers=people if known else None)
    assert len(set(names(turns))) == len(voices) == people
    assert mistaken(said, turns) < 0.2


@settings(deadline=None, max_examples=60, derandomize=True)
@conversations
def test_without_voices_the_overlaps_tell_who_is_who(seed, people, seconds, known):
    said = conversation(seed, people, seconds)
    chunks = cut(said, seconds, seed, voices=False)
    turns, voices = stitch_speakers(chunks, num_speakers=people if known else None)
    # Who says nothing in an overlap is somebody new behind it, unless it is known how many there are.
    assert mistaken(said, turns) < 0.15
    assert people <= len(set(names(turns))) <= (people if known else people + 2)
    assert voices == {}


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    people=st.integers(1, 4),
    seconds=st.floats(1, 300),
    bound=st.none() | st.integers(1, 4),
    voices=st.booleans(),
)
def test_whatever_comes_in_the_turns_are_orderly(seed, people, seconds, bound, voices):
    chance = random.Random(seed)
    said = [
        (start, min(start + chance.uniform(0, 20), seconds), chance.randrange(people))
        for start in (chance.uniform(0, seconds) for _ in range(12))
    ]
    chunks = cut(said, seconds, seed, noise=3.0, voices=voices)
    chance.shuffle(chunks)
    turns, _ = stitch_speakers(chunks, max_speakers=bound)
    found = set(names(turns))
    assert len(found) <= (bound or math.inf)
    assert turns == sorted(turns)
    assert list(dict.fromkeys(names(turns))) == [f"S{n}" for n in range(1, len(found) + 1)]
    assert all(0 <= one.start < one.end <= seconds + 1e-9 and one.end - one.start >= 0.2 for one in turns)
    for name in found:
        assert all(b.start - a.end >= 0.5 for a, b in pairwise(t for t in turns if t.speaker == name))


def trap(same: tuple[float, float], other: tuple[float, float], **options):
    """Two people in two chunks; the second chunk's voices have these cosines to the first chunk's."""
    one = [turn(0, 20, "a"), turn(20, 40, "b")]
    two = [turn(5, 25, "y"), turn(25, 45, "x")]
    first = DiarizedChunk(0, 40, one, {"a": basis(0), "b": leaning(0.7)})
    a, b = first.voices["a"], first.voices["b"]
    second = DiarizedChunk(40, 50, two, {"x": between(a, b, same[0], other[0]), "y": between(b, a, same[1], other[1])})
    return stitch_speakers([first, second], **options)[0]


def between(near, far, cos_near: float, cos_far: float) -> tuple[float, ...]:
    """A unit vector with these cosines to two unit vectors."""
    both = sum(map(float.__mul__, near, far))
    x = (cos_near - both * cos_far) / (1 - both * both)
    y = (cos_far - both * cos_near) / (1 - both * both)
    flat = [x * m + y * n for m, n in zip(near, far, strict=True)]
    rest = math.sqrt(1 - sum(value * value for value in flat))
    return (*flat[:-2], flat[-2] + rest, flat[-1])


@pytest.mark.parametrize("threshold", [0.15, 0.4, 0.6, 0.8])
def test_two_voices_on_one_telephone_line_stay_two_at_any_threshold(threshold):
    """Each of the second chunk is more like the other person (0.78, 0.65) than strangers are (0.35 to 0.65)."""
    turns = trap(SAME_PERSON, OTHER_PERSON, threshold=threshold)
    assert names(turns) == ["S1", "S2", "S2", "S1"]


def test_the_pairs_are_chosen_together_not_one_after_the_other():
    """y is most like a, but x can be nobody else than a: together x-a and y-b are the likelier."""
    turns = trap((0.86, 0.74), (0.3, 0.8))
    assert names(turns) == ["S1", "S2", "S2", "S1"]


def test_two_speakers_of_one_chunk_are_two_people_however_alike_they_sound():
    chunk = DiarizedChunk(0, 20, [turn(0, 10, "a"), turn(10, 20, "b")], {"a": basis(0), "b": basis(0)})
    assert names(stitch_speakers([chunk])[0]) == ["S1", "S2"]
    assert names(stitch_speakers([chunk, DiarizedChunk(20, 10, [turn(0, 10)], {"0": basis(0)})])[0])[:2] == ["S1", "S2"]


def test_who_speaks_together_in_the_overlap_is_believed_before_the_voice():
    """By voice alone x would be b; but x speaks in the overlap exactly when a does."""
    first = DiarizedChunk(
        0, 60, [turn(0, 20, "a"), turn(20, 50, "b"), turn(50, 60, "a")], {"a": basis(0), "b": basis(1)}
    )
    second = DiarizedChunk(50, 40, [turn(0, 10, "x"), turn(10, 40, "x")], {"x": leaning(0.5, 0.6)})
    assert names(stitch_speakers([first, second])[0]) == ["S1", "S2", "S1"]


def test_each_half_of_an_overlap_is_told_by_its_own_chunk():
    first = DiarizedChunk(0, 60, [turn(0, 54), turn(57, 60, "late")], {"0": basis(0), "late": basis(1)})
    second = DiarizedChunk(50, 50, [turn(0, 9, "early"), turn(9, 50)], {"early": basis(2), "0": basis(0)})
    assert stitch_speakers([first, second])[0] == [(0, 54, "S1"), (55, 59, "S2"), (59, 100, "S1")]


def test_a_stranger_in_a_later_chunk_becomes_a_new_person():
    first = DiarizedChunk(0, 30, [turn(0, 30)], {"0": basis(0)})
    second = DiarizedChunk(30, 30, [turn(0, 30)], {"0": leaning(0.3)})
    assert names(stitch_speakers([first, second])[0]) == ["S1", "S2"]


@pytest.mark.parametrize("bound", ["num_speakers", "max_speakers"])
def test_nobody_new_is_made_once_the_number_is_reached(bound):
    first = DiarizedChunk(0, 30, [turn(0, 15, "a"), turn(15, 30, "b")], {"a": basis(0), "b": basis(1)})
    second = DiarizedChunk(30, 30, [turn(0, 30)], {"0": leaning(0.1, 0.3)})
    assert names(stitch_speakers([first, second], **{bound: 2})[0]) == ["S1", "S2"]


def test_of_too_many_in_one_chunk_the_one_who_says_least_goes_to_the_nearest():
    said = [turn(0, 10, "a"), turn(11, 13, "b"), turn(15, 30, "c")]
    alone = stitch_speakers([DiarizedChunk(0, 30, said)], max_speakers=2)[0]
    assert alone == [(0, 10, "S1"), (11, 13, "S1"), (15, 30, "S2")]  # nearest in time
    voices = {"a": basis(0), "b": leaning(0.1, 0.9), "c": basis(1)}
    heard = stitch_speakers([DiarizedChunk(0, 30, said, voices)], num_speakers=2)[0]
    assert heard == [(0, 10, "S1"), (11, 13, "S2"), (15, 30, "S2")]  # most alike


def test_fewer_people_than_expected_stay_fewer():
    assert names(stitch_speakers([DiarizedChunk(0, 30, [turn(0, 30)])], num_speakers=3)[0]) == ["S1"]


def test_two_who_sound_the_same_and_never_meet_are_one():
    """The second is 70 degrees away from the first; a long third stretch moves what is known of it to 39."""
    chunks = [
        DiarizedChunk(0, 30, [turn(0, 30)], {"0": direction(0)}),
        DiarizedChunk(30, 30, [turn(0, 30)], {"0": direction(70)}),
        DiarizedChunk(60, 300, [turn(0, 300)], {"0": direction(36)}),
    ]
    assert names(stitch_speakers(chunks, same=0.99)[0]) == ["S1", "S2"]
    assert names(stitch_speakers(chunks)[0]) == ["S1"]
    assert names(stitch_speakers(chunks, num_speakers=2)[0]) == ["S1", "S2"]


@pytest.mark.parametrize(("degrees", "seconds"), [(65, 300), (36, 1.4)])
def test_neither_an_unlike_nor_a_short_voice_moves_what_is_known(degrees, seconds):
    chunks = [
        DiarizedChunk(0, 30, [turn(0, 30)], {"0": direction(0)}),
        DiarizedChunk(30, 300, [turn(0, seconds)], {"0": direction(degrees)}),
    ]
    turns, voices = stitch_speakers(chunks)
    assert set(names(turns)) == {"S1"}
    assert voices["S1"] == direction(0)


def test_a_slip_of_a_second_goes_to_the_nearest():
    first = DiarizedChunk(0, 60, [turn(0, 30, "a"), turn(31, 60, "b")])
    second = DiarizedChunk(50, 50, [turn(0, 25, "b"), turn(26, 27, "slip"), turn(28, 50, "b")])
    assert names(stitch_speakers([first, second])[0]) == ["S1", "S2", "S2", "S2"]


def test_one_who_says_little_but_is_known_again_stays():
    voices = {"a": basis(0), "b": basis(1)}
    chunks = [DiarizedChunk(at, 30, [turn(0, 25, "a"), turn(27, 27.9, "b")], voices) for at in (0, 30)]
    assert names(stitch_speakers(chunks)[0]) == ["S1", "S2", "S1", "S2"]


def test_people_who_all_say_little_stay():
    chunks = [DiarizedChunk(0, 3, [turn(0, 1.5, "a")]), DiarizedChunk(3, 3, [turn(1, 2.5, "a")])]
    assert names(stitch_speakers(chunks)[0]) == ["S1", "S2"]


def test_an_embedding_of_half_a_second_is_not_believed():
    first = DiarizedChunk(0, 30, [turn(0, 15, "a"), turn(15, 30, "b")], {"a": basis(0), "b": basis(1)})
    second = DiarizedChunk(30, 30, [turn(0, 0.5, "x"), turn(5, 30, "y")], {"x": basis(1), "y": leaning(0.3, 0.7)})
    assert names(stitch_speakers([first, second])[0])[-1] == "S2"


def test_pauses_under_half_a_second_do_not_end_a_turn_and_blips_are_dropped():
    chunk = DiarizedChunk(0, 30, [turn(0, 5), turn(5.4, 8), turn(8.6, 9), turn(12, 12.15), turn(20, 20.1, "ghost")])
    assert stitch_speakers([chunk])[0] == [(0, 8, "S1"), (8.6, 9, "S1")]


def test_turns_outside_their_chunk_are_cut_off():
    chunk = DiarizedChunk(10, 20, [turn(-5, 5), turn(15, 99), turn(30, 40, "beyond"), turn(9, 3, "backwards")])
    assert stitch_speakers([chunk])[0] == [(10, 15, "S1"), (25, 30, "S1")]


@pytest.mark.parametrize("vector", [(), (0.0,) * 4, (math.nan,) * 4, (math.inf, 0.0, 0.0, 0.0)])
def test_an_embedding_without_direction_counts_as_none(vector):
    chunks = [DiarizedChunk(start, 20, [turn(0, 20)], {"0": vector}) for start in (0, 10)]
    turns, voices = stitch_speakers(chunks)
    assert turns == [(0, 30, "S1")]
    assert voices == {}


def test_embeddings_of_two_models_are_refused():
    chunks = [
        DiarizedChunk(0, 9, [turn(0, 9)], {"0": (1.0,) * 192}),
        DiarizedChunk(9, 9, [turn(0, 9)], {"0": (1.0,) * 256}),
    ]
    with pytest.raises(ValueError, match=r"\[192, 256\]"):
        stitch_speakers(chunks)


def test_nothing_makes_nothing():
    assert stitch_speakers([]) == ([], {})
    assert stitch_speakers([DiarizedChunk(0, 60, []), DiarizedChunk(50, 60, [])]) == ([], {})


def test_the_ports_turns_go_in_and_come_out():
    turns, _ = stitch_speakers([DiarizedChunk(0, 9, [Turn(1, 2, "speaker_0")])])
    assert [Turn(*one) for one in turns] == [Turn(1, 2, "S1")]


def test_the_voices_come_out_at_length_one():
    chunks = [
        DiarizedChunk(0, 9, [turn(0, 9)], {"0": (3.0, 4.0)}),
        DiarizedChunk(9, 9, [turn(0, 9)], {"0": (6.0, 8.0)}),
    ]
    assert stitch_speakers(chunks)[1]["S1"] == pytest.approx((0.6, 0.8))


def test_importing_the_plugin_api_loads_no_numbers_library():
    code = "import relay.api, sys; sys.exit('scipy' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
