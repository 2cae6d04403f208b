"""How programs of Pyro say which classes travel: everything that Pyro takes, with the effect that it has there.

Pyro lets a program register any class, and any name, also where a serializer has a form for its objects and never asks.
"""

from __future__ import annotations

from fastpyro.values import registration
from fastpyro.values.class_registry import (
    register_class_as_pyro,
    register_name_as_pyro,
    register_replacement_as_pyro,
)

__all__ = ["Registrations"]


class Registrations(registration.SerializerBase):
    """The functions of ``SerializerBase`` that register classes, by Pyro's rules."""

    register_class_to_dict = staticmethod(register_class_as_pyro)
    register_dict_to_class = staticmethod(register_name_as_pyro)
    register_type_replacement = staticmethod(register_replacement_as_pyro)
