"""Addresses, networks and interfaces: what the constructors make, sooner."""

from __future__ import annotations

import ipaddress
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpyro.values.ip_addresses import CLASSES, MAKERS

NUMBERS = {4: st.integers(0, 2**32 - 1), 6: st.integers(0, 2**128 - 1)}


TEXTS = [
    "1.2.3.4", "01.2.3.4", "1.2.3", "1.2.3.4/8", "1.0.0.0/8", "1.0.0.0/08", "1.0.0.0/255.0.0.0", "1.2.3.4/31", "1.2.3.4/33",
    "1.2.3.4/-1", "1.2.3.4/", "/8", "", "/", "1.2.3.4/8/8", "1.2.3.4\0", " 1.2.3.4", "\u0661.2.3.4", "1.2.3.4/\u0668", "::",
    "::1%eth0", "::/0", "1::%1/64", "fe80::/10", "fe80::1/127", "::ffff:1.2.3.4", "::ffff:1.2.3.4/96", "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8:9", "12345::", ":::", "%",
]  # fmt: skip


def outcome(make: Any, text: str) -> Any:
    try:
        return make(text)
    except ValueError as error:
        return type(error), str(error)


def check(kind: str, text: str) -> None:
    ours, real = outcome(MAKERS[kind], text), outcome(CLASSES[kind], text)
    assert type(ours) is type(real)
    assert ours == real
    if not isinstance(ours, tuple):
        assert (str(ours), hash(ours), pickle.loads(pickle.dumps(ours))) == (str(real), hash(real), real)
        assert list(getattr(ours, "__dict__", {})) == list(getattr(real, "__dict__", {}))


def test_the_quick_way_is_taken() -> None:
    assert all(MAKERS[kind] is not CLASSES[kind] for kind in CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_all_sorts(kind: str, text: str) -> None:
    check(kind, text)


@given(st.data())
def test_whatever_there_is(data: st.DataObject) -> None:
    version = data.draw(st.sampled_from([4, 6]))
    address = (
        ipaddress.ip_address(data.draw(NUMBERS[version]))
        if version == 4
        else ipaddress.IPv6Address(data.draw(NUMBERS[6]))
    )
    prefix = data.draw(st.integers(0, 33 if version == 4 else 129))
    check(f"IPv{version}Address", str(address))
    for kind in ("Network", "Interface"):
        check(f"IPv{version}{kind}", f"{address}/{prefix}")
    if prefix <= address.max_prefixlen:
        network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
        check(f"IPv{version}Network", str(network))
