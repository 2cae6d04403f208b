"""URIs: what is one, what is none, and what comes of it."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpyro._foreign_text import has_controls
from fastpyro.errors import PyroError
from fastpyro.uri import URI


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("PYRO:object@localhost:1234", ("PYRO", "object", None, "localhost", 1234)),
        ("pyro:object@localhost:1234", ("PYRO", "object", None, "localhost", 1234)),
        ("PYRO:a:b/c@10.0.0.1:0", ("PYRO", "a:b/c", None, "10.0.0.1", 0)),
        ("PYRO:object@[::1]:1234", ("PYRO", "object", None, "::1", 1234)),
        ("PYRO:object@[fe80::1%2]:65535", ("PYRO", "object", None, "fe80::1%2", 65535)),
        ("PYRO:object@./u:/tmp/a socket", ("PYRO", "object", "/tmp/a socket", None, None)),
        ("PYRO:object@./u:\0abstract", ("PYRO", "object", "\0abstract", None, None)),
        ("PYRONAME:some.name", ("PYRONAME", "some.name", None, None, None)),
        ("PYRONAME:some.name@host", ("PYRONAME", "some.name", None, "host", 9090)),
        ("PYRONAME:some.name@host:7", ("PYRONAME", "some.name", None, "host", 7)),
        ("PYRONAME:some.name@[::1]", ("PYRONAME", "some.name", None, "::1", 9090)),
        ("PYROMETA:b,a", ("PYROMETA", {"a", "b"}, None, None, None)),
        ("PYROMETA:a,b@host:7", ("PYROMETA", {"a", "b"}, None, "host", 7)),
    ],
)
def test_parts(text: str, parts: tuple[object, ...]) -> None:
    uri = URI(text)
    assert (uri.protocol, uri.object, uri.sockname, uri.host, uri.port) == parts
    again = URI(str(uri))
    assert again == uri
    assert hash(again) == hash(uri)
    assert str(again) == str(uri) == uri.asString()


MALFORMED = [
    "", " ", "a", "PYR", "PYRO", "PYRO:", "PYRO::", "PYRO:a", "PYRO:x@", "PYRO:x@hostname", "PYRO:@hostname:1",
    "PYRO:x@hostname:1:bogus", "PYRO:x y@hostname:1", "PYROX:x@hostname:1", "HTTP:x@hostname:1", "PYRO:x@hostname:",
    "PYRO:x@hostname:port", "PYRO:x@hostname:-1", "PYRO:x@hostname:65536", "PYRO:x@hostname: 1", "PYRO:x@:1",
    "PYRO:12345@./u:sockname:9999", "PYRO:x@./u:", "PYRO:x@[[::1]]:1", "PYRO:x@[localhost]:1", "PYRO:x@[::1]",
    "PYRO:x@[::1]junk:1", "PYRO:x@hostname:\u0661", "PYRO:x@host name:1", "PYRO:x@hostname:1\n",
]  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed(text: str) -> None:
    with pytest.raises(PyroError):
        URI(text)


def test_texts_that_programs_match_on() -> None:
    for text, message in [
        ("PYROX:x@h:1", r"invalid uri \(protocol\)"),
        ("PYRO:x@h:p", "invalid port in uri, port="),
        ("PYRO:x@[[::1]]:1", "enclosed in too many brackets"),
        ("PYRO:x@[host]:1", "must be a numeric ipv6 address"),
    ]:
        with pytest.raises(PyroError, match=message):
            URI(text)


@pytest.mark.parametrize("wrong", [None, 42, b"PYRO:x@h:1", object()])
def test_wrong_types(wrong: object) -> None:
    with pytest.raises(TypeError):
        URI(wrong)  # type: ignore[arg-type]


def test_copies_are_independent() -> None:
    for uri in (URI("PYRO:x@h:1"), URI("PYROMETA:a,b")):
        for copied in (URI(uri), copy.copy(uri), copy.deepcopy(uri), pickle.loads(pickle.dumps(uri))):
            assert copied == uri
            assert copied is not uri
    uri = URI("PYRO:x@h:1")
    assert not any(copied.is_foreign for copied in (uri, URI(uri), copy.copy(uri), copy.deepcopy(uri)))
    arrived = pickle.loads(pickle.dumps(uri))
    assert all(copied.is_foreign for copied in (arrived, URI(arrived), copy.copy(arrived), copy.deepcopy(arrived)))
    meta = URI("PYROMETA:a,b")
    URI(meta).object.add("c")
    assert meta.object == {"a", "b"}


def test_equality_and_display() -> None:
    assert URI("PYRO:x@h:1") != URI("PYRO:x@h:2")
    assert URI("PYRO:x@h:1") != "PYRO:x@h:1"
    assert len({URI("PYROMETA:a,b"), URI("PYROMETA:b,a")}) == 1
    assert "PYRO:x@h:1" in repr(URI("PYRO:x@h:1"))
    assert URI("PYRO:x@[::1]:1").location == "[::1]:1"
    assert URI("PYRONAME:x").location is None
    assert URI.isUnixsockLocation("./u:name")
    assert not URI.isUnixsockLocation("u:name")


@given(st.text(max_size=60) | st.from_regex(r"(?i)pyro(name|meta)?:[^\s]{0,10}@?.{0,20}", fullmatch=True))
def test_any_text_is_a_uri_or_a_pyro_error(text: str) -> None:
    try:
        uri = URI(text)
    except PyroError:
        return
    assert URI(str(uri)) == uri
    assert uri.port is None or 0 <= uri.port <= 65535


@pytest.mark.parametrize("character", ["\n", "\0", "\x1b", "\x7f", "\x9b", "\u202e", "\u200b", "\ud800"], ids=ascii)
@pytest.mark.parametrize(
    "text",
    ["PYRO:a%sb@host:1", "PYRO:x@ho%sst:1", "PYRO:x@./u:/tmp/%s", "PYRONAME:%sx", "PYROMETA:a,%sb", "PY%sRO:x@h:1"],
)
def test_control_characters_are_refused(text: str, character: str) -> None:
    with pytest.raises(PyroError) as caught:
        URI(text % character)
    assert not has_controls(str(caught.value))


def test_abstract_sockets_begin_with_a_nul() -> None:
    uri = URI("PYRO:x@./u:\0name")
    assert uri.sockname == "\0name"
    assert "@./u:\\x00name>" in repr(uri)
    assert URI(str(uri)) == uri
    for text in ("PYRO:x@./u:\0na\0me", "PYRO:x@./u:\0\x1b", "PYRO:x@./u:n\0", "PYRO:@./u:\0x@./u:\0x"):
        with pytest.raises(PyroError):
            URI(text)
