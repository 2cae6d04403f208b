"""The calls of a batch, performed one after the other."""

from fastpyro.protocol._batch cimport ResultWriter
from fastpyro.server._call_form cimport is_awaitable
from fastpyro.server._request cimport Request

from fastpyro import constants
from fastpyro.protocol.peer_batches import ResultList, results_limit
from fastpyro.serializers.registry import native
from fastpyro.server.error_lines import lines_of
from fastpyro.server.exposure import resolve_method
from fastpyro.server.replies import report
from fastpyro.values.exceptions import exception_reply, with_traceback

cdef int ONEWAY = constants.FLAGS_ONEWAY

cdef extern from "Python.h":
    object PyObject_Call(object callable, tuple arguments, dict keywords)
    object PyObject_CallObject(object callable, tuple arguments)


def perform_batch(target, list calls not None, bint require_expose, results, await_result):
    """Perform the calls of a batch in order; results are added as they come.

    Arguments: ``calls``, a list of (method, args, kwargs or None); ``results``, a ResultWriter, or anything with its
    ``add``; ``await_result``, called with a result that can be awaited, for the value to add. What a call, or adding
    its result, raises ends the batch: ``len(results)`` is the index of that call.
    """
    cdef dict methods = {}
    cdef ResultWriter out = results if isinstance(results, ResultWriter) else None
    for name, args, kwargs in calls:
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


def run_batch(service, Request request not None):
    """Perform the calls of a batch. Returns the results, the last of which may be the error that ended it."""
    cdef bint oneway = (request.flags & ONEWAY) != 0
    serializer, limit = request.connection.serializer, results_limit()
    results = ResultWriter(native.codec, limit) if serializer is native else ResultList(serializer, limit)
    big_replies = request.connection.big_replies
    if big_replies is not None and not oneway:
        results.watch(big_replies.watcher(request.message, type(request.target), request.method))
    try:
        perform_batch(request.target, request.calls, service.require_expose, results, service.coroutines.value_of)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and service.forked:
            raise
        name, args, kwargs = request.calls[len(results)]
        report(service, request.connection, (request.target, name, args, kwargs or {}), error)
        if not oneway:
            add_error(results, error, serializer)
    return results


cdef int add_error(results, error, serializer) except -1:
    lines = lines_of(error)
    try:
        results.add_error(with_traceback(error, lines))
    except Exception:  # then it is sent as the PyroError that replaces it
        results.add_error(serializer.loads(exception_reply(serializer, error, lines)))
    return 0
