"""The object that every daemon has under the id "Pyro.Daemon": metadata, item streams, and a look at the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastpyro._version import __version__
from fastpyro.callcontext import current_context
from fastpyro.constants import DAEMON_NAME
from fastpyro.server.exposure import expose, oneway
from fastpyro.server.item_pulls import ItemPulls
from fastpyro.server.object_ids import AUTOMATIC
from fastpyro.values.checked import text_of

if TYPE_CHECKING:
    from fastpyro.server.service import Service

__all__ = ["DaemonObject"]


class DaemonObject:
    """The daemon itself, for clients. Subclass it and pass the class as ``Daemon(interface=…)`` to add more."""

    __module__ = "fastpyro"

    def __init__(self, daemon: Service) -> None:
        self.daemon = daemon
        self._item_pulls = ItemPulls(daemon)

    @expose
    def registered(self) -> list[str]:
        """Return the ids of the registered objects that were given one.

        Ids that the daemon made ("obj_…") are left out: only who was given such a URI shall reach its object.
        """
        return [object_id for object_id in list(self.daemon.objectsById) if not object_id.startswith(AUTOMATIC)]

    @expose
    def ping(self) -> None:
        """Do nothing; tells that the daemon answers."""

    @expose
    def info(self) -> str:
        """Return a text about the daemon."""
        daemon = self.daemon
        kind = type(getattr(daemon, "transportServer", None)).__name__
        return (
            f"{DAEMON_NAME} bound on {daemon.locationStr}, NAT {daemon.natLocationStr}, {len(daemon.objectsById)} objects "
            f"registered. Servertype: {kind} (fastpyro {__version__})"
        )

    @expose
    def get_metadata(self, objectId: str, as_lists: bool = False, details: bool = False) -> dict[str, Any]:
        """Return the names of an object's methods, oneway methods and attributes: sets, or with ``as_lists`` lists; with
        ``details`` also their signatures and docstrings. Raises DaemonError for an unknown object."""
        metadata = self.daemon.metadata(text_of(objectId, "the id of an object"), details is True)
        if as_lists is not True:
            return metadata
        return {key: list(names) if isinstance(names, set) else names for key, names in metadata.items()}

    @expose
    def get_next_stream_item(self, streamId: str) -> Any:
        """Return the next item of a stream, or raise StopIteration at its end."""
        return self.daemon.streams.next_item(text_of(streamId, "the id of a stream"), current_context.client)

    @expose
    def pull_stream_items(self, streamId: str, most: int, size: int, position: int, ahead: bool = False) -> Any:
        """Return some of the next items of a stream, for native clients: see `item_pulls`."""
        return self._item_pulls.pull(streamId, most, size, position, ahead)

    @expose
    @oneway
    def close_stream(self, streamId: str) -> None:
        """End a stream whose items nobody wants any more."""
        self.daemon.streams.close(text_of(streamId, "the id of a stream"))
