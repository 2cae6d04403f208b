"""The calls of a batch, performed one after the other.

In a server of one thread everybody waits for it: there a batch has turns, and is interrupted after one of them while
others wait (`interrupted_batches`). It goes on with the first call of which there is no result yet.
"""

from fastpyro.protocol._batch cimport ResultWriter
from fastpyro.protocol._call_context cimport current_state
from fastpyro.server._call_form cimport is_awaitable
from fastpyro.server._cost cimport TURN
from fastpyro.server._request cimport Request
from fastpyro._clock cimport monotonic

from functools import partial

from fastpyro import constants
from fastpyro.protocol.peer_batches import ResultList, results_limit
from fastpyro.serializers.registry import native
from fastpyro.server.error_lines import lines_of
from fastpyro.server.exposure import resolve_method
from fastpyro.server.replies import UnfinishedBatch, failed, finished, report
from fastpyro.values.exceptions import exception_reply, with_traceback

cdef int ONEWAY = constants.FLAGS_ONEWAY

cdef extern from "Python.h":
    object PyObject_Call(object callable, tuple arguments, dict keywords)
    object PyObject_CallObject(object callable, tuple arguments)


def perform_batch(target, list calls not None, bint require_expose, results, await_result, int turn=0):
    """Perform the calls of a batch in order, from the first one without a result on; results are added as they come.

    Arguments: ``calls``, a list of (method, args, kwargs or None); ``results``, a ResultWriter, or anything with its
    ``add``; ``await_result``, called with a result that can be awaited, for the value to add; ``turn``, microseconds
    after which no more calls begin, 0 for no limit. Returns whether all have been performed. What a call, or adding
    its result, raises ends the batch: ``len(results)`` is the index of that call.
    """
    cdef dict methods = {}
    cdef ResultWriter out = results if isinstance(results, ResultWriter) else None
    cdef long long until = monotonic() + 1000 * <long long> turn if turn > 0 else 0
    cdef Py_ssize_t index
    for index in range(len(results), len(calls)):
        if until and index > 0 and monotonic() > until:
            return False
        name, args, kwargs = calls[index]
        method = methods.get(name)
        if method is None:
            method = methods[name] = resolve_method(target, name, require_expose)
        result = PyObject_Call(method, args, kwargs) if kwargs else PyObject_CallObject(method, args)
        if is_awaitable(result):
            result = await_result(result)
        if out is None:
            results.add(result)
        else:
            out.add(result)
    return True


def run_batch(service, Request request not None, interrupted_batches=None):
    """Perform the calls of a batch. Returns the results, the last of which may be the error that ended it.

    Argument: ``interrupted_batches``, who says whether it is to be interrupted, or None. When it is, an UnfinishedBatch
    is returned.
    """
    cdef bint oneway = (request.flags & ONEWAY) != 0
    serializer, limit = request.connection.serializer, results_limit()
    results = ResultWriter(native.codec, limit) if serializer is native else ResultList(serializer, limit)
    big_replies = request.connection.big_replies
    if big_replies is not None and not oneway:
        results.watch(big_replies.watcher(request.message, type(request.target), request.method))
    return go_on(service, request, serializer, results, interrupted_batches)


cdef object go_on(service, Request request, serializer, results, interrupted_batches):
    cdef int turn = 0 if interrupted_batches is None else TURN
    target, calls = request.target, request.calls
    try:
        while not perform_batch(target, calls, service.require_expose, results, service.coroutines.value_of, turn):
            if interrupted_batches.interrupts(request.message):
                rest = partial(finish, service, request, serializer, results, interrupted_batches)
                return UnfinishedBatch(rest, current_state().copy(), results.size)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and service.forked:
            raise
        name, args, kwargs = calls[len(results)]
        report(service, request.connection, (target, name, args, kwargs or {}), error)
        if not request.flags & ONEWAY:
            add_error(results, error, serializer)
    return results


def finish(service, Request request not None, serializer, results, interrupted_batches):
    """Go on with an interrupted batch, in the context of its calls. Returns its reply, or again an UnfinishedBatch."""
    try:
        return finished(service, request, go_on(service, request, serializer, results, interrupted_batches))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and service.forked:
            raise
        return failed(service, request, error)


cdef int add_error(results, error, serializer) except -1:
    lines = lines_of(error)
    try:
        results.add_error(with_traceback(error, lines))
    except Exception:  # then it is sent as the PyroError that replaces it
        results.add_error(serializer.loads(exception_reply(serializer, error, lines)))
    return 0
