"""kill -9 while a meeting is uploaded, worked on and deleted: it goes on, no finished piece is done again."""

import hashlib
import io
import json
import re
import time
import wave
from array import array
from collections import Counter

import pytest
import urllib3

from tests.crash.harness import TIMEOUT, Nursery
from tests.flows.live import multipart
from tests.loopback import json_reply

SECONDS = 70
PATH = "/admin/internal-meetings"
SETTINGS = "\n[meetings]\npiece_seconds = 20\noverlap_seconds = 4\n"
POINTS = [
    "meetings.uploaded:1",
    "meetings.audio-stored:1",
    "meetings.piece-stored:1",
    "meetings.piece-stored:4",
    "meetings.piece-stored:8",
    "meetings.joined:1",
    "meetings.run-done:1",
]


def recording():
    """Every second has a level of its own, so that no two pieces are alike."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        for second in range(SECONDS):
            file.writeframes(array("h", [(second + 1) * 100, -(second + 1) * 100] * 4000).tobytes())
    return held.getvalue()


RECORDING = recording()


class Box:
    """Plays Spark: hears one word per piece, and two people. `answered`: how often each piece was."""

    def __init__(self) -> None:
        self.answered = Counter()

    def __call__(self, request):
        if request.method == "GET":
            return json_reply({"services": {"transcribe": True, "diarize": True, "chat": True}})
        if "chat" in request.path:
            # No schema: the summary is read from plain text.
            found = {name: [] for name in ("summary", "decisions", "actions", "chapters")}
            choice = {"message": {"role": "assistant", "content": json.dumps(found)}, "finish_reason": "stop"}
            return json_reply({"choices": [choice], "model": "m", "usage": {}})
        sound = re.search(rb"filename=.*?\r\n\r\n(.*)\r\n--", request.body, re.DOTALL).group(1)
        name = hashlib.sha256(sound).hexdigest()[:8]
        self.answered[request.path.rsplit("/", 1)[-1], name] += 1
        if "transcri" in request.path:
            word = f"piece{name}"
            return json_reply({"text": word, "segments": [{"start": 5.0, "end": 6.0, "text": word}], "language": "en"})
        turns = [{"start": 0.0, "end": 8.0, "speaker": 0}, {"start": 8.0, "end": 15.0, "speaker": 1}]
        voices = [{"speaker": n, "embedding": [float(n == k) for k in range(8)]} for n in range(2)]
        return json_reply({"segments": turns, "speakers": voices, "embedding_model": "titanet_large"})


@pytest.fixture
def box():
    return Box()


@pytest.fixture
def nursery(tmp_path, box):
    with Nursery(tmp_path) as nursery:
        with (tmp_path / "plugins.toml").open("a") as file:
            file.write(SETTINGS)
        nursery.upstream.answer = box
        yield nursery


class Admin:
    """The operator, who logs in again after every restart."""

    def __init__(self, url) -> None:
        self.pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT)
        self.url = url
        body = json.dumps({"password": "only for tests"})
        reply = self.pool.request("POST", f"{url}/admin/login", body=body, headers={"Content-Type": "application/json"})
        cookie = reply.headers["Set-Cookie"].partition(";")[0]
        self.headers = {"Cookie": cookie, "X-CSRF-Token": reply.json()["csrf_token"]}

    def call(self, method, path, body=None, **headers):
        return self.pool.request(method, f"{self.url}{path}", body=body, headers=self.headers | headers)

    def upload(self):
        """The meeting's id; None when no answer came."""
        body, kind = multipart(RECORDING, title="killed")
        try:
            reply = self.call("POST", PATH, body, **{"Content-Type": kind})
        except urllib3.exceptions.HTTPError:
            return None
        assert reply.status == 201, reply.data
        return reply.json()["meeting"]["id"]

    def ended(self, meeting):
        until = time.monotonic() + 60
        while True:
            view = self.call("GET", f"{PATH}/{meeting}").json()
            if view["meeting"]["state"] in {"ready", "failed"}:
                return view
            assert time.monotonic() < until, view
            time.sleep(0.05)


def start(nursery, point=""):
    return Admin(nursery.start(point))


def only_meeting(admin):
    (row,) = admin.call("GET", PATH).json()["meetings"]
    return row


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_step_is_gone_on_from_and_no_finished_piece_is_done_again(nursery, box, point):
    admin = start(nursery, point)
    admin.upload()
    assert nursery.wait(30), f"{point} was never reached"
    admin = start(nursery)
    row = only_meeting(admin)
    if row["state"] == "uploading":
        # All bytes are there, and only the note of that was lost: sending nothing more ends it.
        end = admin.call("PUT", f"{PATH}/{row['id']}/upload", b"", **{"Upload-Offset": str(len(RECORDING))})
        assert end.json()["upload"]["complete"], end.data
    view = admin.ended(row["id"])
    assert view["meeting"]["error"] is None
    assert view["meeting"]["state"] == "ready"
    assert len(view["text"]["speakers"]) == 2
    twice = [piece for piece, times in box.answered.items() if times > 1]
    # Words and speakers are asked side by side: while one is stored, the other may be on its way.
    assert len(twice) <= 1, box.answered
    pieces = {kind: sum(1 for known, _ in box.answered if known == kind) for kind, _ in box.answered}
    assert len(set(pieces.values())) == 1, pieces


def test_a_kill_in_the_middle_of_a_deletion_is_ended_by_deleting_again(nursery):
    admin = start(nursery, "meetings.deleting:1")
    meeting = admin.upload()
    admin.ended(meeting)
    with pytest.raises(urllib3.exceptions.HTTPError):
        admin.call("DELETE", f"{PATH}/{meeting}")
    assert nursery.wait(30)
    admin = start(nursery)
    assert admin.call("DELETE", f"{PATH}/{meeting}").status == 200
    assert admin.call("GET", f"{PATH}/{meeting}").status == 404
    assert list((nursery.folder / "data" / "uploads").iterdir()) == []
