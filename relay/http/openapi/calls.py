"""What anybody may ask, and the calls that cost a credit."""

from __future__ import annotations

from relay.http.openai.chat_body import ChatBody
from relay.http.openai.transcripts import TranscriptionBody
from relay.http.openapi import answers
from relay.http.openapi.operation import Operation, Operations, choice, paging
from relay.http.relay.jobs import STATES
from relay.services.jobs import orders
from relay.services.requests import AnalyzeBody, DiarizeBody, TranscribeBody

META = {
    "request_id": "req_5f0c7d1e2a3b4c5d6e7f8a9b",
    "job_id": "monday",
    "server_job_id": "job_00112233445566778899aabb",
    "backend": "local",
    "model": "moonshine-tiny-en",
    "elapsed_ms": 812,
}
PAID = {
    "charged": 1,
    "remaining": 9,
    "purchased": 0,
    "total": 9,
    "gemini_remaining": 5,
    "held": 0,
    "capped": "lifetime",
    "tier": "core",
}
RESULT = {
    "text": "Anna sends the draft on Monday.",
    "language": "en",
    "duration": 2.4,
    "segments": [{"id": 0, "start": 0.0, "end": 2.4, "text": "Anna sends the draft on Monday."}],
}
SEGMENTS = {"segments": [{"start": 0.0, "end": 2.4, "speaker": "S1"}], "speakers": [{"id": "S1", "seconds": 2.4}]}
ANSWERED = {"text": "A draft is due on Monday.", "data": None, "usage": {"input_tokens": 21, "output_tokens": 7}}
UPSTREAM = (402, 403, 404, 409, 502, 504)
"""How a metered call can end beside its answer."""
STREAMED = '`data:` events with `{"delta": …}`, then `event: done` with the JSON answer, or `event: error`.'
EVENTS = "`event: state` and `event: progress`, then `event: done` with the job, or `event: error`."

PUBLIC: Operations = {
    ("GET", "/relay/health"): Operation("Is it up?", "Public", answers.HealthAnswer, who="anybody"),
    ("HEAD", "/relay/health"): Operation("Is it up, without a body?", "Public", who="anybody"),
    ("GET", "/relay/ready"): Operation(
        "May it get traffic?",
        "Public",
        answers.ReadyAnswer,
        text="503 until the storage can be written and the self-test at start has passed, and while it shuts down.",
        who="anybody",
    ),
    ("HEAD", "/relay/ready"): Operation("May it get traffic, without a body?", "Public", who="anybody"),
    ("GET", "/relay/policy"): Operation(
        "Tiers, packages, limits and the rules of charging", "Public", answers.PolicyAnswer, who="anybody"
    ),
    ("GET", "/relay/capabilities"): Operation(
        "What it can do: tasks, backends, models, formats, ways to pay",
        "Public",
        answers.CapabilitiesAnswer,
        who="anybody",
    ),
    ("GET", "/relay/receipts/key"): Operation(
        "The public key of signed receipts", "Public", answers.ReceiptKeyAnswer, who="anybody"
    ),
    ("GET", "/relay/openapi.json"): Operation(
        "This document",
        "Public",
        who="anybody",
        media={"application/json": "An OpenAPI 3.1 document."},
        headers={"ETag": "Send it as If-None-Match; 304 when nothing has changed."},
        errors=(304,),
    ),
}
CALLS: Operations = {
    ("POST", "/relay/transcribe"): Operation(
        "A recording becomes text",
        "Calls",
        answers.TranscribeAnswer,
        body=TranscribeBody,
        form=(TranscribeBody,),
        metered=True,
        once=True,
        errors=UPSTREAM,
        sends={"url": "https://example.com/talk.mp3", "language": "en"},
        gives={"ok": True, "result": RESULT, "meta": META, "credits": PAID},
    ),
    ("POST", "/relay/diarize"): Operation(
        "Who speaks when",
        "Calls",
        answers.DiarizeAnswer,
        body=DiarizeBody,
        form=(DiarizeBody,),
        metered=True,
        once=True,
        errors=UPSTREAM,
        sends={"url": "https://example.com/talk.mp3", "max_speakers": 4},
        gives={"ok": True, "result": SEGMENTS, "meta": META, "credits": PAID},
    ),
    ("POST", "/relay/analyze"): Operation(
        "A question, perhaps about a transcript, becomes an answer",
        "Calls",
        answers.AnalyzeAnswer,
        text="Give `prompt` or `messages`, one of them. With `stream` the answer comes as server-sent events.",
        body=AnalyzeBody,
        media={"text/event-stream": STREAMED},
        metered=True,
        once=True,
        errors=UPSTREAM,
        sends={"prompt": "Summarise this.", "transcript": "Anna sends the draft on Monday."},
        gives={"ok": True, "result": ANSWERED, "meta": META, "credits": PAID},
    ),
    ("GET", "/relay/jobs"): Operation(
        "Own jobs, newest first",
        "Jobs",
        answers.JobsAnswer,
        params=(*paging(50, 100), choice("state", "Only jobs in this state.", *STATES)),
    ),
    ("POST", "/relay/jobs"): Operation(
        "Begin work that goes on while nobody waits",
        "Jobs",
        answers.SubmittedAnswer,
        202,
        text="The recording comes along as a form, or from `url`. `recap` is transcribe and analyze for one credit.",
        body=orders.Order,
        form=(orders.TranscribeJob, orders.DiarizeJob, orders.RecapJob),
        metered=True,
        once=True,
        errors=(402, 403, 404, 409),
        headers={"Location": "Where the job is."},
        sends={"task": "analyze", "prompt": "What was decided?", "transcript": "Anna sends the draft on Monday."},
    ),
    ("GET", "/relay/jobs/{job}"): Operation("A job, with its result", "Jobs", answers.JobAnswer),
    ("DELETE", "/relay/jobs/{job}"): Operation(
        "Cancel a job",
        "Jobs",
        answers.CancelledAnswer,
        text="A job that has ended is answered as it is.",
        errors=(409,),
    ),
    ("GET", "/relay/jobs/{job}/events"): Operation(
        "Follow a job", "Jobs", media={"text/event-stream": EVENTS}, text="Ends with the job."
    ),
}
OPENAI: Operations = {
    ("GET", "/relay/v1/models"): Operation("What may be named as `model`", "OpenAI", answers.ModelList),
    ("GET", "/relay/v1/models/{model}"): Operation(
        "One model", "OpenAI", answers.Model, text="The name may hold slashes."
    ),
    ("POST", "/relay/v1/chat/completions"): Operation(
        "Analyze, for clients of OpenAI",
        "OpenAI",
        answers.ChatCompletion,
        text="Fields that are not listed are ignored. The extra object `relay` says what it cost.",
        body=ChatBody,
        media={"text/event-stream": "`chat.completion.chunk` objects, then `[DONE]`."},
        metered=True,
        once=True,
        errors=UPSTREAM,
        sends={"model": "default", "messages": [{"role": "user", "content": "Say hello."}]},
    ),
    ("POST", "/relay/v1/audio/transcriptions"): Operation(
        "Transcribe, for clients of OpenAI",
        "OpenAI",
        answers.Transcription,
        form=(TranscriptionBody,),
        media={
            "text/plain; charset=utf-8": "`text` and `srt`.",
            "text/vtt": "`vtt`.",
            "text/event-stream": "`transcript.text.delta` and `transcript.text.done` objects, then `[DONE]`.",
        },
        metered=True,
        once=True,
        errors=UPSTREAM,
        gives={
            "text": "Anna sends the draft on Monday.",
            "usage": {"type": "duration", "seconds": 3},
            "relay": {"meta": META, "credits": PAID},
        },
    ),
}
