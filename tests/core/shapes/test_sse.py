"""Server-sent events, however the bytes happen to be cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import OutcomeUnknown
from relay.shapes.sse import MAX_EVENT_BYTES, MAX_LINE_BYTES, Event, events

STREAM = (
    b": keep-alive\n\ndata: one\r\n\r\nevent: error\ndata:two\ndata:  three\nid: 7\nretry: 5\n\n"
    b"unknown\n\r\rdata\rdata\r\r\ndata: \xc3\xa9\n\ndata: never finished"
)
SAID = [Event("", b"one"), Event("error", b"two\n three"), Event("", b"\n"), Event("", "é".encode())]


def test_events_are_read_as_the_standard_says():
    assert list(events([STREAM])) == SAID


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_it_does_not_matter_where_the_bytes_are_cut(cuts):
    edges = [0, *sorted(cuts), len(STREAM)]
    assert list(events(STREAM[a:b] for a, b in itertools.pairwise(edges))) == SAID


def test_an_event_is_told_as_soon_as_it_is_whole():
    def pieces():
        yield b"data: one\n\n"
        pytest.fail("asked for more before the first event was told")

    assert next(events(pieces())) == Event("", b"one")


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory():
    taken = 0

    def endless():
        nonlocal taken
        yield b"data: "
        while taken < 10 * MAX_LINE_BYTES:
            taken += 65536
            yield b"x" * 65536

    with pytest.raises(OutcomeUnknown, match="a line of more than"):
        list(events(endless()))
    assert taken <= MAX_LINE_BYTES + 65536


def test_a_long_line_that_comes_at_once_is_refused_too():
    with pytest.raises(OutcomeUnknown):
        list(events([b"data: " + b"x" * 10 * MAX_LINE_BYTES + b"\n\n"]))


def test_an_event_of_endless_lines_is_refused():
    line = b"data: " + b"x" * (MAX_LINE_BYTES - 10) + b"\n"
    with pytest.raises(OutcomeUnknown, match=f"an event of more than {MAX_EVENT_BYTES}"):
        list(events([line] * 10))
