import pytest
from relay_jsonfile import JSONFileStorage

from relay.testing.storage import COLLECTIONS, STREAMS
from tests.plugins.jsonfile.disk import Disk, Reopener


@pytest.fixture
def disk(tmp_path, monkeypatch):
    return Disk(tmp_path, monkeypatch)


@pytest.fixture
def power_cut_reopen(disk):
    reopener = Reopener(disk)
    yield reopener
    reopener.close()


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def start(data_dir):
    """Open a storage on `data_dir`; all are closed at the end."""
    opened = []

    def start(**settings):
        storage = JSONFileStorage(**settings)
        storage.open(data_dir, COLLECTIONS, STREAMS)
        opened.append(storage)
        return storage

    yield start
    for storage in opened:
        storage.close()
