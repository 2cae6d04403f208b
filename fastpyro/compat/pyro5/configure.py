"""Pyro5.configure: its configuration items and their defaults."""

from __future__ import annotations

import os
from typing import Any

from fastpyro.compat.shared.config_view import FASTPYRO_ITEMS, PREFIX, PeerConfiguration, head_lines
from fastpyro.compat.shared.module_names import also_there
from fastpyro.config import config as _config
from fastpyro.constants import PROTOCOL_VERSION

VERSION = "5.17"
"""The version of Pyro5 whose programs run here."""

ITEMS: dict[str, Any] = {
    "HOST": "localhost",
    "NS_HOST": "localhost",
    "NS_PORT": 9090,
    "NS_BCPORT": 9091,
    "NS_BCHOST": None,
    "NS_AUTOCLEAN": 0.0,
    "NS_LOOKUP_DELAY": 0.0,
    "NATHOST": None,
    "NATPORT": 0,
    "COMPRESSION": False,
    "SERVERTYPE": "thread",
    "COMMTIMEOUT": 0.0,
    "POLLTIMEOUT": 2.0,
    "MAX_RETRIES": 0,
    "SOCK_REUSE": True,
    "SOCK_NODELAY": False,
    "DETAILED_TRACEBACK": False,
    "THREADPOOL_SIZE": 80,
    "THREADPOOL_SIZE_MIN": 4,
    "MAX_MESSAGE_SIZE": 1073741824,
    "BROADCAST_ADDRS": ["<broadcast>", "0.0.0.0"],
    "PREFER_IP_VERSION": 0,
    "SERIALIZER": "serpent",
    "SERPENT_BYTES_REPR": False,
    "ITER_STREAMING": True,
    "ITER_STREAM_LIFETIME": 0.0,
    "ITER_STREAM_LINGER": 30.0,
    "LOGFILE": os.environ.get("PYRO_LOGFILE", "pyro5.log"),
    "LOGLEVEL": os.environ.get("PYRO_LOGLEVEL") or None,
    "LOGWIRE": False,
    "SSL": False,
    "SSL_SERVERCERT": "",
    "SSL_SERVERKEY": "",
    "SSL_SERVERKEYPASSWD": "",
    "SSL_CLIENTCERT": "",
    "SSL_CLIENTKEY": "",
    "SSL_CLIENTKEYPASSWD": "",
    "SSL_REQUIRECLIENTCERT": False,
    "SSL_CACERTS": "",
}


class Configuration(PeerConfiguration):
    """Pyro5's configuration: its items are attributes of ``Pyro5.config``."""

    def __init__(self) -> None:
        super().__init__(ITEMS)

    def reset(self, use_environment: bool = True) -> None:
        """Set every item to Pyro5's default, or to what the environment says (``PYRO_`` and its name).

        Raises ValueError for a value that does not fit, and for a variable whose name begins so and is no item's.
        """
        for variable in os.environ if use_environment else ():
            if variable.startswith(PREFIX) and variable[len(PREFIX) :] not in {*ITEMS, *FASTPYRO_ITEMS}:
                raise ValueError(f"invalid Pyro environment config variable: {variable}")
        super().reset(use_environment)

    def _head(self) -> list[str]:
        folder, title = os.path.dirname(os.path.abspath(__file__)), "Currently active global configuration settings:"
        return head_lines(VERSION, folder, PROTOCOL_VERSION, title)


global_config = Configuration()
_config.NS_BROADCAST = True
_config.SERIALIZERS_ACCEPTED = ["native", "serpent", "json", "msgpack", "marshal"]


def dump() -> None:
    """Print versions and configuration."""
    print(global_config.dump())


__getattr__ = also_there(__name__, "", "platform")


if __name__ == "__main__":
    dump()
