"""A relay with meetings, and a browser on it. One relay for all tests of the reader."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.conftest import Desk, desk_for
from tests.browser.meeting import study
from tests.browser.meeting.hands import opened
from tests.flows.live import Live, running
from tests.flows.meeting_room import PIECES, Ears


@pytest.fixture(scope="session")
def ears() -> Ears:
    return Ears()


@pytest.fixture(scope="session")
def room(tmp_path_factory, ears) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("room"), [ears], settings=PIECES) as live:
        live.core.meetings.worker.pauses = (0.01, 0.01)
        yield live


@pytest.fixture(scope="session")
def template(room, ears) -> str:
    return study.made(room, ears)


@pytest.fixture(scope="session")
def long(room) -> str:
    return study.long_one(room)


@pytest.fixture(scope="session")
def admin(room) -> dict[str, str]:
    return room.login()


@pytest.fixture
def desk(browser, room) -> Iterator[Desk]:
    desk = desk_for(browser, room)
    yield desk
    desk.context.close()
    assert desk.troubles == []


@pytest.fixture
def page(desk: Desk, room: Live, template: str):
    """A fresh copy of the meeting of two minutes, open."""
    return opened(desk, study.copied(room, template))
