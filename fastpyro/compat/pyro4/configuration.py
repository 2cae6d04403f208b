"""Pyro4.configuration: its configuration items and their defaults, and the command that shows them."""

from __future__ import annotations

import os
import pickle
import sys
from importlib.util import find_spec
from typing import Any

from fastpyro.client.connecting import connected_callers
from fastpyro.compat.shared.config_view import PeerConfiguration, head_lines
from fastpyro.compat.shared.module_names import also_there
from fastpyro.config import config as _config
from fastpyro.config import without_secrets

from .constants import PROTOCOL_VERSION, VERSION

__all__ = ["Configuration", "config", "main"]

__getattr__ = also_there(__name__, "constants", "os platform socket sys")

# Dill writes what pickle writes at the most; it is not imported here because that takes long.
ITEMS: dict[str, Any] = {
    "AUTOPROXY": True,
    "BROADCAST_ADDRS": "<broadcast>, 0.0.0.0",
    "COMMTIMEOUT": 0.0,
    "COMPRESSION": False,
    "DETAILED_TRACEBACK": False,
    "DILL_PROTOCOL_VERSION": pickle.HIGHEST_PROTOCOL if find_spec("dill") else -1,
    "FLAME_ENABLED": False,
    "HOST": "localhost",
    "ITER_STREAMING": True,
    "ITER_STREAM_LIFETIME": 0.0,
    "ITER_STREAM_LINGER": 30.0,
    "JSON_MODULE": "json",
    "LOGWIRE": False,
    "MAX_MESSAGE_SIZE": 0,
    "MAX_RETRIES": 0,
    "METADATA": True,
    "NATHOST": None,
    "NATPORT": 0,
    "NS_AUTOCLEAN": 0.0,
    "NS_BCHOST": None,
    "NS_BCPORT": 9091,
    "NS_HOST": "localhost",
    "NS_PORT": 9090,
    "ONEWAY_THREADED": True,
    "PICKLE_PROTOCOL_VERSION": pickle.HIGHEST_PROTOCOL,
    "POLLTIMEOUT": 2.0,
    "PREFER_IP_VERSION": 4,
    "REQUIRE_EXPOSE": True,
    "SERIALIZER": "serpent",
    "SERIALIZERS_ACCEPTED": {"serpent", "marshal", "json"},
    "SERVERTYPE": "thread",
    "SOCK_NODELAY": False,
    "SOCK_REUSE": True,
    "SSL": False,
    "SSL_CACERTS": "",
    "SSL_CLIENTCERT": "",
    "SSL_CLIENTKEY": "",
    "SSL_CLIENTKEYPASSWD": "",
    "SSL_REQUIRECLIENTCERT": False,
    "SSL_SERVERCERT": "",
    "SSL_SERVERKEY": "",
    "SSL_SERVERKEYPASSWD": "",
    "THREADPOOL_SIZE": 40,
    "THREADPOOL_SIZE_MIN": 4,
    "USE_MSG_WAITALL": True,
}


class Configuration(PeerConfiguration):
    """Pyro4's configuration: its items are attributes of ``Pyro4.config``."""

    def __init__(self) -> None:
        super().__init__(ITEMS)

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        if name == "BROADCAST_ADDRS" and not isinstance(value, str):
            return ", ".join(address or "''" for address in value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "MAX_MESSAGE_SIZE":
            for proxy in list(connected_callers.values()):  # Pyro looks at it for each message
                connection = proxy._pyroConnection
                if connection is not None:
                    connection.set_max_message_size(_config.MAX_MESSAGE_SIZE)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        # Whoever patches an item for a while (unittest.mock, pytest) looks here whether it is there.
        return self.asDict()

    def reset(self, useenvironment: bool = True) -> None:
        """Set every item to Pyro4's default, or to what the environment says (``PYRO_`` and its name)."""
        super().reset(useenvironment)
        _config.NS_BROADCAST = True

    def asDict(self) -> dict[str, Any]:
        """Return all items and their values; what is changed in there changes nothing else."""
        return {**self.as_dict(), "SERIALIZERS_ACCEPTED": set(self.SERIALIZERS_ACCEPTED)}

    def parseAddressesString(self, addresses: str) -> list[str]:
        """Return the addresses of a text with commas between them; two quotes stand for an empty one."""
        return ["" if part.strip() == "''" else part.strip() for part in addresses.split(",")]

    def dump(self) -> str:
        """Return a text with versions and all items, one a line; passwords are not shown."""
        logging = {name: os.environ.get(f"PYRO_{name}") for name in ("LOGFILE", "LOGLEVEL")}
        values = {**without_secrets(self.asDict()), **logging}
        return "\n".join([*self._head(), *(f"{name} = {value}" for name, value in sorted(values.items()))])

    def _head(self) -> list[str]:
        folder = os.path.dirname(os.path.abspath(__file__))
        return head_lines(VERSION, folder, PROTOCOL_VERSION, "Currently active configuration settings:")


# A module that is run as a program is a second one: both have the one configuration.
_first: Any = sys.modules.get("Pyro4.configuration")
config: Any = Configuration() if _first is None or not hasattr(_first, "config") else _first.config


def main() -> None:
    """Print versions and configuration."""
    print(config.dump())


if __name__ == "__main__":
    main()
