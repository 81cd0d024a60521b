"""docs/callbacks.md: its receivers accept what the relay signs and nothing else; the operator's door to the outbox."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import falcon
import falcon.testing
import pytest

from relay.domain.deliveries import RETRY_AFTER_SECONDS, signature
from relay.http import errors
from relay.http.admin.callbacks import AdminCallbacks
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.services.outbox import Outbox
from relay.testing.memory import MemoryStorage

TEXT = (Path(__file__).parents[2] / "docs" / "callbacks.md").read_text()
SECRET, BODY = "rcs_secret", '{"job":"déjà vu"}'.encode()


def block(language: str) -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return code


def cases() -> list[tuple[str, str, bytes, bool]]:
    now = int(time.time())
    good = signature(SECRET, BODY, now)
    stamp, mac = good.split(",")
    return [
        (SECRET, good, BODY, True),
        ("other", good, BODY, False),
        (SECRET, good, BODY + b" ", False),
        (SECRET, signature(SECRET, BODY, now - 400), BODY, False),
        (SECRET, signature(SECRET, BODY, now + 400), BODY, False),
        (SECRET, f"t={now + 1},{mac}", BODY, False),
        (SECRET, f"{stamp},v1=", BODY, False),
        (SECRET, f"{stamp},v1=déjà", BODY, False),
        (SECRET, stamp, BODY, False),
        (SECRET, mac, BODY, False),
        (SECRET, f"t=x,{mac}", BODY, False),
        (SECRET, "", BODY, False),
    ]


def test_the_python_receiver_tells_the_relay_from_others():
    space: dict = {}
    exec(compile(block("python"), "docs/callbacks.md", "exec"), space)
    for secret, header, body, genuine in cases():
        assert space["is_from_relay"](secret, header, body) is genuine, header


@pytest.mark.skipif(shutil.which("node") is None, reason="the example is for Node")
def test_the_node_receiver_tells_the_relay_from_others():
    given = [[secret, header, body.decode()] for secret, header, body, _ in cases()]
    asked = f"""
      const cases = {json.dumps(given)};
      console.log(JSON.stringify(cases.map(([s, h, b]) => isFromRelay(s, h, Buffer.from(b)))));
    """
    done = subprocess.run(
        ["node", "-e", block("javascript") + asked], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == [genuine for *_, genuine in cases()]


def test_the_document_tells_the_true_times():
    assert RETRY_AFTER_SECONDS == (10, 60, 5 * 60, 30 * 60, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600)
    assert f"{len(RETRY_AFTER_SECONDS) + 1} failed".replace("9", "nine") in TEXT
    assert f"about {round(sum(RETRY_AFTER_SECONDS) / 3600)} hours" in TEXT


class Numbered:
    def process_request(self, req, resp):
        req.context.request_id = "r1"
        req.context.actor = "admin"


class TestOperator:
    @pytest.fixture
    def outbox(self, tmp_path):
        storage = MemoryStorage()
        storage.open(tmp_path, COLLECTIONS, STREAMS)
        outbox = Outbox(storage)
        outbox.storage = storage
        return outbox

    @pytest.fixture
    def client(self, outbox):
        app = falcon.App(middleware=[Numbered()])
        errors.install(app)
        resource = AdminCallbacks(SimpleNamespace(outbox=outbox))
        app.add_route("/admin/callbacks", resource)
        app.add_route("/admin/callbacks/{delivery}", resource, suffix="one")
        app.add_route("/admin/callbacks/{delivery}/retry", resource, suffix="retry")
        return falcon.testing.TestClient(app)

    @staticmethod
    def add(outbox, **fields) -> str:
        def added(tx) -> str:
            url = "https://hook.example/x?token=s3cret"
            key = outbox.add(tx, url=url, body=b'"s3cret"', secret="s3cret", kind="job", reference="job_1")
            row = tx.get("outbox", key)
            row.update(fields)
            tx.put("outbox", key, row)
            return key

        return outbox.storage.transact(added)

    def test_sees_what_waits_and_what_was_given_up_and_no_secret(self, outbox, client):
        waiting = self.add(outbox, due_at="2026-01-01T00:00:00Z", created_at="2025-12-31T00:00:00Z", tries=1, error="x")
        dead = self.add(outbox, due_at=None, dead_at="2026-01-02T00:00:00Z", tries=9, error="y")
        reply = client.simulate_get("/admin/callbacks")
        assert reply.json["pending"] == {
            "count": 1,
            "rows": [
                {
                    "id": waiting,
                    "kind": "job",
                    "reference": "job_1",
                    "url": "https://hook.example/x",
                    "created_at": "2025-12-31T00:00:00Z",
                    "due_at": "2026-01-01T00:00:00Z",
                    "dead_at": None,
                    "tries": 1,
                    "error": "x",
                }
            ],
        }
        assert [row["id"] for row in reply.json["dead"]["rows"]] == [dead]
        assert "s3cret" not in reply.text

    def test_pages(self, outbox, client):
        keys = [self.add(outbox, due_at=f"2026-01-01T00:00:0{n}Z") for n in range(5)]
        found = [
            row["id"]
            for offset in (0, 2, 4)
            for row in client.simulate_get(f"/admin/callbacks?limit=2&offset={offset}").json["pending"]["rows"]
        ]
        assert found == keys
        for wrong in ("limit=0", "limit=201", "limit=x", "offset=-1"):
            assert client.simulate_get(f"/admin/callbacks?{wrong}").status_code == 400

    def test_makes_one_due_again_or_forgets_it(self, outbox, client):
        dead = self.add(outbox, due_at=None, dead_at="2026-01-02T00:00:00Z", tries=9)
        assert client.simulate_post(f"/admin/callbacks/{dead}/retry").json == {"ok": True, "id": dead}
        assert (outbox.pending(10)[0], outbox.dead(10)[0]) == (1, 0)
        assert outbox.pending(10)[1][0]["tries"] == 0
        assert client.simulate_delete(f"/admin/callbacks/{dead}").status_code == 200
        assert outbox.pending(10)[0] == 0
        for reply in (
            client.simulate_post(f"/admin/callbacks/{dead}/retry"),
            client.simulate_delete(f"/admin/callbacks/{dead}"),
        ):
            assert (reply.status_code, reply.json["error"]["code"]) == (404, "not_found")
