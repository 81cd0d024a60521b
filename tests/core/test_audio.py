"""Real containers, written here with PyAV, read by relay.audio."""

from __future__ import annotations

import base64
import math
import random
import socket
import struct
import subprocess
import sys
import tracemalloc
import wave
from array import array
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio import RATE, DecodedAudio, cut_on_silence, decode, probe, write_wav
from relay.errors import TooLarge, Unavailable, UnsupportedMedia

# name -> (container, codec, rate)
CODECS = {
    "m4a": ("ipod", "aac", 44_100),
    "mp4": ("mp4", "aac", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "ogg": ("ogg", "libopus", 48_000),
    "flac": ("flac", "flac", 16_000),
    "mka": ("matroska", "pcm_s16le", 22_050),
    "aac": ("adts", "aac", 44_100),
}
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")


def tone(seconds: float, rate: int = RATE, level: int = 8000) -> array[int]:
    return array("h", (round(level * math.sin(2 * math.pi * 440 * i / rate)) for i in range(round(seconds * rate))))


def silence(seconds: float) -> array[int]:
    return array("h", bytes(round(seconds * RATE) * 2))


def wav(path: Path, samples: array[int], rate: int = RATE, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setparams((channels, 2, rate, 0, "NONE", ""))
        out.writeframes(samples.tobytes())
    return path


def raw(path: Path, samples: array[int]) -> DecodedAudio:
    path.write_bytes(samples.tobytes())
    return DecodedAudio(path, len(samples) / RATE)


def encode(source: Path, target: Path | object, kind: str) -> Path | object:
    """`source` in another container. `target` may be a stream that cannot seek, as a browser's recorder is."""
    container, codec, rate = CODECS[kind]
    where = str(target) if isinstance(target, Path) else target
    with av.open(str(source)) as reading, av.open(where, "w", format=container) as writing:
        stream = writing.add_stream(codec, rate=rate, layout="mono")
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.format, "mono", rate, frame_size=size)
        for frame in [*reading.decode(audio=0), None]:
            for piece in resampler.resample(frame):
                writing.mux(stream.encode(piece))
        writing.mux(stream.encode(None))
    return target


def video(path: Path, *, sound: bool = False) -> Path:
    """A second of grey picture, before the sound if there is any."""
    with av.open(str(path), "w") as out:
        picture = out.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        track = out.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for _ in range(10):
            out.mux(picture.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(picture.encode(None))
        if track is not None:
            frame = av.AudioFrame("fltp", "mono", 1024)
            frame.sample_rate = RATE
            for i in range(32):
                frame.pts = i * 1024
                frame.planes[0].update(bytes(frame.planes[0].buffer_size))
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
    return path


def flac_of_silence(path: Path, seconds: int, *, rate: int = RATE, layout: str = "mono") -> Path:
    """Hours of it in a few kilobytes."""
    with av.open(str(path), "w", format="flac") as out:
        stream = out.add_stream("flac", rate=rate, layout=layout)
        stream.codec_context.format = "s16"
        frame = av.AudioFrame("s16", layout, rate)
        frame.sample_rate = rate
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        resampler = av.AudioResampler("s16", layout, rate, frame_size=stream.codec_context.frame_size or 4096)
        for at in range(seconds):
            frame.pts = at * rate
            for piece in resampler.resample(frame):
                out.mux(stream.encode(piece))
        for piece in resampler.resample(None):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


def cancel(seconds: float) -> None:
    raise Unavailable(f"cancelled after {seconds}")


class Pipe:
    """A file that cannot seek: containers written into it cannot go back to note their length."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


@pytest.mark.parametrize("kind", CODECS)
def test_every_usual_container_decodes_to_the_same_length(tmp_path, kind):
    path = encode(wav(tmp_path / "a.wav", tone(3)), tmp_path / "named.txt", kind)
    audio = decode(path, tmp_path / "out", max_seconds=60)
    assert audio.seconds == pytest.approx(3, abs=0.15)
    assert audio.path.stat().st_size == audio.seconds * RATE * 2
    assert probe(path) == pytest.approx(3, abs=0.3)


def test_of_a_video_the_sound_is_decoded(tmp_path):
    path = video(tmp_path / "a.mp4", sound=True)
    assert decode(path, tmp_path / "out", max_seconds=60).seconds == pytest.approx(2, abs=0.1)


def test_decoding_keeps_the_samples_of_a_wav_of_the_right_kind(tmp_path):
    samples = tone(1.5)
    audio = decode(wav(tmp_path / "a.wav", samples), tmp_path / "out", max_seconds=60)
    assert audio.path.read_bytes() == samples.tobytes()
    assert audio.seconds == 1.5


def test_stereo_is_mixed_to_one_channel(tmp_path):
    left, right = tone(1), silence(1)
    both = array("h", (sample for pair in zip(left, right, strict=True) for sample in pair))
    audio = decode(wav(tmp_path / "a.wav", both, channels=2), tmp_path / "out", max_seconds=60)
    mixed = array("h", audio.path.read_bytes())
    assert audio.seconds == 1
    assert max(mixed) == pytest.approx(max(left) / 2, abs=100)


def test_telephone_rate_becomes_16_kilohertz(tmp_path):
    audio = decode(wav(tmp_path / "a.wav", tone(2, 8000), rate=8000), tmp_path / "out", max_seconds=60)
    assert audio.seconds == pytest.approx(2, abs=0.01)


def loudness(samples: array[int], hertz: float) -> float:
    """The amplitude of one tone in the middle second of a recording."""
    middle = samples[len(samples) // 2 - RATE // 2 :][:RATE]
    angle = 2 * math.pi * hertz / RATE
    cosine = sum(value * math.cos(angle * i) for i, value in enumerate(middle))
    sine = sum(value * math.sin(angle * i) for i, value in enumerate(middle))
    return 2 * math.hypot(cosine, sine) / len(middle)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_pitch_and_its_level_at_any_rate(tmp_path, rate):
    audio = decode(wav(tmp_path / "a.wav", tone(2, rate), rate=rate), tmp_path / "out", max_seconds=60)
    samples = array("h", audio.path.read_bytes())
    assert audio.seconds == pytest.approx(2, abs=0.01)
    assert loudness(samples, 440) == pytest.approx(8000, rel=0.02)
    assert max(loudness(samples, hertz) for hertz in (220, 880, 1000, 3000)) < 80


def test_what_is_too_high_for_16_kilohertz_is_taken_out_not_folded_down(tmp_path):
    whistle = array("h", (round(8000 * math.sin(2 * math.pi * 12_000 * i / 48_000 + 0.5)) for i in range(96_000)))
    audio = decode(wav(tmp_path / "a.wav", whistle, rate=48_000), tmp_path / "out", max_seconds=60)
    assert loudness(array("h", audio.path.read_bytes()), 4000) < 80


def test_a_stream_that_changes_its_rate_half_way_is_decoded_to_its_end(tmp_path):
    one = encode(wav(tmp_path / "a.wav", tone(2)), tmp_path / "a.mp3", "mp3")
    CODECS["slow"] = ("mp3", "libmp3lame", 22_050)
    other = encode(wav(tmp_path / "b.wav", tone(2)), tmp_path / "b.mp3", "slow")
    del CODECS["slow"]
    path = tmp_path / "both.mp3"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    assert decode(path, tmp_path / "out", max_seconds=60).seconds == pytest.approx(4, abs=0.3)


def test_a_webm_written_to_a_pipe_says_no_length_and_decodes(tmp_path):
    pipe = encode(wav(tmp_path / "a.wav", tone(3)), Pipe(), "webm")
    path = tmp_path / "a.webm"
    path.write_bytes(pipe.data)
    assert probe(path) is None
    assert decode(path, tmp_path / "out", max_seconds=60).seconds == pytest.approx(3, abs=0.1)


def test_a_header_that_claims_hours_changes_nothing_about_the_decoded_length(tmp_path):
    path = wav(tmp_path / "a.wav", tone(2))
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = struct.pack("<I", 0x7FFFFFF0)  # RIFF and data sizes: 18 hours of 16 kHz
    path.write_bytes(data)
    assert decode(path, tmp_path / "out", max_seconds=60).seconds == 2


@pytest.mark.parametrize("kind", ["mp3", "webm", "ogg", "flac", "mka"])
def test_a_truncated_file_yields_what_is_there(tmp_path, kind):
    path = encode(wav(tmp_path / "a.wav", tone(4)), tmp_path / "a", kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert 1 < decode(path, tmp_path / "out", max_seconds=60).seconds < 3.5


def test_damage_in_the_middle_costs_only_the_middle(tmp_path):
    path = encode(wav(tmp_path / "a.wav", tone(6)), tmp_path / "a", "mp3")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = random.Random(1).randbytes(2000)
    path.write_bytes(data)
    assert 5 < decode(path, tmp_path / "out", max_seconds=60).seconds < 6.5


def test_tags_in_an_unknown_encoding_do_no_harm(tmp_path):
    path = wav(tmp_path / "a.wav", tone(1))
    info = b"LIST" + struct.pack("<I", 16) + b"INFOINAM" + struct.pack("<I", 4) + b"\xe9\xe8\xff\x00"
    data = path.read_bytes() + info
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    assert probe(path) == pytest.approx(1, abs=0.01)


def write_m4a_without_its_end(path: Path) -> None:
    encode(wav(path.with_suffix(".wav"), tone(2)), path, "m4a")
    path.write_bytes(path.read_bytes()[:4000])  # the index is at the end


NOT_AUDIO = {
    "empty": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(random.Random(7).randbytes(200_000)),
    "text": lambda path: path.write_text("Dear Sir,\nplease find enclosed nothing.\n" * 500),
    "picture": lambda path: path.write_bytes(PNG),
    "video without sound": lambda path: path.write_bytes(video(path.with_suffix(".mp4")).read_bytes()),
    "wav header only": lambda path: wav(path, array("h")),
    "one sample a second": lambda path: wav(path, tone(0.1), rate=1),
    "m4a without its end": write_m4a_without_its_end,
}


@pytest.mark.parametrize("what", NOT_AUDIO)
def test_what_is_not_audio_is_refused_with_advice(tmp_path, what):
    path = tmp_path / "a.mp3"
    NOT_AUDIO[what](path)
    for refused in (lambda: probe(path), lambda: decode(path, tmp_path / "out", max_seconds=60)):
        with pytest.raises(UnsupportedMedia, match="send") as caught:
            refused()
        assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile {}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    ],
)
@pytest.mark.parametrize("name", ["a.wav", "a.m3u8", "a.txt", "a.sdp"])
def test_a_file_cannot_make_the_relay_read_another_file_or_address(tmp_path, playlist, name):
    secret = wav(tmp_path / "secret.wav", tone(1))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        for place in (secret.name, secret.as_uri(), f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"):
            path = tmp_path / name
            path.write_text(playlist.format(place))
            with pytest.raises(UnsupportedMedia):
                probe(path)
            with pytest.raises(UnsupportedMedia):
                decode(path, tmp_path / "out", max_seconds=60)
        with pytest.raises(BlockingIOError):  # nobody called
            server.accept()


def test_a_name_that_looks_like_a_protocol_is_a_plain_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wav(tmp_path / "concat:a.wav|b.wav", tone(1))
    assert probe(Path("concat:a.wav|b.wav")) == pytest.approx(1)


def test_a_small_file_that_decodes_to_a_lot_is_stopped_at_the_limit(tmp_path):
    path = encode(wav(tmp_path / "a.wav", silence(120)), tmp_path / "a.flac", "flac")
    assert path.stat().st_size < 50_000
    with pytest.raises(TooLarge, match="5 seconds"):
        decode(path, tmp_path / "out", max_seconds=5)
    assert (tmp_path / "out").stat().st_size < 10 * RATE * 2


def test_a_small_file_of_many_channels_at_a_high_rate_is_stopped_by_what_it_decodes_to(tmp_path):
    """Eight channels at 655 kHz: ten seconds of them are 200 MB, in 100 KB."""
    path = flac_of_silence(tmp_path / "a.flac", 10, rate=655_350, layout="7.1")
    assert path.stat().st_size < 200_000
    seen: list[float] = []
    with pytest.raises(TooLarge, match="48 kHz stereo"):
        decode(path, tmp_path / "out", max_seconds=15, check=seen.append)
    assert seen[-1] < 7
    assert (tmp_path / "out").stat().st_size < 7 * RATE * 2


def test_a_length_that_is_understated_does_not_get_around_the_limit(tmp_path):
    path = encode(wav(tmp_path / "a.wav", tone(20)), tmp_path / "a.webm", "webm")
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # the element Duration: a float of 8 bytes, in milliseconds
    path.write_bytes(data[:at] + struct.pack(">d", 1000) + data[at + 8 :])
    assert probe(path) == pytest.approx(1)
    with pytest.raises(TooLarge, match="5 seconds"):
        decode(path, tmp_path / "out", max_seconds=5)
    assert decode(path, tmp_path / "out", max_seconds=60).seconds == pytest.approx(20, abs=0.1)


def test_a_hundred_thousand_packets_of_one_sample_are_a_recording(tmp_path):
    samples = tone(100_000 / RATE)
    path = tmp_path / "a.mka"
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        out.start_encoding()
        for at, sample in enumerate(samples):
            packet = av.Packet(struct.pack("<h", sample))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, at, at, Fraction(1, RATE)
            out.mux_one(packet)
    audio = decode(path, tmp_path / "out", max_seconds=60)
    assert audio.path.read_bytes() == samples.tobytes()


def test_after_thousands_of_damaged_packets_probing_gives_up_and_decoding_can_be_stopped(tmp_path):
    """The sound behind them shows how far each has read."""
    path = tmp_path / "a.mka"
    flac = encode(wav(tmp_path / "a.wav", tone(3)), tmp_path / "a.flac", "flac")
    with av.open(str(flac)) as sound, av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream_from_template(sound.streams.audio[0])
        damaged = [b"nonsense"] * 100_000
        for at, data in enumerate(damaged + [bytes(packet) for packet in sound.demux(audio=0)]):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, at, at, Fraction(1, 1000)
            out.mux_one(packet)
    with pytest.raises(UnsupportedMedia):
        probe(path)
    with pytest.raises(Unavailable, match=r"after 0\."):
        decode(path, tmp_path / "out", max_seconds=60, check=cancel)
    assert decode(path, tmp_path / "out", max_seconds=60).seconds == pytest.approx(3, abs=0.5)


def test_decoding_reports_every_second_and_can_be_stopped(tmp_path):
    path = wav(tmp_path / "a.wav", tone(5))
    seen: list[float] = []
    decode(path, tmp_path / "out", max_seconds=60, check=seen.append)
    assert [round(second) for second in seen] == [1, 2, 3, 4, 5][: len(seen)]
    assert len(seen) >= 4

    def cancel_later(seconds: float) -> None:
        if seconds >= 2:
            cancel(seconds)

    with pytest.raises(Unavailable):
        decode(path, tmp_path / "cut", max_seconds=60, check=cancel_later)
    assert (tmp_path / "cut").stat().st_size < 3 * RATE * 2


def test_a_file_of_damaged_packets_can_be_stopped_too(tmp_path):
    path = encode(wav(tmp_path / "a.wav", tone(20)), tmp_path / "a", "aac")
    data = bytearray(path.read_bytes())
    at = packets = 0
    while at < len(data):  # ADTS: a header of 7 bytes, the packet's size in 13 bits of it
        size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        packets += 1
        if packets > 3:
            data[at + 7 : at + size] = b"\xff" * (size - 7)
        at += size
    path.write_bytes(data)
    assert packets > 800
    with pytest.raises(Unavailable, match=r"after 0\."):
        decode(path, tmp_path / "out", max_seconds=60, check=cancel)


def test_decoding_and_cutting_a_long_recording_needs_little_memory(tmp_path):
    path = wav(tmp_path / "a.wav", tone(1) * 150)  # 4.8 MB
    tracemalloc.start()
    audio = decode(path, tmp_path / "out", max_seconds=600)
    cut_on_silence(audio, 30)
    write_wav(audio, tmp_path / "again.wav")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audio.seconds == 150
    assert peak < 1_500_000


def test_an_hour_is_decoded_in_little_memory(tmp_path):
    path = flac_of_silence(tmp_path / "a.flac", 3600)
    code = """
import sys, psutil
from pathlib import Path
from relay.audio import decode
resident = lambda: psutil.Process().memory_info().rss
source, target = map(Path, sys.argv[1:])
seen = []
audio = decode(source, target, max_seconds=4000, check=lambda seconds: seen.append(resident()))
assert audio.seconds == 3600, audio
assert len(seen) > 3000, len(seen)
sys.exit(max(seen) - seen[10] > 10 * 2**20)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, path, tmp_path / "out"], check=False, timeout=100, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_cuts_fall_into_the_pauses(tmp_path):
    audio = raw(tmp_path / "a", (tone(23) + silence(1)) * 3)
    pieces = cut_on_silence(audio, 30)
    assert [start for start, _ in pieces] == pytest.approx([0, 23.5, 47.5], abs=0.1)
    assert [end for _, end in pieces] == pytest.approx([23.5, 47.5, 72], abs=0.1)


def test_a_faint_pause_in_loud_noise_is_found(tmp_path):
    noise = random.Random(2)
    loud, faint = (array("h", (round(noise.gauss(0, level)) for _ in range(RATE * 4))) for level in (3000, 1500))
    audio = raw(tmp_path / "a", loud + faint[: RATE // 5] + loud)
    ((_, cut), _) = cut_on_silence(audio, 6, slack_seconds=3)
    assert 4 <= cut <= 4.2


def test_a_short_recording_is_one_piece(tmp_path):
    assert cut_on_silence(raw(tmp_path / "a", tone(2)), 30) == [(0, 2)]


@settings(deadline=None)
@given(
    seconds=st.floats(0.1, 20),
    piece=st.floats(0.2, 8),
    slack=st.floats(0, 20),
    seed=st.integers(0, 5),
)
def test_pieces_cover_the_whole_without_gap_or_overlap_and_none_is_too_long(
    tmp_path_factory, seconds, piece, slack, seed
):
    path = tmp_path_factory.mktemp("cut") / "a"
    data = random.Random(seed).randbytes(round(seconds * RATE) * 2)
    path.write_bytes(data)
    audio = DecodedAudio(path, len(data) / 2 / RATE)
    pieces = cut_on_silence(audio, piece, slack_seconds=slack)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == audio.seconds
    assert all(one[1] == other[0] for one, other in pairwise(pieces))
    assert all(0 < end - start <= piece + 1 / RATE for start, end in pieces)


def test_a_stretch_is_written_as_wav(tmp_path):
    samples = tone(1) + silence(1) + tone(2)
    audio = raw(tmp_path / "a", samples)
    path = write_wav(audio, tmp_path / "a.wav", 1.0, 3.5)
    with wave.open(str(path)) as reading:
        assert reading.getparams()[:3] == (1, 2, RATE)
        assert reading.readframes(RATE * 10) == samples[RATE : RATE * 7 // 2].tobytes()
    write_wav(audio, path, 3.0, 99.0)
    assert probe(path) == 1.0


def test_importing_the_plugin_api_loads_no_audio_library():
    code = "import relay.api, sys; sys.exit('av' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
