"""relay.api is a promise to plugin authors: what it exports is pinned here and documented in docs/plugins.md."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest
import tomli

import relay.api
from relay.books.spaces import PluginSpace
from relay.hookspecs import RelaySpecs
from relay.loader import ATTACH, GROUP, KINDS, STORAGE_GROUP
from relay.ports.inference import InferenceBackend
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.testing.auth import AuthConformance
from relay.testing.inference import InferenceConformance
from relay.testing.memory import MemoryStorage

DOCUMENT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
HOOKS = [name for name in vars(RelaySpecs) if name.startswith("relay_")]
EXPORTS = set(
    """
    AlreadyExists Audio AuthRejected AuthStrategy BadIdentity BlockedByUpstream CallContext ChatRequest Collection
    ConfigError DecodedAudio Delta Doc Document HTTPClient HTTPReply Health Identity IndexValue InferenceBackend
    Invalid OutcomeUnknown PluginError ReadTx Segment Storage StorageFull StorageUnavailable Task TranscribeRequest
    Transcript Tx Unavailable Unsupported UnsupportedMedia UpstreamFailed UpstreamTimeout Word check_id crash_point
    cut_on_silence decode hookimpl read_settings write_wav DiarizedChunk SpeakerTurn stitch_speakers
    Chunk Chunking Endpoint HTTPStream ServerName decoded in_chunks openai_chat openai_models transcribe_in_chunks
    CallerKey Diarization Diarizer DiarizeRequest Forbidden KeyIssuer LicenceCache LicenceKeeper NotFound Space
    SpaceReadTx SpaceTx
    Turn BadRequest Connectable Delivery Money Notice Purchase Rail RailClient RailError RailFailed
    RailOutcomeUnknown RailUnavailable SavedCards Snapshot Status Step Unauthenticated money
    NoSuchModel NotAccepted
    """.split()  # noqa: SIM905 - a list of fifty quoted names is no help to anyone
)


def blocks(language: str) -> list[str]:
    """The code blocks of the document, those in a list too."""
    found = re.findall(rf"(?ms)^( *)```{language}\n(.*?)^ *```", DOCUMENT)
    return [re.sub(rf"(?m)^{indent}", "", code) for indent, code in found]


def example(name: str) -> types.ModuleType:
    """The example with a class of that name, as a module."""
    (code,) = [code for code in blocks("python") if f"\nclass {name}:" in code]
    module = types.ModuleType(name.lower())
    exec(compile(code, f"docs/plugins.md ({name})", "exec"), module.__dict__)
    return module


def test_the_exports_are_these():
    assert set(relay.api.__all__) == EXPORTS
    assert len(relay.api.__all__) == len(EXPORTS)
    assert all(hasattr(relay.api, name) for name in relay.api.__all__)


def test_nothing_public_is_there_by_accident():
    public = {
        name
        for name, value in vars(relay.api).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == set(relay.api.__all__)


@pytest.mark.parametrize("name", relay.api.__all__)
def test_every_export_is_documented(name):
    assert re.search(rf"`{name}\b", DOCUMENT)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_heading_and_a_kind(hook):
    assert f"\n### {hook}\n" in DOCUMENT
    assert hook in {*KINDS, ATTACH}


def test_every_documented_hook_exists():
    assert sorted(re.findall(r"(?m)^### (relay_\w+)$", DOCUMENT)) == sorted(HOOKS)


def test_the_documented_use_of_a_private_space_works(tmp_path):
    storage = MemoryStorage()
    storage.open(tmp_path, COLLECTIONS, STREAMS)
    visits = example("Visits").Visits()
    visits.relay_attach(PluginSpace(storage, "visits"))
    assert [visits.add(name) for name in ("user:ann", "inst:b", "user:ann")] == [1, 1, 2]
    assert visits.accounts() == ["inst:b", "user:ann"]


def test_the_document_names_the_entry_point_groups():
    groups = {
        group for text in blocks("toml") for group in tomli.loads(text).get("project", {}).get("entry-points", {})
    }
    assert groups == {GROUP, STORAGE_GROUP}


class TestTheDocumentedAuthStrategy(AuthConformance):
    @pytest.fixture
    def strategy(self):
        return example("TeamToken").Plugin({"token": "the-token-of-the-team"}).relay_auth_strategies()[0]

    @pytest.fixture
    def good(self):
        return {"x-team-token": "the-token-of-the-team", "x-team-member": "ann"}

    @pytest.fixture
    def bad(self):
        return {"x-team-token": "a-guess", "x-team-member": "mallory"}


class TestTheDocumentedBackend(InferenceConformance):
    @pytest.fixture
    def backend(self) -> InferenceBackend:
        return example("Shout").Plugin({"loud": {}}).relay_inference_backends()[0]

    @pytest.fixture
    def recording(self, tmp_path):
        return tmp_path / "none.wav"
