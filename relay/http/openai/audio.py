"""`POST /relay/v1/audio/transcriptions`: transcribe, for clients of OpenAI."""

from __future__ import annotations

import falcon

from relay.errors import Unsupported
from relay.http.openai import transcripts
from relay.http.openai.models import transcriber
from relay.http.openai.transcripts import TranscriptionBody, has_speakers
from relay.http.relay.metered import Ask, Shape
from relay.http.relay.recordings import Recordings
from relay.ports.inference import CallContext, InferenceBackend, TranscribeRequest
from relay.services import tasks
from relay.services.requests import audio_cost, audio_inputs


class Transcriptions(Recordings):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        with self._received(req, identity, TranscriptionBody) as (body, recording, meaning):
            transcripts.check(body)
            model = transcriber(self._core, body.model)
            request = TranscribeRequest(recording, body.language, body.prompt, model)
            ask = Ask(
                "transcribe",
                lambda backend, ctx: perform(backend, request, ctx, body),
                meaning,
                body.backend,
                model,
                audio_inputs(recording),
                audio_cost(recording),
            )
            shape = Shape(
                lambda done, meta: transcripts.head(body, done.result, meta),
                transcripts.tail(body),
                transcripts.content_type(body),
            )
            self._run(req, resp, identity, ask, shape)


def perform(
    backend: InferenceBackend, request: TranscribeRequest, ctx: CallContext, body: TranscriptionBody
) -> tasks.Result:
    """Raises Unsupported where speakers were asked for and the backend names none."""
    result, model = tasks.transcribe(backend, request, ctx)
    if body.response_format == "diarized_json" and not has_speakers(result):
        raise Unsupported(f"{backend.name} does not say who speaks; ask for another response_format")
    return result, model
