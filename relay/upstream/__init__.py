"""A small HTTP client for inference backends on one kept urllib3 pool.

urllib3 instead of `requests`, because a metered call pays for its transport on every request; and an exchange of its
own over the same connections for what is asked and answered in one piece, which is nearly everything. What this package
adds besides is the money question, "did anything happen there?", answered for every way a call can fail.
"""

from relay.upstream.client import HTTPClient
from relay.upstream.reply import HTTPReply
from relay.upstream.stream import HTTPStream

__all__ = ["HTTPClient", "HTTPReply", "HTTPStream"]
