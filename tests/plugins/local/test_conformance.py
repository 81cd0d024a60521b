"""The embedded backend passes what every backend must."""

from __future__ import annotations

import shutil

import pytest

from relay.testing.inference import InferenceConformance

from .conftest import needs_model, new_backend, sample


@needs_model
class TestLocal(InferenceConformance):
    @pytest.fixture
    def backend(self):
        backend = new_backend()
        yield backend
        backend.close()

    @pytest.fixture
    def recording(self, tmp_path):
        return shutil.copy(sample("beckett.wav"), tmp_path / "beckett.wav")
