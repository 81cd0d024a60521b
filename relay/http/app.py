"""The Falcon app: every route in one place."""

from __future__ import annotations

from typing import Any

import falcon

from relay.http import errors
from relay.http.admin.credits import AdminCredits
from relay.http.admin.guard import Guard
from relay.http.admin.session import Login, Logout, Status
from relay.http.callers import Callers
from relay.http.context import Context
from relay.http.relay.credits import OwnCredits
from relay.http.relay.metered import Analyze, Transcribe
from relay.http.relay.public import Capabilities, Health, Policy, Ready
from relay.http.relay.users import Users
from relay.services.core import Core


def create_app(core: Core) -> falcon.App[Any, Any]:
    app: falcon.App[Any, Any] = falcon.App(middleware=[Context(core), Guard(core)], cors_enable=False)
    app.resp_options.secure_cookies_by_default = False
    errors.install(app)
    callers = Callers(core)

    app.add_route("/relay/health", Health(core))
    app.add_route("/relay/ready", Ready(core))
    app.add_route("/relay/policy", Policy(core))
    app.add_route("/relay/capabilities", Capabilities(core))
    app.add_route("/relay/transcribe", Transcribe(core, callers))
    app.add_route("/relay/analyze", Analyze(core, callers))

    own = OwnCredits(core, callers)
    app.add_route("/relay/credits", own)
    app.add_route("/relay/credits/history", own, suffix="history")

    users = Users(core, callers)
    app.add_route("/relay/users/{user}", users)
    app.add_route("/relay/users/{user}/tier", users, suffix="tier")
    app.add_route("/relay/users/{user}/tier/extend", users, suffix="extend")
    app.add_route("/relay/users/{user}/credits", users, suffix="credits")

    app.add_route("/admin/login", Login(core))
    app.add_route("/admin/logout", Logout(core))
    app.add_route("/admin/status", Status())
    accounts = AdminCredits(core)
    app.add_route("/admin/credits", accounts)
    app.add_route("/admin/credits/grant", accounts, suffix="grant")
    return app
