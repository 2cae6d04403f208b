"""Whose the other end of a TCP connection within this machine is, as Linux's tables of sockets say it.

Both ends of such a connection are in the table: ours from here to there, the peer's from there to here. An end counts only
if it is found with exactly these addresses and ports, is ESTABLISHED, and belongs to a process now (it has an inode). That
leaves out listeners, connections that nobody has accepted, and what closed ends leave behind: those have the user 0,
who is root.

Which table: that of this thread's network namespace, and our own end must be in it, with the inode that our descriptor
has. A socket that came from another namespace is not, so nothing that is found there is taken for its peer.

Which peer: no second end with the same addresses and ports can become ESTABLISHED while ours is, since what it sends arrives
at ours. So ours is looked up again, behind the peer's: what was found between is the one that it talks to. The peer's is
looked up twice, and the user is that of the second time: while it is being accepted, the inode may be seen before the
user of who accepts.

What is behind NAT or in a container's network of its own has other addresses on each side, and is not found. What is found
is the user who made the socket (accepted or connected it); to whom he hands it, or for whom he relays, no table says.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import time

from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro.errors import TimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    Address = tuple[bytes, int]
    """Packed address (IPv4 in IPv6 form as IPv4) and port."""

__all__ = ["Entry", "await_peer", "ends_of", "peer_entry"]

AF_INET, AF_INET6 = 2, 10  # Linux's numbers
AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG = 16, 2, 4
SOCK_DIAG_BY_FAMILY, IPPROTO_TCP = 20, 6
NLM_F_REQUEST = 1

ESTABLISHED, SYN_RECEIVED = 1, 3

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
_REQUEST = struct.Struct(
    "=BBBBI"
)  # struct inet_diag_req_v2: family, protocol, extensions, padding, states; then the id
_PORTS = struct.Struct("!HH")
_WHO = struct.Struct("=III")  # the rest of struct inet_diag_sockid: interface, cookie
_STATE = struct.Struct("=BB")  # struct inet_diag_msg begins: family, state; two more bytes, then the id
_OWNER = struct.Struct("=II")  # and ends: user, inode
ID_AT = _HEADER.size + 4
OWNER_AT = ID_AT + 48 + 12
ANSWER_SIZE = OWNER_AT + _OWNER.size
ANY_COOKIE = 0xFFFFFFFF

MOST_LINES = 16384
"""Lines that are read of a table in /proc, for one end: a machine with more sockets does not say whose they are."""

MAPPED = b"\0" * 10 + b"\xff\xff"
LOOPBACK6 = b"\0" * 15 + b"\x01"

FIRST_PAUSE, LONGEST_PAUSE = 0.00005, 0.02
MISSING_SECONDS = 1.0
"""How long the daemon's end of a connection may be missing in the table, after connecting: the system makes it then."""


class Entry(NamedTuple):
    """One end of a connection: ``state``, 1 for ESTABLISHED; ``uid`` of its user; ``inode``, 0 for what nobody owns."""

    state: int
    uid: int
    inode: int


def _packed(address: str) -> bytes:
    if ":" not in address:
        return socket.inet_pton(AF_INET, address)
    return _unmapped(socket.inet_pton(AF_INET6, address.partition("%")[0]))


def _unmapped(address: bytes) -> bytes:
    return address[12:] if len(address) == 16 and address.startswith(MAPPED) else address


def ends_of(sock: socket.socket) -> tuple[Address, Address] | None:
    """Return the addresses of both ends of a connected TCP socket; None unless both are loopback ones, on Linux."""
    if sys.platform != "linux" or sock.family not in (AF_INET, AF_INET6):
        return None
    try:
        near, far = sock.getsockname(), sock.getpeername()
        ends = (_packed(near[0]), near[1]), (_packed(far[0]), far[1])
    except OSError:
        return None
    is_loopback = all(address == LOOPBACK6 or (len(address) == 4 and address[0] == 127) for address, _ in ends)
    return ends if is_loopback else None


def entry_by_netlink(near: Address, far: Address) -> Entry | None:
    """Return the entry of the socket from ``near`` to ``far``, asked for by sock_diag(7); None without an answer."""
    import _socket  # whatever a program has put into the module socket

    family = AF_INET if len(near[0]) == 4 else AF_INET6
    identity = _PORTS.pack(near[1], far[1]) + near[0].ljust(16, b"\0") + far[0].ljust(16, b"\0")
    identity += _WHO.pack(0, ANY_COOKIE, ANY_COOKIE)
    request = _REQUEST.pack(family, IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + identity
    header = _HEADER.pack(_HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    try:
        with contextlib.closing(_socket.socket(AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG)) as table:
            table.sendto(header + request, (0, 0))
            answer, sender = table.recvfrom(4096, _socket.MSG_DONTWAIT)  # the kernel answers within sendto
    except OSError:
        return None
    if sender[0] != 0 or len(answer) < ANSWER_SIZE:  # not the kernel's, or an error
        return None
    _, kind, _, number, _ = _HEADER.unpack_from(answer)
    if kind != SOCK_DIAG_BY_FAMILY or number != 1:
        return None
    family, state = _STATE.unpack_from(answer, _HEADER.size)
    size = 4 if family == AF_INET else 16
    near_port, far_port = _PORTS.unpack_from(answer, ID_AT)
    addresses = [_unmapped(answer[at : at + size]) for at in (ID_AT + 4, ID_AT + 20)]
    if ((addresses[0], near_port), (addresses[1], far_port)) != (near, far):
        return None  # where there is no such connection, the kernel answers with the listener
    return Entry(state, *_OWNER.unpack_from(answer, OWNER_AT))


def entry_in_proc(near: Address, far: Address) -> Entry | None:
    """Return the same from the tables in /proc, where netlink is forbidden."""
    for name in ("tcp", "tcp6") if len(near[0]) == 4 else ("tcp6",):
        ends = f" {_written(near, name)} {_written(far, name)} "
        try:
            with open(f"/proc/thread-self/net/{name}", encoding="ascii", errors="replace") as table:
                for _, line in zip(range(MOST_LINES), table, strict=False):
                    if ends in line:
                        fields = line.split()
                        return Entry(int(fields[3], 16), int(fields[7]), int(fields[9]))
        except (OSError, ValueError, IndexError):
            continue
    return None


def _written(end: Address, table: str) -> str:
    """Return an address as the tables in /proc have it: words of 32 bits in the machine's order, then the port."""
    address = MAPPED + end[0] if table == "tcp6" and len(end[0]) == 4 else end[0]
    words = (int.from_bytes(address[at : at + 4], sys.byteorder) for at in range(0, len(address), 4))
    return "".join(f"{word:08X}" for word in words) + f":{end[1]:04X}"


TABLES: tuple[Callable[[Address, Address], Entry | None], ...] = entry_by_netlink, entry_in_proc


def peer_entry(sock: socket.socket) -> Entry | None:
    """Return the entry of the other end of an established loopback connection, or None where the kernel does not say.

    One without an inode is a connection that nobody has accepted; a peer that is missing has the inode 0 and the state 0.
    """
    ends = ends_of(sock)
    if ends is None:
        return None
    near, far = ends
    try:
        inode = os.fstat(sock.fileno()).st_ino
    except OSError:
        return None
    for entry_of in TABLES:
        if not _is_ours(entry_of(near, far), inode):
            continue  # this table is not to be had, or another namespace's
        first, peer = entry_of(far, near), entry_of(far, near)
        if not _is_ours(entry_of(near, far), inode):
            return None
        if first is None or peer is None:
            return Entry(0, 0, 0)
        is_waiting = peer.state in (ESTABLISHED, SYN_RECEIVED) and not first.inode
        if is_waiting or (peer.state == ESTABLISHED and peer.inode == first.inode):
            return Entry(peer.state, peer.uid, first.inode)
        return None
    return None


def _is_ours(entry: Entry | None, inode: int) -> bool:
    return entry is not None and entry.state == ESTABLISHED and entry.inode == inode


def await_peer(sock: socket.socket, seconds: float) -> None:
    """Wait until somebody has accepted a loopback connection from here, or the kernel does not say whether.

    Arguments: ``seconds``, 0 for no limit. Raises TimeoutError after them.
    """
    begun = time.monotonic()
    pause = FIRST_PAUSE
    while (entry := peer_entry(sock)) is not None and not entry.inode:
        waited = time.monotonic() - begun
        if not entry.state and waited > MISSING_SECONDS:
            return
        if seconds and waited >= seconds:
            raise TimeoutError(f"connecting: nobody accepted the connection within {seconds:g} s")
        time.sleep(min(pause, seconds - waited) if seconds else pause)
        pause = min(2 * pause, LONGEST_PAUSE)
