"""A paid job's record says what was asked, what it cost and why, and its signature can be checked."""

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from relay.books import jobs
from relay.errors import Unavailable
from relay.services.receipts import signed_bytes
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import running


def record(live, reply):
    job_id = reply.json["meta"]["server_job_id"]
    return job_id, live.core.storage.read(lambda tx: jobs.get(tx, job_id))


def check(live, receipt):
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(live.get("/relay/receipts/key").json["public_key"]))
    key.verify(bytes.fromhex(receipt["signature"]), signed_bytes(receipt))


def test_a_receipt_says_inputs_rule_bucket_and_price(start) -> None:
    with start(FakeBackend()) as live:
        reply = live.analyze("i", prompt="How long?", system="Be brief")
        job_id, job = record(live, reply)
        receipt = live.core.receipts.of(job_id, job)
        assert receipt["inputs"] == {"messages": 2, "characters": 17}
        assert receipt["price"] == {"credits": 1}
        assert receipt["bucket"] == "lifetime"
        assert "one credit per job" in receipt["rule"]
        assert receipt["ledger_entry"] == live.entries("inst:i")[-1]["n"]
        assert receipt["account"] == "inst:i"
        check(live, receipt)


def test_a_changed_receipt_does_not_pass(start) -> None:
    with start(FakeBackend()) as live:
        receipt = live.core.receipts.of(*record(live, live.transcribe("i")))
        assert receipt["inputs"]["seconds"] == 1.0
        check(live, receipt)
        with pytest.raises(InvalidSignature):
            check(live, receipt | {"price": {"credits": 2}})


def test_the_key_stays_the_same_over_a_restart(tmp_path) -> None:
    with running(tmp_path, [FakeBackend()]) as live:
        receipt = live.core.receipts.of(*record(live, live.analyze("i")))
    with running(tmp_path, [FakeBackend()]) as live:
        check(live, msgspec.json.decode(msgspec.json.encode(receipt)))


def test_an_unpaid_job_has_no_receipt_but_its_attempts_are_known(start) -> None:
    first, second = FakeBackend("one"), FakeBackend("two")
    first.fail = second.fail = Unavailable("away")
    with start(first, second) as live:
        live.analyze("i", job="j")
        (doc,) = live.core.storage.read(lambda tx: [doc for _, doc in tx.scan("jobs", limit=5)])
        assert [(a["backend"], a["code"]) for a in doc["attempts"]] == [
            ("one", "upstream_unavailable"),
            ("two", "upstream_unavailable"),
        ]
        second.fail = None
        job_id, job = record(live, live.analyze("i", job="j"))
        assert [(a.backend, a.code) for a in job.attempts] == [("one", "upstream_unavailable"), ("two", "ok")]
        record(live, live.analyze("i", job="j"))
        _, job = record(live, live.analyze("i", job="j"))
        assert len(job.attempts) == 6
        assert live.core.receipts.of(job_id, job)["calls"] == 3
