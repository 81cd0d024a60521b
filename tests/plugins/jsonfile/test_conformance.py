"""The storage suite against the JSON files, on a disk that forgets what was not synced."""

import pytest

from relay.testing.storage import StorageConformance


class TestJSONFile(StorageConformance):
    @pytest.fixture
    def reopen(self, request):
        return request.getfixturevalue("power_cut_reopen")

    @pytest.fixture
    def fail_writes(self, disk):
        return lambda: disk.failing("fail_writes")

    @pytest.fixture
    def fail_syncs(self, disk):
        return lambda: disk.failing("fail_syncs")
