"""A relay per test, with one backend that answers everything; `live.backend` is that one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.live import FakeBackend, Live, running


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def live(tmp_path: Path, backend: FakeBackend) -> Iterator[Live]:
    with running(tmp_path, [backend]) as relay:
        yield relay


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Call it in a `with`: a relay with backends and settings of the test's own."""

    def begin(*backends: FakeBackend, **more: Any) -> Any:
        return running(tmp_path, backends, **more)

    return begin
