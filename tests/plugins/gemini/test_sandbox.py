"""The sandbox's Gemini is taken for the real one by Google's own SDK, used as its documentation says."""

import base64
import hashlib
from pathlib import Path

import httpx2
import pydantic
import pytest
from google import genai
from google.genai import errors, types

from relay.testing.sandbox.gemini import KEY
from tests.plugins.gemini.conftest import write_tone

MODEL = "gemini-3.8-flash"


@pytest.fixture
def sdk(box):
    client = genai.Client(
        api_key=KEY, enterprise=False, http_options=types.HttpOptions(base_url=f"{box.url}/gemini", timeout=10_000)
    )
    yield client
    client.close()


def test_one_answer_and_its_stream_say_the_same(sdk):
    whole = sdk.models.generate_content(model=MODEL, contents="one two three four five six seven eight nine")
    chunks = list(
        sdk.models.generate_content_stream(model=MODEL, contents="one two three four five six seven eight nine")
    )
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert len(chunks) > 1
    assert [bool(chunk.candidates[0].finish_reason) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    totals = [chunk.usage_metadata.total_token_count for chunk in chunks]
    assert totals == sorted(totals)
    last = chunks[-1].usage_metadata
    assert last == whole.usage_metadata
    assert last.total_token_count == last.prompt_token_count + last.candidates_token_count + last.thoughts_token_count


def test_tokens_move_with_the_input(sdk, tmp_path):
    short = sdk.models.count_tokens(model=MODEL, contents="hello").total_tokens
    assert sdk.models.count_tokens(model=MODEL, contents="hello" * 40).total_tokens == 40 * 5 // 4 > short
    sound = types.Part.from_bytes(data=write_tone(tmp_path / "r", 10).read_bytes(), mime_type="audio/wav")
    assert sdk.models.count_tokens(model=MODEL, contents=[sound]).total_tokens == 320


def test_models_are_listed_page_by_page(sdk):
    names = [model.name for model in sdk.models.list(config={"page_size": 3})]
    assert f"models/{MODEL}" in names
    assert len(names) == 4
    assert "generateContent" in sdk.models.get(model=MODEL).supported_actions


def test_a_class_can_be_the_schema(sdk):
    class Answer(pydantic.BaseModel):
        name: str
        count: int

    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=list[Answer])
    assert isinstance(sdk.models.generate_content(model=MODEL, contents="hi", config=config).parsed[0], Answer)


def test_an_answer_that_is_continued_costs_two_requests(sdk, fault, calls):
    fault("continuation", route="generate", times=1)
    assert sdk.models.generate_content(model=MODEL, contents="one two three four five six seven").text
    assert calls("generate") == 2


def test_a_file_goes_through_its_states(sdk, tmp_path, gemini):
    gemini.configure({"processing_polls": 2})
    path = write_tone(tmp_path / "r.wav", 10)
    config = types.UploadFileConfig(mime_type="audio/wav", display_name="meeting", name="my-file")
    file = sdk.files.upload(file=path, config=config)
    assert (file.name, file.display_name, file.state.value) == ("files/my-file", "meeting", "PROCESSING")
    assert base64.b64decode(file.sha256_hash) == hashlib.sha256(path.read_bytes()).digest()
    assert file.size_bytes == path.stat().st_size
    assert (file.expiration_time - file.create_time).total_seconds() == 48 * 3600
    with pytest.raises(errors.ClientError, match="ACTIVE"):
        sdk.models.generate_content(model=MODEL, contents=[file])
    assert [sdk.files.get(name=file.name).state.value for _ in range(3)] == ["PROCESSING", "PROCESSING", "ACTIVE"]
    assert sdk.models.count_tokens(model=MODEL, contents=[file]).total_tokens == 320
    assert [found.name for found in sdk.files.list()] == ["files/my-file"]
    gemini.configure({"age_files": 49})
    with pytest.raises(errors.ClientError) as caught:
        sdk.files.get(name=file.name)
    assert caught.value.code == 403


def test_an_upload_checks_offset_and_size(box):
    url = f"{box.url}/gemini/upload/v1/files"
    start = {
        "x-goog-api-key": KEY,
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Length": "10",
        "X-Goog-Upload-Header-Content-Type": "audio/wav",
    }
    with httpx2.Client(trust_env=False) as http:
        where = http.post(url, headers=start, json={"file": {"display_name": "x"}}).headers["x-goog-upload-url"]
        chunk = {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": "5"}
        assert http.post(where, headers=chunk, content=b"12345").status_code == 400
        last = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
        assert http.post(where, headers=last, content=b"12345").status_code == 400


def test_a_quota_says_which_and_how_long(sdk, fault):
    fault("quota", route="generate", seconds=17)
    with pytest.raises(errors.ClientError) as caught:
        sdk.models.generate_content(model=MODEL, contents="hi")
    quota, _, retry = caught.value.details["error"]["details"]
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert quota["violations"][0]["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    assert retry["retryDelay"] == "17s"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"mode": "SMART", "diarization": True}, "SMART"),
        ({"word_timestamp": True}, "longer than this model"),
    ],
)
def test_the_speech_model_has_its_limits(sdk, tmp_path, config, says):
    seconds = 10 if "mode" in config else 1900
    file = sdk.files.upload(file=write_tone(tmp_path / "r", seconds), config={"mime_type": "audio/wav"})
    while sdk.files.get(name=file.name).state.value != "ACTIVE":
        pass
    asked = types.GenerateContentConfig(audio_transcription_config=types.AudioTranscriptionConfig(**config))
    with pytest.raises(errors.ClientError, match=says):
        sdk.models.generate_content(model="gemini-3.5-transcribe", contents=[file], config=asked)


def test_what_is_not_sound_is_refused(sdk):
    noise = types.Part.from_bytes(data=b"no sound", mime_type="audio/wav")
    with pytest.raises(errors.ClientError, match="cannot be read"):
        sdk.models.generate_content(model=MODEL, contents=[noise])


def test_every_fault_and_setting_is_documented(gemini):
    text = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text()
    section = text.split("## Gemini\n", 1)[1].split("\n## ", 1)[0]
    for name, what in gemini.faults.items():
        assert f"| `{name}` | {what} |" in section
    for name in ("api_key", "models", "processing_polls", "age_files"):
        assert f"`{name}`" in section
