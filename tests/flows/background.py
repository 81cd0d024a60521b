"""Submitting jobs to a running relay and looking at them."""

import json
import threading

from tests.flows.live import eventually, install, multipart, wav

RECORDING = wav(2.0)
ENDED = {"completed", "failed", "cancelled"}


class Pause:
    """What a backend does while it works: wait for `go`, unless the call is interrupted."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, ctx) -> None:
        while not self.go.wait(0.01):
            ctx.remaining()


def submit(live, who="inst-1", job=None, key=None, **order):
    headers = install(who)
    if job is not None:
        headers["X-Recap-Job-Id"] = job
    if key is not None:
        headers["Idempotency-Key"] = key
    return live.call("POST", "/relay/jobs", headers=headers, json={"task": "analyze", "prompt": "Say it."} | order)


def upload(live, who="inst-1", job=None, recording=RECORDING, **fields):
    headers = install(who)
    if job is not None:
        headers["X-Recap-Job-Id"] = job
    body, headers["Content-Type"] = multipart(recording, **fields)
    return live.call("POST", "/relay/jobs", body, headers)


def job(live, name, who="inst-1"):
    reply = live.get(f"/relay/jobs/{name}", install(who))
    assert reply.status == 200, reply.body
    return reply.json["job"]


def ended(live, reply, who="inst-1"):
    """The job of a 202, once it has ended."""
    assert reply.status == 202, reply.body
    name = reply.json["job"]["id"]
    eventually(lambda: job(live, name, who)["state"] in ENDED)
    return job(live, name, who)


def cancel(live, name, who="inst-1"):
    return live.call("DELETE", f"/relay/jobs/{name}", headers=install(who))


def events(live, name, who="inst-1"):
    """(event, data) of the whole stream; keep-alives left out."""
    reply = live.get(f"/relay/jobs/{name}/events", install(who))
    assert reply.headers["content-type"] == "text/event-stream"
    return parse(reply.body)


def parse(stream):
    frames = [frame.split("\n") for frame in stream.decode().split("\n\n") if frame and not frame.startswith(":")]
    return [(head.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for head, data in frames]
