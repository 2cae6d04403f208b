"""Class dicts of Pyro's formats that wait until their whole message is read: the outer ones are built first. Sans-I/O.

A converter of the user's gets its dict as it was written, with plain dicts below it, which are its own business: so
it is in Pyro. Whatever else is built gets built objects. A reader meets the inner dicts first, so while there are
converters each class dict becomes an `Unbuilt`, and `build_all` goes through the value afterwards.

Rule 1: what has been read is not changed, because marshal may refer to it from more than one place.
Rule 2: keys and elements of sets are built always: a plain dict can be neither.
Rule 3: a value is as deep as the readers let it be, so the C stack is bounded.
"""

cimport cython

from fastpyro.values._memory_budget cimport charge_late

from fastpyro.values._keys import know_pure_key
from fastpyro.values._tables import check_keys
from fastpyro.values.checked import reason_of
from fastpyro.errors import PyroError, SerializeError


@cython.final
cdef class Unbuilt:
    """A dict with a "__class__", read but not built. Arguments: ``class_name``; ``data``, the dict."""

    cdef readonly str class_name
    cdef readonly dict data
    cdef object built
    cdef bint is_built

    def __init__(self, str class_name not None, dict data not None):
        self.class_name = class_name
        self.data = data


know_pure_key(Unbuilt)  # hashed by identity, for as long as the message is read


@cython.final
cdef class Builder:
    cdef object build, takes_raw, keeps

    cdef object walk(self, object value, bint raw):
        kind = type(value)
        if kind is str or kind is int or kind is float or value is None or kind is bool or kind is bytes:
            return value
        if kind is Unbuilt:
            return self.object_of(<Unbuilt> value, raw)
        if kind is list:
            return self.list_of(<list> value, raw)
        if kind is dict:
            return self.dict_of(<dict> value, raw)
        if kind is tuple:
            items = list(<tuple> value)
            walked = self.list_of(items, raw)
            return value if walked is items else tuple(walked)
        if kind is set or kind is frozenset:
            return self.set_of(value)
        return value

    cdef object object_of(self, Unbuilt value, bint raw):
        cdef str class_name = value.class_name
        if raw and not (self.keeps is not None and self.keeps(class_name, value.data)):
            return self.dict_of(value.data, True)
        if not value.is_built:  # else it is met for a second time, by way of a reference
            if self.takes_raw(class_name):  # the user's own code, whose error is the user's own
                value.built = self.build(class_name, self.dict_of(value.data, True))
            else:
                value.built = self.checked(class_name, self.dict_of(value.data, False))
            value.is_built = True
            charge_late()
        return value.built

    cdef object checked(self, str class_name, dict data):
        # Apart, so that no level of nesting has room for it on the stack.
        try:
            return self.build(class_name, data)
        except PyroError:
            raise
        except Exception as error:
            raise SerializeError(f"cannot build an object of class {class_name[:200]!r}: {reason_of(error)}") from error

    cdef list list_of(self, list items, bint raw):
        cdef Py_ssize_t index
        cdef list walked = None
        for index in range(len(items)):
            item = items[index]
            new = self.walk(item, raw)
            if new is not item:
                if walked is None:
                    walked = items[:]
                walked[index] = new
        return items if walked is None else walked

    cdef dict dict_of(self, dict items, bint raw):
        cdef list keys, walked_keys, values, walked
        if not items:
            return items
        keys, values = list(items), list(items.values())
        walked_keys = self.list_of(keys, False)
        walked = self.list_of(values, raw)
        if walked_keys is keys:
            return items if walked is values else dict(zip(keys, walked, strict=True))
        return table_of(walked_keys, walked)

    cdef object set_of(self, object value):
        cdef list items = list(value), walked = self.list_of(items, False)
        if walked is items:
            return value
        built = table_of(walked, None)
        return frozenset(built) if type(value) is frozenset else built


cdef object table_of(list keys, list values):  # without values: a set
    check_keys(keys, values is None)
    try:
        return set(keys) if values is None else dict(zip(keys, values, strict=True))
    except Exception as error:
        raise SerializeError(
            f"invalid data: a dict key or set element cannot be used as one: {reason_of(error)}"
        ) from None


def build_all(value, build not None, takes_raw not None, keeps=None):
    """Return a value that was read, with objects in place of everything `Unbuilt` in it.

    Arguments: ``build(class name, dict) -> object``; ``takes_raw(class name)``, whether that wants the dicts below as
    they were written; ``keeps(class name, dict)``, which of those are built all the same (None: none of them).
    """
    cdef Builder builder = Builder.__new__(Builder)
    builder.build, builder.takes_raw, builder.keeps = build, takes_raw, keeps
    return builder.walk(value, False)
