"""Which names are out of reach for clients, whatever an object exposes: both sides go by it."""

from __future__ import annotations

__all__ = ["is_private_attribute"]

_NEVER_EXPOSED_NAMES = """
init init_subclass class module weakref call new del repr str unicode format nonzero bool coerce cmp eq ne
hash ge gt le lt dir enter exit copy deepcopy sizeof getattr setattr hasattr getattribute delattr
instancecheck subclasscheck getinitargs getnewargs getstate setstate reduce reduce_ex getstate_for_dict
setstate_from_dict subclasshook dict doc slots annotations globals code closure self func mro bases base
subclasses import loader builtins set_name prepare class_getitem fspath
"""
_NEVER_EXPOSED = frozenset(f"__{name}__" for name in _NEVER_EXPOSED_NAMES.split())
"""Dunder names that no decorator can expose: construction, identity, comparison, serialization, reflection."""


def is_private_attribute(name: str) -> bool:
    """Return whether a name is out of reach for clients, whatever is exposed."""
    if name in _NEVER_EXPOSED:
        return True
    if not name.startswith("_"):
        return False
    return not (len(name) > 4 and name.startswith("__") and name.endswith("__"))
