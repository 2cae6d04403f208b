"""Whom this process trusts, and what of it can be got round: keys, pickles, Unix sockets, what proxies and objects carry.

A pickle that runs creates a file here; none of these files may ever be there.
"""

from __future__ import annotations

import copy
import os
import pickle
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from socket_pairs import tcp_pair
from strangers import AS_ROOT, OTHER_USERS_SERVER, Subject, served, settings, somebody_else, trap_in

import fastpyro
from fastpyro.config import config
from fastpyro.constants import (
    FLAGS_META_ON_CONNECT,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    MSG_INVOKE,
    PICKLE_ID,
)
from fastpyro.errors import CommunicationError, PyroError, SecurityError
from fastpyro.naming import startNS
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._pyro4_message import pack_pyro4_message
from fastpyro.serializers.registry import IDS, PICKLES, get_serializer, native, safe_name
from fastpyro.transport import sockets, trusted_peers
from fastpyro.transport.channel import PortableChannel, open_channel

assert settings  # a fixture that every test here uses

SAYS_WHO = pytest.mark.skipif(sys.platform != "linux", reason="this system does not say who a peer is")


# ---- keys -----------------------------------------------------------------------------------------------------------------


def test_keys() -> None:
    assert trusted_peers.hmac_key_of(None) is None
    assert trusted_peers.hmac_key_of("ä") == "ä".encode()
    assert trusted_peers.hmac_key_of(b"k") == b"k"
    others: list[Any] = [0, False, [], bytearray(b"k")]
    for wrong in others:
        with pytest.raises(TypeError, match="HMAC key"):
            trusted_peers.hmac_key_of(wrong)


@pytest.mark.parametrize("empty", ["", b""])
def test_an_empty_key_is_refused_wherever_one_is_set(empty: Any) -> None:
    near, far = socket.socketpair()
    with near, far, fastpyro.Daemon(host="127.0.0.1") as daemon:
        proxy = fastpyro.Proxy("PYRO:x@127.0.0.1:1")
        for target in (daemon, proxy):
            with pytest.raises(ValueError, match="None means that there is no key"):
                target._pyroHmacKey = empty
            assert target._pyroHmacKey is None
        for low in (Decoder(), open_channel(near.dup()), PortableChannel(far.dup())):
            with pytest.raises(ValueError, match="empty HMAC key"):
                low.set_hmac_key(b"")
            low.set_hmac_key(None)
            if not isinstance(low, Decoder):
                low.close()
        with pytest.raises(ValueError, match="empty HMAC key"):
            fastpyro.locateNS("127.0.0.1", 1, hmac_key=empty)
        with pytest.raises(ValueError, match="empty HMAC key"):
            startNS("127.0.0.1", 0, hmac=empty)


def test_a_daemon_whose_class_has_an_empty_key_is_not_made() -> None:
    class Careless(fastpyro.Daemon):
        _pyroHmacKey = ""  # type: ignore[assignment]

    with pytest.raises(ValueError, match="empty HMAC key"):
        Careless(host="127.0.0.1")


@pytest.mark.parametrize("daemons_key", [None, b"right"])
def test_who_signs_with_the_empty_key_is_never_admitted(daemons_key: bytes | None, tmp_path: Path) -> None:
    config.SERIALIZERS_ACCEPTED, config.PICKLES_ON_LOOPBACK = ["native", "serpent", "pickle"], False
    path, bomb = trap_in(tmp_path)
    with served(daemons_key) as daemon, socket.create_connection(daemon.sock.getsockname(), timeout=10) as stranger:
        # As the old code would have signed it: the decoder's own code refuses to.
        stranger.sendall(pack_pyro4_message(MSG_CONNECT, FLAGS_META_ON_CONNECT, 0, PICKLE_ID, bomb, None, None, b""))
        decoder = Decoder()
        decoder.set_hmac_key(daemons_key)
        answers = []
        while data := stranger.recv(65536):
            decoder.feed(data)
            while (message := decoder.next_message()) is not None:
                answers.append(message.kind)
        assert answers == [MSG_CONNECTFAIL]
    assert not path.exists()


def test_a_key_that_is_set_later_holds_at_once() -> None:
    with served() as daemon, fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
        assert proxy.echo(1) == 1
        daemon._pyroHmacKey = b"key"
        with pytest.raises(CommunicationError):
            proxy.echo(2)
        proxy._pyroHmacKey = "key"
        assert proxy.echo(3) == 3
        first = proxy._pyroConnection
        proxy._pyroHmacKey = b"key"
        assert proxy._pyroConnection is first  # the same key
        proxy._pyroHmacKey = b"another"
        assert proxy._pyroConnection is None
        with pytest.raises(CommunicationError, match="hmac"):
            proxy.echo(4)


def test_a_key_that_is_set_between_accepting_and_the_handshake_holds() -> None:
    with served() as daemon, socket.create_connection(daemon.sock.getsockname(), timeout=10) as stranger:
        with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
            assert proxy.echo(1) == 1  # so the stranger, who came before, has been accepted
        daemon._pyroHmacKey = b"key"
        payload = get_serializer("serpent", 48).dumps({"handshake": "hello", "object": "subject"})
        stranger.sendall(pack_pyro4_message(MSG_CONNECT, FLAGS_META_ON_CONNECT, 0, IDS["serpent"], payload))
        decoder = Decoder()
        decoder.set_hmac_key(b"key")
        while (message := decoder.next_message()) is None:
            decoder.feed(stranger.recv(65536))
        assert message.kind == MSG_CONNECTFAIL


def test_a_key_that_is_set_while_a_proxy_connects_holds() -> None:
    class Hasty(fastpyro.Daemon):
        def validateHandshake(self, conn: Any, data: Any) -> Any:
            proxy._pyroHmacKey = b"key"
            return "hello"

    with Hasty(host="127.0.0.1") as daemon:
        daemon.register(Subject(), "subject")
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
            with pytest.raises(CommunicationError, match="key was changed"):
                proxy.echo(1)
            assert proxy._pyroConnection is None
        daemon.shutdown()
        thread.join(10)


# ---- who is at the other end ----------------------------------------------------------------------------------------------


@SAYS_WHO
def test_the_same_user() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert sockets.peer_uid(near) == os.geteuid()
        assert trusted_peers.is_same_user(near)
        assert trusted_peers.may_use_pickles(near, None)
    with socket.socket(socket.AF_UNIX) as alone:
        assert sockets.peer_uid(alone) is None
        assert not trusted_peers.is_same_user(alone)


def test_nobody_is_trusted_where_the_kernel_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "openbsd7")  # which has SO_PEERCRED, and other fields in it
    near, far = socket.socketpair()
    with near, far:
        assert sockets.peer_uid(near) is None
        assert not trusted_peers.may_use_pickles(near, None)
        assert trusted_peers.may_use_pickles(near, b"key")
        with pytest.raises(SecurityError, match="HMAC key"):
            trusted_peers.require_trust("pickle", near, None, "a socket")


def test_a_user_without_a_number_of_its_own_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: trusted_peers.UNMAPPED_USER)
    monkeypatch.setattr(trusted_peers, "peer_uid", lambda sock: trusted_peers.UNMAPPED_USER)
    near, far = socket.socketpair()
    with near, far:
        assert not trusted_peers.is_same_user(near)


@SAYS_WHO
def test_tcp_on_this_machine_proves_who_it_is_unless_that_is_forbidden() -> None:
    near, far = tcp_pair()
    with near, far:
        assert sockets.peer_uid(near) is None
        assert trusted_peers.may_use_pickles(near, None)
        config.PICKLES_ON_LOOPBACK = False
        assert not trusted_peers.may_use_pickles(near, None)
        assert not trusted_peers.may_use_pickles(near, b"")
        with pytest.raises(SecurityError, match="PICKLES_ON_LOOPBACK is off"):
            trusted_peers.require_trust("pickle", near, None, "a socket")


@AS_ROOT
@pytest.mark.parametrize("is_abstract", [True, False])
def test_another_users_unix_socket_gets_no_pickle_and_is_read_none(tmp_path: Path, is_abstract: bool) -> None:
    path, bomb = trap_in(tmp_path)
    name = f"\0fastpyro-{os.getpid()}"
    if not is_abstract:
        open_to_all = Path(f"/tmp/fastpyro-{os.getpid()}")
        open_to_all.mkdir(mode=0o777)
        open_to_all.chmod(0o777)
        name = str(open_to_all / "socket")
    answer = pack_pyro4_message(MSG_CONNECTOK, 0, 0, PICKLE_ID, bomb)
    script = OTHER_USERS_SERVER.format(name=name, answer=answer)
    try:
        with somebody_else(script) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            proxy = fastpyro.Proxy(f"PYRO:subject@./u:{name}")
            proxy._pyroSerializer = "pickle"
            with pytest.raises(SecurityError, match=r"user 65534's, and this process is user 0's"):
                proxy._pyroBind()
            assert process.stdout.readline() == "0\n"  # not a byte was sent
    finally:
        if not is_abstract:
            Path(name).unlink(missing_ok=True)
            open_to_all.rmdir()
    assert not path.exists()


OTHER_USERS_CLIENT = """
import os, socket, sys
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as sock:
    sock.settimeout(10)
    sock.connect({name!r})
    sock.sendall({data!r})
    print(b"pickles need" in sock.recv(65536), flush=True)
"""


@AS_ROOT
@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_another_users_pickle_is_refused_over_a_unix_socket(tmp_path: Path, server_type: str) -> None:
    path, bomb = trap_in(tmp_path)
    config.SERVERTYPE, config.SERIALIZERS_ACCEPTED = server_type, ["native", "serpent", "pickle"]
    name = f"\0fastpyro-{os.getpid()}-{server_type}"
    data = pack_pyro4_message(MSG_CONNECT, FLAGS_META_ON_CONNECT, 0, PICKLE_ID, bomb)
    with served(unixsocket=name) as daemon:
        with somebody_else(OTHER_USERS_CLIENT.format(name=name, data=data)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "True\n"
        with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:  # this user's own may
            proxy._pyroSerializer = "pickle"
            assert proxy.echo((1, {2})) == (1, {2})
    assert not path.exists()


# ---- connected sockets ----------------------------------------------------------------------------------------------------


def test_a_connected_socket_demands_the_key_that_is_set_after_the_daemon_is_made() -> None:
    near, far = socket.socketpair()
    with near, far, served("key", connected_socket=far):
        with fastpyro.Proxy("subject", connected_socket=near) as proxy:
            proxy._pyroHmacKey = "key"
            assert proxy.echo(b"x") is not None
        with fastpyro.Proxy("subject", connected_socket=near) as proxy, pytest.raises(PyroError):
            proxy.echo(1)
        near.close()


def test_pickles_over_a_connected_socket_need_the_same_as_anywhere(tmp_path: Path) -> None:
    config.PICKLES_ON_LOOPBACK = False
    path, bomb = trap_in(tmp_path)
    near, far = tcp_pair()
    with near, far:
        far.sendall(pack_pyro4_message(5, 0, 1, PICKLE_ID, bomb))
        proxy = fastpyro.Proxy("subject", connected_socket=near)
        proxy._pyroSerializer = "pickle"
        with pytest.raises(SecurityError, match="HMAC key"):
            proxy._pyroBind()
        far.setblocking(False)
        with pytest.raises(BlockingIOError):
            far.recv(1)  # nothing was said
    assert not path.exists()


def test_a_daemon_on_a_connected_socket_reads_no_pickle_of_a_stranger(tmp_path: Path) -> None:
    config.PICKLES_ON_LOOPBACK = False
    path, bomb = trap_in(tmp_path)
    config.SERIALIZERS_ACCEPTED = ["native", "serpent", "pickle"]
    near, far = tcp_pair()
    with near, far, served(connected_socket=far):
        near.settimeout(10)
        near.sendall(pack_pyro4_message(MSG_INVOKE, 0, 1, PICKLE_ID, bomb))
        assert b"pickles need" in near.recv(65536)
        near.close()
    assert not path.exists()


@SAYS_WHO
def test_a_pair_of_this_users_sockets_may_use_pickles() -> None:
    config.SERIALIZERS_ACCEPTED = ["native", "serpent", "pickle"]
    near, far = socket.socketpair()
    with near, far, served(connected_socket=far):
        with fastpyro.Proxy("subject", connected_socket=near) as proxy:
            proxy._pyroSerializer = "pickle"
            assert proxy.echo({1: (2,)}) == {1: (2,)}
        near.close()


def test_keys_hold_for_combined_daemons() -> None:
    config.SERVERTYPE = "multiplex"
    with fastpyro.Daemon(host="127.0.0.1") as other:
        other.register(Subject(), "subject")
        with served("first's") as daemon:
            daemon.combine(other)
            other._pyroHmacKey = "second's"
            for server, key in ((daemon, "first's"), (other, "second's")):
                for tried in ("first's", "second's", None):
                    with fastpyro.Proxy(server.uriFor("subject")) as proxy:
                        proxy._pyroHmacKey = tried
                        if tried == key:
                            assert proxy.echo(1) == 1
                        else:
                            with pytest.raises(CommunicationError):
                                proxy.echo(1)


# ---- what proxies carry ---------------------------------------------------------------------------------------------------


def test_names_of_serializers_from_elsewhere() -> None:
    assert {name for name in IDS if safe_name(name) == name} == IDS.keys() - PICKLES
    for name in (*PICKLES, "nonsense", None, 5, b"serpent"):
        assert safe_name(name) is None


@pytest.mark.parametrize("serializer", ["native", "serpent", "json", "msgpack", "marshal"])
def test_proxies_travel_without_key_password_and_pickles(serializer: str) -> None:
    proxy = fastpyro.Proxy("PYRO:x@h:1")
    proxy._pyroHmacKey, proxy._pyroHandshake, proxy._pyroSerializer = b"secret-key", "password", "pickle"
    codec = get_serializer(serializer)
    sent = codec.dumps(proxy)
    assert b"password" not in sent
    assert b"secret-key" not in sent
    for arrived in (codec.loads(sent), pickle.loads(pickle.dumps(proxy))):
        assert (arrived._pyroHmacKey, arrived._pyroHandshake, arrived._pyroSerializer) == (None, "hello", None)
        assert arrived._pyroUri.is_foreign
        assert copy.copy(arrived)._pyroUri.is_foreign
    config.SEND_HANDSHAKE = True
    assert codec.loads(codec.dumps(proxy))._pyroHandshake == "password"
    for copied in (copy.copy(proxy), copy.deepcopy(proxy)):
        kept = (copied._pyroHmacKey, copied._pyroHandshake, copied._pyroSerializer, copied._pyroUri.is_foreign)
        assert kept == (b"secret-key", "password", "pickle", False)


def test_states_name_no_key_and_no_pickles() -> None:
    for state in (
        ("PYRO:x@h:1", (), (), (), "hello", "cloudpickle"),
        ("PYRO:x@h:1", (), (), (), 0.0, "b64:aw==", "hello", 0, "pickle"),
    ):
        proxy = fastpyro.Proxy("PYRO:x@h:1")
        proxy.__setstate__(state)
        assert (proxy._pyroHmacKey, proxy._pyroSerializer) == (None, None)


def test_pickles_of_the_configuration_need_trust_for_foreign_proxies_too() -> None:
    with served() as daemon:
        arrived = native.loads(native.dumps(fastpyro.Proxy(daemon.uriFor("subject"))))
        config.SERIALIZER, config.PICKLES_ON_LOOPBACK = "pickle", False
        with pytest.raises(SecurityError, match=r"config\.SERIALIZER"):
            arrived.echo(1)
        config.SERIALIZER = "native"
        with arrived:
            assert arrived.echo(1) == 1


# ---- what objects carry ---------------------------------------------------------------------------------------------------


class Held:
    """An object of a class that travels and is registered with a daemon as well."""

    @fastpyro.expose
    def name(self) -> str:
        return "held"


class Loaded(Held):
    """The same, which takes whatever state comes."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


@pytest.mark.parametrize("cls", [Held, Loaded])
def test_an_object_does_not_say_where_it_lives(cls: type[Held]) -> None:
    name = f"trusted_peers.{cls.__name__}"
    fastpyro.register_class(cls, name)
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        real = cls()
        uri = daemon.register(real, "real")
        daemon.register(Subject(), "other")
        elsewhere = fastpyro.Proxy("PYRO:x@127.0.0.1:1")
        encoded = native.dumps(
            fastpyro.values.class_registry.StateOf(name, {"_pyroId": "other", "_pyroDaemon": elsewhere, "more": 1})
        )
        arrived = native.loads(encoded)
        assert arrived.more == 1
        if cls is Held:
            assert not {"_pyroId", "_pyroDaemon"} & vars(arrived).keys()
        again = native.loads(native.dumps(arrived))  # dials nobody: nothing listens there
        assert type(again) is cls
        for forged in (daemon, elsewhere, None) if cls is Held else (elsewhere, None):
            vars(arrived).update(_pyroId="other", _pyroDaemon=forged)
            assert type(native.loads(native.dumps(arrived))) is cls
            with pytest.raises(fastpyro.errors.DaemonError):
                daemon.uriFor(arrived)
        assert native.loads(native.dumps(real))._pyroUri == uri
        daemon.register(cls, "class")
        assert native.loads(native.dumps(cls()))._pyroUri == daemon.uriFor("class")
