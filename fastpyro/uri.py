"""Where an object is: ``PYRO:object@host:port``, ``PYRONAME:name@nameserver``, ``PYROMETA:tag,tag@nameserver``.

Knows the text and its parts; resolving a name is the business of `locate`.
"""

from __future__ import annotations

from fastpyro._foreign_text import has_controls, on_one_line, shown
from fastpyro._light_typing import TYPE_CHECKING
from fastpyro._uri_parts import new_foreign, ordinary_parts
from fastpyro.config import config
from fastpyro.errors import PyroError

if TYPE_CHECKING:
    from typing import Any

__all__ = ["URI", "text_of_parts"]

_IPV6_CHARACTERS = frozenset("0123456789abcdefABCDEF:.%")
_PROTOCOLS = frozenset({"PYRO", "PYRONAME", "PYROMETA"})
_UNIX_PREFIX = "./u:"
_ABSTRACT = "@./u:\0"
"""Before a name in Linux's abstract namespace: the one place where a URI may have a control character."""


def _has_space(text: str) -> bool:
    return text.split(None, 1) != [text]


def _location_of(sockname: str | None, host: str | None, port: int | None) -> str | None:
    if host is not None:
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return None if sockname is None else _UNIX_PREFIX + sockname


def text_of_parts(protocol: str, name: Any, sockname: str | None, host: str | None, port: int | None) -> str:
    """Return the text of a URI with these parts, which need not be well-formed."""
    if type(name) is not str and isinstance(name, set | frozenset | tuple | list):
        name = ",".join(sorted(name))
    location = _location_of(sockname, host, port)
    return f"{protocol}:{name}@{location}" if location else f"{protocol}:{name}"


class URI:
    """The address of an object, taken apart.

    Arguments: ``uri``, a str or another URI. Raises TypeError for anything else, PyroError for a malformed text, and for
    one with control characters.
    Attributes: ``protocol`` ("PYRO", "PYRONAME" or "PYROMETA"), ``object`` (id or name; for PYROMETA a set of tags),
    ``sockname`` (path of a Unix socket) or ``host`` and ``port``; those that do not apply are None.
    """

    __module__ = "fastpyro"

    __slots__ = ("host", "is_foreign", "object", "port", "protocol", "sockname")

    protocol: str
    object: Any
    sockname: str | None
    host: str | None
    port: int | None
    is_foreign: bool
    """Whether the object came from another process, or out of a pickle: somebody else chose where it leads."""

    @classmethod
    def from_peer(cls, text: str | URI) -> URI:
        """Return the URI of a text that somebody else chose. Raises PyroError for a malformed one."""
        uri = new_foreign(cls, text, config.NS_PORT) if type(text) is str else None
        if uri is None:
            uri = cls(text)
            uri.is_foreign = True
        return uri

    def __init__(self, uri: str | URI) -> None:
        if isinstance(uri, URI):
            self.__setstate__(uri.__getstate__())
            self.is_foreign = uri.is_foreign
            return
        if not isinstance(uri, str):
            raise TypeError(f"uri parameter object is of wrong type: expected str or URI, not {type(uri).__name__}")
        parts = ordinary_parts(uri, config.NS_PORT) if type(uri) is str else None
        if parts is not None:
            self.protocol, self.object, self.sockname, self.host, self.port = parts
            self.is_foreign = False
            return
        if not uri.isprintable() and has_controls(uri.replace(_ABSTRACT, "@", 1)):
            raise PyroError(f"invalid uri {shown(uri)}: it has control characters")
        protocol, colon, rest = uri.partition(":")
        name, at, location = rest.partition("@")
        is_pyro = protocol[:4].upper() == "PYRO" and protocol.isascii() and protocol.isalpha()
        if not (is_pyro and colon and name) or _has_space(name) or (at and not location):
            raise PyroError(f"invalid uri {shown(uri)}: expected PYRO:object@host:port, PYRONAME:name or PYROMETA:tags")
        self.protocol = protocol.upper()
        if self.protocol not in _PROTOCOLS:
            raise PyroError(
                f"invalid uri (protocol) {shown(self.protocol)}: expected one of {', '.join(sorted(_PROTOCOLS))}"
            )
        self.object = name
        if self.protocol == "PYROMETA":
            self.object = {tag.strip() for tag in self.object.split(",")}
        self.sockname = self.host = self.port = None
        self.is_foreign = False
        if not at:
            if self.protocol == "PYRO":
                raise PyroError(f"invalid uri {shown(uri)}: a PYRO uri needs a location, @host:port or @./u:path")
            return
        self._take_location(location)

    def _take_location(self, location: str) -> None:
        if location.startswith(_UNIX_PREFIX):
            self.sockname = location[len(_UNIX_PREFIX) :]
            if not self.sockname or ":" in self.sockname:
                raise PyroError(f"invalid uri (location) {shown(location)}: the socket's path is empty or has a colon")
            return
        if location.startswith("["):
            if location.startswith("[["):
                raise PyroError("invalid ipv6 address: enclosed in too many brackets")
            self.host, bracket, rest = location[1:].partition("]")
            if not bracket or not self.host or not _IPV6_CHARACTERS.issuperset(self.host) or rest[:1] not in ("", ":"):
                error = PyroError("invalid ipv6 address: the part between brackets must be a numeric ipv6 address")
                error.add_note(f"it stands in {shown(location)}; a port may follow the brackets")
                raise error
            port = rest[1:]
        else:
            host, _, port = location.partition(":")
            if not host or _has_space(host):
                raise PyroError(f"invalid uri (location) {shown(location)}: expected host:port")
            self.host = host
        self.port = self._port_number(port)

    def _port_number(self, text: str) -> int:
        if not text:
            if self.protocol == "PYRO":
                raise PyroError("invalid port in uri, port=None: a PYRO uri needs one, host:port")
            return config.NS_PORT  # type: ignore[no-any-return]
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
            raise PyroError(f"invalid port in uri, port={shown(text)}: expected 0 to 65535")
        return int(text)

    @staticmethod
    def isUnixsockLocation(location: str) -> bool:
        """Return whether a location names a Unix socket."""
        return location.startswith(_UNIX_PREFIX)

    @property
    def location(self) -> str | None:
        """The part behind the @, or None."""
        return _location_of(self.sockname, self.host, self.port)

    def __str__(self) -> str:
        return text_of_parts(self.protocol, self.object, self.sockname, self.host, self.port)

    asString = __str__

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} at 0x{id(self):x}; {on_one_line(str(self))}>"

    def _key(self) -> tuple[Any, ...]:
        name = frozenset(self.object) if isinstance(self.object, set | frozenset) else self.object
        return self.protocol, name, self.sockname, self.host, self.port

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, URI) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __copy__(self) -> URI:
        return type(self)(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> URI:
        return type(self)(self)

    def __getstate__(self) -> tuple[Any, ...]:
        name = set(self.object) if isinstance(self.object, set | frozenset) else self.object
        return self.protocol, name, self.sockname, self.host, self.port

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.is_foreign = True
        self.protocol, name, self.sockname, self.host, self.port = state
        self.object = set(name) if self.protocol == "PYROMETA" else name
