"""What the server has at the moment: asked at first use, then now and then in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from relay.api import CallContext, Endpoint, HTTPReply, PluginError, Task, openai_models
from relay_spark.discovery import Announced, read_status
from relay_spark.places import Places
from relay_spark.probe import State, probe_audio, probe_chat
from relay_spark.settings import PATH_SETTINGS, Settings

REFRESH_SECONDS = 60.0
AFTER_FAILURE_SECONDS = 5.0
ASKING_SECONDS = 5.0
FIRST_ASKING_SECONDS = 2.0  # a first call waits this long for the discovery, then goes to the default path
NOTHING = Announced()


@dataclass(frozen=True, slots=True)
class Service:
    endpoint: Endpoint
    announced: Announced = NOTHING
    state: State = "unknown"
    detail: str = ""


class Services:
    """Safe to share between threads. Nothing is contacted before the first question.

    `models`: of the chat, as last listed; empty when not known. `models_doubted`: a call failed since then, so the
    next one asks again.
    """

    def __init__(self, settings: Settings, places: Places) -> None:
        self._settings = settings
        self._places = places
        self._known = {task: Service(places.of(task, NOTHING)) for task in PATH_SETTINGS}
        self._lock = threading.Lock()
        self._asking = False
        self._stale_at = 0.0
        self._asked = threading.Event()
        self._worked: dict[Task, float] = {}
        self.models: tuple[str, ...] = ()
        self.models_doubted = False

    def tasks(self) -> frozenset[Task]:
        """All that may be there: only what is known to be missing is left out. Never waits."""
        self._refresh_if_stale()
        return frozenset(task for task, service in self._known.items() if service.state != "missing")

    def model(self, task: Task) -> str:
        """The one announced for the task, empty when not known. Never waits."""
        self._refresh_if_stale()
        return self._known[task].announced.model

    def find(self, task: Task, ctx: CallContext) -> Service:
        self._refresh_if_stale()
        if not self._asked.is_set():
            self._asked.wait(min(FIRST_ASKING_SECONDS, ctx.remaining()))
        return self._known[task]

    def models_endpoint(self, chat: Service) -> Endpoint:
        return self._places.models(chat.announced)

    def worked(self, task: Task) -> None:
        """A call went well, so nobody needs to send silence there to find out."""
        self._worked[task] = time.monotonic()

    def listed(self, models: tuple[str, ...]) -> None:
        self.models, self.models_doubted = models, False

    def failed(self) -> None:
        """Look again soon: a service or a model may be gone."""
        self.models_doubted = True
        self._stale_at = min(self._stale_at, time.monotonic() + AFTER_FAILURE_SECONDS)

    def refresh(self) -> Mapping[Task, Service]:
        """Ask now, for at most ASKING_SECONDS. A server that cannot be asked leaves the places as they were."""
        ctx = CallContext(deadline=time.monotonic() + ASKING_SECONDS)
        try:
            announced = self._discover(ctx)
            self._known = {task: self._look(task, announced, ctx) for task in PATH_SETTINGS}
        except PluginError as exc:
            self._known = {
                task: service if service.state == "missing" else replace(service, state="failing", detail=exc.message)
                for task, service in self._known.items()
            }
            self._stale_at = time.monotonic() + AFTER_FAILURE_SECONDS
        else:
            self._stale_at = time.monotonic() + REFRESH_SECONDS
        finally:
            self._asked.set()
        return self._known

    def _refresh_if_stale(self) -> None:
        if time.monotonic() < self._stale_at:
            return
        with self._lock:
            if self._asking:
                return
            self._asking = True
        threading.Thread(target=self._refresh_aside, name="spark-discovery", daemon=True).start()

    def _refresh_aside(self) -> None:
        try:
            self.refresh()
        finally:
            self._asking = False

    def _discover(self, ctx: CallContext) -> Mapping[Task, Announced] | None:
        """None when the server has no discovery, which is normal."""
        endpoint = self._places.discovery()
        reply: HTTPReply = endpoint.client.request("GET", endpoint.path, ctx=ctx)
        return read_status(reply.body) if reply.status == 200 else None

    def _look(self, task: Task, announced: Mapping[Task, Announced] | None, ctx: CallContext) -> Service:
        said = (announced or {}).get(task, NOTHING)
        endpoint = self._places.of(task, said)
        if announced is not None and task in announced:
            state: State = "ok" if said.ready else "failing"
            service = Service(endpoint, said, state, "" if said.ready else "it says that it is not ready")
        elif announced is not None and self._settings.path(task) is None:
            return Service(endpoint, said, "missing", "the server does not announce it")
        else:
            service = self._probed(task, Service(endpoint, said), ctx)
        return self._with_models(service, ctx) if task == "analyze" else service

    def _probed(self, task: Task, service: Service, ctx: CallContext) -> Service:
        if time.monotonic() - self._worked.get(task, -REFRESH_SECONDS) < REFRESH_SECONDS:
            return replace(service, state="ok")
        try:
            if task == "analyze":
                state, detail = probe_chat(self.models_endpoint(service), ctx)
            else:
                state, detail = probe_audio(service.endpoint, ctx)
        except PluginError as exc:
            state, detail = "failing", exc.message
        return replace(service, state=state, detail=detail)

    def _with_models(self, chat: Service, ctx: CallContext) -> Service:
        """Without a model in the settings, a chat whose models cannot be listed is of no use."""
        if chat.state != "ok" or self._settings.model:
            return chat
        try:
            self.listed(openai_models(self.models_endpoint(chat), ctx))
        except PluginError as exc:
            return replace(chat, state="failing", detail=exc.message)
        return chat
