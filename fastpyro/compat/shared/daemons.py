"""Daemons with the manners of Pyro's, the same in both Pyros."""

from __future__ import annotations

import contextlib
import weakref
from typing import Any, ClassVar

import fastpyro.server.daemon
import fastpyro.uri
from fastpyro.errors import DaemonError

__all__ = ["PeerDaemon"]


class PeerDaemon(fastpyro.server.daemon.Daemon):
    """For the ``Daemon`` of a peer. Attribute of it: ``_uri_class``, the peer's URI."""

    _uri_class: ClassVar[type[fastpyro.uri.URI]]
    _gone: weakref.WeakValueDictionary[int, Any] | None = None
    """Objects that were unregistered by their ids, by identity: unregistering them again is no error in Pyro."""

    def uriFor(self, objectOrId: Any, nat: bool = True) -> Any:
        """Return the URI of a registered object, or of any id; see fastpyro.Daemon."""
        return self._uri_class(super().uriFor(objectOrId, nat))

    def unregister(self, objectOrId: Any) -> None:
        """Make an object unreachable again; see fastpyro.Daemon."""
        gone = self._gone
        if isinstance(objectOrId, str):
            found = self.registered_as(objectOrId)
            super().unregister(objectOrId)
            self._keep_attributes(found, objectOrId)
            if type(found).__weakrefoffset__ and objectOrId not in self.objectsById:
                if gone is None:
                    gone = self._gone = weakref.WeakValueDictionary()
                gone[id(found)] = found
        elif gone is None or gone.get(id(objectOrId)) is not objectOrId or objectOrId is None:
            super().unregister(objectOrId)
        elif self._is_registered(objectOrId):  # again, since then
            del gone[id(objectOrId)]
            super().unregister(objectOrId)

    def _keep_attributes(self, found: Any, object_id: str) -> None:
        """Leave in an object that was unregistered by its id what Pyro leaves there; nobody believes it."""
        if found is not None and object_id not in self.objectsById and hasattr(found, "__dict__"):
            with contextlib.suppress(Exception):  # as when it was registered: some take no attributes
                found._pyroId, found._pyroDaemon = object_id, self

    def _check_free(self, obj_or_class: Any, object_id: str) -> None:
        try:
            super()._check_free(obj_or_class, object_id)
        except DaemonError as error:  # Pyro's text is the first part, and programs may compare it
            text, _, found = str(error).rpartition(": ")
            plain = DaemonError(text)
            plain.add_note(f"the id is {found}")
            raise plain from None

    @property
    def _pyroInstances(self) -> dict[type, Any]:
        return self.instances.singles

    def _getInstance(self, clazz: type, conn: Any) -> Any:
        """Return the object of a registered class that a call over a connection is for; made now if there is none."""
        return self.instances.get(clazz, conn)

    def _is_registered(self, obj: Any) -> bool:
        return any(self._registered(object_id) is obj for object_id in list(self.objectsById))

    @property
    def selector(self) -> Any:
        """What waits for all connections, in a multiplexed daemon. Raises TypeError in one with threads."""
        return self.transportServer.selector

    @property
    def _shutting_down(self) -> bool:
        return self._closed or bool(self.transportServer.draining.begun)
