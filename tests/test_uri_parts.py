"""The quick reader of URIs and the thorough one agree, whatever the text."""

from __future__ import annotations

import random
from typing import Any

import pytest

import fastpyro.uri
from fastpyro._uri_parts import ordinary_parts
from fastpyro.errors import PyroError
from fastpyro.uri import URI

PIECES = [
    *("PYRO", "pyro", "PYRONAME", "PyroMeta", "PYROMETA", "PYROX", "ﬀ", ":", ":", ":", "@", "@", "./u:", "[", "]"),
    *("::1", "fe80::1%2", "[::1]:9", "host", ".", ",", "a", "b", " ", "\t", "\xa0", "\x00", "é", "\u202e", "\u0661"),
    *("0", "1", "9090", "65535", "65536", "000001", "+1", "-1", ""),
]


def parts_of(text: str) -> Any:
    try:
        uri = URI(text)
    except PyroError as error:
        return str(error)
    return uri.protocol, uri.object, uri.sockname, uri.host, uri.port


@pytest.mark.parametrize("head", ["", "PYRO:o@", "PYRO:o@h:", "PYRONAME:o@", "PYROMETA:a,b@[", "PYROMETA:"])
def test_both_readers_agree(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = random.Random(head)
    texts = [head + "".join(chosen.choices(PIECES, k=chosen.randrange(8))) for _ in range(2000)]
    quick = [parts_of(text) for text in texts]
    assert any(ordinary_parts(text, 9090) for text in texts)
    monkeypatch.setattr(fastpyro.uri, "ordinary_parts", lambda text, port: None)
    for text, parts in zip(texts, quick, strict=True):
        assert parts_of(text) == parts, text


def test_what_is_ordinary() -> None:
    assert ordinary_parts("PYRO:o@[::1]:7", 1) == ("PYRO", "o", None, "::1", 7)
    assert ordinary_parts("PYROMETA:b,a@h", 1) == ("PYROMETA", {"a", "b"}, None, "h", 1)
    assert ordinary_parts("pyroname:o@./u:path", 1) == ("PYRONAME", "o", "path", None, None)
    for text in ("", "PYRO", "PYRO:", "PYRO:o", "PYRO:o@", "PYRO:o@h", "PYRO:o@h:65536", "PYRO:o@./u:", "PYRO:o p@h:1"):
        assert ordinary_parts(text, 1) is None
    with pytest.raises(TypeError):
        ordinary_parts(None, 1)  # type: ignore[arg-type]


def test_what_came_from_a_peer_is_foreign() -> None:
    for text in ("PYRO:o@h:1", "PYRO:aéb@h:1", "PYRO:x@./u:\0name", URI("PYRO:o@h:1")):
        uri = URI.from_peer(text)
        assert uri.is_foreign
        assert uri == URI(text)
        assert not URI(str(text)).is_foreign
