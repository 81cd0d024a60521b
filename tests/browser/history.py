"""What happened at the relay before the browser opens: made by real calls."""

from __future__ import annotations

from relay.errors import UpstreamFailed
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import OPERATOR, Live, install, user

HOSTILE = "</script><img src=x onerror=alert(1)>{{7*7}}${7*7}'\"&amp;\u202e"
"""Text that is markup where a page forgets to treat it as text."""
USERS = 60


def make_history(live: Live, backend: FakeBackend) -> None:
    for n in range(USERS):
        credit(live, f"person-{n:02}", 5 + n)
    for n in range(12):
        assert live.analyze(user(f"person-{n:02}"), job=f"minutes-{n}").status == 200
        assert live.transcribe(install(f"laptop-{n % 3}"), job=f"recording-{n}").status == 200
    backend.text = HOSTILE
    assert live.analyze(user("person-00"), job="hostile-answer", backend="studio").status == 200
    backend.text = "the answer of studio"
    backend.fail = UpstreamFailed(f"the model said {HOSTILE}")
    assert live.analyze(user("person-01"), job="broken", backend="studio").status >= 500
    backend.fail = None
    tier = {"tier": "pro", "period_days": 30}
    live.call("PUT", "/relay/users/person-03/tier", headers=OPERATOR, json=tier)


def credit(live: Live, name: str, amount: int) -> None:
    body = {"amount": amount, "reason": "a welcome"}
    assert live.call("POST", f"/relay/users/{name}/credits", headers=OPERATOR, json=body).status == 200
