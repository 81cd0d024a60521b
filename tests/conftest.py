"""Logs of the code under test stay out of the test report; `structlog.testing.capture_logs` still sees them."""

import io

import structlog


class Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


structlog.configure(logger_factory=structlog.PrintLoggerFactory(Nowhere()))
