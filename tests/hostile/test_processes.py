"""Attacks by way of what a process has beside its messages: destructors, children, combined daemons, gateways, terminals."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hostile import gadgets, packer
from hostile.battlefield import EXACT, Field, Trap
from hostile.hostile_server import MODES, Conversation, HostileServer
from server_process import ServerProcess
from socket_pairs import make_certificate

SERVERTYPES = ["thread", "multiplex"] if EXACT else ["multiplex"]
EVIL = "x\nERROR forged line\x1b[31m\x07"


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_d08_admitted_clients_that_hold_all_descriptors(make_field: Callable[..., Field], servertype: str) -> None:
    """They come again when they are dropped, and say nothing more."""

    def attack(field: Field) -> None:
        held = [field.attacker(admitted=True, patience=30) for _ in range(300)]
        while field.going():
            held.pop(0).sock.close()
            held.append(field.attacker(admitted=True, patience=30))
            time.sleep(0.01)
        for one in held:
            one.sock.close()

    make_field("--descriptors", "256", servertype=servertype).holds("D8, idle clients hold all descriptors", attack)


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_d09_destructors_that_call_keep_nobody_waiting(make_field: Callable[..., Field], servertype: str) -> None:
    """Clients have a method make garbage whose destructors call the daemon itself, in whatever thread collects it."""

    def attack(field: Field) -> None:
        with field.attacker(admitted=True, patience=30) as client:
            while field.going():
                client.ask(packer.call("litter", 5))
                time.sleep(0.02)  # a method that takes the processor is no attack

    daemon = make_field("--allow", "socket.connect", servertype=servertype)
    daemon.holds("D9, destructors that call", attack)


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_d15_whatever_children_do_the_parent_serves_on(make_field: Callable[..., Field], servertype: str) -> None:
    def attack(field: Field) -> None:
        for how in itertools.cycle(["exit", "close", "shutdown", "serve"]):
            if not field.going():
                return
            with field.attacker(admitted=True, patience=30) as client:
                assert client.ask(packer.call("fork", how)).payload == b"\x07", how
            time.sleep(0.05)  # a method that takes the processor is no attack

    make_field("--allow", "os.fork", servertype=servertype).holds("D15, children that end", attack)


def test_d15_strangers_at_a_combined_daemon(make_field: Callable[..., Field]) -> None:
    """Its limits are its own, and so is its end: its neighbour in the same loop serves on."""
    daemon = make_field("--combined", "--set", "HANDSHAKE_TIMEOUT=0.5", "--logging", servertype="multiplex")
    other = daemon.server.wait_for(r"^other = (.+)$")[1].strip()
    neighbour = partial(daemon.attacker, place=other)

    def attack(field: Field) -> None:
        with contextlib.ExitStack() as open_ones:
            silent = [open_ones.enter_context(neighbour()) for _ in range(50)]
            admitted = open_ones.enter_context(neighbour(admitted=True, patience=30))
            while field.going():
                with neighbour() as client:
                    client.push(b"nonsense" * 100)
                assert admitted.ask(packer.call("echo", 5)).payload == b"\x05"
            for one in silent:
                with contextlib.suppress(ConnectionResetError):
                    assert one.sock.recv(1) == b""  # by the neighbour's own limit
            admitted.ask_or_end(packer.call("close_combined"))

    daemon.holds("D15, strangers at a combined daemon", attack)
    with pytest.raises(ConnectionRefusedError), neighbour():
        pass
    daemon.still_serves()


def test_d11_a_callback_behind_a_unix_socket_that_names_pickle(
    make_field: Callable[..., Field], tmp_path: Path
) -> None:
    """The daemon's own user waits there, whom it might trust; but nobody chose pickles here."""
    daemon = make_field("--allow", "socket.connect")
    with Trap(gadgets.signed_welcome(), socket.AF_UNIX, str(tmp_path / "trap")) as trap:
        for dialect, name in ((packer.NEW, "native"), (packer.NEW, "serpent"), (packer.OLD, "serpent")):
            proxy = gadgets.native_proxy(trap.place)
            if name != "native":
                proxy = gadgets.proxy_dict(trap.place, "Pyro4" if dialect == packer.OLD else "Pyro5")
            with daemon.attacker(admitted=True, dialect=dialect, name=name, patience=30) as client:
                client.ask_or_end(packer.call("call_back", proxy, dialect=dialect, name=name))
    daemon.still_serves()


def test_d18_an_authority_that_was_replaced_is_trusted_no_more(
    make_field: Callable[..., Field], tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("server", "old", "new")]
    for folder in folders:
        folder.mkdir()
    server, old, new = map(make_certificate, folders)
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes((folders[1] / "certificate.pem").read_bytes())
    settings = {
        "SSL": True,
        "SSL_SERVERCERT": str(server),
        "SSL_REQUIRECLIENTCERT": True,
        "SSL_CACERTS": str(authorities),
    }
    daemon = make_field(*(part for name, value in settings.items() for part in ("--set", f"{name}={value!r}")))

    def is_admitted(certificate: Path) -> bool:
        context = ssl.create_default_context(cafile=str(folders[0] / "certificate.pem"))
        context.load_cert_chain(certificate)
        try:
            with context.wrap_socket(daemon.dial(), server_hostname="127.0.0.1") as client:
                client.sendall(packer.connect())
                return packer.read_message(client).kind == packer.CONNECTOK
        except (OSError, EOFError):
            return False

    assert (is_admitted(old), is_admitted(new)) == (True, False)
    authorities.write_bytes((folders[2] / "certificate.pem").read_bytes())
    assert (is_admitted(old), is_admitted(new)) == (False, True)
    assert daemon.crash() is None


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_d18_a_daemon_whose_listener_is_closed_says_so(make_field: Callable[..., Field], servertype: str) -> None:
    daemon = make_field("--logging", servertype=servertype)
    with daemon.attacker(admitted=True) as client:
        client.ask(packer.call("deafen"))
        daemon.server.wait_for("listening socket of the daemon on .* has been closed")
        assert client.ask(packer.call("echo", 5)).payload == b"\x05"
    daemon.server.wait_for("^loop ended")


@pytest.fixture
def gateway(make_field: Callable[..., Field]) -> Iterator[tuple[Field, str]]:
    """A daemon, and an HTTP gateway in front of it, in a process of its own."""
    daemon = make_field()
    with ServerProcess("-m", "fastpyro", "ns", "-n", "127.0.0.1", "-p", "0", "-x") as names:
        place = names.wait_for(r"PYRO:Pyro.NameServer@(\S+)")[1]
        import fastpyro

        with fastpyro.Proxy(f"PYRO:Pyro.NameServer@{place}") as proxy:
            proxy.register("http.subject", daemon.uri)
            proxy.register("secret.subject", daemon.uri)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [
            "-m",
            "fastpyro.compat",
            "Pyro5",
            "-m",
            "Pyro5.utils.httpgateway",
            "-H",
            "127.0.0.1",
            "-p",
            str(port),
        ]
        environment = {"PYRO_NS_HOST": "127.0.0.1", "PYRO_NS_PORT": place.rpartition(":")[2]}
        with ServerProcess(*command, "-t", "20", environment=environment) as process:
            process.wait_for("(?i)gateway")
            yield daemon, f"http://127.0.0.1:{port}"


def page(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.loads(answer.read())


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_d12_strangers_at_an_http_gateway(gateway: tuple[Field, str]) -> None:
    """Members of the proxy itself are out of reach, and who dawdles or lies keeps nobody waiting, here or at the daemon."""
    daemon, url = gateway
    host, port = "127.0.0.1", int(url.rpartition(":")[2])
    lies = [
        b"",
        b"GET /pyro/http.subject/null HTTP/1.1\r\n",
        b"POST /pyro/http.subject/echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n" + b"a" * 1000,
        b"POST /pyro/http.subject/echo HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + b"a" * 1000,
        b"POST /pyro/http.subject/echo HTTP/1.1\r\nContent-Length: 1000\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + b"\xff" * 100,
    ]
    wait_for_port(host, port)

    def attack(field: Field) -> None:
        with Trap() as trap, contextlib.ExitStack() as open_ones:
            for data in lies * 5:
                sock = open_ones.enter_context(socket.create_connection((host, port), timeout=20))
                sock.sendall(data)
            for name in ("__class__", "__init__", "_pyroReconnect", "_pyroBind", "_pyroUri", "__getattr__", "_hidden"):
                assert status_of(f"{url}/pyro/http.subject/{name}?uri=PYRO:x@{trap.place}") >= 400, name
            assert status_of(f"{url}/pyro/secret.subject/null") >= 400
            while field.going():
                assert page(f"{url}/pyro/http.subject/kind_of?value=x") == "str"
            assert not trap.caught

    daemon.holds("D12, an HTTP gateway", attack)


def wait_for_port(host: str, port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=20):
            return
        time.sleep(0.05)
    raise AssertionError("the gateway does not listen")


def test_d13_a_server_steers_no_terminal() -> None:
    """What it says reaches the terminals of the commands, as results, errors and names, and is escaped there."""

    def names(talk: Conversation) -> None:
        talk.welcome({"methods": ["list", "ping", "lookup", "count"], "attrs": [], "oneway": []})
        while True:
            talk.reply({EVIL: [f"PYRO:x@{EVIL}", [EVIL]]})

    def error(talk: Conversation) -> None:
        talk.welcome({"methods": ["null"], "attrs": [], "oneway": []})
        state = packer.tup(f"builtins.{EVIL}", packer.tup(EVIL), {"_pyroTraceback": [EVIL]}, [], [], {})
        talk.reply(packer.thing("exception", state), flags=packer.EXCEPTION)

    def result(talk: Conversation) -> None:
        talk.welcome({"methods": ["null"], "attrs": [], "oneway": []})
        talk.reply(EVIL)

    def refusal(talk: Conversation) -> None:
        talk.hear()
        talk.send(talk.answer(EVIL, packer.CONNECTFAIL))

    for attack in (names, error, result, refusal):
        with HostileServer(attack, MODES[0]) as server:
            commands = [["call", server.uri, "null"]]
            if attack in (names, refusal):
                commands = [["nsc", "-n", "127.0.0.1", "-p", str(server.port), "list"]]
            for command in commands:
                with ServerProcess("-m", "fastpyro", *command, environment={"NO_COLOR": "1"}) as process:
                    process.wait_for_end()
                    assert "forged" in process.output, f"{attack.__name__}: {process.output}"
                    assert not set(process.output) & {"\x1b", "\x07"}, f"{attack.__name__}: {process.output!r}"
                    # A str that a method returned is printed in as many lines as it has.
                    assert attack is result or "\nERROR forged" not in process.output, (
                        f"{attack.__name__}: {process.output}"
                    )
