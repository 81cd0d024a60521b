"""What the libraries below may add to the log."""

import subprocess
import sys

import pytest

from relay.upstream import HTTPClient

SAYING = """
import logging
from relay import logs
logs.configure("debug")
for name in ("google_genai.models", "google_genai._api_client", "httpx2", "httpcore2.connection"):
    logging.getLogger(name).info("a request")
    logging.getLogger(name).warning("a part of an answer")
logging.getLogger("google_genai").error("a defect")
logging.getLogger("waitress").warning("a queue")
"""


def test_the_libraries_under_a_backend_tell_of_no_request():
    done = subprocess.run([sys.executable, "-c", SAYING], capture_output=True, text=True, timeout=60, check=True)
    assert [word for word in ("request", "part", "defect", "queue") if word in done.stderr] == ["defect", "queue"]


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://h", "h:80"),
        ("https://h/v1", "h:443"),
        ("https://h:8443", "h:8443"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_a_server_is_named_with_its_port(url, where):
    assert HTTPClient(url).where == where
