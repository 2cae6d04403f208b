"""The pickles, and the names under which fastpyro's classes travel in them."""

from __future__ import annotations

import importlib.util
import pickle
import pickletools
import sys
from typing import Any

import pytest

import fastpyro
from fastpyro.errors import NamingError, SerializeError, ServerOverloadedError
from fastpyro.serializers.pickles import PickleCodec, is_reading
from fastpyro.values.exceptions import with_traceback
from fastpyro.values.peer_dicts import FailedCall

codec = PickleCodec("pickle")

MODULES = ["pickle", "dill", "cloudpickle"]


class Served:
    """An object of a daemon."""

    @fastpyro.expose
    def nothing(self) -> None: ...


def strings_in(data: bytes) -> set[Any]:
    return {argument for _, argument, _ in pickletools.genops(data)}


def test_plain_values_and_calls() -> None:
    value = (1, {2}, b"x", {"k": [None]})
    assert codec.decode(codec.encode(value)) == value == pickle.loads(codec.encode(value))
    assert codec.decode_call(codec.encode_call("o", "m", (1,), {"k": 2})) == ("o", "m", (1,), {"k": 2})


def test_lists_that_hold_themselves() -> None:
    value: list[Any] = [42, fastpyro.Proxy("PYRO:x@h:1")]
    value.append(value)
    read = codec.decode(codec.encode(value))
    assert read[2] is read
    around = [[1, value]]
    read = codec.decode(codec.encode(around))
    assert read[0][1][2] is read[0][1]


@pytest.mark.parametrize("module", MODULES)
def test_there_and_back_in_each_of_them(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    other = PickleCodec(module)
    value = [1, ("x", b"y"), {"k": {2.5}}, None]
    assert other.decode(other.encode(value)) == value
    uri = fastpyro.URI("PYRO:x@h:1")
    assert {"Pyro4.core", "URI"} <= strings_in(other.encode(uri))
    assert "Pyro4.errors" in strings_in(other.encode(with_traceback(NamingError("gone"), [])))
    if module == "dill" and sys.version_info >= (3, 15):
        return  # dill 0.4 cannot pickle the code of a function there: code objects have no co_lnotab any more
    if module != "pickle":
        assert other.decode(other.encode(lambda x: x + 1))(2) == 3


def test_errors() -> None:
    data = codec.encode(with_traceback(NamingError("gone"), ["remote\n"]))
    assert {"Pyro4.errors", "NamingError"} <= strings_in(data)
    assert "DaemonError" in strings_in(codec.encode(ServerOverloadedError("full")))
    data = codec.encode([1, FailedCall(with_traceback(KeyError("k"), []))])
    assert {"Pyro4.futures", "_ExceptionWrapper"} <= strings_in(data)


def test_uris_proxies_and_served_objects() -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        served = Served()
        uri = daemon.register(served)
        for value in (fastpyro.Proxy(uri), served):
            data = codec.encode([value])
            assert {"Pyro4.core", "Proxy", "URI", uri.object} <= strings_in(data), "Pyro4 takes no text for the URI"
            assert b"fastpyro" not in data
        assert {"Pyro4.core", "URI"} <= strings_in(codec.encode(uri))


def written_by_pyro4(cls: type, module: str, name: str, value: Any) -> bytes:
    """Return a pickle that names a class as Pyro4 does."""
    return pickle.dumps(value, 2).replace(
        f"{cls.__module__}\n{cls.__qualname__}\n".encode(), f"{module}\n{name}\n".encode()
    )


def test_pyro4s_names_are_read() -> None:
    error = codec.decode(written_by_pyro4(NamingError, "Pyro4.errors", "NamingError", NamingError("gone")))
    assert type(error) is NamingError
    uri = fastpyro.URI("PYRO:x@h:1")
    assert codec.decode(written_by_pyro4(fastpyro.URI, "Pyro4.core", "URI", uri)) == uri
    proxy = fastpyro.Proxy(uri)
    data = written_by_pyro4(fastpyro.Proxy, "Pyro4.core", "Proxy", proxy)
    assert codec.decode(data) == proxy
    proxy.__setstate__((uri, {"m"}, {"m"}, set(), 0.0, None, "hey", 0, "json"))
    assert (proxy._pyroOneway, proxy._pyroHandshake, proxy._pyroSerializer) == ({"m"}, "hey", "json")
    failed = codec.decode(written_by_pyro4(FailedCall, "Pyro4.futures", "_ExceptionWrapper", FailedCall(KeyError(1))))
    assert type(failed) is FailedCall


def test_what_is_wrong() -> None:
    with pytest.raises(SerializeError, match="pickled"):
        codec.encode(lambda: None)
    for data in (b"", b"garbage", pickle.dumps((1, 2))[:-1]):
        with pytest.raises(SerializeError, match="no pickle"):
            codec.decode(data)
    with pytest.raises(SerializeError, match="a call"):
        codec.decode_call(codec.encode(1))
    with pytest.raises(SerializeError, match="not available"):
        PickleCodec("no_such_module")


def test_whether_what_is_read_came_from_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    class Asking:
        def __setstate__(self, state: object) -> None:
            seen.append(is_reading())

        def __getstate__(self) -> int:
            return 1

    monkeypatch.setitem(globals(), "Asking", Asking)
    Asking.__qualname__ = "Asking"
    data = codec.encode(Asking())
    codec.decode(data)
    pickle.loads(data)
    with pytest.raises(SerializeError):
        codec.decode(data[:-1])
    pickle.loads(data)
    assert seen == [True, False, False]
