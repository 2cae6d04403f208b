"""The calls of a batch, performed one after the other, as many at a time as there is time for."""

from fastpyro.protocol._batch cimport ResultWriter
from fastpyro.server._call_form cimport is_awaitable
from fastpyro.transport._spin cimport monotonic

from fastpyro.server.exposure import resolve_method

cdef enum:
    MOST_UNSEEN = 8  # calls between two looks at the clock, which costs a part of what a quick call does
    GROWN = 65536  # bytes of results after which it is looked at in any case

cdef extern from "Python.h":
    object PyObject_Call(object callable, tuple arguments, dict keywords)
    object PyObject_CallObject(object callable, tuple arguments)


def perform_batch(target, list calls not None, bint require_expose, results, await_result, double seconds=0):
    """Perform the calls of a batch in order, from the first one without a result on; results are added as they come.

    Returns whether all have been performed.

    Arguments: ``calls``, a list of (method, args, kwargs or None); ``results``, a ResultWriter, or anything with its
    ``add``; ``await_result``, called with a result that can be awaited, for the value to add; ``seconds`` after which
    no further call begins, but for a few quick ones: 0 for no limit. What a call, or adding its result, raises ends
    the batch: ``len(results)`` is the index of that call.
    """
    cdef dict methods = {}
    cdef ResultWriter out = results if isinstance(results, ResultWriter) else None
    cdef Py_ssize_t index = len(results), look = index + 1, looked = index, size = 0, count = len(calls)
    cdef long long began = monotonic() if seconds > 0 else 0, limit = <long long> (seconds * 1e9), took
    if out is not None:
        size = out.results.size
    while index < count:
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
        index += 1
        if limit > 0 and (index >= look or (out is not None and out.results.size - size > GROWN)):
            took = monotonic() - began
            if took > limit:
                return index == count
            # While calls are quick the clock is asked less often; after a slow one, each time.
            look = index + (1 if 8 * took > limit * (index - looked) else MOST_UNSEEN)
            looked = index
            if out is not None:
                size = out.results.size
    return True
