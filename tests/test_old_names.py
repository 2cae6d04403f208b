"""Names of classes: pickles of before the modules stood in packages still load; what public classes say of themselves."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import pytest

import fastpyro
from fastpyro._old_names import NEW_NAMES
from fastpyro.futures import _ExceptionWrapper
from fastpyro.values.class_registry import StateOf
from fastpyro.values.peer_dicts import FailedCall

# Written by the tree before, with protocols 2 and 4.
PROXY_2 = (
    b"\x80\x02cfastpyro.proxy\nProxy\nq\x00)\x81q\x01(X\x17\x00\x00\x00PYRO:obj@localhost:9090q\x02)))"
    b"X\x05\x00\x00\x00helloq\x03Ntq\x04b."
)
PROXY_4 = (
    b"\x80\x04\x95I\x00\x00\x00\x00\x00\x00\x00\x8c\x0efastpyro.proxy\x94\x8c\x05Proxy\x94\x93\x94)\x81\x94("
    b"\x8c\x17PYRO:obj@localhost:9090\x94)))\x8c\x05hello\x94Nt\x94b."
)
URI_2 = (
    b"\x80\x02cfastpyro.uri\nURI\nq\x00)\x81q\x01(X\x04\x00\x00\x00PYROq\x02X\x03\x00\x00\x00objq\x03N"
    b"X\t\x00\x00\x00localhostq\x04M\x82#tq\x05b."
)
URI_4 = (
    b"\x80\x04\x95<\x00\x00\x00\x00\x00\x00\x00\x8c\x0cfastpyro.uri\x94\x8c\x03URI\x94\x93\x94)\x81\x94(\x8c\x04PYRO\x94"
    b"\x8c\x03obj\x94N\x8c\tlocalhost\x94M\x82#t\x94b."
)
ASYNC_4 = (
    b"\x80\x04\x95p\x00\x00\x00\x00\x00\x00\x00\x8c\x14fastpyro.async_proxy\x94\x8c\x07_itself\x94\x93\x94"
    b"\x8c\x0efastpyro.proxy\x94\x8c\x05Proxy\x94\x93\x94)\x81\x94(\x8c\x17PYRO:obj@localhost:9090\x94)))"
    b"\x8c\x05hello\x94Nt\x94b\x85\x94R\x94."
)
STATE_4 = (
    b"\x80\x04\x951\x00\x00\x00\x00\x00\x00\x00\x8c\x17fastpyro.class_registry\x94\x8c\x07StateOf\x94\x93\x94"
    b"\x8c\x01a\x94K\x01\x86\x94\x81\x94."
)
FAILED_4 = (
    b"\x80\x04\x95\\\x00\x00\x00\x00\x00\x00\x00\x8c\x14fastpyro.class_dicts\x94\x8c\nFailedCall\x94\x93\x94)\x81\x94}\x94"
    b"\x8c\texception\x94\x8c\x08builtins\x94\x8c\nValueError\x94\x93\x94\x8c\x01x\x94\x85\x94R\x94sb."
)
WRAPPER_4 = (
    b"\x80\x04\x95V\x00\x00\x00\x00\x00\x00\x00\x8c\x16fastpyro.future_result\x94\x8c\x11_ExceptionWrapper\x94\x93\x94"
    b"\x8c\x08builtins\x94\x8c\nValueError\x94\x93\x94\x8c\x01x\x94\x85\x94R\x94\x85\x94R\x94."
)
BLOB_4 = (
    b"\x80\x04\x95Y\x00\x00\x00\x00\x00\x00\x00\x8c\x0efastpyro.blobs\x94\x8c\x0eSerializedBlob\x94\x93\x94)\x81\x94}\x94("
    b"\x8c\x04info\x94h\x05\x8c\x05_data\x94K\x05\x8c\x08_is_blob\x94\x89\x8c\x08_dialect\x94K\x00ub."
)
ERROR_4 = (
    b"\x80\x04\x95+\x00\x00\x00\x00\x00\x00\x00\x8c\x0ffastpyro.errors\x94\x8c\x0bNamingError\x94\x93\x94"
    b"\x8c\x01x\x94\x85\x94R\x94."
)
CLASSES_4 = (
    b"\x80\x04\x95L\x01\x00\x00\x00\x00\x00\x00]\x94(\x8c\x0efastpyro.proxy\x94\x8c\x05Proxy\x94\x93\x94"
    b"\x8c\x0ffastpyro.daemon\x94\x8c\x06Daemon\x94\x93\x94\x8c\x16fastpyro.daemon_object\x94\x8c\x0cDaemonObject\x94\x93\x94"
    b"\x8c\x14fastpyro.batch_proxy\x94\x8c\nBatchProxy\x94\x93\x94\x8c\x14fastpyro.async_proxy\x94\x8c\nAsyncProxy\x94\x93\x94"
    b"\x8c\x10fastpyro.futures\x94\x8c\x06Future\x94\x93\x94\x8c\x16fastpyro.future_result\x94\x8c\x0cFutureResult\x94\x93\x94"
    b"\x8c\x0efastpyro.blobs\x94\x8c\x0eSerializedBlob\x94\x93\x94\x8c\x17fastpyro.class_registry\x94\x8c\x0eSerializerBase\x94"
    b"\x93\x94e."
)
FUNCTIONS_4 = (
    b"\x80\x04\x95\xa1\x01\x00\x00\x00\x00\x00\x00]\x94(\x8c\x11fastpyro.exposure\x94\x8c\x06expose\x94\x93\x94h\x01"
    b"\x8c\x06oneway\x94\x93\x94h\x01\x8c\x08callback\x94\x93\x94h\x01\x8c\x08behavior\x94\x93\x94\x8c\x0ffastpyro.locate\x94"
    b"\x8c\tlocate_ns\x94\x93\x94h\n\x8c\x08locateNS\x94\x93\x94h\n\x8c\x07resolve\x94\x93\x94\x8c\x0ffastpyro.daemon\x94"
    b"\x8c\x05serve\x94\x93\x94\x8c\x15fastpyro.naming.start\x94\x8c\x08start_ns\x94\x93\x94"
    b"\x8c\x1bfastpyro.naming.name_server\x94\x8c\ttype_meta\x94\x93\x94\x8c\x14fastpyro.batch_proxy\x94\x8c\x05batch\x94\x93\x94"
    b"\x8c\x14fastpyro.async_proxy\x94\x8c\nasyncproxy\x94\x93\x94\x8c\x17fastpyro.class_registry\x94\x8c\x0eregister_class\x94"
    b"\x93\x94\x8c\x1afastpyro.remote_exceptions\x94\x8c\x12register_exception\x94\x93\x94e."
)

PUBLIC_CLASSES = [
    *("AsyncProxy", "BatchProxy", "Daemon", "DaemonObject", "Future", "FutureResult", "Proxy", "SerializedBlob"),
    *("SerializerBase", "URI"),
]


@pytest.mark.parametrize("pickled", [PROXY_2, PROXY_4], ids=["protocol 2", "protocol 4"])
def test_a_proxy_of_then(pickled: bytes) -> None:
    proxy = pickle.loads(pickled)
    assert type(proxy) is fastpyro.Proxy
    assert str(proxy._pyroUri) == "PYRO:obj@localhost:9090"
    assert proxy._pyroUri.is_foreign


@pytest.mark.parametrize("pickled", [URI_2, URI_4], ids=["protocol 2", "protocol 4"])
def test_a_uri_of_then(pickled: bytes) -> None:
    uri = pickle.loads(pickled)
    assert type(uri) is fastpyro.URI
    assert uri == fastpyro.URI("PYRO:obj@localhost:9090")


def test_an_asynchronous_proxy_of_then() -> None:
    assert type(pickle.loads(ASYNC_4)) is fastpyro.Proxy  # it arrives as an ordinary proxy


def test_values_of_then() -> None:
    assert pickle.loads(STATE_4) == StateOf("a", 1)
    failed, wrapper = pickle.loads(FAILED_4), pickle.loads(WRAPPER_4)
    assert (type(failed), repr(failed.exception)) == (FailedCall, "ValueError('x')")
    assert (type(wrapper), repr(wrapper.exception)) == (_ExceptionWrapper, "ValueError('x')")
    assert type(pickle.loads(BLOB_4)) is fastpyro.SerializedBlob
    assert repr(pickle.loads(ERROR_4)) == "NamingError('x')"


def test_classes_and_functions_of_then() -> None:
    names = "Proxy Daemon DaemonObject BatchProxy AsyncProxy Future FutureResult SerializedBlob SerializerBase"
    assert pickle.loads(CLASSES_4) == [getattr(fastpyro, name) for name in names.split()]
    names = "expose oneway callback behavior locate_ns locateNS resolve serve start_ns type_meta batch asyncproxy"
    names += " register_class register_exception"
    assert pickle.loads(FUNCTIONS_4) == [getattr(fastpyro, name) for name in names.split()]


def test_a_pickle_is_enough_to_find_fastpyro() -> None:
    program = f"import pickle; print(type(pickle.loads({PROXY_4!r})))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout == "<class 'fastpyro.Proxy'>\n"


@pytest.mark.parametrize("old", NEW_NAMES)
def test_an_old_name_is_the_module_of_today(old: str) -> None:
    module = importlib.import_module(old)
    assert module is importlib.import_module(NEW_NAMES[old])
    assert (module.__name__, module.__spec__ and module.__spec__.name) == (NEW_NAMES[old], NEW_NAMES[old])


def test_other_names_are_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"fastpyro\.remote_calls"):
        importlib.import_module("fastpyro.remote_calls")


@pytest.mark.parametrize("name", PUBLIC_CLASSES)
def test_public_classes_say_where_users_find_them(name: str) -> None:
    cls = getattr(fastpyro, name)
    assert (cls.__module__, cls.__qualname__) == ("fastpyro", name)
    assert pickle.loads(pickle.dumps(cls)) is cls


@pytest.mark.parametrize("module", ["client", "server", "futures"])
def test_packages_have_the_names_of_pyros_modules(module: str) -> None:
    program = (
        f"import fastpyro; module = fastpyro.{module}; print({{*module.__all__}} <= {{*dir(module)}});"
        "print(all(getattr(module, name) is not None for name in module.__all__))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout == "True\nTrue\n"
    with pytest.raises(AttributeError, match=f"module 'fastpyro.{module}' has no attribute 'nothing'"):
        getattr(getattr(fastpyro, module), "nothing")  # noqa: B009
