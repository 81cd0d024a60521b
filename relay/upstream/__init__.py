"""A small HTTP client for inference backends on one kept urllib3 pool.

urllib3 instead of `requests`, because a metered call pays for its transport on every request. What this
package adds is the money question, "did anything happen there?", answered for every way a call can fail.
"""

from relay.upstream.client import HTTPClient, HTTPReply
from relay.upstream.stream import HTTPStream

__all__ = ["HTTPClient", "HTTPReply", "HTTPStream"]
