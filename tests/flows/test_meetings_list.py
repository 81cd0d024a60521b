"""Internal meetings: the list, and recordings that arrive in pieces."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from relay.errors import Conflict
from relay.services.meetings.uploads import CHUNK_BYTES, Uploads
from tests.flows.live import WAV, Live, multipart, running

PATH = "/admin/internal-meetings"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("meetings"), []) as live:
        yield live


@pytest.fixture(scope="module")
def admin(relay: Live) -> dict[str, str]:
    return relay.login()


def announce(relay: Live, admin: dict[str, str], size: int, **more: Any) -> str:
    body = {"title": "Monday", "filename": "monday.wav", "bytes": size} | more
    reply = relay.call("POST", PATH, headers=admin, json=body)
    assert reply.status == 201, reply.body
    assert reply.headers["location"] == f"{PATH}/{reply.json['meeting']['id']}"
    return reply.json["meeting"]["id"]


def send(relay: Live, admin: dict[str, str], meeting: str, offset: int, data: bytes) -> Any:
    return relay.call("PUT", f"{PATH}/{meeting}/upload", data, {**admin, "Upload-Offset": str(offset)})


def test_a_recording_arrives_in_pieces_and_goes_on_where_it_stopped(relay, admin):
    meeting = announce(relay, admin, len(WAV))
    assert send(relay, admin, meeting, 0, WAV[:1000]).json["upload"] == {
        "offset": 1000,
        "complete": False,
        "chunk_bytes": CHUNK_BYTES,
    }
    assert relay.get(f"{PATH}/{meeting}/upload", admin).json["upload"]["offset"] == 1000
    again = send(relay, admin, meeting, 0, WAV[:1000])
    assert (again.status, again.code, again.error["details"]) == (409, "wrong_offset", {"offset": 1000})
    assert send(relay, admin, meeting, 1000, WAV[1000:]).json["upload"]["complete"] is True
    view = relay.get(f"{PATH}/{meeting}", admin).json["meeting"]
    assert (view["title"], view["bytes"]) == ("Monday", len(WAV))
    assert view["state"] != "uploading"
    late = send(relay, admin, meeting, len(WAV), b"more")
    assert (late.status, late.code) == (409, "complete")


def test_more_than_was_announced_is_refused(relay, admin):
    meeting = announce(relay, admin, 10)
    assert send(relay, admin, meeting, 0, b"x" * 11).status == 422
    assert relay.get(f"{PATH}/{meeting}", admin).json["meeting"]["state"] == "uploading"


def test_two_senders_of_the_same_piece_write_it_once(relay, admin):
    meeting = announce(relay, admin, 4 * 2**20)
    piece, answers = b"x" * 2**20, []

    def one() -> None:
        answers.append(send(relay, admin, meeting, 0, piece).status)

    senders = [threading.Thread(target=one) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(answers) == [200, 409, 409, 409]
    assert relay.get(f"{PATH}/{meeting}/upload", admin).json["upload"]["offset"] == 2**20


def test_a_form_brings_a_recording_at_once(relay, admin):
    body, kind = multipart(WAV, title="Tuesday", num_speakers="2")
    reply = relay.call("POST", PATH, body, {**admin, "Content-Type": kind})
    assert reply.status == 201, reply.body
    assert reply.json["meeting"]["title"] == "Tuesday"
    assert reply.json["meeting"]["options"] == {"num_speakers": 2}


def test_the_list_is_newest_first_searched_and_paged(relay, admin):
    ids = [announce(relay, admin, 5, title=f"Paged <b>{n}</b>") for n in range(3)]
    page = relay.get(f"{PATH}?q=paged&limit=2", admin).json
    found = [row["id"] for row in page["meetings"]]
    found += [row["id"] for row in relay.get(f"{PATH}?q=paged&limit=2&before={page['next']}", admin).json["meetings"]]
    assert sorted(found) == sorted(ids)
    assert found == sorted(found, reverse=True)
    for meeting in ids:
        relay.call("DELETE", f"{PATH}/{meeting}", headers=admin)


def test_a_meeting_is_renamed_and_two_at_once_are_told(relay, admin):
    meeting = announce(relay, admin, 5)
    renamed = relay.call("PATCH", f"{PATH}/{meeting}", headers=admin, json={"title": "New", "version": 0})
    assert renamed.json["meeting"]["title"] == "New"
    second = relay.call("PATCH", f"{PATH}/{meeting}", headers=admin, json={"title": "Other", "version": 0})
    assert (second.status, second.code) == (409, "stale_version")
    assert second.error["details"] == {"version": 1, "yours": 0}


def test_deleting_really_deletes(relay, admin):
    meeting = announce(relay, admin, 5)
    send(relay, admin, meeting, 0, b"abc")
    assert relay.call("DELETE", f"{PATH}/{meeting}", headers=admin).json["deleted"] == meeting
    assert relay.get(f"{PATH}/{meeting}", admin).status == 404
    assert list((relay.core.data_dir / "uploads").glob(f"{meeting}*")) == []
    assert relay.call("DELETE", f"{PATH}/{meeting}", headers=admin).status == 404


@pytest.mark.parametrize("meeting", ["..%2F..%2Fcredits", "x", "20260101-000000-0000000g", "%00", "a" * 300])
def test_an_id_that_is_none_is_not_found(relay, admin, meeting):
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/upload"), ("PUT", "/upload")):
        reply = relay.call(method, f"{PATH}/{meeting}{path}", b"", {**admin, "Upload-Offset": "0"})
        assert reply.status in {400, 404}, (method, path, reply.body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"filename": "a.wav", "bytes": 0}, 422),
        ({"filename": "a.wav", "bytes": True}, 422),
        ({"filename": "", "bytes": 5}, 422),
        ({"filename": "a.wav", "bytes": 2**45}, 413),
        ({"filename": "a.wav", "bytes": 5, "options": {"num_speakers": 0}}, 422),
        ({"filename": "a.wav", "bytes": 5, "options": {"surprise": 1}}, 422),
    ],
)
def test_bad_announcements_are_refused(relay, admin, body, status):
    assert relay.call("POST", PATH, headers=admin, json=body).status == status


def test_without_an_offset_a_piece_is_refused(relay, admin):
    meeting = announce(relay, admin, 5)
    assert relay.call("PUT", f"{PATH}/{meeting}/upload", b"abc", admin).status == 400


def test_a_stranger_s_upload_is_refused_before_its_body_is_read(relay):
    body, kind = multipart(WAV)
    assert relay.call("POST", PATH, body, {"Content-Type": kind}).status == 401


def test_uploads_that_nobody_ends_are_limited(tmp_path):
    with running(tmp_path, []) as live:
        admin = live.login()
        for _ in range(20):
            announce(live, admin, 5)
        one_more = live.call("POST", PATH, headers=admin, json={"filename": "a.wav", "bytes": 5})
        assert one_more.status == 409


def test_a_piece_that_is_slow_to_arrive_is_not_written_by_two(tmp_path):
    uploads = Uploads(tmp_path)
    answers: list[Any] = []

    class Slow:
        left = 3

        def read(self, _size: int) -> bytes:
            time.sleep(0.05)
            self.left -= 1
            return b"x" * 1000 if self.left >= 0 else b""

    def send_it() -> None:
        try:
            answers.append(uploads.append("20260101-000000-00000000", 0, Slow(), 10_000))
        except Conflict as exc:
            answers.append(exc.code)

    senders = [threading.Thread(target=send_it) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(answers, key=str) == [3000, "wrong_offset", "wrong_offset", "wrong_offset"]
    assert uploads.offset("20260101-000000-00000000") == 3000
