"""The suite every backend must pass, with Google's SDK talking to the sandbox."""

from typing import ClassVar

import pytest

from relay.testing.inference import InferenceConformance
from tests.plugins.gemini.conftest import write_tone


class Gemini(InferenceConformance):
    settings: ClassVar = {}

    @pytest.fixture
    def backend(self, backend_for):
        return backend_for(**self.settings)

    @pytest.fixture
    def recording(self, tmp_path):
        (tmp_path / "call").mkdir()
        return write_tone(tmp_path / "call" / "recording", 12)


class TestGemini(Gemini):
    pass


class TestByTheFilesAPI(Gemini):
    settings: ClassVar = {"inline_mb": 0.1}


class TestWithoutASpeechModel(Gemini):
    settings: ClassVar = {"transcribe_model": ""}
