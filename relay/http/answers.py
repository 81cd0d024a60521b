"""Answers are JSON, encoded once."""

from __future__ import annotations

from typing import Any

import falcon
import msgspec

_encoder = msgspec.json.Encoder()


def answer(resp: falcon.Response, body: dict[str, Any], status: int = 200) -> None:
    resp.status = falcon.code_to_http_status(status)
    resp.content_type = "application/json"
    resp.data = _encoder.encode(body)
