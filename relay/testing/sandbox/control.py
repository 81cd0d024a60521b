"""Telling the sandbox what to do, over HTTP, under `/_sandbox`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from relay.testing.sandbox.bodies import Body
from relay.testing.sandbox.faults import COMMON
from relay.testing.sandbox.service import Refusal, Reply, json_reply

if TYPE_CHECKING:
    from relay.testing.sandbox.box import Sandbox

CONTROL = "/_sandbox"


def control(box: Sandbox, method: str, path: str, query: dict[str, str], body: Body) -> Reply:
    """Answer one control request. Refusal(400) for what cannot be, Refusal(404) for what is not there."""
    name = path.removeprefix(CONTROL).strip("/")
    actions: dict[tuple[str, str], Callable[[], Reply]] = {
        ("GET", ""): lambda: Reply(200, overview(box).encode(), {"content-type": "text/plain; charset=utf-8"}),
        ("GET", "faults"): lambda: json_reply({"faults": box.faults.list()}),
        ("POST", "faults"): lambda: _plan(box, body.json()),
        ("DELETE", "faults"): lambda: _done(box.faults.clear),
        ("GET", "requests"): lambda: _requests(box, query),
        ("GET", "counts"): lambda: json_reply(box.requests.counts()),
        ("POST", "reset"): lambda: _done(box.reset),
    }
    for service in box.services.values():
        actions["GET", service.name] = lambda service=service: json_reply(service.state())  # type: ignore[misc]
        actions["PUT", service.name] = lambda service=service: _configure(service, body.json())  # type: ignore[misc]
        for action, does in service.actions().items():
            actions["POST", f"{service.name}/{action}"] = lambda does=does: _act(does, body)  # type: ignore[misc]
    if (method, name) not in actions:
        raise Refusal(404, f"there is no {method} {path}; GET {CONTROL} says what there is")
    try:
        return actions[method, name]()
    except TimeoutError as exc:
        raise Refusal(504, str(exc)) from None
    except (ValueError, TypeError) as exc:
        raise Refusal(400, str(exc)) from None


def _done(what: Callable[[], None]) -> Reply:
    what()
    return json_reply({"ok": True})


def _plan(box: Sandbox, asked: Any) -> Reply:
    if (
        not isinstance(asked, dict)
        or not isinstance(asked.get("service"), str)
        or not isinstance(asked.get("fault"), str)
    ):
        raise Refusal(400, 'send {"service": ..., "fault": ...}, and perhaps "route", "times", "after" and parameters')
    options = dict(asked)
    return json_reply({"id": box.faults.add(options.pop("service"), options.pop("fault"), **options)}, 201)


def _requests(box: Sandbox, query: dict[str, str]) -> Reply:
    found = box.requests(query.get("service"), query.get("route"))
    return json_reply({"requests": [record.view() for record in found]})


def _configure(service: Any, changes: Any) -> Reply:
    if not isinstance(changes, dict):
        raise Refusal(400, "send a JSON object")
    service.configure(changes)
    return json_reply(service.state())


def _act(does: Callable[..., Any], body: Body) -> Reply:
    options = body.json() if body.size else {}
    if not isinstance(options, dict):
        raise Refusal(400, "send a JSON object")
    said = does(**options)
    return json_reply({"ok": True} if said is None else said)


def overview(box: Sandbox) -> str:
    """The services with their routes and faults, and the control routes, as plain text."""
    lines = ["The relay's sandbox plays these services:", ""]
    for service in box.services.values():
        lines.append(f"{box.url}/{service.name}    {service.title}")
        lines += [f"    {route.name:<16} {route.method:<6} {route.pattern}" for route in service.routes()]
        lines += [f"    fault {name}: {does}" for name, does in service.faults.items()]
        lines += [f"    action {name}: {_first_line(does)}" for name, does in service.actions().items()]
        lines.append("")
    lines += ["Faults of every service (POST /_sandbox/faults):", ""]
    for name, (does, options) in COMMON.items():
        shown = ", ".join(f"{key}={value}" for key, value in options.items())
        lines.append(f"    {name}: {does}{f' ({shown})' if shown else ''}")
    lines += [
        "",
        "Control:",
        "",
        '    POST   /_sandbox/faults    {"service", "fault", "route"?, "times"?, "after"?, parameters}',
        "    GET    /_sandbox/faults    what is planned",
        "    DELETE /_sandbox/faults    plan nothing; calls that hang end",
        "    GET    /_sandbox/requests  what was sent (?service=, ?route=)",
        "    GET    /_sandbox/counts    calls, and how many were answered in full and well (billed)",
        "    POST   /_sandbox/reset     forget everything",
        "    GET    /_sandbox/<service> what can be set there; PUT changes it",
        "    POST   /_sandbox/<service>/<action>  what happens there, with the action's parameters as JSON",
        "",
    ]
    return "\n".join(lines)


def _first_line(does: Callable[..., Any]) -> str:
    options = ", ".join(inspect.signature(does).parameters)
    about = (does.__doc__ or "").strip().partition("\n")[0]
    return f"{about} ({options})" if options else about
