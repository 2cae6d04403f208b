"""Names that the modules of the facades have: those of the real ones, but for those that are listed here with a reason."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from compat.programs import output_of

from fastpyro.compat.shared.module_names import also_there

MODULES = {
    "Pyro5": "api callcontext client configure core errors nameserver nsc protocol serializers server socketutil",
    "Pyro4": "configuration constants core errors futures message naming naming_storage nsc socketutil util",
}

TYPES = set(
    [
        "Any",
        "Callable",
        "Dict",
        "Optional",
        "Sequence",
        "Set",
        "Tuple",
        "Type",
        "TypeVar",
        "Union",
        "MutableMapping",
        "closing",
        "fcntl",
        "_T",
    ]
)
PYTHON_2 = set(["basestring", "buffer", "division", "print_function", "fixIronPythonExceptionForPickle"])
PACKAGES = set(["cloudpickle", "dill", "msgpack"])
LOOP_VARIABLES = set(["name", "t"])
INSIDES = set(
    [
        "_AsyncRemoteMethod",
        "_BatchedRemoteMethod",
        "_OnewayCallThread",
        "_default_methodcall_error_handler",
        "_empty_correlation_id",
        "_header_format",
        "_header_size",
        "_log_wiredata",
        "_magic_number",
        "_magic_number_bytes",
        "_private_dunder_methods",
        "_protocol_version_bytes",
        "_pyro_logfile",
        "_pyro_loglevel",
        "_unpack_weakref",
        "get_ssl_context",
        "log_wiredata",
        "pyro_class_serpent_serializer",
        "recv_stub",
        "serialize_core_object_to_dict",
        "serialize_pyro_object_to_dict",
    ]
)
"""How the peers do it: serializers, TLS contexts and messages are made otherwise here."""

NAMES = """
import importlib, json, sys
package = sys.argv[1]
print(json.dumps({module: dir(importlib.import_module(f"{package}.{module}")) for module in sys.argv[2:]}))
"""

PRESENT = """
import importlib, json, sys
for module, names in json.loads(sys.argv[2]).items():
    found = importlib.import_module(f"{sys.argv[1]}.{module}")
    print(*[name for name in names if not hasattr(found, name)])
"""


@pytest.mark.parametrize("peer", ["Pyro5", "Pyro4"])
def test_names_of_the_real_modules_are_there(peer: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed")
    command = [sys.executable, "-c", NAMES, peer, *MODULES[peer].split()]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(f"{peer} does not run on this Python")
    assert len(json.loads(listed.stdout)) > 10
    missing = set(output_of(peer, tmp_path, PRESENT, peer, listed.stdout).split())
    missing = {name for name in missing if not name.startswith("__")}
    assert missing <= TYPES | PYTHON_2 | PACKAGES | LOOP_VARIABLES | INSIDES


USED = {
    "Pyro5": """
import Pyro5.client
print(Pyro5.core.errors is Pyro5.errors, Pyro5.callcontext.current_context is Pyro5.client.current_context)
print(Pyro5.client.serpent.tobytes({"data": "eA==", "encoding": "base64"}), Pyro5.client.log.name)
import Pyro5.server
print(Pyro5.server.config is Pyro5.config, "COMMTIMEOUT" in Pyro5.config.__slots__)
class Shop:
    @Pyro5.server.expose
    def sell(self): return 1
print(Pyro5.server._get_exposed_members(Shop())["methods"], Pyro5.server._get_attribute(Shop(), "sell")())
from Pyro5.compatibility import Pyro4
print(Pyro4.Proxy("PYRO:x@h:1")._pyroUri, Pyro4.util.getPyroTraceback is Pyro5.errors.get_pyro_traceback)
for refused in (lambda: Pyro4.naming.startNS, lambda: Pyro4.Future(print), lambda: Pyro4.locateNS(hmac_key="x")):
    try:
        refused()
    except NotImplementedError as error:
        print("refused")
""",
    "Pyro4": """
import Pyro4.core
print(Pyro4.core.util is Pyro4.util, Pyro4.core.errors.PyroError is Pyro4.errors.PyroError)
from Pyro4.naming import NamingError, socketutil
print(NamingError is Pyro4.errors.NamingError, socketutil is Pyro4.socketutil, Pyro4.core.log.name)
try:
    Pyro4.core.nothing
except AttributeError as error:
    print(error)
print("SERIALIZER" in Pyro4.config.__slots__)
""",
}
PRINTED = {
    "Pyro5": "True True\nb'x' Pyro5.client\nTrue True\n{'sell'} 1\nPYRO:x@h:1 True" + "\nrefused" * 3,
    "Pyro4": "True True\nTrue True Pyro4.core\nmodule 'Pyro4.core' has no attribute 'nothing'\nTrue",
}


@pytest.mark.parametrize("peer", ["Pyro5", "Pyro4"])
def test_programs_use_them(peer: str, tmp_path: Path) -> None:
    assert output_of(peer, tmp_path, USED[peer]).strip() == PRINTED[peer]


def test_what_is_not_listed_is_not_there() -> None:
    find = also_there("json.decoder", "scanner scanner.NUMBER_RE", "re")
    assert find("scanner").__name__ == "json.scanner"
    assert find("NUMBER_RE") is find("scanner").NUMBER_RE
    assert find("re").__name__ == "re"
    with pytest.raises(AttributeError, match="no attribute 'socket'"):
        find("socket")
