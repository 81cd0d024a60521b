"""Figures, jobs and settings."""

from __future__ import annotations

from relay.http.admin.jobs import STATES, ReasonBody
from relay.http.admin.outputs import DeleteBody
from relay.http.admin.settings import PromoteBody, QuotasBody, SaveBody
from relay.http.admin.testrun import RunBody, SuiteBody
from relay.http.openapi import house_answers as answers
from relay.http.openapi.operation import Operation, Operations, choice, limit, paging, text
from relay.services.csv_export import EXPORTS

FIGURES = "Operator: figures"
JOBS = "Operator: jobs"
SETTINGS = "Operator: settings"
SPAN = (text("from", "A date or a time, ISO 8601."), text("to", "The same, inclusive."))
BY = choice("by", "Rows of an hour or of a day.", "hour", "day")
SUITE_EVENTS = "With `Accept: text/event-stream`: `event: result` for each, then `event: done`."

USAGE: Operations = {
    ("GET", "/admin/dashboard"): Operation("How the house stands", FIGURES, answers.DashboardAnswer, who="admin"),
    ("GET", "/admin/usage"): Operation(
        "Figures over time", FIGURES, answers.UsageAnswer, params=(BY, *SPAN), who="admin"
    ),
    ("GET", "/admin/dashboard.csv"): Operation(
        "A table as CSV",
        FIGURES,
        params=(choice("what", "Which table.", *EXPORTS), BY, *SPAN),
        media={"text/csv; charset=utf-8; header=present": "A header and a row each."},
        headers={"Content-Disposition": "The name of the file."},
        who="admin",
    ),
    ("GET", "/admin/hardware-queue"): Operation(
        "What each backend works on, and who waits", FIGURES, answers.HardwareAnswer, who="admin"
    ),
    ("GET", "/admin/books"): Operation("Are the books balanced?", FIGURES, answers.BooksAnswer, who="admin"),
    ("POST", "/admin/books/verify"): Operation("Check the books now", FIGURES, answers.BooksAnswer, who="admin"),
}
JOBS_AND_OUTPUTS: Operations = {
    ("GET", "/admin/jobs"): Operation("What runs and what waits now", JOBS, answers.LiveJobs, who="admin"),
    ("GET", "/admin/jobs-history"): Operation(
        "Jobs that have ended, newest first",
        JOBS,
        answers.JobRows,
        text="A page may be short, even empty, while `next` is not null: the search goes on behind it.",
        params=(
            *paging(50, 500),
            text("q", "A part of the id, name, account, task, backend or error."),
            text("account", "Only jobs of this account."),
            text("task", "Only this task."),
            choice("state", "Only jobs that ended so.", *STATES),
            text("backend", "Only jobs answered by this backend."),
            *SPAN,
        ),
        who="admin",
    ),
    ("GET", "/admin/job/{job}/details"): Operation(
        "All that is known of a job", JOBS, answers.JobDetailsAnswer, who="admin"
    ),
    ("POST", "/admin/job/{job}/cancel"): Operation(
        "End a job, charging nothing", JOBS, answers.OneJobRow, who="admin", errors=(409,)
    ),
    ("POST", "/admin/job/{job}/refund"): Operation(
        "Give a job's credit back",
        JOBS,
        answers.RefundedAnswer,
        who="admin",
        body=ReasonBody,
        sends={"reason": "the recording was silent"},
        gives={"ok": True, "refunded": True},
    ),
    ("GET", "/admin/job-output/{job}"): Operation("What a job answered", JOBS, answers.JobOutputs, who="admin"),
    ("GET", "/admin/output-store-stats"): Operation("What the answers take", JOBS, answers.OutputStats, who="admin"),
    ("GET", "/admin/output-store-ids"): Operation(
        "Jobs of which answers are kept", JOBS, answers.OutputIds, params=paging(100, 500), who="admin"
    ),
    ("DELETE", "/admin/job-outputs"): Operation(
        "Delete answers",
        JOBS,
        answers.DeletedCount,
        text="Send one of the three.",
        who="admin",
        body=DeleteBody,
        sends={"older_than_days": 2},
    ),
    ("POST", "/admin/test-run"): Operation(
        "Try a backend on a known sample",
        JOBS,
        answers.TestRunAnswer,
        who="admin",
        body=RunBody,
        errors=(404, 409),
        sends={"backend": "local", "task": "transcribe"},
    ),
    ("POST", "/admin/test-run-suite"): Operation(
        "Try every backend on every task",
        JOBS,
        answers.SuiteAnswer,
        who="admin",
        body=SuiteBody,
        media={"text/event-stream": SUITE_EVENTS},
        errors=(404, 409),
        sends={"tasks": ["transcribe"]},
    ),
}
HOUSE: Operations = {
    ("GET", "/admin/settings"): Operation("The settings", SETTINGS, answers.SettingsAnswer, who="admin"),
    ("PUT", "/admin/settings"): Operation(
        "Save settings",
        SETTINGS,
        answers.SettingsSaved,
        text="409 `stale_settings` with the difference when somebody saved since `version`.",
        who="admin",
        body=SaveBody,
        errors=(409,),
        sends={"version": 3, "changes": {"tiers.pro.monthly_credits": 60}, "reset": []},
        gives={"ok": True, "version": 4, "changed": ["tiers.pro.monthly_credits"], "restart_needed": []},
    ),
    ("GET", "/admin/settings/history"): Operation(
        "Changes of settings, newest first",
        SETTINGS,
        answers.SettingsHistory,
        params=(limit(50, 200),),
        who="admin",
    ),
    ("POST", "/admin/settings/promote-prompt"): Operation(
        "Use a prompt from now on",
        SETTINGS,
        answers.PromotedAnswer,
        who="admin",
        body=PromoteBody,
        errors=(404, 409),
        sends={"name": "recap", "prompt": "Summarise this recording in five points."},
    ),
    ("POST", "/admin/quotas"): Operation(
        "Change what tiers may use",
        SETTINGS,
        answers.SettingsSaved,
        text="null is unlimited.",
        who="admin",
        body=QuotasBody,
        errors=(409,),
        sends={"tiers": {"pro": {"monthly_credits": 60, "monthly_gemini": None}}},
    ),
    ("GET", "/admin/config"): Operation(
        "What it runs with, secrets masked", SETTINGS, answers.ConfigAnswer, who="admin"
    ),
    ("GET", "/admin/plugins"): Operation(
        "Every plugin, and how it is",
        SETTINGS,
        answers.PluginsAnswer,
        params=(choice("check", "1: ask every service now, for at most three seconds.", "0", "1", "true"),),
        who="admin",
    ),
}
OPERATIONS: Operations = {**USAGE, **JOBS_AND_OUTPUTS, **HOUSE}
