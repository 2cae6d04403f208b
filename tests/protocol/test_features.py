"""What two ends agree on."""

from __future__ import annotations

import pytest

from fastpyro.protocol import features


def test_what_both_know_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "KNOWN", 0b1011)
    assert features.common((0b1110).to_bytes(4, "big")) == 0b1010
    assert features.common(b"\xff" * 4) == 0b1011


@pytest.mark.parametrize("theirs", [b"", b"\xff", b"\xff" * 3, b"\xff" * 5, b"\xff" * 65536])
def test_another_size_names_nothing(theirs: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "KNOWN", 0b1011)
    assert features.common(theirs) == 0


def test_an_end_announces_what_it_knows() -> None:
    assert features.common(features.ANNOUNCED) == features.KNOWN
