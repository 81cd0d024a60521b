"""The first calls of a newcomer, ready to be copied. The address is quoted for the language it stands in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection

CURL = """\
RELAY={shell}

curl -s "$RELAY/relay/transcribe" {headers} \\
  -F file=@recording.wav

curl -s "$RELAY/relay/analyze" {headers} \\
  -H 'Content-Type: application/json' \\
  -d '{{"prompt": "Summarise this.", "transcript": "Anna sends the draft on Monday. Ben reads it."}}'
"""
PYTHON = """\
import requests

relay = {code}
who = {headers}

with open("recording.wav", "rb") as file:
    heard = requests.post(relay + "/relay/transcribe", headers=who, files={{"file": file}}, timeout=600).json()
text = heard["result"]["text"]

question = {{"prompt": "Summarise this.", "transcript": text}}
answer = requests.post(relay + "/relay/analyze", headers=who, json=question, timeout=600).json()
print(answer["result"]["text"], answer["credits"]["total"])
"""
NODE = """\
import {{ openAsBlob }} from "node:fs";

const relay = {code};
const who = {headers};

const form = new FormData();
form.append("file", await openAsBlob("recording.wav"), "recording.wav");
const heard = await (await fetch(relay + "/relay/transcribe", {{ method: "POST", headers: who, body: form }})).json();

const body = JSON.stringify({{ prompt: "Summarise this.", transcript: heard.result.text }});
const headers = {{ ...who, "Content-Type": "application/json" }};
const answer = await (await fetch(relay + "/relay/analyze", {{ method: "POST", headers, body }})).json();
console.log(answer.result.text, answer.credits.total);
"""
JOB = {"X-Recap-Job-Id": "monday"}


def identity(auth: Collection[str]) -> dict[str, str]:
    """The headers of the simplest caller that these auth plugins know."""
    if "install_id" in auth or "keysat" in auth:
        return {"X-Recap-Install-Id": "my-laptop"}
    if "api_key" in auth:
        return {"Authorization": "Bearer rk_YOUR_KEY"}
    return {"X-Recap-Operator-Key": "THE_OPERATORS_KEY", "X-Recap-User-Id": "anna"}


def examples(public_url: str, auth: Collection[str]) -> dict[str, str]:
    """Language -> code. Everything needs a file `recording.wav` in the current folder."""
    url = public_url.rstrip("/")
    headers = identity(auth) | JOB
    code = json.dumps(url)
    in_shell = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items())
    in_code = json.dumps(headers)
    return {
        "curl": CURL.format(shell=shlex.quote(url), headers=in_shell),
        "Python": PYTHON.format(code=code, headers=in_code),
        "Node": NODE.format(code=code, headers=in_code),
    }
