"""Runs the application for one request."""

from __future__ import annotations

import logging

from waitress.channel import ClientDisconnected
from waitress.task import WSGITask

from relay.http.server.errors import ErrorTask, internal

log = logging.getLogger(__name__)


class RequestTask(WSGITask):  # type: ignore[misc]
    """waitress's task, with our answer for an application that fails.

    waitress would log the path, which may carry a secret, and takes an OSError of the application for a
    broken connection.
    """

    def service(self) -> None:
        try:
            self._serve()
        except ClientDisconnected:
            self.close_on_finish = True

    def _serve(self) -> None:
        try:
            self.start()
            self.execute()
            self.finish()
        except ClientDisconnected:
            raise
        except Exception:
            log.exception("the application failed on a %s request", self.request.command)
            self.close_on_finish = True
            if not self.wrote_header:
                self.request.refuse(internal())
                ErrorTask(self.channel, self.request).service()

    def build_response_header(self) -> bytes:
        if self.channel.server.draining:
            # Said as if the caller had asked for it: waitress then writes the header and closes.
            self.request.headers["CONNECTION"] = "close"
        header: bytes = super().build_response_header()
        return header
