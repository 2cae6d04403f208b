"""Proxies are built in native code as `build_proxy` builds them."""

from __future__ import annotations

from typing import Any

import pytest

from fastpyro.client._proxy_state import is_ordinary_state, ordinary_names
from fastpyro.client.proxy import build_proxy
from fastpyro.errors import PyroError, SerializeError
from fastpyro.values.class_registry import from_state

NAMES = [(), ["a"], ("a", "b"), {"__len__", "_private", "__init__", "é", "x\ny", "a b", ""}, frozenset({"a"})]
URIS = [
    "PYRO:o@h:1",
    "PYRONAME:o",
    "PYROMETA:a,b",
    "PYRO:o@[::1]:7",
    "PYRO:o@./u:a b",
    "pyro:ä@h:1",
    "PYRO:x@./u:\0name",
]


def parts_of(proxy: Any) -> Any:
    return (
        type(proxy),
        str(proxy._pyroUri),
        proxy._pyroUri.is_foreign,
        set(proxy._pyroMethods),
        set(proxy._pyroAttrs),
        set(proxy._pyroOneway),
        type(proxy._pyroOneway),
        proxy._pyroHandshake,
        proxy._pyroSerializer,
        proxy._pyro_metadata_loaded,
        proxy._pyroMaxRetries,
        proxy._pyroTimeout,
        proxy.__getstate__(),
        sorted(dir(proxy)),
    )


@pytest.mark.parametrize("uri", URIS)
@pytest.mark.parametrize("handshake", ["hello", None, 5, {"a": [1, (2, {3})]}])
def test_both_ways_make_the_same_proxy(uri: str, handshake: Any) -> None:
    for names in NAMES:
        for methods in NAMES:
            for serializer in (None, "json", "pickle", "what"):
                state = (uri, names, methods, names, handshake, serializer)
                assert is_ordinary_state(state)
                assert parts_of(from_state("fastpyro.Proxy", state)) == parts_of(build_proxy("", state))


@pytest.mark.parametrize(
    "state",
    [
        None,
        (),
        ("PYRO:o@h:1", (), (), (), None),
        ("PYRO:o@h", (), (), (), None, None),
        (1, (), (), (), None, None),
        ("PYRO:o@h:1", "ab", (), (), None, None),
        ("PYRO:o@h:1", (), (1,), (), None, None),
        ("PYRO:o@h:1", (), (), (), object(), None),
        ("PYRO:o@h:1", (), (), (), None, 5),
        ("PYRO:o@h:1", (), [str(index) for index in range(100_001)], (), None, None),
    ],
)
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises((SerializeError, PyroError)):
        from_state("fastpyro.Proxy", state)


def test_names_that_an_object_can_expose() -> None:
    assert ordinary_names(["a", "_b", "__len__", "__init__", "é", "x\n", "", "y" * 20], 100, 10) == {
        "a",
        "__len__",
        "é",
    }
    assert ordinary_names(["a"] * 3, 2, 10) is None
    assert ordinary_names(["a", 1], 5, 10) is None
    assert ordinary_names("ab", 5, 10) is None


def test_handshake_data_that_is_nested_deeply_is_looked_at_elsewhere() -> None:
    deep: Any = None
    for _ in range(150):
        deep = [deep]
    assert not is_ordinary_state(("PYRO:o@h:1", (), (), (), deep, None))
    assert from_state("fastpyro.Proxy", ("PYRO:o@h:1", (), (), (), deep, None))._pyroHandshake is deep
