"""What Pyro's serializers have forms for. tests/compat/shared/test_registrations.py tries what comes of it."""

from __future__ import annotations

from fastpyro.serializers.peer_rules import RULES
from fastpyro.serializers.registry import IDS, PICKLES, get_serializer


def test_every_format_of_the_peers_has_rules() -> None:
    assert set(RULES) == set(IDS) - PICKLES - {"native"}


def test_plain_types_have_forms_in_formats_whose_libraries_write_them() -> None:
    assert all("builtins.str" in rules.unasked for name, rules in RULES.items() if name != "serpent")


def test_a_frozenset_is_written_as_ever() -> None:
    class Own(frozenset[int]):
        def __iter__(self) -> None:  # type: ignore[override]
            raise AssertionError("what the methods of a subclass say counts nowhere")

    for name, read in (("json", [1]), ("msgpack", [1]), ("marshal", frozenset({1})), ("serpent", {1})):
        serializer = get_serializer(name)
        assert serializer.loads(serializer.dumps(frozenset({1}))) == read
        assert serializer.loads(serializer.dumps([Own({1})])) == [read]


def test_a_state_that_is_a_dict_is_written_without_the_name_of_its_class() -> None:
    class Own:
        def __getstate__(self) -> dict[str, int]:
            return {"only": 5}

    for name in ("json", "msgpack", "marshal"):
        serializer = get_serializer(name)
        assert serializer.loads(serializer.dumps([Own()])) == [{"only": 5}]
