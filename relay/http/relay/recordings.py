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
from relay.errors import Invalid
from relay.http.body import read_json
from relay.http.callers import job_name
from relay.http.idempotency import json_meaning
from relay.http.relay.metered import Ask, Metered
from relay.http.uploads import read_upload, scratch
from relay.ports.auth import Identity
from relay.ports.inference import Audio
from relay.services import tasks
from relay.services.core import Core
from relay.services.requests import (
    DiarizeBody,
    TranscribeBody,
    audio_cost,
    audio_inputs,
    diarize_request,
    from_fields,
    transcribe_request,
)

FETCH_SECONDS = 300.0


class Transcribe(Metered):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        with self._received(req, identity, TranscribeBody) as (body, recording, meaning):
            request = transcribe_request(body, recording)
            ask = Ask(
                "transcribe",
                lambda backend, ctx: tasks.transcribe(backend, request, ctx),
                meaning,
                body.backend,
                body.model,
                audio_inputs(recording),
                audio_cost(recording),
            )
            self._run(req, resp, identity, ask)

    @contextmanager
    def _received(
        self, req: falcon.Request, identity: Identity, kind: type[Any]
    ) -> Iterator[tuple[Any, Audio, Callable[[], bytes]]]:
        folder = self._core.spool_dir / req.context.request_id
        with self._callers.one_call(req, identity), scratch(folder):
            req.context.job_name = job_name(req)
            yield receive(self._core, req, folder, kind)


class Diarize(Transcribe):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        with self._received(req, identity, DiarizeBody) as (body, recording, meaning):
            request = diarize_request(body, recording)
            ask = Ask(
                "diarize",
                lambda backend, ctx: tasks.diarize(backend, request, ctx),
                meaning,
                body.backend,
                body.model,
                audio_inputs(recording),
                audio_cost(recording),
            )
            self._run(req, resp, identity, ask)


def receive(core: Core, req: falcon.Request, folder: Path, kind: type[Any]) -> tuple[Any, Audio, Callable[[], bytes]]:
    """The typed fields, the recording in `folder`, and what the body means, for its fingerprint."""
    if (req.content_type or "").partition(";")[0].strip().lower() == "application/json":
        body = read_json(req, kind)
        path, filename = folder / "upload", fetch(core, body.url, folder / "upload")
        meaning: Callable[[], bytes] = lambda: json_meaning(req)  # noqa: E731
    else:
        upload = read_upload(req, folder)
        body, path, filename = from_fields(upload.fields, kind), upload.path, upload.filename
        meaning = lambda: form_meaning(upload.fields, path)  # noqa: E731
    probe: Callable[[Path], float | None] = req.env.get("relay.probe", audio.probe)
    return body, Audio(path, filename, probe(path)), meaning


def fetch(core: Core, url: str | None, target: Path) -> str:
    """Download the recording; returns a name for it."""
    from relay.fetch import download

    if url is None:
        raise Invalid(
            "url is required in a JSON body; or send the recording as multipart with a part named file", "url"
        )
    limit = core.settings.relay.max_upload_mb * 2**20
    return download(url, target, max_bytes=limit, timeout=FETCH_SECONDS, check=lambda: None)


def form_meaning(fields: dict[str, str], recording: Path) -> bytes:
    """The fields and the recording's content; neither the boundary nor the order of the parts."""
    with recording.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return msgspec.json.encode({"fields": fields, "file": digest}, order="sorted")
