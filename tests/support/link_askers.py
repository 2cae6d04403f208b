"""Threads that ask over a link, and the other end of it."""

from __future__ import annotations

import threading

from socket_pairs import DEADLINE

from fastpyro.protocol._message import Message, Outgoing
from fastpyro.transport._link import Link

INVOKE, RESULT, NATIVE = 4, 5, 70


def reply(peer: Link, message: Message) -> None:
    peer.send(Outgoing(RESULT, 0, message.seq, NATIVE, message.payload))


def ask(link: Link, seq: int, timeout: float | None = None) -> bytes:
    return link.exchange(Outgoing(INVOKE, 0, seq, NATIVE, b"%d" % seq), timeout=timeout).payload


class Asker:
    """A thread that makes one exchange."""

    def __init__(self, link: Link, seq: int, timeout: float | None = None) -> None:
        self.answer: bytes | None = None
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._work, args=(link, seq, timeout), daemon=True)
        self.thread.start()

    def _work(self, link: Link, seq: int, timeout: float | None) -> None:
        try:
            self.answer = ask(link, seq, timeout)
        except BaseException as error:
            self.failure = error

    def wait(self) -> Asker:
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()
        return self
