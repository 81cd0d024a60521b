"""Logs of the code under test stay out of the test report; `structlog.testing.capture_logs` still sees them."""

import os

import structlog

structlog.configure(logger_factory=structlog.PrintLoggerFactory(open(os.devnull, "w")))  # noqa: PTH123, SIM115
