"""Every documented name of Pyro4 is there, in the module where its users look for it."""

from __future__ import annotations

import copy
import importlib
import inspect
from typing import Any

import Pyro4
import pytest

import fastpyro.errors

NAMES = {
    "Pyro4": """
        config URI Proxy Daemon callback batch asyncproxy oneway expose behavior current_context locateNS resolve Future
        __version__ core errors util socketutil message futures constants""",
    "Pyro4.core": """
        URI Proxy Daemon DaemonObject current_context callback batch asyncproxy expose behavior oneway SerializedBlob
        _resolve _locateNS _StreamResultIterator pyroObjectToAutoProxy""",
    "Pyro4.constants": "VERSION DAEMON_NAME NAMESERVER_NAME FLAME_NAME PROTOCOL_VERSION",
    "Pyro4.configuration": "Configuration config main",
    "Pyro4.errors": """
        PyroError CommunicationError ConnectionClosedError TimeoutError ProtocolError MessageTooLargeError NamingError
        DaemonError SecurityError SerializeError""",
    "Pyro4.futures": "Future FutureResult _ExceptionWrapper",
    "Pyro4.message": """
        Message secure_compare MSG_CONNECT MSG_CONNECTOK MSG_CONNECTFAIL MSG_INVOKE MSG_RESULT MSG_PING FLAGS_EXCEPTION
        FLAGS_COMPRESSED FLAGS_ONEWAY FLAGS_BATCH FLAGS_META_ON_CONNECT FLAGS_ITEMSTREAMRESULT FLAGS_KEEPSERIALIZED""",
    "Pyro4.naming": """
        locateNS resolve type_meta startNS startNSloop NameServer NameServerDaemon BroadcastServer AutoCleaner MemoryStorage
        main""",
    "Pyro4.naming_storage": "SqlStorage DbmStorage",
    "Pyro4.nsc": "handleCommand main",
    "Pyro4.socketutil": """
        getIpVersion getIpAddress getInterfaceAddress createSocket createBroadcastSocket receiveData sendData setReuseAddr
        setNoDelay setKeepalive setNoInherit findProbablyUnusedPort bindOnUnusedPort interruptSocket SocketConnection
        family_str getSSLcontext ERRNO_RETRIES ERRNO_BADF ERRNO_ENOTSOCK ERRNO_EADDRNOTAVAIL ERRNO_EADDRINUSE""",
    "Pyro4.util": """
        SerializerBase SerpentSerializer JsonSerializer MarshalSerializer MsgpackSerializer PickleSerializer DillSerializer
        CloudpickleSerializer getPyroTraceback formatTraceback excepthook get_serializer get_serializer_by_id getAttribute
        is_private_attribute get_exposed_members reset_exposed_members get_exposed_property_value
        set_exposed_property_value all_exceptions""",
    "Pyro4.socketserver.threadpoolserver": "SocketServer_Threadpool",
    "Pyro4.socketserver.multiplexserver": "SocketServer_Multiplex",
    "Pyro4.socketserver.existingconnectionserver": "SocketServer_ExistingConnection",
    "Pyro4.test.echoserver": "EchoServer main",
    "Pyro4.utils.httpgateway": "pyro_app main get_nameserver singlyfy_parameters",
    "Pyro4.utils.flame": "start connect createModule Flame",
    "Pyro4.utils.flameserver": "main",
}

SIGNATURES = {
    "Pyro4.core.Proxy": "uri connected_socket",
    "Pyro4.core.Daemon": "host port unixsocket nathost natport interface connected_socket",
    "Pyro4.core.Daemon.serveSimple": "objects host port daemon ns verbose",
    "Pyro4.core.asyncproxy": "proxy asynchronous keywords",
    "Pyro4.core._locateNS": "host port broadcast hmac_key",
    "Pyro4.core._resolve": "uri hmac_key",
    "Pyro4.naming.startNS": ("host port enableBroadcast bchost bcport unixsocket nathost natport storage hmac"),
    "Pyro4.naming.startNSloop": "host port enableBroadcast bchost bcport unixsocket nathost natport storage hmac",
    "Pyro4.message.Message": "msgType databytes serializer_id flags seq annotations hmac_key",
    "Pyro4.nsc.handleCommand": "nameserver options args",
    "Pyro4.socketutil.createSocket": "bind connect reuseaddr keepalive timeout noinherit ipv6 nodelay sslContext",
    "Pyro4.util.get_exposed_members": "obj only_exposed as_lists use_cache",
}


@pytest.mark.parametrize("module_name", NAMES)
def test_module_has_its_names(module_name: str) -> None:
    module = importlib.import_module(module_name)
    assert module.__name__ == module_name
    assert not [name for name in NAMES[module_name].split() if not hasattr(module, name)]
    assert set(getattr(module, "__all__", ())) <= set(dir(module))


def found(path: str) -> Any:
    parts = path.split(".")
    value: Any = importlib.import_module(".".join(parts[:2]))
    for part in parts[2:]:
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("path", SIGNATURES)
def test_parameters_have_their_names_and_order(path: str) -> None:
    assert list(inspect.signature(found(path)).parameters) == SIGNATURES[path].split()


def test_errors_are_those_of_fastpyro() -> None:
    for name in NAMES["Pyro4.errors"].split():
        assert getattr(Pyro4.errors, name) is getattr(fastpyro.errors, name)


def test_names_for_one_thing_are_one_thing() -> None:
    naming: Any = importlib.import_module("Pyro4.naming")
    assert naming.locateNS is Pyro4.locateNS is Pyro4.core._locateNS
    assert naming.resolve is Pyro4.resolve is Pyro4.core._resolve
    assert Pyro4.config is importlib.import_module("Pyro4.configuration").config
    assert Pyro4.Future is Pyro4.futures.Future


def test_versions_are_those_of_pyro4() -> None:
    assert Pyro4.__version__ == Pyro4.constants.VERSION == "4.82"
    assert Pyro4.constants.PROTOCOL_VERSION == 48


def test_texts_of_objects_name_pyro4() -> None:
    proxy = Pyro4.Proxy("PYRO:x@localhost:1")
    assert repr(proxy) == f"<Pyro4.core.Proxy at 0x{id(proxy):x}; not connected; for PYRO:x@localhost:1>"
    with Pyro4.Daemon() as daemon:
        assert repr(daemon).startswith("<Pyro4.core.Daemon at 0x")
        assert "Thread" in type(daemon.transportServer).__name__
    assert Pyro4.URI("PYRO:x@localhost:1").asString() == "PYRO:x@localhost:1"
    assert copy.copy(proxy) == proxy
