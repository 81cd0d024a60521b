"""A small service of a third party's making, for the tests of the frame."""

from __future__ import annotations

import threading
import time

from relay.testing.sandbox import Call, Refusal, Reply, Route, Service, json_reply, sse, stream_reply


class Echo(Service):
    name = "echo"
    title = "says what it was sent"
    settings = '[plugins.echo]\nurl = "{url}"'
    faults = {"shout": "answers in capitals"}  # noqa: RUF012

    def __init__(self) -> None:
        self.left = 0
        self.go_on = threading.Event()
        self.greeting = "hello"

    def routes(self):
        return [
            Route("item", "GET", "/v1/items/{id}", self.item),
            Route("part", "GET", "/v1/{kind}/{id}:{verb}", lambda call: json_reply(call.params)),
            Route("say", "POST", "/v1/say", self.say),
            Route("slow", "GET", "/v1/slow", self.slow),
            Route("size", "POST", "/v1/size", lambda call: json_reply({"size": len(call.raw().read())})),
            Route("large", "GET", "/v1/large", lambda _call: Reply(200, b"x" * 50_000_000)),
            Route("ticks", "GET", "/v1/ticks", lambda _call: stream_reply(self.ticks())),
            Route("place", "GET", "/v1/place", self.place),
            Route("files", "POST", "/v1/files", self.files),
            Route("broken", "GET", "/v1/broken", lambda _call: 1 / 0),
        ]

    def item(self, call: Call) -> Reply:
        if call.params["id"] == "0":
            raise Refusal(404, "there is no item 0", {"x-hint": "from 1"})
        return json_reply({"id": call.params["id"], "at": call.base_url})

    def say(self, call: Call) -> Reply:
        text = str(call.json()["text"])
        if call.has_fault("shout"):
            text = text.upper() + call.option("mark", "")
        call.note(letters=len(text))
        return stream_reply(sse({"word": word}) for word in text.split())

    def ticks(self):
        yield b"one"
        yield b"two"
        self.go_on.wait(20)
        yield b"three"

    def place(self, call: Call) -> Reply:
        call.until_end(self)
        return json_reply({})

    def slow(self, call: Call) -> Reply:
        call.until_end(self)
        call.sleep(30)
        return json_reply({})

    def files(self, call: Call) -> Reply:
        form = call.form()
        return json_reply({"fields": form.fields, "files": sorted(form.files)})

    def __enter__(self) -> None: ...

    def __exit__(self, *_) -> None:
        time.sleep(0.05)
        self.left += 1

    def error(self, status: int, message: str) -> Reply:
        return json_reply({"echo_error": message}, status)

    def state(self):
        return {"greeting": self.greeting}

    def configure(self, changes) -> None:
        if not isinstance(changes.get("greeting"), str):
            raise ValueError("greeting is a text")  # noqa: TRY004
        self.greeting = changes["greeting"]

    def reset(self) -> None:
        self.greeting = "hello"
