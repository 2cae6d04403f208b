"""A TLS socket that does a bounded work in each step, whatever the peer sends.

`ssl.SSLSocket.recv` goes on for as long as records arrive that carry no data: changes of keys, say, of which a peer may
send millions. Here the records are fed to TLS in pieces (`ssl.MemoryBIO`), one for each step: between them its user looks
at deadlines and at other connections, and a peer that sends records without data is cut off after some.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["TlsSocket"]

HEADER_SIZE = 5
PIECE = 16384 + 512
"""Bytes that one step takes from a peer whose records carry data: a record of the greatest size."""
SMALL_PIECE = 2048
"""Bytes that one step takes from any other: some 75 changes of keys, a millisecond or less."""
MOST_OF_HANDSHAKE = 1 << 17
"""Bytes that a handshake may take; OpenSSL lets a chain of certificates have 100 KiB."""
MOST_EMPTY = 2000
"""Records that may come without data."""
DATA_FOR_ONE = 64
"""Records with data after which one more may come without."""
MOST_ANSWERS = 1 << 16
"""Bytes of TLS's own answers that a peer may leave waiting."""
WRITE_SIZE = 1 << 16


class TlsSocket(socket.socket):
    """A connected socket over which TLS is spoken; it takes ``sock``'s descriptor over.

    ``recv`` raises ssl.SSLWantReadError when what came held no data, though the socket may be blocking: the caller tries
    again. ``send`` returns 0 while the records of these bytes are under way; the caller goes on with the same bytes.
    The shape of the contract is that of OpenSSL. One thread at a time may use it.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._sealed = memoryview(b"")
        self._under_way = 0  # bytes of data whose records are not all sent
        self._is_shaken = False
        self._received = 0  # bytes of the handshake
        self._header, self._skip = b"", 0  # of the next record: what is there of its header, how far away it is
        self._unfinished = 0  # bytes that came of a record that is not whole
        self._empty = 0  # records for which no data came, times DATA_FOR_ONE
        self._piece = SMALL_PIECE
        timeout = sock.gettimeout()
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(timeout)

    @property
    def context(self) -> ssl.SSLContext:
        return self._tls.context

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the peer's certificate, as `ssl.SSLSocket.getpeercert` does; {} or None before there is one."""
        return self._tls.getpeercert(binary_form) if self._is_shaken else None

    def version(self) -> str | None:
        return self._tls.version()

    def cipher(self) -> tuple[str, str, int] | None:
        return self._tls.cipher()

    def pending(self) -> int:
        """Return how many bytes of whole records `recv` has before it asks the system."""
        return self._tls.pending() + max(0, self._incoming.pending - self._unfinished)

    def do_handshake(self, timeout: float = 0.0) -> None:
        """Shake hands, within ``timeout`` seconds (0: as long as it takes). Raises OSError (ssl.SSLError, TimeoutError)."""
        deadline = time.monotonic() + timeout if timeout else 0.0
        while True:
            if deadline:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError("the TLS handshake timed out")
                self.settimeout(left)
            if self._try_handshake():
                if self._flush():
                    return
            elif not self._fill():
                raise ConnectionResetError("the peer closed the connection in the TLS handshake")

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not self.pending() and not self._fill():
            return b""
        try:
            if not (self._is_shaken or self._try_handshake()):
                raise ssl.SSLWantReadError
            data = self._tls.read(size)
        except ssl.SSLWantReadError:
            self._check()
            raise
        finally:
            self._answer()
        self._empty = max(0, self._empty - DATA_FOR_ONE - 1)
        # Two records may have begun that are not read yet: a part of the last one, and the one before.
        self._piece = PIECE if self._empty <= 2 * DATA_FOR_ONE else SMALL_PIECE
        if not self._incoming.pending:  # all that was counted has been read
            self._check()
        return data

    def send(self, data: Any, flags: int = 0) -> int:
        if not self._under_way:
            self._under_way = self._tls.write(memoryview(data)[:WRITE_SIZE])
        if not self._flush():
            return 0
        sent, self._under_way = self._under_way, 0
        return sent

    def sendall(self, data: Any, flags: int = 0) -> None:
        view = memoryview(data)
        while view:
            view = view[self.send(view) :]

    def _try_handshake(self) -> bool:
        """Return whether hands are shaken, as far as the peer's records go. Raises ssl.SSLError when they do not do."""
        if self._is_shaken:
            return True
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._check()
            return False
        finally:
            self._answer()
        self._is_shaken = True
        self._empty = 0  # of what came with it, data may follow, and count too little once
        return True

    def _fill(self) -> bool:
        """Take one piece of what the peer sent; False at its end."""
        piece = super().recv(self._piece)
        self._incoming.write(piece)
        self._received += len(piece)
        self._count_records(piece)
        if self._empty > 2 * DATA_FOR_ONE:
            self._piece = SMALL_PIECE
        return bool(piece)

    def _count_records(self, piece: bytes) -> None:
        data, at, size = self._header + piece, self._skip, self._skip + self._unfinished
        while at + HEADER_SIZE <= len(data):
            self._empty += DATA_FOR_ONE
            size = HEADER_SIZE + (data[at + 3] << 8 | data[at + 4])
            at += size
        self._header, self._skip = data[at:], max(0, at - len(data))
        if self._header:
            self._unfinished = len(self._header)
        else:
            self._unfinished = size - self._skip if self._skip else 0

    def _answer(self) -> None:
        """Send what TLS itself has to say, if the system takes it now; else it goes before the next data."""
        if self._outgoing.pending or self._sealed:
            with contextlib.suppress(BlockingIOError):
                self._flush()

    def _flush(self) -> bool:
        """Send of the records what the system takes in one step. Returns whether all are sent."""
        if not self._sealed:
            self._sealed = memoryview(self._outgoing.read())
        if self._sealed:
            self._sealed = self._sealed[super().send(self._sealed) :]
        return not self._sealed and not self._outgoing.pending

    def _check(self) -> None:
        """Raise ssl.SSLError when the peer has sent too much of what is no data."""
        if not self._is_shaken:
            what, found, most = "bytes in the TLS handshake", self._received, MOST_OF_HANDSHAKE
        else:
            what, found, most = "TLS records without data", self._empty // DATA_FOR_ONE, MOST_EMPTY
        if found > most:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, f"the peer sent {found:,} {what}; {most:,} are allowed")
        if self._outgoing.pending > MOST_ANSWERS:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the peer does not take the answers to TLS records without data")

    def _refuse(self, *arguments: Any, **options: Any) -> NoReturn:
        raise NotImplementedError("over TLS there are recv, send and sendall; this would go past it")

    if not TYPE_CHECKING:
        recv_into = recvfrom = recvfrom_into = recvmsg = recvmsg_into = _refuse
        sendto = sendmsg = sendmsg_afalg = sendfile = dup = _refuse
