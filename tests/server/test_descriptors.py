"""Descriptors are kept back, and silent strangers keep nobody out."""

from __future__ import annotations

import contextlib
import resource
import socket
import time

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro.server import descriptors


@pytest.mark.parametrize(("limit", "most"), [(1024, 960), (64, 48), (8, 6), (resource.RLIM_INFINITY, 1 << 20)])
def test_some_are_kept_back(limit: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert descriptors.most_descriptors() == most


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_silent_strangers_keep_nobody_out(servertype: str) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            SubjectServer("--servertype", servertype, "--descriptors", "128", "--set", "HANDSHAKE_TIMEOUT=60")
        )
        host, port = server.location.rsplit(":", 1)
        with fastpyro.Proxy(server.uri()) as old:
            assert old.add(1, 1) == 2
            for _ in range(300):
                stack.enter_context(contextlib.closing(socket.create_connection((host, int(port)))))
            began = time.monotonic()
            with fastpyro.Proxy(server.uri()) as new:
                new._pyroTimeout = 20
                assert new.add(1, 1) == 2
            assert time.monotonic() - began < 20, "it would have waited for HANDSHAKE_TIMEOUT"
            assert old.add(1, 1) == 2
