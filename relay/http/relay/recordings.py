"""`POST /relay/transcribe` and `POST /relay/diarize`: a recording, sent along or fetched from a URL."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import falcon
import msgspec

from relay import audio
from relay.errors import Invalid, Unavailable
from relay.http.body import read_json
from relay.http.callers import job_name
from relay.http.idempotency import json_meaning
from relay.http.relay.metered import Ask, Metered
from relay.http.uploads import read_upload, scratch
from relay.ports.auth import Identity
from relay.ports.inference import Audio, CallContext, InferenceBackend, Task
from relay.services import tasks
from relay.services.requests import (
    DiarizeBody,
    TranscribeBody,
    audio_cost,
    audio_inputs,
    check_speakers,
    diarize_request,
    from_fields,
    transcribe_request,
)
from relay.services.tasks import Result

FETCH_SECONDS = 300.0

Do = Callable[[InferenceBackend, Any, Audio, CallContext], Result]
"""The task, on a backend, as the body asks for it."""
Check = Callable[[Any], None]
"""What else has to hold of the body."""


class Recordings(Metered):
    """Routes that take a recording."""

    def _serve(
        self, req: falcon.Request, resp: falcon.Response, kind: type[Any], task: Task, do: Do, check: Check
    ) -> None:
        identity = self._callers.identify(req)
        if is_json(req):
            self._fetched(req, resp, identity, kind, task, do, check)
            return
        with self._received(req, identity, kind) as (body, recording, meaning):
            check(body)
            ask = Ask(task, lambda b, ctx: do(b, body, recording, ctx), meaning, body.backend, body.model)
            ask.inputs, ask.cost = audio_inputs(recording), audio_cost(recording)
            self._run(req, resp, identity, ask)

    def _fetched(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        identity: Identity,
        kind: type[Any],
        task: Task,
        do: Do,
        check: Check,
    ) -> None:
        """The body names the recording's URL, which is opened only when the call is to be made."""
        with self._place(req, identity) as folder:
            body = read_json(req, kind)
            check(body)
            check_source(body.url)
            recording: Audio | None = None

            def perform(backend: InferenceBackend, ctx: CallContext) -> Result:
                assert recording is not None
                return do(backend, body, recording, ctx)

            def prepare() -> None:
                nonlocal recording
                recording = self._fetch(req, body.url, folder)
                ask.inputs, ask.cost = audio_inputs(recording), audio_cost(recording)

            ask = Ask(task, perform, lambda: json_meaning(req), body.backend, body.model, prepare=prepare)
            self._run(req, resp, identity, ask)

    @contextmanager
    def _received(
        self, req: falcon.Request, identity: Identity, kind: type[Any]
    ) -> Iterator[tuple[Any, Audio, Callable[[], bytes]]]:
        """The typed fields of a form, its recording on disk, and what the body means, for its fingerprint."""
        with self._place(req, identity) as folder:
            upload = read_upload(req, folder)
            body = from_fields(upload.fields, kind)
            if getattr(body, "url", None) is not None:
                raise Invalid("send a file or a url, not both", "url")
            yield body, probed(req, upload.path, upload.filename), lambda: form_meaning(upload.fields, upload.path)

    @contextmanager
    def _place(self, req: falcon.Request, identity: Identity) -> Iterator[Path]:
        folder = self._core.spool_dir / req.context.request_id
        with self._callers.one_call(req, identity), scratch(folder):
            req.context.job_name = job_name(req)
            yield folder

    def _fetch(self, req: falcon.Request, url: str, folder: Path) -> Audio:
        """Download it, in one of the places for what lasts; ends when the caller has gone."""
        from relay.fetch import download

        gone = req.env.get("waitress.client_disconnected", bool)

        def still_wanted() -> None:
            if gone():
                raise Unavailable("the call was cancelled")

        path, limit = folder / "upload", self._core.settings.relay.max_upload_mb * 2**20
        with self._core.infer.place():
            name = download(url, path, max_bytes=limit, timeout=FETCH_SECONDS, check=still_wanted)
        return probed(req, path, name)


class Transcribe(Recordings):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        def do(backend: InferenceBackend, body: TranscribeBody, recording: Audio, ctx: CallContext) -> Result:
            return tasks.transcribe(backend, transcribe_request(body, recording), ctx)

        self._serve(req, resp, TranscribeBody, "transcribe", do, lambda _body: None)


class Diarize(Recordings):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        def do(backend: InferenceBackend, body: DiarizeBody, recording: Audio, ctx: CallContext) -> Result:
            return tasks.diarize(backend, diarize_request(body, recording), ctx)

        self._serve(req, resp, DiarizeBody, "diarize", do, check_speakers)


def is_json(req: falcon.Request) -> bool:
    return (req.content_type or "").partition(";")[0].strip().lower() == "application/json"


def check_source(url: str | None) -> None:
    """Raises Invalid without a URL, UrlNotAllowed for one that may not be opened."""
    from relay.fetch import check_url

    if url is None:
        raise Invalid("url is required in a JSON body; or send the recording as a multipart part named file", "url")
    check_url(url)


def probed(req: falcon.Request, path: Path, name: str) -> Audio:
    probe: Callable[[Path], float | None] = req.env.get("relay.probe", audio.probe)
    return Audio(path, name, probe(path))


def form_meaning(fields: dict[str, str], recording: Path) -> bytes:
    """The fields and the recording's content; neither the boundary nor the order of the parts."""
    with recording.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return msgspec.json.encode({"fields": fields, "file": digest}, order="sorted")
