"""Paths are made past their constructors, and are the same."""

from __future__ import annotations

import random
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest

from fastpyro import register_dict_to_class
from fastpyro.serializers.registry import get_serializer
from fastpyro.values._paths import build_path, know_path
from fastpyro.values._standard_builders import build_standard_path
from fastpyro.values.class_registry import StateOf, unregister_dict_to_class

PIECES = ["a", "B", ".", "..", "/", "//", "\\", "\\\\", "c:", "C:", ":", " ", "ä", "İ", "con", "x.y", "?"]
NATIVE = get_serializer("native")
CLASSES = [PurePosixPath, PosixPath, PureWindowsPath]


@pytest.mark.parametrize("cls", CLASSES)
def test_a_path_is_as_its_constructor_makes_it(cls: type[PurePath]) -> None:
    assert know_path(cls, issubclass(cls, PureWindowsPath))
    chosen = random.Random(cls.__name__)
    for _ in range(3000):
        text = "".join(chosen.choices(PIECES, k=chosen.randrange(8)))
        made, other = build_path(cls, text), cls(text)
        assert type(made) is cls
        assert (made, str(made), hash(made), made.parts) == (other, str(other), hash(other), other.parts)
        assert (made.drive, made.root, made.suffix, made / "z") == (other.drive, other.root, other.suffix, other / "z")
        assert made.__reduce__() == other.__reduce__()


def test_a_class_that_is_not_known_is_called() -> None:
    class Own(PurePosixPath):
        pass

    assert build_path(Own, "a/b") == Own("a/b")
    assert type(build_path(Own, "a/b")) is Own


def test_a_layout_that_is_not_known_is_left_to_the_constructor() -> None:
    class Counted:
        def __init__(self, text: str) -> None:
            self.text = text

        def __eq__(self, other: Any) -> bool:
            return self.text == other.text  # type: ignore[no-any-return]

        __hash__ = None  # type: ignore[assignment]

    assert not know_path(Counted, False)
    assert build_path(Counted, "a").text == "a"


def test_the_first_path_of_a_message_is_one_too() -> None:
    assert build_standard_path("path", ("PurePosixPath", "a/b")) == PurePosixPath("a/b")


@pytest.mark.parametrize("cls", CLASSES)
def test_a_path_that_somebody_joined_is_a_key(cls: type[PurePath]) -> None:
    build_standard_path("path", ("PurePosixPath", "a"))  # hashes of paths are known from then on
    register_dict_to_class("Joined", lambda name, data: cls("a") / data["__state__"][0] / "B")
    register_dict_to_class("Parts", lambda name, data: cls("A", data["__state__"][0]))
    try:
        sent = {StateOf("Joined", ("c",)): 1, StateOf("Parts", ("d",)): 2}
        assert NATIVE.loads(NATIVE.dumps(sent)) == {cls("a/c/B"): 1, cls("A/d"): 2}
    finally:
        unregister_dict_to_class("Joined")
        unregister_dict_to_class("Parts")
