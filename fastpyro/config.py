"""The configuration items: one table of names, types, defaults and meanings, and the object that holds their values.

`ITEMS` drives everything: the object's attributes, the environment variables, the checks, and the table in the docs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from fastpyro._foreign_text import MASKED
from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro._version import __version__
from fastpyro.constants import PROTOCOL_VERSION

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ITEMS",
    "LONGEST_SOCKET_TIMEOUT",
    "LONGEST_TIME",
    "Configuration",
    "Item",
    "config",
    "on_change",
    "without_secrets",
]

PREFIXES = ("PYRO_", "FASTPYRO_")
"""Environment variables are named after the items, with one of these; the later prefix wins."""

LONGEST_TIME = 1e9
"""Seconds, over 31 years. What is longer is cut to this, here and on proxies: no clock of the system overflows then."""

LONGEST_SOCKET_TIMEOUT = 20 * 24 * 3600.0
"""Seconds; Python's sockets count milliseconds in 32 bits, and a longer time is cut to this."""

_TRUE = frozenset({"1", "yes", "on", "true"})
_FALSE = frozenset({"0", "no", "off", "false"})


CALL, CONNECTION, PROXY, DAEMON = "next call", "next connection", "next proxy", "next daemon"
LOOKUP, NAME_SERVER = "next look-up or name server", "next name server"
PROXY_OR_DAEMON = "next proxy; in daemons next daemon"
CONNECTION_OR_DAEMON = "next connection; in daemons next daemon"
"""From when on a changed value counts: what was made before keeps the former one."""


class Item(NamedTuple):
    """One configuration item: name, how a value is checked, default, from when on a changed value counts, meaning."""

    name: str
    check: Callable[[Any], Any]
    default: Any
    counts_from: str
    meaning: str


def _truth(value: Any) -> bool:
    if isinstance(value, str):
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
        raise ValueError("expected one of 1, yes, on, true, 0, no, off, false")
    if isinstance(value, bool | int):
        return bool(value)
    raise TypeError("expected a bool")


def _integer(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError("expected an int")
        try:
            number = int(value)
        except ValueError:
            raise ValueError("expected an int") from None
        if not least <= number <= most:
            raise ValueError(f"expected {least} to {most}")
        return number

    return check


def _seconds(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("expected a number of seconds")
    try:
        number = float(value)
    except OverflowError:  # an int with hundreds of digits
        number = float("inf")
    except ValueError:
        raise ValueError("expected a number of seconds") from None
    if not 0 <= number < float("inf"):
        raise ValueError("expected a number of seconds, 0 or more")
    return min(number, LONGEST_TIME)


def _autoclean(value: Any) -> float:
    seconds = _seconds(value)
    if 0 < seconds < 3:
        raise ValueError("expected 0 (off) or at least 3 seconds")
    return seconds


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a str")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None or value == "" else _text(value)


def _one_of(*choices: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        try:
            wanted = int(value) if isinstance(choices[0], int) else value
        except (TypeError, ValueError, OverflowError) as error:
            expected = f"expected one of {', '.join(map(repr, choices))}"
            raise (TypeError if isinstance(error, TypeError) else ValueError)(expected) from None
        if wanted not in choices:
            raise ValueError(f"expected one of {', '.join(map(repr, choices))}")
        return wanted

    return check


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple | set | frozenset):
        raise TypeError("expected names of serializers, or one str with commas")
    return sorted({_text(name).strip() for name in value} - {""})


def _addresses(value: Any) -> list[str]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple | set):
        raise TypeError("expected a list of str, or one str with commas")
    return ["" if item.strip() == "''" else _text(item).strip() for item in value]


ITEMS: tuple[Item, ...] = (
    Item("HOST", _text, "localhost", DAEMON, "address that daemons listen on"),
    Item("NS_HOST", _text, "localhost", LOOKUP, "host on which clients look for the name server"),
    Item("NS_PORT", _integer(0, 65535), 9090, LOOKUP, "TCP port of the name server"),
    Item("NS_BCPORT", _integer(0, 65535), 9091, LOOKUP, "UDP port of name server discovery by broadcast"),
    Item("NS_BCHOST", _text_or_none, None, NAME_SERVER, "address that the broadcast responder listens on"),
    Item("NS_BROADCAST", _truth, False, LOOKUP, "whether looking for a name server may use broadcast"),
    Item(
        "NS_AUTOCLEAN", _autoclean, 0.0, NAME_SERVER, "seconds between the name server's checks of its entries; 0: none"
    ),
    Item(
        "NS_MAX_BYTES", _integer(0, 1 << 40), 67108864, CALL, "bytes that a name server's names may take; 0: no limit"
    ),
    Item(
        "NS_MAX_LISTING", _integer(0, 1 << 40), 16777216, CALL, "bytes of names that one answer may list; 0: no limit"
    ),
    Item("NS_LOOKUP_DELAY", _seconds, 0.0, LOOKUP, "seconds that looking up a name waits for it to appear"),
    Item("NS_UNIX_LOCATIONS", _truth, False, LOOKUP, "whether name servers on the network may send to Unix sockets"),
    Item("NATHOST", _text_or_none, None, DAEMON, "host to publish in URIs instead of the real one"),
    Item("NATPORT", _integer(0, 65535), 0, DAEMON, "port to publish in URIs; 0: the real one"),
    Item("SERVERTYPE", _text, "thread", DAEMON, "where methods run: in threads, or all in one"),
    Item("COMMTIMEOUT", _seconds, 0.0, PROXY_OR_DAEMON, "seconds that network operations may take; 0: no limit"),
    Item("POLLTIMEOUT", _seconds, 2.0, CALL, "seconds between two looks at a request loop's condition, at the most"),
    Item("ONEWAY_THREADED", _truth, True, CALL, "whether a client's next call may overtake its slow oneway call"),
    Item(
        "MAX_RETRIES",
        _integer(0, 1000000),
        0,
        PROXY,
        "how often a call is repeated after a lost connection or a timeout",
    ),
    Item("SOCK_REUSE", _truth, True, DAEMON, "whether daemons set SO_REUSEADDR"),
    Item("DETAILED_TRACEBACK", _truth, False, CALL, "whether remote tracebacks show local variables"),
    Item("THREADPOOL_SIZE", _integer(1, 100000), 80, DAEMON, "most threads that run methods at once"),
    Item("THREADPOOL_SIZE_MIN", _integer(1, 100000), 4, CALL, "threads that are kept when there is nothing to do"),
    Item(
        "REQUEST_QUEUE_SIZE",
        _integer(0, 1000000),
        1000,
        DAEMON,
        "most requests that wait while THREADPOOL_SIZE methods run",
    ),
    Item("AUTOPROXY", _truth, True, CALL, "whether registered objects travel as proxies"),
    Item(
        "MAX_MESSAGE_SIZE",
        _integer(0, 0xFFFFFFFF),
        1073741824,
        CONNECTION,
        "limit of a message in bytes; 0: the format's 4 GiB",
    ),
    Item(
        "BROADCAST_ADDRS", _addresses, ["<broadcast>", "0.0.0.0"], LOOKUP, "addresses to which discovery is broadcast"
    ),
    Item(
        "PREFER_IP_VERSION",
        _one_of(4, 6, 0),
        4,
        CONNECTION,
        "kind of address that is tried first; 0: as the system says",
    ),
    Item(
        "SERIALIZER", _text, "native", CALL, "serializer of outgoing calls; native: the peer's best, serpent for Pyro"
    ),
    Item(
        "SERIALIZERS_ACCEPTED",
        _names,
        ["json", "msgpack", "native", "serpent"],
        DAEMON,
        "serializers that a daemon reads; marshal and the pickles only if they are named here",
    ),
    Item("PROTOCOL", _one_of(0, 502, 48), 0, CONNECTION, "protocol version that proxies speak; 0: they find out"),
    Item("SERPENT_BYTES_REPR", _truth, False, CALL, "whether serpent writes bytes as a literal instead of base64"),
    Item(
        "PICKLES_ON_LOOPBACK",
        _truth,
        True,
        CONNECTION,
        "whether pickles, where they are chosen, need no key on localhost if the other end is the same user's (Linux)",
    ),
    Item("PICKLE_PROTOCOL_VERSION", _integer(2, 5), 5, CALL, "format of the pickles that are written"),
    Item(
        "COMPRESSION", _truth, False, CALL, "whether payloads of 200 bytes and more are compressed when that is shorter"
    ),
    Item("SEND_HANDSHAKE", _truth, False, CALL, "whether _pyroHandshake, a password perhaps, travels with a proxy"),
    Item("SSL", _truth, False, CONNECTION_OR_DAEMON, "whether TCP connections of daemons and proxies are TLS"),
    Item("SSL_SERVERCERT", _text, "", DAEMON, "file with the daemon's certificate (and its key)"),
    Item("SSL_SERVERKEY", _text, "", DAEMON, "file with the key of the daemon's certificate, when it is apart"),
    Item("SSL_SERVERKEYPASSWD", _text, "", DAEMON, "password of that key"),
    Item("SSL_CLIENTCERT", _text, "", CONNECTION, "file with the certificate that proxies show (and its key)"),
    Item("SSL_CLIENTKEY", _text, "", CONNECTION, "file with the key of that certificate, when it is apart"),
    Item("SSL_CLIENTKEYPASSWD", _text, "", CONNECTION, "password of that key"),
    Item("SSL_REQUIRECLIENTCERT", _truth, False, DAEMON, "whether clients must show a certificate"),
    Item(
        "SSL_CACERTS",
        _text,
        "",
        CONNECTION_OR_DAEMON,
        "file or folder with the authorities that are trusted; empty: the system's, for proxies",
    ),
    Item("METADATA", _truth, True, CALL, "whether proxies ask for the remote object's names and check them"),
    Item("REQUIRE_EXPOSE", _truth, True, DAEMON, "whether only members marked with @expose may be called"),
    Item("ITER_STREAMING", _truth, True, CALL, "whether results that are iterators become item streams"),
    Item("ITER_STREAM_LIFETIME", _seconds, 0.0, CALL, "seconds after which an item stream ends; 0: never"),
    Item("ITER_STREAM_LINGER", _seconds, 30.0, CALL, "seconds that an item stream outlives its connection"),
    Item("MAX_STREAMS", _integer(1, 100000000), 10000, CALL, "most open item streams of a daemon"),
    Item("MAX_STREAMS_PER_CONNECTION", _integer(1, 100000000), 1000, CALL, "most open item streams of one connection"),
    Item(
        "MAX_QUEUED",
        _integer(0, 1 << 40),
        67108864,
        DAEMON,
        "bytes of requests that wait while THREADPOOL_SIZE methods run",
    ),
    Item(
        "MAX_RECEIVED",
        _integer(0, 1 << 40),
        268435456,
        DAEMON,
        "bytes that unfinished messages may hold in all, but for one; then big ones wait, and who sends nothing is dropped",
    ),
    Item(
        "SEND_TIMEOUT",
        _seconds,
        30.0,
        DAEMON,
        "seconds in which a client must take some of a reply that waits; 0: no limit",
    ),
    Item(
        "MAX_UNSENT",
        _integer(0, 1 << 40),
        33554432,
        DAEMON,
        "bytes of replies that may wait for slow clients, but for one that waits alone; then who takes nothing is dropped",
    ),
    Item(
        "KEEPALIVE",
        _integer(0, 32767),
        60,
        CONNECTION_OR_DAEMON,
        "seconds after which a TCP peer counts as gone whose system answers nothing; 0: the system's hours",
    ),
    Item("HANDSHAKE_TIMEOUT", _seconds, 10.0, CONNECTION, "seconds that a new connection has for its handshake"),
    Item(
        "SPIN",
        _integer(0, 100000),
        50,
        CONNECTION_OR_DAEMON,
        "microseconds to look for the next message before sleeping; 0: only yield once",
    ),
    Item(
        "BLOCK_POOL_SIZE",
        _integer(0, 1 << 40),
        268435456,
        CONNECTION,
        "bytes of memory kept for arrays to come; idle memory is given back after seconds",
    ),
    Item(
        "DECODE_MEMORY",
        _integer(0, 1 << 40),
        67108864,
        CALL,
        "bytes that the values of any message may take in memory, beside what DECODE_MEMORY_RATIO allows",
    ),
    Item(
        "DECODE_MEMORY_RATIO", _integer(1, 10000), 16, CALL, "bytes that its values may take for each byte that arrived"
    ),
    Item(
        "INFLATED_SIZE",
        _integer(0, 0xFFFFFFFF),
        2097152,
        CALL,
        "bytes that any compressed payload may become, beside what INFLATED_RATIO allows",
    ),
    Item(
        "INFLATED_RATIO", _integer(1, 10000), 50, CALL, "bytes that a compressed payload may become for each of its own"
    ),
    Item(
        "MAX_BATCH_RESULTS", _integer(0, 0xFFFFFFFF), 134217728, CALL, "bytes of a batch's results; 0: MAX_MESSAGE_SIZE"
    ),
    Item(
        "PORTABLE",
        _truth,
        False,
        CONNECTION_OR_DAEMON,
        "use the portable channel and poller instead of the native ones",
    ),
)

SECRETS = frozenset({"SSL_SERVERKEYPASSWD", "SSL_CLIENTKEYPASSWD"})
"""Items whose values are shown to nobody."""


def without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return items as they may be shown: where a password is set, it says no more than that."""
    return {name: MASKED if value and name in SECRETS else value for name, value in values.items()}


_BY_NAME = {item.name: item for item in ITEMS}


_listeners: dict[str, list[Callable[[], None]]] = {}


def on_change(name: str, function: Callable[[], None]) -> None:
    """Have a function called whenever an item may have changed, for what was made by its former value."""
    _listeners.setdefault(name, []).append(function)


def _tell(name: str) -> None:
    for function in _listeners.get(name, ()):
        function()


class Configuration:
    """Holds the configuration items as attributes; the names are those of ``ITEMS``.

    Assigning checks the value: TypeError or ValueError say what is expected. Unknown names raise AttributeError.
    From when on a changed value counts, ``counts_from`` of each item says.
    """

    __slots__ = tuple(item.name for item in ITEMS)

    def __init__(self) -> None:
        self.reset()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no configuration item {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        item = _BY_NAME.get(name)
        if item is None:
            raise AttributeError(f"there is no configuration item {name!r}; `fastpyro config` lists them")
        try:
            checked = item.check(value)
        except (TypeError, ValueError) as error:
            given = MASKED if name in SECRETS else repr(value)
            raise type(error)(f"configuration item {name}: {error}, not {given}") from None
        object.__setattr__(self, name, checked)
        _tell(name)

    def reset(self, use_environment: bool = True) -> None:
        """Set every item to its default, or to what the environment says for it.

        Raises ValueError for an environment variable whose value does not fit.
        """
        for item in ITEMS:
            default = list(item.default) if isinstance(item.default, list) else item.default
            object.__setattr__(self, item.name, default)
        if use_environment:
            self._take_environment(os.environ)
        for name in _listeners:
            _tell(name)

    def _take_environment(self, environment: Mapping[str, str]) -> None:
        for prefix in PREFIXES:
            for item in ITEMS:
                text = environment.get(prefix + item.name)
                if text is None:
                    continue
                try:
                    object.__setattr__(self, item.name, item.check(text))
                except (TypeError, ValueError) as error:
                    raise ValueError(f"environment variable {prefix}{item.name}: {error}, not {text!r}") from None

    def as_dict(self) -> dict[str, Any]:
        """Return all items and their values."""
        return {item.name: getattr(self, item.name) for item in ITEMS}

    asDict = as_dict

    def copy(self) -> Configuration:
        """Return an independent object with the same values."""
        copied = Configuration.__new__(Configuration)
        for name, value in self.as_dict().items():
            object.__setattr__(copied, name, list(value) if isinstance(value, list) else value)
        return copied

    def dump(self) -> str:
        """Return a text with versions and all items, one a line; passwords are not shown."""
        lines = [
            f"fastpyro version: {__version__}",
            f"protocol version: {PROTOCOL_VERSION}",
            f"Python version: {sys.version.split()[0]} ({sys.platform})",
            "Currently active configuration settings:",
        ]
        lines += [f"{name} = {value!r}" for name, value in sorted(without_secrets(self.as_dict()).items())]
        return "\n".join(lines)


config = Configuration()
