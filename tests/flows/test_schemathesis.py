"""Each operation of the API document, asked with data that fits it and data that does not, on a real relay.

What comes back must be what the document says: its statuses, content types, headers and shapes; never a 5xx that is
not in it. The data is the same in every run.
"""

from __future__ import annotations

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
from tests.flows.fake_rail import FakeRail
from tests.flows.live import OPERATOR_KEY, FakeBackend, Live, running

CHECKS = (
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
)
EXAMPLES = 6
UNLIMITED = "[tiers.core]\n[[packages]]\nid = 'small'\ncredits = 20\nprice = '5.00'\n"
LEFT_OUT = {
    ("POST", "/admin/wipe-all"): "it would take the data from the tests beside it",
    ("POST", "/admin/password"): "it would end the session that asks",
    ("POST", "/admin/logout"): "it would end the session that asks",
    ("POST", "/admin/login"): "wrong passwords are limited per address",
    ("DELETE", "/admin/sessions/{session}"): "it could end the session that asks",
}
"""Operations that are not asked here, and why. Each has tests of its own."""
ASKED = sorted(OPERATIONS.keys() - LEFT_OUT.keys(), key=lambda route: (route[1], route[0]))


@dataclass
class Api:
    live: Live
    schema: Any
    session: dict[str, str]

    def headers(self, path: str) -> dict[str, str]:
        if path.startswith("/admin/"):
            return self.session
        if path.startswith("/relay/"):
            return {"X-Recap-Operator-Key": OPERATOR_KEY, "X-Recap-User-Id": "anna"}
        return {}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    backend = FakeBackend(tasks=("transcribe", "analyze", "diarize"))
    folder = tmp_path_factory.mktemp("relay")
    with running(folder, [backend], settings=UNLIMITED, plugins="[plugins.api_key]\n", rails=[FakeRail()]) as live:
        live.analyze()
        live.core.credits.grant("user:anna", 5, reason="a start", actor="test", make_row=True)
        schema = schemathesis.openapi.from_dict(live.get("/relay/openapi.json").json)
        yield Api(live, schema, live.login())


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "broken"])
@pytest.mark.parametrize("route", ASKED, ids=lambda route: f"{route[0]} {route[1]}")
def test_an_operation_does_what_the_document_says(api: Api, route: tuple[str, str], mode: GenerationMode) -> None:
    method, path = route
    operation = api.schema[path][method]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call(base_url=f"http://127.0.0.1:{api.live.port}", headers=api.headers(path), timeout=20)
        case.validate_response(response, checks=list(CHECKS), excluded_checks=[not_a_server_error])

    ask()


def test_nothing_that_is_left_out_has_gone() -> None:
    assert LEFT_OUT.keys() <= OPERATIONS.keys()
