"""What is printed while a name server is served."""

from __future__ import annotations

import pytest

from fastpyro.compat.shared.name_server_loop import serve
from fastpyro.naming.start import NameServerDaemon, start_ns


def test_where_it_is_and_why_nobody_answers_broadcasts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(NameServerDaemon, "requestLoop", lambda daemon: None)
    uri, daemon, responder = start_ns("127.0.0.1", 0)
    serve(uri, daemon, responder, "a note")
    assert capsys.readouterr().out.splitlines() == [
        "Not starting broadcast server for localhost.",
        f"NS running on 127.0.0.1:{uri.port} (127.0.0.1)",
        "a note",
        f"URI = {uri}",
        "NS shut down.",
    ]
    uri, daemon, responder = start_ns("127.0.0.1", 0, True, "127.0.0.1", 0)
    serve(uri, daemon, responder)
    assert capsys.readouterr().out.startswith("Broadcast server running on 127.0.0.1:")
    assert daemon.nameserver is None
