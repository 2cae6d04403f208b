"""Paths are made past their constructors, and are the same."""

from __future__ import annotations

import random
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest

from fastpyro.values._paths import build_path, know_path
from fastpyro.values._standard_builders import build_standard_path

PIECES = ["a", "B", ".", "..", "/", "//", "\\", "\\\\", "c:", "C:", ":", " ", "ä", "İ", "con", "x.y", "?"]
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
