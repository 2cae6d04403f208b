"""The native half of `proxy` and `method`: the way of an ordinary call, without leaving native code.

A call is ordinary when the connection is a native one, no annotations and no correlation id travel along, no retries
are asked for, and `_pyroInvoke` has not been replaced; its reply is ordinary when it is a small plain result.
Everything else goes the way that `proxy.Proxy` describes, and behaves the same.
Rule 1: arguments are encoded before the link is entered: encoding runs the user's code, which may use the same proxy.
Rule 2: a reply is copied before it is decoded, because decoding may run the user's code as well.
"""

cimport cython
from cpython.dict cimport PyDict_Contains, PyDict_GetItem
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint8_t

from fastpyro._mutex cimport Mutex
from fastpyro.protocol._call_context cimport CallState, current_state
from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._decoder cimport Reader
from fastpyro.serializers._encoder cimport Writer
from fastpyro.transport._link cimport Link
from fastpyro._slots cimport (
    PyObject_GenericGetAttr, PyObject_GenericSetAttr, PyVectorcall_NARGS, allow_vectorcall, has_member,
    inherit_vectorcall, set_attribute_getter,
)
from fastpyro.transport._stream cimport deadline_in
from fastpyro.protocol._message cimport HEADER_SIZE, Header, Message, message_of, write_plain_header
from fastpyro.transport._message_stream cimport SMALL_REPLY

from fastpyro.errors import ConnectionClosedError, TimeoutError
from fastpyro import constants

cdef int INVOKE = constants.MSG_INVOKE, RESULT = constants.MSG_RESULT, ONEWAY = constants.FLAGS_ONEWAY
cdef int NATIVE = constants.NATIVE_SERIALIZER_ID


cdef class ProxyCore:
    """What an ordinary call needs of a proxy. Arguments: ``codec``, the native codec."""

    def __cinit__(self):  # whatever the constructor of a subclass takes
        self.plain_invoke = self._pyro_native = False
        self._pyro_object_id = ""

    def _pyro_begin(self, Codec codec not None, bint plain_invoke, uri, int retries, double timeout):
        """Make the proxy usable, with no names and no connection. Returns whether it was in use before.

        Arguments: ``codec``, the native one; ``plain_invoke``, whether its class has not replaced ``_pyroInvoke``;
        ``uri``, which the proxy keeps; ``retries`` of a call; ``timeout`` in seconds, 0 for none.
        """
        cdef bint begun = self.begun
        self.codec = codec
        self.plain_invoke = plain_invoke
        self.uri = uri
        self._pyroMaxRetries = retries
        self._pyro_timeout = timeout
        self.begun = True
        if begun:
            self.connection = self.link = None
            self.methods = self.attributes = self.oneway = self.callable_names = None
            self._pyro_new_locks()
        return begun

    def _pyro_new_locks(self):
        """Give the proxy locks that no thread has: those that had the others are gone."""
        self.lock = self.connecting = None

    @property
    def _pyro_lock(self):
        """Who has it connects, or takes in metadata."""
        # Made when it is needed, as most of what is here: a message may hold a hundred thousand proxies. No other
        # thread runs meanwhile, but a destructor may, which the allocation of an object can start.
        if self.lock is None:
            lock = Mutex(True, "the proxy")
            if self.lock is None:
                self.lock = lock
        return self.lock

    @property
    def _pyro_connecting(self):
        """Who has it is in the middle of connecting, and a destructor on the same thread keeps out."""
        if self.connecting is None:
            lock = Mutex(False, "the proxy")
            if self.connecting is None:
                self.connecting = lock
        return self.connecting

    @property
    def _pyroUri(self):
        """Where the object is."""
        if self.uri is None:
            raise AttributeError("_pyroUri")
        return self.uri

    @_pyroUri.setter
    def _pyroUri(self, uri):
        self.uri = uri

    def __del__(self):
        try:
            if self.connection is not None:
                self._pyro_let_go(self.connection)
        except Exception:  # half made, or the interpreter is half gone, and with it the names of modules
            return

    @property
    def _pyroAttrs(self):
        """The names of the remote attributes."""
        if self.attributes is None:
            self.attributes = set()
        return self.attributes

    @_pyroAttrs.setter
    def _pyroAttrs(self, attributes):
        self.attributes = attributes

    @property
    def _pyroOneway(self):
        """The names of the remote methods that are called oneway."""
        if self.oneway is None:
            self.oneway = oneway_class()
        return self.oneway

    @_pyroOneway.setter
    def _pyroOneway(self, names):
        self.oneway = names

    @property
    def _pyroConnection(self):
        """The channel, or None while there is no connection."""
        return self.connection

    @_pyroConnection.setter
    def _pyroConnection(self, connection):
        self.connection = connection
        self.link = connection if isinstance(connection, Link) else None

    @property
    def _pyroMethods(self):
        """The names of the remote methods."""
        if self.methods is None:
            self.methods = set()
        return self.methods

    @_pyroMethods.setter
    def _pyroMethods(self, set methods not None):
        for name in methods:
            if type(name) is not str:
                raise TypeError(f"the name of a method is a str, not {name!r}")
        self.methods = methods
        self.callable_names = None  # for `get_attribute` to find

    cdef int find_callable_names(self) except -1:
        cdef dict names = {}
        self.callable_names = names  # which is looked at while it is filled
        own = getattr(self, "__dict__", ())  # what the proxy has itself comes before what its object has
        for name in self.methods:
            if type(name) is not str:  # put into the set since
                continue
            if not (<str> name).startswith("_pyro") and not has_member(type(self), name) and name not in own:
                names[name] = None
        return 0

    def _pyro_update(self, **values):
        """Set own attributes, past ``__setattr__``, which means the remote object."""
        for name, value in values.items():
            PyObject_GenericSetAttr(self, name, value)

    def _pyro_next_seq(self):
        """Return the number of the next request: one that no request under way has."""
        return self.next_sequence_number()

    cdef int next_sequence_number(self):
        self._pyroSeq = (self._pyroSeq + 1) & 0xFFFF
        if self.link is not None and (self.link.reading or self.link.pending or self.link.forgotten):
            self._pyroSeq = self.link.free_sequence_number((self._pyroSeq - 1) & 0xFFFF)
        return self._pyroSeq

    def _pyro_submit(self, str name not None, tuple args not None, dict kwargs not None, callback):
        """Send an ordinary call and have ``callback(message, error)`` called when its reply is here.

        Returns its sequence number, or None for a call that is not ordinary: nothing has been done then.
        """
        cdef Link link = self.link
        cdef Writer out
        cdef int seq
        if (
            link is None or not self._pyro_native or link.closing or link.broken or not self.plain_invoke
            or self._pyroMaxRetries or self._pyroRawWireResponse or self._pyro_timeout
            or (self.oneway is not None and name in self.oneway)
            or not current_state().plain() or (len(args) == 1 and type(args[0]) is blob_class)
        ):
            return None
        out = self.codec.take_writer()
        out.collects = True
        out.reserve(HEADER_SIZE + 1)
        out.size = HEADER_SIZE
        out.put(0x94)
        self.codec.encoder.write_text(out, self._pyro_object_id)
        self.codec.encoder.write_text(out, name)
        self.codec.encoder.write_items(out, args, 0, 1)
        self.codec.encoder.write_keywords(out, kwargs, 1)
        if out.buffers is not None:
            return None
        seq = self.next_sequence_number()
        write_plain_header(out.data, INVOKE, 0, seq, NATIVE, out.size - HEADER_SIZE, link.max_message_size)
        link.submit_small(out.data, out.size, seq, callback)
        self.codec.give_back(out)
        return seq

    def _pyro_ordinary_result(self, Message message not None):
        """Return the value of an ordinary reply. Raises LookupError when it is not one."""
        if message.flags != 0 or message.kind != RESULT or message.serializer_id != NATIVE or message.has_annotations:
            raise LookupError
        return self.codec.decode(message.payload)


def ordinary_names(names, Py_ssize_t most, Py_ssize_t longest):
    """Return a set of names that any object can expose, or None when they need a closer look by `metadata.names_of`.

    Arguments: ``most`` names, the ``longest`` of so many characters.
    """
    cdef set found = set()
    if type(names) is not tuple and type(names) is not list and type(names) is not set:
        return None
    if len(names) > most:
        return None
    for name in names:
        if type(name) is not str or len(<str> name) > longest or not (<str> name).isascii():
            return None
        if not (<str> name).isidentifier() or (<str> name)[0] == "_":
            return None
        found.add(name)
    return found


def is_ordinary_state(state):
    """Return whether a proxy's state is as a proxy writes it, with no handshake data but text; see `proxy_state`."""
    if type(state) is not tuple or len(<tuple> state) != 6:
        return False
    uri, oneway, methods, attributes, handshake_data, serializer = <tuple> state
    return (
        type(uri) is str and are_texts(oneway) and are_texts(methods) and are_texts(attributes)
        and (handshake_data is None or type(handshake_data) is str) and (serializer is None or type(serializer) is str)
    )


cdef bint are_texts(object names) except -1:
    if type(names) is not tuple and type(names) is not list and type(names) is not set:
        return False
    for name in names:
        if type(name) is not str:
            return False
    return True


cdef class RememberedNames:
    """A base for objects whose attributes are made when they are first asked for, and stay the same."""

    cdef dict remembered

    def _pyro_remember(self, str name not None, value):
        """Give that value for that name from now on; returns the value."""
        if self.remembered is None:
            self.remembered = {}
        self.remembered[name] = value
        return value


cdef object get_remembered(object self, object name):
    # The type slot of subclasses of RememberedNames; see `get_attribute`.
    cdef PyObject *found
    if (<RememberedNames> self).remembered is not None:
        found = PyDict_GetItem((<RememberedNames> self).remembered, name)
        if found != NULL:
            return <object> found
    try:
        return PyObject_GenericGetAttr(self, name)
    except AttributeError:
        return type(self).__getattr__(self, name)


def install_remembering(type remembering_class not None):
    """Give a subclass of RememberedNames its fast attribute access."""
    if not issubclass(remembering_class, RememberedNames):
        raise TypeError("install_remembering expects a subclass of RememberedNames")
    set_attribute_getter(remembering_class, get_remembered)


cdef object get_attribute(object self, object name):
    # The type slot of Proxy, instead of the one that would look for __getattribute__ and __getattr__ each time.
    cdef ProxyCore core = <ProxyCore> self
    if core.callable_names is None and core.methods is not None:
        core.find_callable_names()
    if core.callable_names is not None and PyDict_Contains(core.callable_names, name):
        return remote_method_class(core, name)
    try:
        return PyObject_GenericGetAttr(self, name)
    except AttributeError:
        return type(self).__getattr__(self, name)


@cython.no_gc_clear
cdef class RemoteMethodCore:
    """A method of a remote object, as a fast callable. Arguments: ``proxy``, ``name``."""

    def __cinit__(self, proxy, str name not None):
        self.vectorcall = <void *> call
        self._proxy = proxy
        self.core = proxy if isinstance(proxy, ProxyCore) else None
        self.__name__ = name

    def __call__(self, /, *args, **kwargs):
        return call_with_retries(self._proxy, self.__name__, args, kwargs)


cdef object call(object self, PyObject **args, size_t flags, PyObject *names):
    cdef RemoteMethodCore method = <RemoteMethodCore> self
    cdef ProxyCore core = method.core
    cdef Py_ssize_t count = PyVectorcall_NARGS(flags)
    cdef CallState state = current_state()
    if (
        core is not None and core.plain_invoke and core._pyro_native and core.link is not None
        and not core.link.closing and not core.link.broken
        and core._pyroMaxRetries == 0 and not core._pyroRawWireResponse and state.plain()
        and not (count == 1 and type(<object> args[0]) is blob_class)
    ):
        return call_ordinary(core, state, method.__name__, args, count, names)
    positional, keywords = arguments_of(args, count, names)
    return call_with_retries(method._proxy, method.__name__, positional, keywords)


cdef tuple arguments_of(PyObject **args, Py_ssize_t count, PyObject *names):
    cdef Py_ssize_t index
    cdef dict keywords = {}
    if names != NULL:
        for index in range(PyTuple_GET_SIZE(<object> names)):
            keywords[<object> PyTuple_GET_ITEM(<object> names, index)] = <object> args[count + index]
    return tuple([<object> args[index] for index in range(count)]), keywords


cdef object call_with_retries(object proxy, str name, tuple args, dict kwargs):
    for _ in range(proxy._pyroMaxRetries):
        try:
            return proxy._pyroInvoke(name, args, kwargs)
        except (ConnectionClosedError, TimeoutError):
            pass  # the next attempt connects anew
    return proxy._pyroInvoke(name, args, kwargs)


cdef object call_ordinary(
    ProxyCore core, CallState state, str name, PyObject **args, Py_ssize_t count, PyObject *names
):
    cdef Link link = core.link
    cdef Writer out = core.codec.take_writer()
    cdef Message message = None
    cdef Header header
    cdef uint8_t payload[SMALL_REPLY]
    cdef int seq, flags = ONEWAY if core.oneway is not None and name in core.oneway else 0
    cdef double deadline
    out.collects = True
    encode_call(core.codec, out, core._pyro_object_id, name, args, count, names)
    if out.buffers is not None:  # big ones, which must not be copied: the long way sends them from where they are
        positional, keywords = arguments_of(args, count, names)
        return core._pyroInvoke(name, positional, keywords)
    seq = core.next_sequence_number()
    write_plain_header(out.data, INVOKE, flags, seq, NATIVE, out.size - HEADER_SIZE, link.max_message_size)
    deadline = deadline_in(core._pyro_timeout)
    link.enter()
    try:
        if flags:
            link.send_unawaited(out.data, out.size, deadline)
        else:
            message = link.converse_small(out.data, out.size, seq, &header, payload, deadline)
    except BaseException:
        if link is core.link and (link.closing or link.broken):
            core._pyroRelease()
        raise
    finally:
        link.leave()
    core.codec.give_back(out)
    if flags:
        state.received_plain()
        return None
    if message is None:
        if header.flags == 0 and header.kind == RESULT and header.serializer_id == NATIVE and header.seq == seq:
            state.received_plain()
            return decode_result(core.codec, payload, header.payload_size)
        message = message_of(&header, payload)
    return core._pyro_result(link, message, seq)


cdef int encode_call(
    Codec codec, Writer out, str object_id, str name, PyObject **args, Py_ssize_t count, PyObject *names
) except -1:
    cdef Py_ssize_t index, named
    out.reserve(HEADER_SIZE + 1)
    out.size = HEADER_SIZE
    out.put(0x94)
    codec.encoder.write_text(out, object_id)
    codec.encoder.write_text(out, name)
    codec.encoder.write_header(out, count, 0x90, 0xdc)
    for index in range(count):
        codec.encoder.write(out, <object> args[index], 1)
    if names == NULL:
        out.put(0xc0)
        return 0
    named = PyTuple_GET_SIZE(<object> names)
    codec.encoder.write_header(out, named, 0x80, 0xde)
    for index in range(named):
        codec.encoder.write_text(out, <str> PyTuple_GET_ITEM(<object> names, index))
        codec.encoder.write(out, <object> args[count + index], 1)
    return 0


cdef object decode_result(Codec codec, const uint8_t *payload, Py_ssize_t size):
    cdef Reader reader
    codec.decoder.begin(&reader, payload, size)
    value = codec.decoder.read(&reader, 0)
    codec.decoder.finish(&reader)
    return value


cdef object remote_method_class = None
cdef object blob_class = None
cdef object oneway_class = None


def install(type proxy_class not None, type method_class not None, type only_argument not None, type names not None):
    """Give the two Python classes their fast slots: attribute access of Proxy, and calls of RemoteMethod.

    Arguments: ``only_argument``, a class that makes a call not ordinary when its only argument is of it;
    ``names``, of sets of the names of oneway methods.
    """
    global oneway_class, blob_class, remote_method_class
    if not issubclass(proxy_class, ProxyCore) or not issubclass(method_class, RemoteMethodCore):
        raise TypeError("install expects subclasses of ProxyCore and RemoteMethodCore")
    set_attribute_getter(proxy_class, get_attribute)
    inherit_vectorcall(method_class)
    remote_method_class = method_class
    blob_class = only_argument
    oneway_class = names


cdef RemoteMethodCore probe = RemoteMethodCore(None, "")
allow_vectorcall(RemoteMethodCore, <char *> &probe.vectorcall - <char *> <PyObject *> probe)
