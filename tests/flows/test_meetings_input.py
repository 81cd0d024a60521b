"""Recordings that are not as one would wish them, backends that die, disks that are full."""

from __future__ import annotations

import errno
import io
import wave
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from av import AudioFrame, VideoFrame

from relay.errors import Invalid, OutcomeUnknown, StorageFull, Unavailable, UpstreamTimeout
from relay.services.meetings.pieces import Pieces
from tests.flows.live import Live, running, wav
from tests.flows.meeting_room import PATH, PIECES, Ears, ended, recording, spoken, upload, work


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("input"), [Ears(), Other()], settings=PIECES) as live:
        live.core.meetings.worker.pauses = (0.01, 0.01)
        yield live


@pytest.fixture(scope="module")
def admin(relay: Live) -> dict[str, str]:
    return relay.login()


@pytest.fixture
def ears(relay: Live) -> Ears:
    """As new; there is another backend behind it, which is new too."""
    for found in relay.core.infer._backends.values():
        found.__init__()
        relay.core.infer.breaker.succeeded(found.name)
    return relay.core.infer._backends["ears"]  # type: ignore[return-value]


@pytest.fixture
def other(relay: Live) -> Ears:
    return relay.core.infer._backends["other"]  # type: ignore[return-value]


class Other(Ears):
    """The second in the routing."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "other"
        self.voice_model = "voices-2"


def encoded(kind: str, codec: str, seconds: int, *, rate: int = 16_000, video: bool = False) -> bytes:
    """The recording of the meeting room in another container."""
    held = io.BytesIO()
    with av.open(held, "w", format=kind) as out:
        sound = out.add_stream(codec, rate=rate, layout="mono")
        picture = out.add_stream("mpeg4", rate=5, width=64, height=48, pix_fmt="yuv420p") if video else None
        with wave.open(io.BytesIO(recording(seconds))) as source:
            samples = array("h", source.readframes(source.getnframes()))
        resampler = av.AudioResampler(
            format=sound.format, layout="mono", rate=rate, frame_size=sound.frame_size or 1024
        )
        for at in range(0, len(samples), 16_000):
            block = samples[at : at + 16_000]
            frame = AudioFrame(format="s16", layout="mono", samples=len(block), align=1)
            frame.planes[0].update(block.tobytes())
            frame.sample_rate, frame.pts = 16_000, at
            for made in resampler.resample(frame):
                out.mux(sound.encode(made))
        if picture is not None:
            for number in range(seconds * 5):
                image = VideoFrame(64, 48, "yuv420p")
                image.pts = number
                out.mux(picture.encode(image))
            out.mux(picture.encode(None))
        out.mux(sound.encode(None))
    return held.getvalue()


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "aac"), ("matroska", "libopus")])
def test_the_sound_of_a_video_is_taken(relay, admin, ears, kind, codec, monkeypatch):
    monkeypatch.setattr("tests.flows.meeting_room.seconds_of", one_word)
    rate = 48_000 if codec == "libopus" else 16_000
    found = ended(relay, admin, upload(relay, admin, encoded(kind, codec, 20, rate=rate, video=True)))
    assert found["meeting"]["state"] == "ready", found
    assert found["meeting"]["duration"] == pytest.approx(20, abs=0.2)
    assert found["meeting"]["notes"] == [note for note in found["meeting"]["notes"] if "early" not in note]
    played = relay.get(f"{PATH}/{found['meeting']['id']}/audio", admin)
    assert played.headers["content-type"] == "audio/mpeg"


def one_word(_path: Path) -> list[tuple[int, float]]:
    """For sound whose levels a codec has changed."""
    return [(0, 1.0)]


def test_a_video_without_sound_fails_with_a_reason(relay, admin, ears):
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as out:
        picture = out.add_stream("mpeg4", rate=5, width=64, height=48, pix_fmt="yuv420p")
        for number in range(10):
            image = VideoFrame(64, 48, "yuv420p")
            image.pts = number
            out.mux(picture.encode(image))
        out.mux(picture.encode(None))
    error = ended(relay, admin, upload(relay, admin, held.getvalue()))["meeting"]["error"]
    assert error["code"] == "unsupported_media"
    assert "no sound" in error["message"]


def test_a_recording_without_speech_fails_with_a_reason(relay, admin, ears, monkeypatch):
    def silent(*_: Any) -> Any:
        raise Invalid("no speech was found in the recording", "file", reason="no_speech")

    monkeypatch.setattr(Ears, "transcribe", silent)
    monkeypatch.setattr(Ears, "diarize", silent)
    found = ended(relay, admin, upload(relay, admin, wav(70)))["meeting"]
    assert found["state"] == "failed"
    assert "no speech" in found["error"]["message"]
    assert relay.call("DELETE", f"{PATH}/{found['id']}", headers=admin).status == 200


def test_a_telephone_s_eight_kilohertz_are_enough(relay, admin, ears, monkeypatch):
    monkeypatch.setattr("tests.flows.meeting_room.seconds_of", one_word)
    found = ended(relay, admin, upload(relay, admin, encoded("wav", "pcm_alaw", 20, rate=8000)))
    assert found["meeting"]["state"] == "ready", found
    assert found["meeting"]["duration"] == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("kind", ["wav", "matroska"])
def test_of_a_file_that_was_cut_off_the_rest_is_used_and_that_is_said(relay, admin, ears, kind):
    whole = recording(60) if kind == "wav" else encoded("matroska", "pcm_s16le", 60)
    found = ended(relay, admin, upload(relay, admin, whole[: len(whole) // 2]))
    assert found["meeting"]["state"] == "ready", found
    assert spoken(found["text"])[:29] == [f"w{n}" for n in range(29)]
    assert found["meeting"]["duration"] < 31
    assert any("ends early" in note for note in found["meeting"]["notes"]), found["meeting"]["notes"]


def stereo(seconds: int, left: int, right: int) -> bytes:
    """Each second is said by one of two, who take turns every five; `left` and `right`: what of the other's voice each
    channel has, in percent."""
    held = io.BytesIO()
    with wave.open(io.BytesIO(recording(seconds))) as source, wave.open(held, "wb") as file:
        samples = array("h", source.readframes(source.getnframes()))
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        both = array("h", bytes(4 * len(samples)))
        for at, value in enumerate(samples):
            # A level alone is no sound: it swings, and all are as loud as each other.
            sound, first = (value and 8000) * (1 if at % 40 < 20 else -1), at // 80_000 % 2 == 0
            both[2 * at] = sound if first else sound * left // 100
            both[2 * at + 1] = sound * right // 100 if first else sound
        file.writeframes(both.tobytes())
    return held.getvalue()


def test_one_speaker_per_channel_is_told_by_the_channels_without_a_diarizer(relay, admin, ears, other, monkeypatch):
    monkeypatch.setattr("tests.flows.meeting_room.seconds_of", lambda _path: [(n, float(n)) for n in range(20)])
    found = ended(relay, admin, upload(relay, admin, stereo(20, 0, 15)))
    assert found["meeting"]["state"] == "ready", found
    assert not any(task == "diarize" for task, _ in (*ears.heard, *other.heard))
    said = {word: line["speaker"] for line in found["text"]["lines"] for word in line["text"].split()}
    assert said == {f"w{n}": "S1" if n // 5 % 2 == 0 else "S2" for n in range(20)}
    assert any("channels" in note for note in found["meeting"]["notes"])


@pytest.mark.parametrize(
    ("sound", "options"),
    [
        (stereo(20, 60, 60), {}),
        (stereo(20, 100, 100), {}),
        (stereo(20, 0, 0), {"num_speakers": "3"}),
        (stereo(20, 0, 0), {"diarize_backend": "other"}),
    ],
    ids=["one room", "the same twice", "three speakers", "a diarizer is named"],
)
def test_any_other_two_channels_are_one_sound_for_the_diarizer(relay, admin, ears, other, sound, options, monkeypatch):
    monkeypatch.setattr("tests.flows.meeting_room.seconds_of", lambda _path: [(n, float(n)) for n in range(20)])
    found = ended(relay, admin, upload(relay, admin, sound, **options))
    assert found["meeting"]["state"] == "ready", found
    assert any(task == "diarize" for task, _ in (*ears.heard, *other.heard))


def test_a_cut_off_file_without_anything_to_decode_fails_with_a_reason(relay, admin, ears):
    whole = encoded("mp4", "aac", 20)  # what is needed to read it comes last
    error = ended(relay, admin, upload(relay, admin, whole[: len(whole) // 2]))["meeting"]["error"]
    assert error["code"] == "unsupported_media"


def test_when_a_backend_dies_in_the_middle_another_one_goes_on(relay, admin, ears, other):
    def dies(ctx: Any) -> None:
        if len(ears.heard) >= 17:
            raise Unavailable("it was switched off")

    ears.act = dies
    found = ended(relay, admin, upload(relay, admin, recording(300)))
    assert found["meeting"]["state"] == "ready", found
    assert spoken(found["text"]) == [f"w{n}" for n in range(300)]
    assert len(ears.heard) >= 17
    assert other.heard
    assert not set(ears.heard) & set(other.heard), "no piece was done by both"
    assert any("More than one model gave voices" in note for note in found["meeting"]["notes"])
    run = relay.get(f"{PATH}/{found['meeting']['id']}/runs", admin).json["runs"][0]
    assert run["models"]["transcribe"] == "ears/ears-1, other/ears-1"


@pytest.mark.parametrize("failure", [OutcomeUnknown("a plugin stumbled"), UpstreamTimeout("it took too long")])
def test_a_piece_whose_outcome_is_unknown_is_asked_of_the_next(relay, admin, ears, other, failure):
    ears.fail = failure
    found = ended(relay, admin, upload(relay, admin, recording(30)))
    assert found["meeting"]["state"] == "ready", found
    assert other.heard


def test_without_another_a_plugin_s_stumble_is_got_over(relay, admin, ears):
    ears.failures = {"transcribe 0": [OutcomeUnknown("a plugin stumbled")], "diarize 0": [KeyError("x")]}  # type: ignore[list-item]
    found = ended(relay, admin, upload(relay, admin, recording(20), transcribe_backend="ears", diarize_backend="ears"))
    assert found["meeting"]["state"] == "ready", found


def test_a_full_disk_stops_the_run_with_507_s_words_and_it_goes_on_later(relay, admin, ears, monkeypatch):
    put, left = Pieces.put, [4]

    def full(self: Pieces, name: str, piece: Any) -> None:
        if not left[0]:
            raise StorageFull("the disk is full. Free some space on it")
        left[0] -= 1
        put(self, name, piece)

    monkeypatch.setattr(Pieces, "put", full)
    meeting = upload(relay, admin, recording(90))
    found = ended(relay, admin, meeting)["meeting"]
    assert (found["state"], found["error"]["code"]) == ("failed", "storage_full")
    monkeypatch.undo()
    kept = relay.core.storage.read(
        lambda tx: [key for key, _ in tx.scan("meeting-pieces", limit=100) if meeting in key]
    )
    assert len(kept) == 4
    assert work(relay, admin, meeting, "run").status == 202
    assert spoken(ended(relay, admin, meeting)["text"]) == [f"w{n}" for n in range(90)]


def test_a_disk_that_fills_up_while_decoding_says_so(relay, admin, ears, monkeypatch):
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("relay.services.meetings.run.encode_listen", full)
    meeting = upload(relay, admin, recording(20))
    assert ended(relay, admin, meeting)["meeting"]["error"]["code"] == "storage_full"
    assert not (relay.core.data_dir / "meetings-scratch" / meeting).exists(), "what it took is given back"
    monkeypatch.undo()
    work(relay, admin, meeting, "run")
    assert ended(relay, admin, meeting)["meeting"]["state"] == "ready"


def test_an_upload_on_a_full_disk_is_507_and_goes_on_where_it_was(relay, admin, ears, monkeypatch):
    sound = recording(20)
    body = {"filename": "a.wav", "bytes": len(sound)}
    meeting = relay.call("POST", PATH, headers=admin, json=body).json["meeting"]["id"]

    def put(offset: int, data: bytes) -> Any:
        return relay.call("PUT", f"{PATH}/{meeting}/upload", data, {**admin, "Upload-Offset": str(offset)})

    assert put(0, sound[:1000]).status == 200

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("relay.services.meetings.uploads.os.fdopen", full)
    refused = put(1000, sound[1000:])
    assert (refused.status, refused.code) == (507, "storage_full")
    monkeypatch.undo()
    at = relay.get(f"{PATH}/{meeting}/upload", admin).json["upload"]["offset"]
    assert put(at, sound[at:]).status == 200
    assert ended(relay, admin, meeting)["meeting"]["state"] == "ready"


@pytest.mark.parametrize("meeting", ["..%2F..%2Fcredits", "20260101-000000-0000000g", "%00", "a" * 300, "."])
def test_an_id_that_is_none_reaches_nothing(relay, admin, meeting):
    for method, path in (
        *(("GET", path) for path in ("", "/audio", "/export", "/runs", "/compare?a=r1&b=r2", "/upload")),
        *(("POST", path) for path in ("/run", "/cancel", "/edits", "/undo", "/redo", "/use")),
        ("PATCH", ""),
        ("DELETE", ""),
    ):
        body = {"version": 0, "run": "r1", "edit": {"op": "rename", "speaker": "S1", "name": "x"}}
        reply = relay.call(method, f"{PATH}/{meeting}{path}", headers=admin, json=body)
        assert reply.status in {400, 404, 405}, (method, path, reply.status)


@pytest.mark.parametrize("run", ["../r1", "r1/../../x", "", "r99999", "R1"])
def test_a_run_that_is_none_is_not_found(relay, admin, ears, run):
    meeting = ended(relay, admin, upload(relay, admin, recording(20)))["meeting"]
    reply = relay.get(f"{PATH}/{meeting['id']}/compare?a={run}&b=r1", admin)
    assert reply.status in {400, 404}
    assert work(relay, admin, meeting["id"], "use", run=run, version=meeting["version"]).status in {404, 422}
