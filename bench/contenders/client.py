"""What every client of a contender can do; a library's own file fills in how."""

from __future__ import annotations

from typing import Any


class Client:
    """One connection to a server. ``remote`` is whatever has the subject's methods.

    ``batch(n)``, ``items(n)``, ``oneway(n)``, ``futures(n)`` and the arrays are None where the library has no such thing.
    """

    remote: Any
    batch: Any = None
    items: Any = None
    oneway: Any = None
    futures: Any = None
    upload_array: Any = None
    download_array: Any = None
    echo_array: Any = None

    def null(self) -> None:
        self.remote.null()

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return self.remote.echo(*args, **kwargs)

    def add(self, left: int, right: int) -> Any:
        return self.remote.add(left, right)

    def rows(self, rows: Any) -> Any:
        return self.remote.rows(rows)

    def upload(self, data: bytes) -> Any:
        return self.remote.upload(data)

    def download(self, size: int) -> Any:
        return self.remote.download(size)

    def echo_bytes(self, data: bytes) -> Any:
        return self.remote.echo_bytes(data)

    def cpu_seconds(self) -> float:
        return float(self.remote.cpu_seconds())

    def close(self) -> None:
        """End the connection."""
