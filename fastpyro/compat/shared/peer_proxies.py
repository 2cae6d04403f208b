"""What the proxies of both Pyros have in common and fastpyro's have not."""

from __future__ import annotations

from typing import Any, ClassVar

import fastpyro.client.proxy
from fastpyro.compat.shared.config_view import PeerConfiguration
from fastpyro.compat.shared.peer_batches import BatchedCalls
from fastpyro.serializers.registry import IDS
from fastpyro.values.class_registry import register_decoder

__all__ = ["PeerProxy", "know_daemon"]

LONGEST_SERIALIZER_NAME = 40
"""Characters; more is no name of any."""


class PeerProxy(BatchedCalls, fastpyro.client.proxy.Proxy):
    """For the ``Proxy`` of a facade: a setting reads as it was set, and as Pyro's before."""

    _pyro_prefetch = 0
    """A generator makes an item when it is asked for one, as Pyro's."""

    _pyro_configuration: ClassVar[PeerConfiguration]
    """The peer's, which shows what a program has set as it did: None may be no limit, and 3 is not 3.0."""

    _pyro_repeats_as_pyro = True

    @property
    def _pyroTimeout(self) -> float | None:
        """Seconds that one call may take, and that connecting for it may take before; None or 0: no limit."""
        usual = type(self)._pyro_configuration.COMMTIMEOUT
        made_with = usual if (usual or 0.0) == self._pyro_timeout else self._pyro_timeout
        given: float | None = self.__dict__.get("_pyro_timeout_given", made_with)
        return given

    @_pyroTimeout.setter
    def _pyroTimeout(self, seconds: float | None) -> None:
        fastpyro.client.proxy.Proxy._pyroTimeout.__set__(self, seconds)  # type: ignore[attr-defined]
        self._pyro_update(_pyro_timeout_given=seconds)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        super().__setstate__(state)
        name = state[5] if len(state) == 6 else None
        if type(name) is str and name not in IDS and len(name) <= LONGEST_SERIALIZER_NAME:
            self._pyro_update(_pyro_serializer=name)  # the first call says that there is none of that name


def know_daemon(cls: type) -> None:
    """Let what stands for a peer's daemon arrive as an object of a class: one that is of no use, and says so."""

    def unusable(self: Any) -> str:
        return f"<{cls.__module__}.{cls.__qualname__} at 0x{id(self):x}; unusable>"

    made: Any = type(cls.__name__, (cls,), {"__module__": cls.__module__, "__repr__": unusable, "__slots__": ()})
    register_decoder("fastpyro.Daemon", lambda class_name, state: made.__new__(made))
