"""Escaping is as it would be character by character, in Python."""

from __future__ import annotations

import sys

from fastpyro._escapes import escaped, has_others, joined_lines

KEPT = "\n\xa0"


def test_every_character() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    expected = "".join(
        each if each.isprintable() or each in KEPT else each.encode("unicode_escape").decode("ascii")
        for each in everything
    )
    assert escaped(everything, KEPT) == expected


def test_one_of_each_width() -> None:
    for text in ("", "abc", "ä", "ab\x1b", "\u202e", "€\x00", "\U0001f600", "\U000e0001", "\ud800", "\t\r\n", "\xad"):
        pieces = (
            each if each.isprintable() or each in KEPT else each.encode("unicode_escape").decode() for each in text
        )
        assert escaped(text, KEPT) == "".join(pieces)
        assert has_others(text, KEPT) == any(not each.isprintable() and each not in KEPT for each in text)


def test_lines() -> None:
    assert joined_lines([]) == ""
    assert joined_lines(["a", "b\n", "", "c\nd"]) == "a\nb\n\nc\nd\n"
