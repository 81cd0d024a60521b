"""The suite every backend must pass, against the sandbox's Spark Control."""

import pytest

from relay.testing.inference import InferenceConformance
from relay.testing.sandbox import sandbox


class TestConformance(InferenceConformance):
    @pytest.fixture
    def backend(self, backend_for):
        with sandbox() as box:
            yield backend_for(f"{box.url}/spark")

    @pytest.fixture
    def recording(self, recording, tmp_path):
        (tmp_path / "call").mkdir()
        return recording.rename(tmp_path / "call" / "recording")
