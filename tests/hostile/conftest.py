"""Fixtures of the attack suite: the good clients, and fields to fight on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hostile.battlefield import Bystander, Field, bystanders


@pytest.fixture(scope="session")
def good_clients() -> Iterator[tuple[Bystander, Bystander]]:
    with bystanders() as both:
        yield both


@pytest.fixture
def make_field(good_clients: tuple[Bystander, Bystander]) -> Iterator[Callable[..., Field]]:
    """Make a daemon with options; it is gone when the test ends."""
    with ExitStack() as stack:
        yield lambda *options, servertype="thread": stack.enter_context(
            Field(good_clients, *options, servertype=servertype)
        )


@pytest.fixture(params=["thread", "multiplex"])
def field(request: pytest.FixtureRequest, make_field: Callable[..., Field]) -> Field:
    """A daemon with the default configuration, of both server types."""
    return make_field(servertype=request.param)
