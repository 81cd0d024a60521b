"""The shell: the way in and out, the tabs, the address, colours, and keys."""

from __future__ import annotations


def test_shell(desk) -> None:
    desk.open()
    desk.screenshot("x")
