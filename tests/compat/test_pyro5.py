"""The facade of Pyro5: its names, its rules, its tools."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from compat.programs import output_of, run_under
from server_process import ServerProcess

MODULES = [
    "api",
    "client",
    "server",
    "core",
    "errors",
    "configure",
    "callcontext",
    "protocol",
    "serializers",
    "socketutil",
    "nameserver",
    "nsc",
    "svr_threads",
    "svr_multiplex",
    "svr_existingconn",
    "utils.echoserver",
    "utils.httpgateway",
]

NOT_THERE = {
    "Pyro5.serializers": {"pyro_class_serpent_serializer", "serialize_pyro_object_to_dict"},
    "Pyro5.svr_threads": {"ClientConnectionJob"},
    "Pyro5.utils.echoserver": {"NameServer", "start_nameserver"},
    "Pyro5.protocol": {"log_wiredata"},
    "Pyro5.utils.httpgateway": {"redirect", "option_request", "cors_response_header", "invalid_request"},
}
"""Names that a module of Pyro5 defines and the facade leaves out: the insides of serializers, thread pool and gateway."""

DEFINED = """
import importlib, inspect, json, sys
names = {}
for module in sys.argv[1:]:
    found = importlib.import_module("Pyro5." + module)
    names["Pyro5." + module] = sorted(
        name for name, value in vars(found).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("Pyro5")
        and (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == found.__name__
    )
print(json.dumps(names))
"""

PRESENT = """
import importlib, json, sys
for module, names in json.loads(sys.argv[1]).items():
    found = importlib.import_module(module)
    for name in names:
        if not hasattr(found, name):
            print(module, name)
"""


def test_every_public_name_of_pyro5_is_there(tmp_path: Path) -> None:
    if importlib.util.find_spec("Pyro5") is None:
        pytest.skip("Pyro5 is not installed")
    listed = subprocess.run([sys.executable, "-c", DEFINED, *MODULES], capture_output=True, text=True, check=True)
    missing = output_of("Pyro5", tmp_path, PRESENT, listed.stdout).splitlines()
    allowed = {f"{module} {name}" for module, names in NOT_THERE.items() for name in names}
    assert set(missing) <= allowed


def test_classes_say_where_they_are_from(tmp_path: Path) -> None:
    program = """
import Pyro5.api, Pyro5.errors, Pyro5.client, Pyro5.server, fastpyro.errors
same = Pyro5.api.Proxy is Pyro5.client.Proxy, Pyro5.errors.NamingError is fastpyro.errors.NamingError
print(Pyro5.api.Proxy("PYRO:x@h:1"), *same)
print(Pyro5.api.Daemon.__module__)
"""
    first, second = output_of("Pyro5", tmp_path, program).splitlines()
    assert re.fullmatch(r"<Pyro5\.client\.Proxy at 0x\w+; not connected; for PYRO:x@h:1; owner \d+> True True", first)
    assert second == "Pyro5.server"


def test_uris_are_pyro5s_wherever_they_come_from(tmp_path: Path) -> None:
    program = """
import copy, threading, Pyro5.api
from Pyro5.core import URI

@Pyro5.api.expose
class Shop:
    def address(self): return daemon.uriFor(self)
    def myself(self): return self
    def kind(self, uri): return type(uri).__module__

daemon = Pyro5.api.Daemon()
uri = daemon.register(Shop())
threading.Thread(target=daemon.requestLoop, daemon=True).start()
print(URI.__module__, Pyro5.api.URI is URI, type(uri) is URI, type(Pyro5.api.resolve(uri)) is URI)
for serializer in ("serpent", "native"):
    with Pyro5.api.Proxy(str(uri)) as proxy:
        proxy._pyroSerializer = serializer
        uris = proxy._pyroUri, proxy.address(), proxy.myself()._pyroUri, copy.copy(proxy)._pyroUri
        print({type(one) is URI for one in uris}, {one == uri for one in uris}, proxy.kind(uri))
"""
    lines = output_of("Pyro5", tmp_path, program).splitlines()
    assert lines == ["Pyro5.core True True True", *["{True} {True} Pyro5.core"] * 2]


OWNERS = """
import copy, threading, Pyro5.api
from Pyro5.errors import PyroError

@Pyro5.api.expose
class Adder:
    def add(self, a, b): return a + b
    def myself(self): return self

daemon = Pyro5.api.Daemon()
uri = daemon.register(Adder())
threading.Thread(target=daemon.requestLoop, daemon=True).start()
proxy = Pyro5.api.Proxy(uri)
print(proxy.add(1, 2), type(proxy.myself()).__module__, proxy._pyro_session.serializer.name)

def elsewhere():
    for use in (lambda: proxy.add(1, 2), proxy._pyroBind, proxy._pyroRelease, proxy._pyroReconnect, lambda: proxy.nothing):
        try:
            use()
        except PyroError as error:
            print(error)
    print(copy.copy(proxy).add(2, 2))
    proxy._pyroClaimOwnership()
    print(proxy.add(3, 4))

thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
batch = Pyro5.api.BatchProxy(proxy)
batch.add(1, 1)
print(list(batch()))
"""


def test_a_proxy_belongs_to_one_thread(tmp_path: Path) -> None:
    lines = output_of("Pyro5", tmp_path, OWNERS).splitlines()
    refusal = (
        "the calling thread is not the owner of this proxy, create a new proxy in this thread or transfer ownership."
    )
    assert lines == ["3 Pyro5.client serpent", *[refusal] * 5, "4", "7", "[2]"]


CONFIG = """
import Pyro5, Pyro5.configure, fastpyro, json
config = Pyro5.config
print(config is Pyro5.configure.global_config, config.SERIALIZER, config.THREADPOOL_SIZE, config.COMMTIMEOUT)
for attempt in ("config.NOTHING", "setattr(config, 'NOTHING', 1)", "setattr(config, 'COMMTIMEOUT', -1)"):
    try:
        eval(attempt)
    except (AttributeError, ValueError) as error:
        print(type(error).__name__)
config.COMMTIMEOUT = 2.5
copied = config.copy()
config.COMMTIMEOUT = 3.5
print(fastpyro.config.COMMTIMEOUT, copied.COMMTIMEOUT, config.as_dict()["COMMTIMEOUT"], config.BROADCAST_ADDRS[0])
config.reset(False)
print(config.COMMTIMEOUT, "LOGLEVEL" in config.dump(), "version:" in config.dump())
"""


def test_configuration(tmp_path: Path) -> None:
    lines = output_of("Pyro5", tmp_path, CONFIG, PYRO_COMMTIMEOUT="1.5").splitlines()
    assert lines == [
        "True serpent 80 1.5", "AttributeError", "AttributeError", "ValueError", "3.5 2.5 3.5 <broadcast>", "0.0 True True"
    ]  # fmt: skip


def test_configuration_tool_and_bad_environment() -> None:
    done = run_under("Pyro5", "-m", "Pyro5.configure")
    assert "SERIALIZER = serpent" in done.stdout
    done = run_under("Pyro5", "-m", "Pyro5.configure", environment={"PYRO_COMPRESSION": "perhaps"})
    assert "PYRO_COMPRESSION" in done.stderr


LOGS = """
import logging, Pyro5.api
logging.getLogger("Pyro5").setLevel(logging.DEBUG)
logging.getLogger().addHandler(logging.StreamHandler())
Pyro5.api.Daemon().close()
"""


def test_log_names(tmp_path: Path) -> None:
    program = LOGS.replace("StreamHandler()", "StreamHandler(__import__('sys').stdout)")
    written = output_of("Pyro5", tmp_path, program)
    assert re.match(r"starting thread pool socketserver\ndaemon created on localhost:\d+ - IPv4 \(pid \d+\)\n", written)
    assert "pyro protocol version: 502\n" in written
    logged = output_of(
        "Pyro5",
        tmp_path,
        "import Pyro5.api; Pyro5.api.Daemon()",
        PYRO_LOGLEVEL="DEBUG",
        PYRO_LOGFILE=str(tmp_path / "log"),
    )
    assert logged == ""
    assert ",Pyro5.server,DEBUG]" in (tmp_path / "log").read_text(encoding="utf-8")


def test_name_server_and_its_client() -> None:
    command = ("-m", "fastpyro.compat", "Pyro5", "-m")
    with ServerProcess(*command, "Pyro5.nameserver", "-n", "127.0.0.1", "-p", "0", "-x") as server:
        port = server.wait_for(r"^URI = PYRO:Pyro\.NameServer@127\.0\.0\.1:(\d+)$")[1]
        assert "Not starting broadcast server for localhost.\nNS running on 127.0.0.1" in server.output
        asked = ("-m", "Pyro5.nsc", "-n", "127.0.0.1", "-p", port)
        assert "Name server ping ok." in run_under("Pyro5", *asked, "ping").stdout
        assert "Registered one" in run_under("Pyro5", *asked, "register", "one", "PYRO:x@h:1").stdout
        assert "Metadata updated" in run_under("Pyro5", *asked, "setmeta", "one", "tag").stdout
        few = run_under("Pyro5", *asked, "register", "one")
        assert (few.returncode, few.stderr) == (1, "requires two arguments: name uri\n")
        listing = run_under("Pyro5", *asked, "list", "on").stdout
        assert (
            "--------START LIST - prefix 'on'\none --> PYRO:x@h:1\n    metadata: {'tag'}\n--------END LIST" in listing
        )
        assert "one --> " in run_under("Pyro5", *asked, "yplookup_any", "tag").stdout
        assert "1 items removed." in run_under("Pyro5", *asked, "removematching", "o.*", stdin="y\n").stdout
        failed = run_under("Pyro5", *asked, "lookup", "one")
        assert "Error: NamingError - unknown name: one" in failed.stdout
        assert " +--- This exception occurred remotely (Pyro) - Remote traceback:\n | " in failed.stderr
        assert failed.returncode == 1


def test_echo_server() -> None:
    with ServerProcess(
        "-m", "fastpyro.compat", "Pyro5", "-m", "Pyro5.utils.echoserver", "-N", "-v", "-H", "127.0.0.1"
    ) as server:
        uri = server.wait_for(r"^echo uri: (\S+)$")[1]
        server.wait_for(r"^echoserver running\.$")
        assert "using name server at PYRO:Pyro.NameServer@127.0.0.1:" in server.output
        import fastpyro

        with fastpyro.Proxy(uri) as proxy:
            assert proxy.echo("hello") == "hello"
            proxy.shutdown()
        assert server.wait_for_end() == 0


def test_protocol_and_serializers(tmp_path: Path) -> None:
    program = """
import json, Pyro5.protocol, Pyro5.serializers
message = Pyro5.protocol.SendingMessage(Pyro5.protocol.MSG_PING, 0, 0, 42, b"ping")
print(message.data.hex())
table = Pyro5.serializers.serializers
print(sorted(table), {key: type(value).__name__ for key, value in Pyro5.serializers.serializers_by_id.items()})
for name in table:
    assert table[name].loads(table[name].dumps([1])) == [1]
    assert table[name].loadsCall(table[name].dumpsCall("o", "m", (1,), {}))[:2] == ("o", "m")
"""
    ping, names = output_of("Pyro5", tmp_path, program).splitlines()
    assert ping == "5059524f01f6062a00000000000000040000000000000000000000000000000000000000" + "00004dc570696e67"
    assert names.startswith("['json', 'marshal', 'msgpack', 'serpent'] {1:")
    assert json.loads(json.dumps(names))


def test_a_serializer_that_there_is_not(tmp_path: Path) -> None:
    program = """
import Pyro5.api
Pyro5.api.config.SERIALIZER = "nothing"
try:
    Pyro5.api.Proxy("PYRO:x@localhost:1")
except ValueError as error:
    print(error)
"""
    assert output_of("Pyro5", tmp_path, program) == "unknown serializer configured\n"


def test_messages_that_are_received(tmp_path: Path) -> None:
    program = """
import uuid, Pyro5
from Pyro5.errors import MessageTooLargeError, ProtocolError
from Pyro5.protocol import FLAGS_COMPRESSED, MSG_CONNECTFAIL, MSG_RESULT, ReceivingMessage, SendingMessage, recv_stub

class Wire:
    def __init__(self, data):
        self.data = data
    def recv(self, size):
        part, self.data = self.data[:size], self.data[size:]
        return part

Pyro5.config.COMPRESSION = True
sent = SendingMessage(MSG_RESULT, 1, 7, 2, b"text " * 100, {"ABCD": b"value", "EFGH": b""})
got = recv_stub(Wire(sent.data), [MSG_RESULT])
print(got.type, got.flags, got.seq, got.serializer_id, got.annotations, bytes(got.data) == b"text " * 100, got.corr_id)
assert sent.flags & FLAGS_COMPRESSED and "seq=7" in repr(sent) and "#ann=2" in repr(got)
Pyro5.config.COMPRESSION = False
refusal = SendingMessage(MSG_CONNECTFAIL, 0, 0, 1, b"go away").data

def refused(call, *arguments):
    try:
        call(*arguments)
    except (ProtocolError, ValueError, TypeError) as error:
        print(type(error).__name__, error)

refused(recv_stub, Wire(refusal), [MSG_RESULT])
refused(recv_stub, Wire(b"HTTP/1.1 200 OK"))
refused(ReceivingMessage, refusal[:39])
refused(ReceivingMessage, refusal[:38] + b"xx")
refused(ReceivingMessage, refusal[:40], b"no")
refused(ReceivingMessage.validate, b"PY")
refused(ReceivingMessage.validate, "PYRO")
broken = bytearray(sent.data)
broken[40 + 7] = 200
refused(recv_stub, Wire(bytes(broken)))
Pyro5.config.MAX_MESSAGE_SIZE = 4
refused(recv_stub, Wire(refusal))
"""
    lines = output_of("Pyro5", tmp_path, program).splitlines()
    assert lines[0] == "5 1 7 2 {'ABCD': b'value', 'EFGH': b''} True None"
    expected = [
        "which says: go away",
        "no message of Pyro",
        "40 bytes, not 39",
        "magic number",
        "here are 2",
        "first 4 bytes",
    ]
    for line, text in zip(lines[1:], [*expected, "not str", "longer than all", "MAX_MESSAGE_SIZE"], strict=True):
        assert text in line


def test_handshake_data_travels_with_a_proxy_as_pyro5s_does(tmp_path: Path) -> None:
    program = """
from Pyro5.api import Proxy
from fastpyro.serializers.registry import get_serializer
codec, proxy = get_serializer("serpent"), Proxy("PYRO:x@localhost:1")
proxy._pyroHandshake, proxy._pyroSerializer = "password", "pickle"
received = codec.loads(codec.dumps(proxy))
print(type(received).__module__, received._pyroHandshake, received._pyroSerializer, received._pyroUri.is_foreign)
"""
    assert output_of("Pyro5", tmp_path, program) == "Pyro5.client password None True\n"
