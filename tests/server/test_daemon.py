"""The daemon's front: registration, addresses, hooks, the ways to serve."""

from __future__ import annotations

import os
import pickle
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import ServerProcess

import fastpyro
from fastpyro.errors import CommunicationError, DaemonError, PyroError


@fastpyro.expose
class Subject:
    def name(self) -> str:
        return "subject"


@pytest.fixture(params=["thread", "multiplex"])
def server_type(request: pytest.FixtureRequest) -> Iterator[str]:
    fastpyro.config.SERVERTYPE = request.param
    yield request.param
    fastpyro.config.reset()


@pytest.fixture
def daemon() -> Iterator[fastpyro.Daemon]:
    with fastpyro.Daemon(host="127.0.0.1") as made:
        yield made


class Running:
    """A daemon whose request loop runs in a thread for the length of a block."""

    def __init__(self, daemon: fastpyro.Daemon) -> None:
        self.daemon = daemon
        self.loop = threading.Thread(target=daemon.requestLoop)

    def __enter__(self) -> fastpyro.Daemon:
        self.loop.start()
        return self.daemon

    def __exit__(self, *exception: object) -> None:
        self.daemon.shutdown()
        self.loop.join(10)
        assert not self.loop.is_alive()
        self.daemon.close()


def test_register_gives_an_address(daemon: fastpyro.Daemon) -> None:
    subject = Subject()
    uri = daemon.register(subject, "known")
    assert str(uri) == f"PYRO:known@{daemon.locationStr}"
    assert daemon.uriFor(subject) == daemon.uriFor("known") == uri
    assert (subject._pyroId, subject._pyroDaemon) == ("known", daemon)  # type: ignore[attr-defined]
    assert set(daemon.objectsById) == {"known", "Pyro.Daemon"}
    generated = daemon.register(Subject())
    assert generated.object.startswith("obj_")
    assert "2 objects" not in repr(daemon)
    assert "3 objects" in repr(daemon)


def test_unregister(daemon: fastpyro.Daemon) -> None:
    subject = Subject()
    daemon.register(subject, "gone")
    daemon.unregister(subject)
    assert not hasattr(subject, "_pyroId")
    assert "gone" not in daemon.objectsById
    daemon.register(subject, "again")
    daemon.unregister("again")
    assert not hasattr(subject, "_pyroId")
    daemon.unregister("never there")
    daemon.unregister("Pyro.Daemon")
    assert "Pyro.Daemon" in daemon.objectsById
    with pytest.raises(DaemonError, match="isn't registered"):
        daemon.unregister(subject)
    with pytest.raises(DaemonError, match="isn't registered"):
        daemon.uriFor(subject)
    with pytest.raises(ValueError, match="not None"):
        daemon.unregister(None)


def test_published_addresses_behind_a_router() -> None:
    with fastpyro.Daemon(host="127.0.0.1", nathost="example.org", natport=4444) as daemon:
        assert str(daemon.uriFor("x")) == "PYRO:x@example.org:4444"
        assert str(daemon.uriFor("x", nat=False)) == f"PYRO:x@{daemon.locationStr}"
        assert daemon.natLocationStr == "example.org:4444"
    with fastpyro.Daemon(host="127.0.0.1", nathost="example.org") as daemon:
        port = daemon.locationStr.rpartition(":")[2]
        assert daemon.natLocationStr == f"example.org:{port}"
    with pytest.raises(ValueError, match="natport with nathost"):
        fastpyro.Daemon(natport=4444)
    with pytest.raises(ValueError, match="unixsocket"):
        fastpyro.Daemon(unixsocket="x", nathost="example.org")


def test_fixed_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        fastpyro.Daemon(host="127.0.0.1", port=taken.getsockname()[1])


def test_unix_socket_file_is_replaced_when_stale_and_removed_at_the_end(tmp_path: Any, server_type: str) -> None:
    path = str(tmp_path / "d.sock")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with Running(fastpyro.Daemon(unixsocket=path)) as daemon:
        with fastpyro.Proxy(daemon.register(Subject())) as proxy:
            assert proxy.name() == "subject"
        with pytest.raises(OSError, match="in use"):
            fastpyro.Daemon(unixsocket=path)
    assert not os.path.exists(path)


def test_loop_condition(server_type: str) -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        before = time.monotonic()
        daemon.requestLoop(lambda: False)
        assert time.monotonic() - before < 0.4
        fastpyro.config.POLLTIMEOUT = 0.05
        answers = iter([True, True, False])
        daemon.requestLoop(lambda: next(answers))


def test_shutdown_closes_idle_connections_at_once(server_type: str) -> None:
    daemon = fastpyro.Daemon(host="127.0.0.1")
    uri = daemon.register(Subject())
    proxies = [fastpyro.Proxy(uri) for _ in range(20)]
    running = Running(daemon)
    with running:
        for proxy in proxies:
            proxy._pyroBind()
        before = time.monotonic()
        daemon.shutdown()
        running.loop.join(10)
        assert time.monotonic() - before < 1
        for proxy in proxies:
            with pytest.raises(CommunicationError):
                proxy.name()
    daemon.shutdown()


def test_shutdown_from_inside_a_call_answers_it(server_type: str) -> None:
    class Stopper:
        @fastpyro.expose
        def stop(self) -> str:
            self._pyroDaemon.shutdown()  # type: ignore[attr-defined]
            return "stopped"

    daemon = fastpyro.Daemon(host="127.0.0.1")
    uri = daemon.register(Stopper())
    with Running(daemon), fastpyro.Proxy(uri) as proxy:
        assert proxy.stop() == "stopped"


def test_shutdown_while_slow_calls_run() -> None:
    entered, release = threading.Event(), threading.Event()

    class Slow:
        @fastpyro.expose
        def wait(self) -> bool:
            entered.set()
            return release.wait(10)

    daemon = fastpyro.Daemon(host="127.0.0.1")
    uri = daemon.register(Slow())
    failures: list[BaseException] = []

    def call() -> None:
        try:
            with fastpyro.Proxy(uri) as proxy:
                proxy.wait()
        except CommunicationError as error:
            failures.append(error)

    caller = threading.Thread(target=call)
    running = Running(daemon)
    with running:
        caller.start()
        assert entered.wait(10)
        before = time.monotonic()
        daemon.shutdown()
        running.loop.join(10)
        caller.join(10)
        assert time.monotonic() - before < 2
        release.set()
    assert len(failures) == 1


def test_closed_daemon_cannot_be_used(server_type: str) -> None:
    daemon = fastpyro.Daemon(host="127.0.0.1")
    daemon.close()
    daemon.close()
    assert "closed" in repr(daemon)
    for use in (daemon.requestLoop, daemon.__enter__, lambda: daemon.sockets, lambda: daemon.events([])):
        with pytest.raises(PyroError, match="cannot reuse this object"):
            use()
    daemon.shutdown()


def test_foreign_event_loop(server_type: str) -> None:
    stop = threading.Event()
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Subject())

        def loop() -> None:
            while not stop.is_set():
                ready, _, _ = select.select(daemon.sockets, [], [], 0.05)
                if ready:
                    daemon.events(ready)

        thread = threading.Thread(target=loop)
        thread.start()
        for _ in range(3):
            with fastpyro.Proxy(uri) as proxy:
                assert proxy.name() == "subject"
        stop.set()
        thread.join()


def test_hooks(server_type: str) -> None:
    gone: list[Any] = []

    class Hooked(fastpyro.Daemon):
        kept = 0

        def validateHandshake(self, conn: Any, data: Any) -> Any:
            if data == "bad":
                raise PyroError("refused by the hook")
            return ["seen", data]

        def clientDisconnect(self, conn: Any) -> None:
            gone.append(conn.peer_address)

        def annotations(self) -> dict[str, bytes]:
            return {"HOOK": b"1"}

        def housekeeping(self) -> None:
            self.kept += 1

    fastpyro.config.POLLTIMEOUT = 0.02
    daemon = Hooked(host="127.0.0.1")
    uri = daemon.register(Subject())
    errors: list[Any] = []
    daemon.methodcall_error_handler = lambda *arguments: errors.append(arguments)
    with Running(daemon):
        with fastpyro.Proxy(uri) as proxy:
            assert proxy.name() == "subject"
            assert fastpyro.current_context.response_annotations == {"HOOK": b"1"}
            with pytest.raises(TypeError):
                proxy.name("too many")
        refused = fastpyro.Proxy(uri)
        refused._pyroHandshake = "bad"
        with pytest.raises(CommunicationError, match="refused by the hook"):
            refused._pyroBind()
        deadline = time.monotonic() + 10
        while (not gone or not daemon.kept) and time.monotonic() < deadline:
            fastpyro.Proxy(uri)._pyroBind()
    assert gone
    assert daemon.kept
    assert isinstance(errors[0][-1], TypeError)


def test_hooks_that_fail_do_not_end_the_server(server_type: str, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(fastpyro.Daemon):
        failing = True

        def annotations(self) -> dict[str, bytes]:
            if self.failing:
                raise RuntimeError("a bug in annotations")
            return {}

        def housekeeping(self) -> None:
            raise RuntimeError("a bug in housekeeping")

        def clientDisconnect(self, conn: Any) -> None:
            raise RuntimeError("a bug in clientDisconnect")

    fastpyro.config.POLLTIMEOUT = 0.02
    daemon = Failing(host="127.0.0.1")
    uri = daemon.register(Subject())
    with Running(daemon):
        proxy = fastpyro.Proxy(uri)
        with pytest.raises(CommunicationError):
            proxy._pyroBind()
        daemon.failing = False
        for _ in range(3):
            with fastpyro.Proxy(uri) as proxy:
                assert proxy.name() == "subject"
                daemon.failing = True
                with pytest.raises(CommunicationError):
                    proxy.name()
                daemon.failing = False
        deadline = time.monotonic() + 10
        while "a bug in housekeeping" not in caplog.text or "a bug in clientDisconnect" not in caplog.text:
            assert time.monotonic() < deadline
    assert "a bug in annotations" in caplog.text


def test_silent_clients_are_dropped(server_type: str) -> None:
    fastpyro.config.COMMTIMEOUT = 0.2
    fastpyro.config.POLLTIMEOUT = 0.05
    daemon = fastpyro.Daemon(host="127.0.0.1")
    uri = daemon.register(Subject())
    fastpyro.config.COMMTIMEOUT = 0
    with Running(daemon), fastpyro.Proxy(uri) as proxy:
        proxy._pyroBind()
        channel = proxy._pyroConnection
        assert channel is not None
        channel.sock.settimeout(10)
        assert channel.sock.recv(1) == b""  # the daemon hangs up


def test_registered_objects_travel_as_proxies_until_unregistered(server_type: str) -> None:
    class Holder:
        child: Any = None

        @fastpyro.expose
        def get(self) -> Any:
            return {"child": [self.child]}

    daemon = fastpyro.Daemon(host="127.0.0.1")
    holder = Holder()
    holder.child = Subject()
    uri = daemon.register(holder)
    child_uri = daemon.register(holder.child)
    with Running(daemon), fastpyro.Proxy(uri) as proxy:
        child = proxy.get()["child"][0]
        assert child._pyroUri == child_uri
        assert child.name() == "subject"
        child._pyroRelease()
        daemon.unregister(holder.child)
        with pytest.raises(fastpyro.errors.SerializeError, match="Subject"):
            proxy.get()


@pytest.mark.parametrize("spelling", ["fastpyro.serve", "fastpyro.Daemon.serveSimple"])
def test_serve_in_one_call(tmp_path: Any, spelling: str) -> None:
    keyword = "use_ns" if spelling.endswith("serve") else "ns"
    program = tmp_path / "served.py"
    program.write_text(
        "import fastpyro\n"
        "@fastpyro.expose\n"
        "class Subject:\n"
        "    def name(self): return 'served'\n"
        f"{spelling}({{Subject: 'the.name'}}, host='127.0.0.1', {keyword}=False)\n"
    )
    with ServerProcess(program) as process:
        uri = process.wait_for(r"uri = (PYRO:the\.name@\S+)")[1]
        process.wait_for("Pyro daemon running")
        with fastpyro.Proxy(uri) as proxy:
            assert proxy.name() == "served"
        process.interrupt()
        assert process.wait_for_end() == 0


@pytest.mark.parametrize("served", ["Subject", "Subject()"])
def test_serve_one_class_or_object_until_somebody_presses_ctrl_c(tmp_path: Any, served: str) -> None:
    program = tmp_path / "served.py"
    program.write_text(
        "import fastpyro\n@fastpyro.expose\nclass Subject:\n    def name(self): return 'served'\n"
        f"fastpyro.serve({served}, host='127.0.0.1')\n"
    )
    with ServerProcess(program) as process:
        uri = process.wait_for(r"uri = (PYRO:\S+)")[1]
        process.wait_for("Pyro daemon running")
        with fastpyro.Proxy(uri) as proxy:
            assert proxy.name() == "served"
        process.interrupt()
        assert process.wait_for_end() == 0
        assert "Traceback" not in process.output


def test_a_second_ctrl_c_while_a_daemon_closes_leaves_nothing_behind(
    tmp_path: Any, server_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "socket"
    daemon = fastpyro.Daemon(unixsocket=str(path))
    unsent = daemon.transportServer.unsent
    closed: list[str] = []

    def interrupted() -> None:
        closed.append("again" if closed else "interrupted")
        if closed == ["interrupted"]:
            raise KeyboardInterrupt
        type(unsent).close(unsent)

    monkeypatch.setattr(unsent, "close", interrupted)
    assert path.exists()
    daemon.shutdown()  # so that the request loop ends at once
    fastpyro.serve(Subject(), daemon=daemon, verbose=False)
    assert closed == ["interrupted", "again"]
    assert not path.exists()


def test_a_daemon_out_of_a_pickle_says_that_it_is_of_no_use() -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        copied = pickle.loads(pickle.dumps(daemon))
    assert vars(copied) == {}
    assert repr(copied).startswith("<fastpyro.Daemon at 0x")
    assert repr(copied).endswith("; unusable>")
