"""Each operation of the API document, asked with data that fits it and data that does not, on a real relay.

What comes back must be what the document says: its statuses, content types, headers and shapes; never a 5xx that is
not in it. The data is the same in every run.
"""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from relay.http.openapi.document import OPERATIONS
from relay.http.openapi.operation import Route
from tests.flows.fake_rail import FakeRail
from tests.flows.live import OPERATOR, WAV, FakeBackend, Live, eventually, running, user

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
DOCUMENTED_5XX = [not_a_server_error]
EXAMPLES = 5
ANNA = user("anna")
SETTINGS = """
[tiers.core]
[tiers.pro]
monthly_credits = 50
price = "5.00"
[[packages]]
id = "small"
credits = 20
price = "5.00"
"""
LEFT_OUT = {
    ("POST", "/admin/login"): "wrong passwords are limited per address",
    ("POST", "/admin/logout"): "it would end the session that asks",
    ("POST", "/admin/password"): "it would end the session that asks",
    ("DELETE", "/admin/sessions/{session}"): "it could end the session that asks",
    ("POST", "/admin/wipe-all"): "it would take the data from the tests beside it",
    ("POST", "/admin/credits/{key}/erase"): "it would take the account from the tests beside it",
}
"""Operations that are not asked here, and why. Each has tests of its own."""


def turn(route: Route) -> tuple[bool, str, str]:
    """What deletes comes last."""
    return route[0] == "DELETE", route[1], route[0]


ASKED = sorted(OPERATIONS.keys() - LEFT_OUT.keys(), key=turn)


@dataclass
class Api:
    """`known`: parameters of paths that lead to something; those of `/admin/keys` and the like by their route."""

    live: Live
    schema: Any
    session: dict[str, str]
    known: dict[str, str]

    def headers(self, path: str) -> dict[str, str]:
        return self.session if path.startswith("/admin/") else ANNA if path.startswith("/relay/") else {}

    def send(self, case: Any, path: str) -> None:
        """Send it with credentials, and hold the answer against the document."""
        response = case.call(
            base_url=f"http://127.0.0.1:{self.live.port}", headers=self.headers(path), timeout=20, allow_redirects=False
        )
        case.validate_response(response, checks=CHECKS, excluded_checks=DOCUMENTED_5XX)

    def place(self, name: str, path: str) -> str | None:
        return self.known.get(f"{path.split('{', maxsplit=1)[0]}{name}") or self.known.get(name)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    backend = FakeBackend("local", tasks=("transcribe", "analyze", "diarize"))
    more = {"settings": SETTINGS, "plugins": "[plugins.api_key]\n", "rails": [FakeRail("btcpay"), FakeRail("zaprite")]}
    with (
        pytest.MonkeyPatch.context() as patch,
        running(tmp_path_factory.mktemp("relay"), [backend], **more) as live,
    ):
        patch.setattr(socket, "getaddrinfo", only_here(socket.getaddrinfo))
        document = copy.deepcopy(live.get("/relay/openapi.json").json)
        # With these it would send credentials of its own making instead of ours.
        del document["components"]["securitySchemes"]
        for operations in document["paths"].values():
            for operation in operations.values():
                del operation["security"]
        session = live.login()
        yield Api(live, schemathesis.openapi.from_dict(document), session, something(live, session))


def only_here(look_up: Any) -> Any:
    def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
        if host not in {"127.0.0.1", "localhost", None}:
            raise socket.gaierror("tests stay on this machine")
        return look_up(host, *more, **named)

    return getaddrinfo


def something(live: Live, session: dict[str, str]) -> dict[str, str]:
    """A thing of each kind, so that paths lead somewhere."""

    def post(path: str, who: dict[str, str], **body: Any) -> Any:
        reply = live.call("POST", path, headers=who, json=body)
        assert reply.status < 300, (path, reply.body)
        return reply.json

    job = post("/relay/jobs", ANNA, task="analyze", prompt="Say something.")["job"]["server_job_id"]
    eventually(lambda: live.get(f"/relay/jobs/{job}", ANNA).json["job"]["state"] == "completed")
    invoice = post("/relay/credits/checkout", ANNA, package="small", rail="btcpay")["invoice"]
    post("/relay/users/ben/credits", OPERATOR, amount=50)
    meeting = post("/admin/internal-meetings", session, filename="a.wav", bytes=len(WAV))["meeting"]["id"]
    return {
        "job": job,
        "invoice": invoice["id"],
        "order": invoice["id"],
        "/pay/token": invoice["pay_url"].rpartition("/")[2],
        "key_id": post("/relay/keys", ANNA, label="x")["id"],
        "/admin/keys/key": post("/admin/keys", session, role="support", label="x")["id"],
        "/admin/credits/key": "user:ben",
        "code": post("/admin/codes", session, code="SPRING", kind="percent", value=2000)["code"]["code"],
        "package": "small",
        "meeting": meeting,
        "user": "anna",
        "rail": "btcpay",
        "model": "default",
    }


def breakable(route: Route) -> bool:
    """Whether anything about it can be wrong."""
    operation = OPERATIONS[route]
    body = operation.body is not None or operation.form
    return bool("{" in route[1] or operation.params or body or operation.once)


@pytest.mark.parametrize("route", ASKED, ids=" ".join)
def test_data_that_fits_is_answered_as_the_document_says(api: Api, route: Route) -> None:
    ask(api, route, GenerationMode.POSITIVE)


@pytest.mark.parametrize("route", [route for route in ASKED if breakable(route)], ids=" ".join)
def test_data_that_does_not_fit_is_answered_as_the_document_says(api: Api, route: Route) -> None:
    ask(api, route, GenerationMode.NEGATIVE)


def ask(api: Api, route: Route, mode: GenerationMode) -> None:
    method, path = route
    example = OPERATIONS[route].sends

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api.schema[path][method].as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            lead_somewhere(api, case, path)
        api.send(case, path)

    one()
    if mode is GenerationMode.POSITIVE and example is not None:
        case = api.schema[path][method].Case(body=copy.deepcopy(example), media_type="application/json")
        lead_somewhere(api, case, path)
        api.send(case, path)


def lead_somewhere(api: Api, case: Any, path: str) -> None:
    for name in names_in(path):
        if (known := api.place(name, path)) is not None:
            case.path_parameters = {**(case.path_parameters or {}), name: known}
    if isinstance(case.body, dict) and "file" in case.body:
        case.body["file"] = WAV


def names_in(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def test_nothing_that_is_left_out_has_gone() -> None:
    assert LEFT_OUT.keys() <= OPERATIONS.keys()
