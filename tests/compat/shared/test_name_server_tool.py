"""The name server command of the peers; tests/compat/test_pyro5.py runs it as a program."""

from __future__ import annotations

from typing import Any

import pytest

from fastpyro.compat.shared import name_server_tool


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(name_server_tool, "start_ns_loop", lambda *args, **more: seen.append((args, more)))
    name_server_tool.run_name_server(["-n", "host", "-p", "1", "-x", "-s", "sql:file", "--bcport", "5"], dbm=False)
    name_server_tool.run_name_server(["-k", "key", "-u", "path"], dbm=True)
    assert seen == [
        (("host", 1, False, None, 5, None, None, None, "sql:file"), {"hmac": None}),
        ((None, None, True, None, None, "path", None, None, "memory"), {"hmac": "key"}),
    ]
    with pytest.raises(SystemExit):
        name_server_tool.run_name_server(["-k", "key"], dbm=False)
