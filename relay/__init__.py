"""Relay: a self-hosted, credit-metered gateway in front of AI inference."""

__version__ = "0.1.0"
