"""Hooks of a daemon's subclass."""

from __future__ import annotations

import logging

import pytest

from fastpyro._mutex import check_may_wait, set_leading
from fastpyro.errors import LocalProtocolError
from fastpyro.server.hooks import call_hook


def test_a_hook_may_make_calls(caplog: pytest.LogCaptureFixture) -> None:
    leading = set_leading(True)
    try:
        call_hook(check_may_wait, None)
        assert not caplog.records
        with pytest.raises(LocalProtocolError, match="in the middle of something"):
            check_may_wait(None)
    finally:
        set_leading(leading)


def test_what_a_hook_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def housekeeping(number: int) -> None:
        raise ValueError(number)

    with caplog.at_level(logging.ERROR, "fastpyro"):
        call_hook(housekeeping, 7)
    assert "housekeeping failed" in caplog.text
    assert "ValueError: 7" in caplog.text


def test_interrupts_go_on() -> None:
    def housekeeping() -> None:
        raise KeyboardInterrupt

    leading = set_leading(True)
    try:
        with pytest.raises(KeyboardInterrupt):
            call_hook(housekeeping)
        assert set_leading(True)
    finally:
        set_leading(leading)
