"""A call that nobody waits for ends at once, and Gemini sees it end."""

import shutil
import ssl
import subprocess
import threading
import time

import pytest

from relay.errors import PluginError, Unavailable, UpstreamTimeout
from relay.ports.inference import Audio, CallContext, ChatRequest, TranscribeRequest
from tests.loopback import HANG_UP, Server

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello " * 40}])


def in_background(work):
    """Runs `work`; the thread's `outcome` is what it returned or raised."""

    def run():
        try:
            thread.outcome = work()
        except PluginError as exc:
            thread.outcome = exc

    thread = threading.Thread(target=run, daemon=True)
    thread.outcome = None
    thread.start()
    return thread


def ended(thread):
    thread.join(timeout=20)  # the fault holds the answer back for ten minutes
    assert not thread.is_alive()
    return thread.outcome


@pytest.mark.parametrize("chunks", [0, 2])
def test_cancel_ends_a_call_that_waits_for_gemini(backend, ctx, fault, box, chunks):
    fault("hang", chunks=chunks)
    thread = in_background(lambda: list(backend.chat(HELLO, ctx)))
    box.requests.wait(lambda record: record.route == "stream" and record.size > 0)
    if chunks:
        box.requests.wait(lambda record: record.status == 200)
    time.sleep(0.2)  # long enough to be waiting
    ctx.cancel()
    outcome = ended(thread)
    assert isinstance(outcome, Unavailable)
    assert "cancelled" in outcome.message
    box.requests.wait(lambda record: record.hung_up)


def test_cancel_ends_a_transcription_and_its_file_is_deleted_all_the_same(
    backend_for, ctx, fault, box, gemini, recording
):
    backend = backend_for(inline_mb=0.1)
    fault("hang")
    thread = in_background(lambda: backend.transcribe(TranscribeRequest(Audio(recording, "r.wav")), ctx))
    box.requests.wait(lambda record: record.route == "stream" and record.size > 0)
    assert list(gemini.files)
    ctx.cancel()
    assert isinstance(ended(thread), Unavailable)
    assert not list(gemini.files)
    assert [path.name for path in recording.parent.iterdir()] == ["recording"]


def test_cancel_ends_the_wait_for_a_file_in_processing(backend_for, ctx, box, gemini, recording):
    gemini.configure({"processing_polls": 1000})
    backend = backend_for(inline_mb=0.1)
    thread = in_background(lambda: backend.transcribe(TranscribeRequest(Audio(recording, "r.wav")), ctx))
    box.requests.wait(lambda record: record.route == "file")
    ctx.cancel()
    assert isinstance(ended(thread), Unavailable)
    assert not list(gemini.files)


@pytest.mark.parametrize("fault_name", ["hang", "slow_chunks"])
def test_the_deadline_ends_a_silent_answer_and_one_that_never_ends(backend, fault, box, fault_name):
    fault(fault_name, seconds=600 if fault_name == "hang" else 0.4)
    with pytest.raises(UpstreamTimeout):
        list(backend.chat(HELLO, CallContext(deadline=time.monotonic() + 1)))
    box.requests.wait(lambda record: record.hung_up)


def test_a_silence_longer_than_the_read_timeout_ends_the_call(backend_for, ctx, fault):
    fault("hang")
    with pytest.raises(UpstreamTimeout, match="in time"):
        list(backend_for(read_timeout=0.5).chat(HELLO, ctx))


def test_an_answer_that_is_not_read_to_its_end_is_hung_up(backend, ctx, fault, box):
    fault("slow_chunks", seconds=0.3)
    answer = backend.chat(HELLO, ctx)
    next(answer)
    answer.close()
    box.requests.wait(lambda record: record.hung_up)


def test_cancelling_one_call_leaves_the_others_alone(backend, fault, box):
    fault("slow_chunks", seconds=0.1)
    contexts = [CallContext(deadline=time.monotonic() + 60) for _ in range(8)]
    threads = [in_background(lambda ctx=ctx: list(backend.chat(HELLO, ctx))) for ctx in contexts]
    box.requests.wait(lambda record: record.status == 200)
    for ctx in contexts[::2]:
        ctx.cancel()
    outcomes = [ended(thread) for thread in threads]
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes[::2])
    assert all(outcome[-1].finish == "stop" for outcome in outcomes[1::2])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_cancel_ends_a_call_over_tls(backend_for, ctx, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    asked = threading.Event()

    def silence(request):
        asked.set()
        server.stopping.wait(60)
        return HANG_UP

    with Server(silence, wrap=lambda connection: context.wrap_socket(connection, server_side=True)) as server:
        url = f"https://127.0.0.1:{server.port}"
        with pytest.raises(Unavailable, match="certificate is not trusted"):
            list(backend_for(base_url=url).chat(HELLO, ctx))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        backend = backend_for(base_url=url)
        thread = in_background(lambda: list(backend.chat(HELLO, ctx)))
        assert asked.wait(20)
        time.sleep(0.2)
        ctx.cancel()
        assert isinstance(ended(thread), Unavailable)


def test_no_wait_is_longer_than_what_is_left_of_the_call():
    import socket

    from relay_gemini.wire import Guard

    guard = Guard(CallContext(deadline=time.monotonic() + 5))
    with socket.socket() as sock, guard.waiting(sock, 600) as patience:
        assert patience <= 5
    guard.stop()
    with socket.socket() as sock, pytest.raises(Unavailable), guard.waiting(sock, 600):
        pass
