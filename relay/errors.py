"""The error tree. Every failure of the relay is one of these, and each knows its own HTTP answer.

RelayError
├── ConfigError              -    the operator must fix a setting; ends the start with exit code 1
├── CallerError              4xx  the caller must change something
│   ├── BadRequest           400  unreadable (also BadIdentity, BadJSON; UrlNotAllowed: a URL the relay won't open)
│   ├── Unauthenticated      401  (AuthRejected: credentials were given and are wrong)
│   ├── PaymentRequired      402
│   ├── Forbidden            403
│   ├── NotFound             404
│   ├── MethodNotAllowed     405
│   ├── Conflict             409
│   ├── TooLarge             413
│   ├── UnsupportedMedia     415
│   ├── Invalid              422  readable, but wrong; `details.path` says where
│   ├── TooMany              429  slow down
│   └── HeadersTooLarge      431
├── RelayFault               5xx  the relay itself cannot answer now
│   ├── QueueFull            429
│   ├── Internal             500
│   ├── NoBackend            503
│   ├── Draining             503
│   ├── StorageUnavailable   503
│   └── StorageFull          507
└── PluginError              5xx  a plugin, or the service behind it, failed
    ├── Unsupported          503  certain: this backend cannot do that. Try another (NoSuchModel: it has no such model)
    ├── Unavailable          503  certain: nothing happened there. Try another
    ├── UpstreamFailed       502  certain: it answered, and the answer is a failure. Try another
    │   └── NotAccepted      502  certain: the service is well, this request fails there. Try another
    ├── BlockedByUpstream    422  it read the request and refused it
    ├── OutcomeUnknown       502  it may have happened. Never repeat it blindly
    │   └── UpstreamTimeout  504
    └── RailError                 a payment rail failed
        ├── RailUnavailable  503  certain: nothing happened there. Ask again later
        ├── RailFailed       502  certain: it refused
        └── RailOutcomeUnknown 502  it may have happened: only a look at the rail can tell
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, ClassVar

import structlog

log = structlog.get_logger("relay")


class RelayError(Exception):
    """Any failure the relay explains. `message` is shown to people and says what to do."""

    status: ClassVar[int] = 500
    code: str = "internal"
    origin: ClassVar[str] = "relay"
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after = retry_after
        if code is not None:
            self.code = code

    @property
    def type(self) -> str:
        """The family OpenAI clients read, e.g. `payment_required` for 402."""
        return HTTPStatus(self.status).phrase.lower().replace(" ", "_").replace("-", "_")

    def body(self, request_id: str, charged: int = 0) -> dict[str, Any]:
        """The one error shape of the HTTP API."""
        return {
            "ok": False,
            "error": {
                "code": self.code,
                "type": self.type,
                "message": self.message,
                "origin": self.origin,
                "retryable": self.retryable,
                "charged": charged,
                "details": self.details,
            },
            "meta": {"request_id": request_id},
        }


class ConfigError(RelayError):
    """A setting, a plugin or a data file stops the start; the message names it."""


class CallerError(RelayError):
    status = 400
    code = "bad_request"
    origin = "caller"


class BadRequest(CallerError):
    pass


class BadIdentity(BadRequest):
    code = "bad_identity"


class BadJSON(BadRequest):
    code = "bad_json"


class UrlNotAllowed(BadRequest):
    """A URL that the relay does not open: not http(s), or its host is not a public one."""

    code = "url_not_allowed"


class Unauthenticated(CallerError):
    status = 401
    code = "unauthenticated"


class AuthRejected(Unauthenticated):
    """Credentials were given and are wrong. Ends the search: no other strategy is asked."""


class PaymentRequired(CallerError):
    status = 402
    code = "insufficient_credits"


class Forbidden(CallerError):
    status = 403
    code = "forbidden"


class NotFound(CallerError):
    status = 404
    code = "not_found"


class MethodNotAllowed(CallerError):
    status = 405
    code = "method_not_allowed"


class Conflict(CallerError):
    status = 409
    code = "conflict"


class TooLarge(CallerError):
    status = 413
    code = "too_large"


class UnsupportedMedia(CallerError):
    status = 415
    code = "unsupported_media"


class Invalid(CallerError):
    status = 422
    code = "invalid"

    def __init__(self, message: str, path: str = "", *, code: str | None = None, **more: Any) -> None:
        super().__init__(message, code=code, details={"path": path, **more})


class TooMany(CallerError):
    status = 429
    code = "rate_limited"
    retryable = True


class HeadersTooLarge(CallerError):
    status = 431
    code = "headers_too_large"


class RelayFault(RelayError):
    pass


class Internal(RelayFault):
    pass


class QueueFull(RelayFault):
    status = 429
    code = "queue_full"
    retryable = True


class NoBackend(RelayFault):
    status = 503
    code = "no_backend"
    retryable = True


class Draining(RelayFault):
    status = 503
    code = "draining"
    retryable = True


class StorageUnavailable(RelayFault):
    status = 503
    code = "storage_unavailable"
    retryable = True


class StorageFull(RelayFault):
    status = 507
    code = "storage_full"
    retryable = True


class PluginError(RelayError):
    status = 502
    code = "upstream_failed"
    origin = "upstream"


class Unsupported(PluginError):
    status = 503
    code = "no_backend"


class NoSuchModel(Unsupported):
    """The model the caller named is not among this backend's."""


class Unavailable(PluginError):
    status = 503
    code = "upstream_unavailable"
    retryable = True


class UpstreamFailed(PluginError):
    retryable = True


class NotAccepted(UpstreamFailed):
    """The service is well; it is this request that fails there: refused as invalid, too long, or asking for an answer
    that cannot be had. So it does not count against the service, and asking again does not help."""

    retryable = False


class BlockedByUpstream(PluginError):
    status = 422
    code = "blocked_by_upstream"


class OutcomeUnknown(PluginError):
    """It may have happened: only a look at the other side can tell."""


class UpstreamTimeout(OutcomeUnknown):
    status = 504
    code = "upstream_timeout"
    retryable = True


class RailError(PluginError):
    origin = "rail"


class RailUnavailable(RailError):
    status = 503
    code = "upstream_unavailable"
    retryable = True


class RailFailed(RailError):
    code = "upstream_failed"


class RailOutcomeUnknown(RailError):
    code = "outcome_unknown"
    retryable = True


@contextmanager
def boundary(plugin: str, surprise: type[PluginError] = OutcomeUnknown) -> Iterator[None]:
    """Run a plugin's code: what it raises leaves as one of ours, with its name on it; `surprise` for what it does not
    explain.

    A surprise is "outcome unknown", never "failed": a stray KeyError may come after the work was done.
    Its text stays in the log, because nobody knows what it holds.
    """
    try:
        yield
    except RelayError:
        raise
    except Exception as exc:
        log.exception("plugin_defect", plugin=plugin)
        raise surprise(f"{plugin} failed in a way it does not explain; the operator finds it in the log") from exc
