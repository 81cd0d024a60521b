"""The real model on the recordings that come with it."""

from __future__ import annotations

import random
import wave
from array import array
from concurrent.futures import ThreadPoolExecutor

import pytest

from relay.api import Invalid, Unavailable, Unsupported, UnsupportedMedia, UpstreamTimeout, decode

from .conftest import RATE, context, needs_model, sample, tone
from .scores import BECKETT, TWO_CITIES, word_error

pytestmark = needs_model


def samples_of(path, tmp_path) -> array[int]:
    audio = decode(path, tmp_path / "samples", max_seconds=60)
    return array("h", audio.path.read_bytes())


def noise(seconds: float, level: float) -> array[int]:
    chance = random.Random(4)
    return array("h", (round(chance.uniform(-level, level) * 32767) for _ in range(round(seconds * RATE))))


def test_a_read_page_is_understood_with_times(backend, request_for):
    progress = []
    ctx = context()
    ctx.progress = progress.append
    transcript = backend.transcribe(request_for(sample("two_cities.wav")), ctx)
    assert word_error(TWO_CITIES, transcript.text) <= 0.20
    assert (transcript.language, transcript.model) == ("en", "moonshine-tiny-en")
    assert transcript.duration == pytest.approx(44.37, abs=0.05)
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)
    assert starts[-1] > 30  # said in the second piece
    assert all(segment.start < segment.end <= transcript.duration for segment in transcript.segments)
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)
    assert progress == sorted(progress)
    assert progress[-1] == 1


def test_four_threads_at_once_get_four_right_answers(backend, request_for):
    requests = [request_for(sample("beckett.wav")) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        texts = [t.text for t in pool.map(lambda request: backend.transcribe(request, context()), requests)]
    assert max(word_error(BECKETT, text) for text in texts) <= 0.20


@pytest.mark.parametrize("level", [0.1, 0.01])
def test_a_faint_voice_is_understood(backend, request_for, tmp_path, level):
    faint = array("h", (round(value * level) for value in samples_of(sample("beckett.wav"), tmp_path)))
    assert word_error(BECKETT, backend.transcribe(request_for(faint), context()).text) <= 0.35


def test_a_stereo_telephone_recording_is_understood(backend, request_for, tmp_path):
    mono = samples_of(sample("beckett.wav"), tmp_path)[::2]
    path = tmp_path / "stereo.wav"
    with wave.open(str(path), "wb") as out:
        out.setparams((2, 2, RATE // 2, 0, "NONE", ""))
        out.writeframes(array("h", (value for value in mono for _ in range(2))).tobytes())
    assert word_error(BECKETT, backend.transcribe(request_for(path), context()).text) <= 0.35


SPEECHLESS = {
    "digital silence": lambda: array("h", bytes(RATE * 2 * 5)),
    "a very short silence": lambda: array("h", bytes(200)),
    "the noise of a converter": lambda: noise(5, 2 / 32768),
    "a quiet room": lambda: noise(5, 0.003),
    "loud noise": lambda: noise(5, 0.5),
    "a tone": lambda: tone(5),
    "a low hum": lambda: tone(5, 50, 0.02),
    "beeps": lambda: (tone(0.3, 800) + array("h", bytes(RATE))) * 5,
}


@pytest.mark.parametrize("what", SPEECHLESS)
def test_no_words_are_made_up_where_nobody_speaks(backend, request_for, what):
    with pytest.raises(Invalid, match="no speech") as caught:
        backend.transcribe(request_for(SPEECHLESS[what]()), context())
    assert caught.value.details == {"path": "file", "reason": "no_speech"}


@pytest.mark.parametrize("name", ["success.wav", "error.wav"])
def test_a_jingle_is_no_speech(backend, request_for, name):
    with pytest.raises(Invalid, match="no speech"):
        backend.transcribe(request_for(sample(name)), context())


@pytest.mark.parametrize("language", ["en", "en-GB", "EN_us", "English", None, ""])
def test_english_by_any_name_is_taken(backend, request_for, language):
    with pytest.raises(Invalid, match="no speech"):  # it was listened to
        backend.transcribe(request_for(array("h", bytes(RATE)), language=language), context())


@pytest.mark.parametrize("language", ["de", "German", "enm"])
def test_another_language_is_left_to_another_backend(backend, request_for, language):
    with pytest.raises(Unsupported, match="only English"):
        backend.transcribe(request_for(sample("beckett.wav"), language=language), context())


def test_what_is_not_audio_is_refused(backend, request_for, tmp_path):
    (tmp_path / "text").write_text("not a recording")
    with pytest.raises(UnsupportedMedia):
        backend.transcribe(request_for(tmp_path / "text"), context())


def test_a_call_whose_time_is_up_ends(backend, request_for):
    with pytest.raises(UpstreamTimeout):
        backend.transcribe(request_for(sample("two_cities.wav")), context(0))


def test_a_cancelled_call_ends_between_two_pieces(backend, request_for):
    ctx = context()
    progress = []

    def hang_up(fraction: float) -> None:
        progress.append(fraction)
        ctx.cancelled.set()

    ctx.progress = hang_up
    with pytest.raises(Unavailable):
        backend.transcribe(request_for(sample("two_cities.wav")), ctx)
    assert len(progress) == 1
    assert progress[0] < 1
