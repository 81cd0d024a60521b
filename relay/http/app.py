"""The Falcon app: every route in one place."""

from __future__ import annotations

from typing import Any

import falcon

from relay.http import errors
from relay.http.admin.accounts import AdminAccounts
from relay.http.admin.audit import AuditPage
from relay.http.admin.books import Books
from relay.http.admin.callbacks import AdminCallbacks
from relay.http.admin.codes import AdminCodes
from relay.http.admin.config import AdminConfig
from relay.http.admin.connect import Connect
from relay.http.admin.credits import AdminCredits
from relay.http.admin.guard import Guard
from relay.http.admin.hardware import HardwareQueue
from relay.http.admin.jobs import JobsPage
from relay.http.admin.keys import AdminKeysPage
from relay.http.admin.licences import LicenceRows
from relay.http.admin.meeting_audio import MeetingAudio
from relay.http.admin.meeting_events import MeetingEvents
from relay.http.admin.meeting_export import MeetingExport
from relay.http.admin.meeting_work import MeetingWork
from relay.http.admin.meetings import InternalMeetings
from relay.http.admin.outputs import OutputsPage
from relay.http.admin.overview import OverviewPage
from relay.http.admin.packages import AdminPackages
from relay.http.admin.payments import Payments, Reconcile
from relay.http.admin.plugins import AdminPlugins
from relay.http.admin.session import Login, Logout, OpenSessions, Password, Status
from relay.http.admin.settings import AdminSettings
from relay.http.admin.testrun import TestRun
from relay.http.admin.usage import UsagePage
from relay.http.admin.wipe import WipeAll
from relay.http.callers import Callers
from relay.http.context import Context
from relay.http.metrics import MetricsPage
from relay.http.openai.audio import Transcriptions
from relay.http.openai.chat import ChatCompletions
from relay.http.openai.models import Models
from relay.http.pages.assets import Dashboard, dashboard_files
from relay.http.pages.front import FrontPage
from relay.http.pay import Pay
from relay.http.relay.analyze import Analyze
from relay.http.relay.checkout import Shop
from relay.http.relay.credits import OwnCredits
from relay.http.relay.discounts import Preview
from relay.http.relay.jobs import OneJob, OwnJobs
from relay.http.relay.keys import Keys
from relay.http.relay.openapi import OpenAPI
from relay.http.relay.public import Capabilities, Health, Policy, Ready, ReceiptKey
from relay.http.relay.recordings import Diarize, Transcribe
from relay.http.relay.subscription import OwnSubscription
from relay.http.relay.users import Users
from relay.http.webhooks import Webhooks
from relay.services.codes import Codes
from relay.services.core import Core

App = falcon.App[Any, Any]


def create_app(core: Core) -> falcon.App[Any, Any]:
    app: App = falcon.App(middleware=[Context(core), Guard(core)], cors_enable=False)
    app.resp_options.secure_cookies_by_default = False
    errors.install(app)
    callers = Callers(core)
    _open_routes(app, core)
    _inference_routes(app, core, callers)
    _account_routes(app, core, callers)
    _money_routes(app, core, callers)
    _admin_routes(app, core)
    _figures_routes(app, core)
    _settings_routes(app, core)
    _page_routes(app, core)
    return app


def _page_routes(app: App, core: Core) -> None:
    assets = dashboard_files()
    app.add_route("/", FrontPage(core, assets))
    dashboard = Dashboard(assets)
    app.add_route("/dashboard", dashboard)
    app.add_route("/dashboard/{build}/{name:path}", dashboard, suffix="file")


def _open_routes(app: App, core: Core) -> None:
    app.add_route("/relay/health", Health(core))
    app.add_route("/relay/ready", Ready(core))
    app.add_route("/relay/policy", Policy(core))
    app.add_route("/relay/capabilities", Capabilities(core))
    app.add_route("/relay/receipts/key", ReceiptKey(core))
    app.add_route("/relay/openapi.json", OpenAPI(core, app))


def _inference_routes(app: App, core: Core, callers: Callers) -> None:
    app.add_route("/relay/transcribe", Transcribe(core, callers))
    app.add_route("/relay/diarize", Diarize(core, callers))
    app.add_route("/relay/analyze", Analyze(core, callers))

    job = OneJob(core, callers)
    app.add_route("/relay/jobs", OwnJobs(core, callers))
    app.add_route("/relay/jobs/{job}", job)
    app.add_route("/relay/jobs/{job}/events", job, suffix="events")

    models = Models(core, callers)
    app.add_route("/relay/v1/models", models)
    app.add_route("/relay/v1/models/{model:path}", models, suffix="one")
    app.add_route("/relay/v1/chat/completions", ChatCompletions(core, callers))
    app.add_route("/relay/v1/audio/transcriptions", Transcriptions(core, callers))


def _account_routes(app: App, core: Core, callers: Callers) -> None:
    own = OwnCredits(core, callers)
    app.add_route("/relay/credits", own)
    app.add_route("/relay/credits/history", own, suffix="history")

    keys = Keys(core, callers)
    app.add_route("/relay/keys", keys)
    app.add_route("/relay/keys/{key_id}", keys, suffix="one")
    app.add_route("/relay/keys/{key_id}/rotate", keys, suffix="rotate")

    users = Users(core, callers)
    app.add_route("/relay/users/{user}", users)
    app.add_route("/relay/users/{user}/tier", users, suffix="tier")
    app.add_route("/relay/users/{user}/tier/extend", users, suffix="extend")
    app.add_route("/relay/users/{user}/credits", users, suffix="credits")


def _money_routes(app: App, core: Core, callers: Callers) -> None:
    shop = Shop(core, callers)
    app.add_route("/relay/credits/packages", shop, suffix="packages")
    app.add_route("/relay/credits/checkout", shop, suffix="package")
    app.add_route("/relay/tier/checkout", shop, suffix="tier")
    app.add_route("/relay/invoices", shop, suffix="invoices")
    app.add_route("/relay/invoices/{invoice}", shop, suffix="invoice")
    subscription = OwnSubscription(core, callers)
    app.add_route("/relay/subscription", subscription)
    app.add_route("/relay/subscription/cancel", subscription, suffix="cancel")
    app.add_route("/relay/subscription/card", subscription, suffix="card")
    app.add_route("/relay/discounts/preview", Preview(core, callers, core.till.discounts))
    webhooks = Webhooks(core)
    app.add_route("/relay/{rail}/webhook", webhooks)
    app.add_route("/relay/{rail}/webhook/{token}", webhooks)
    app.add_route("/pay/{token}", Pay(core))


def _meeting_routes(app: App, core: Core) -> None:
    meetings = InternalMeetings(core)
    app.add_route("/admin/internal-meetings", meetings)
    app.add_route("/admin/internal-meetings/{meeting}", meetings, suffix="one")
    app.add_route("/admin/internal-meetings/{meeting}/upload", meetings, suffix="upload")
    app.add_route("/admin/internal-meetings/{meeting}/audio", MeetingAudio(core))
    app.add_route("/admin/internal-meetings/{meeting}/export", MeetingExport(core))
    app.add_route("/admin/internal-meetings/{meeting}/events", MeetingEvents(core))
    work = MeetingWork(core)
    for action in ("run", "cancel", "edits", "undo", "redo", "runs", "compare", "use"):
        app.add_route(f"/admin/internal-meetings/{{meeting}}/{action}", work, suffix=action)
    app.add_route("/admin/internal-meetings/voices", work, suffix="voices")
    app.add_route("/admin/internal-meetings/voices/{voice}", work, suffix="voice")


def _admin_routes(app: App, core: Core) -> None:
    app.add_route("/admin/login", Login(core))
    app.add_route("/admin/logout", Logout(core))
    app.add_route("/admin/status", Status())
    app.add_route("/admin/password", Password(core))
    sessions = OpenSessions(core)
    app.add_route("/admin/sessions", sessions)
    app.add_route("/admin/sessions/{session}", sessions, suffix="one")
    admin_keys = AdminKeysPage(core)
    app.add_route("/admin/keys", admin_keys)
    app.add_route("/admin/keys/{key}", admin_keys, suffix="one")
    app.add_route("/admin/audit", AuditPage(core))
    callbacks = AdminCallbacks(core)
    app.add_route("/admin/callbacks", callbacks)
    app.add_route("/admin/callbacks/{delivery}", callbacks, suffix="one")
    app.add_route("/admin/callbacks/{delivery}/retry", callbacks, suffix="retry")
    app.add_route("/metrics", MetricsPage(core))
    _meeting_routes(app, core)
    app.add_route("/admin/license-cache", LicenceRows(core))
    test_run = TestRun(core)
    app.add_route("/admin/test-run", test_run)
    app.add_route("/admin/test-run-suite", test_run, suffix="suite")
    payments = Payments(core)
    app.add_route("/admin/payments", payments)
    app.add_route("/admin/payments/inbox", payments, suffix="inbox")
    app.add_route("/admin/payments/{order}", payments, suffix="one")
    app.add_route("/admin/payments/{order}/recheck", payments, suffix="recheck")
    app.add_route("/admin/payments/{order}/credit", payments, suffix="credit")
    app.add_route("/admin/payments/{order}/reverse", payments, suffix="reverse")
    app.add_route("/admin/payments/{order}/dismiss", payments, suffix="dismiss")
    codes = AdminCodes(Codes(core.storage, core.settings))
    app.add_route("/admin/codes", codes)
    app.add_route("/admin/codes/{code}", codes, suffix="one")
    reconcile = Reconcile(core)
    app.add_route("/admin/reconcile", reconcile)
    app.add_route("/admin/{rail}/rescan", reconcile, suffix="rescan")
    connect = Connect(core)
    app.add_route("/admin/{rail}/connect", connect)
    app.add_route("/admin/{rail}/callback", connect, suffix="callback")
    app.add_route("/admin/{rail}/choose", connect, suffix="choose")
    app.add_route("/admin/{rail}/disconnect", connect, suffix="disconnect")
    _account_admin_routes(app, core)


def _figures_routes(app: App, core: Core) -> None:
    app.add_route("/admin/dashboard", OverviewPage(core))
    app.add_route("/admin/hardware-queue", HardwareQueue(core))
    figures = UsagePage(core)
    app.add_route("/admin/usage", figures)
    app.add_route("/admin/dashboard.csv", figures, suffix="csv")
    jobs = JobsPage(core)
    app.add_route("/admin/jobs", jobs)
    app.add_route("/admin/jobs-history", jobs, suffix="history")
    app.add_route("/admin/job/{job}/details", jobs, suffix="details")
    app.add_route("/admin/job/{job}/cancel", jobs, suffix="cancel")
    app.add_route("/admin/job/{job}/refund", jobs, suffix="refund")
    outputs = OutputsPage(core)
    app.add_route("/admin/job-output/{job}", outputs, suffix="output")
    app.add_route("/admin/output-store-stats", outputs, suffix="stats")
    app.add_route("/admin/output-store-ids", outputs, suffix="ids")
    app.add_route("/admin/job-outputs", outputs)


def _settings_routes(app: App, core: Core) -> None:
    saved = AdminSettings(core)
    app.add_route("/admin/settings", saved)
    app.add_route("/admin/settings/history", saved, suffix="history")
    app.add_route("/admin/settings/promote-prompt", saved, suffix="promote")
    app.add_route("/admin/quotas", saved, suffix="quotas")
    packages = AdminPackages(core)
    app.add_route("/admin/packages", packages)
    app.add_route("/admin/packages/{package}", packages, suffix="one")
    app.add_route("/admin/config", AdminConfig(core))
    app.add_route("/admin/plugins", AdminPlugins(core))


def _account_admin_routes(app: App, core: Core) -> None:
    accounts = AdminCredits(core)
    app.add_route("/admin/credits", accounts)
    app.add_route("/admin/credits/grant", accounts, suffix="grant")
    account = AdminAccounts(core)
    app.add_route("/admin/credits/{key}", account)
    for action in ("history", "debit", "tier", "block", "unblock", "move", "erase"):
        app.add_route(f"/admin/credits/{{key}}/{action}", account, suffix=action)
    books = Books(core)
    app.add_route("/admin/books", books)
    app.add_route("/admin/books/verify", books, suffix="verify")
    app.add_route("/admin/wipe-all", WipeAll(core))
