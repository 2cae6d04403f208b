"""Paths out of their texts, and their hashes, without a frame of Python for each.

What pathlib keeps in a path differs: the parts up to Python 3.11, later the text, which is taken apart when it is first
needed. Neither is documented, so what is made here is compared with what the constructors make, once, on texts of all
sorts; a class for which it is not the same is left to its constructor.
"""

from cpython.object cimport PyObject_GenericSetAttr

from fastpyro._new cimport new_of

cdef dict made_by = {}  # by class
cdef set windows = set()
cdef tuple SAMPLES = (
    "", ".", "a", "a/b", "/a/b", "//a/b", "///a", "/", "//", "a//b/", "./a/./b/.", "..", "a/../b", " ", "\u00e4/\u0130",
    "a\0b", "C:", "c:a", "C:/a", "C:\\A\\b", "c:/", "\\a\\b", "a\\b/", "\\\\h\\s\\a", "//h/s/a", "a:b", "ab:c", "c:a:b",
    "1:a", "A/B", "con",
)


def build_path(cls, str text not None):
    """Return the path of a class of pathlib with this text."""
    make = made_by.get(cls)
    if make is None:
        return cls(text)
    return make(cls, text)


def know_path(cls, bint of_windows):
    """Learn to make paths of a class of pathlib, and to hash them. Returns whether `hash_of_path` may be used."""
    if of_windows:
        windows.add(cls)
    for make in (_make_of_text, _make_of_parts):
        if all(_is_alike(make, cls, text) for text in SAMPLES):
            made_by[cls] = make
            break
    return all(_is_hashed_alike(cls, text) for text in SAMPLES)


def _is_alike(make, cls, text):
    try:
        return _contents_of(make(cls, text)) == _contents_of(cls(text))
    except Exception:  # it has no such attributes
        return False


def _is_hashed_alike(cls, text):
    try:
        return hash_of_path(cls(text)) == hash(cls(text))
    except Exception:
        return False


def _contents_of(path):
    """Return what a path consists of, and is shown as."""
    filled = {}
    for name in [name for base in type(path).__mro__ for name in base.__dict__.get("__slots__", ())]:
        if type(_base_attribute(type(path), name)).__name__ == "member_descriptor":
            try:
                filled[name] = _base_attribute(type(path), name).__get__(path)
            except AttributeError:
                pass
    if not filled:
        raise AttributeError("a path keeps its contents somewhere else")
    return filled, repr(path)


def _base_attribute(cls, name):
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def _make_of_text(cls, str text):
    path = new_of(object, cls, ())
    PyObject_GenericSetAttr(path, "_raw_paths", [text])
    return path


def _make_of_parts(cls, str text):
    if cls in windows:
        parsed = windows_parts(text)
        if parsed is None:
            return cls(text)
        drive, root, parts = parsed
    else:
        drive = ""
        root, parts = posix_parts(text)
    if drive or root:
        (<list> parts).insert(0, drive + root)
    path = new_of(object, cls, ())
    PyObject_GenericSetAttr(path, "_drv", drive)
    PyObject_GenericSetAttr(path, "_root", root)
    PyObject_GenericSetAttr(path, "_parts", parts)
    return path


cdef tuple posix_parts(str text):
    """Return the root of a path, and its parts without those that say nothing."""
    root = ""
    if text.startswith("/"):
        root = "//" if text.startswith("//") and not text.startswith("///") else "/"
    return root, [part for part in text.split("/") if part and part != "."]


cdef tuple windows_parts(str text):
    """Return drive, root and parts of a Windows path, or None for one that needs a closer look: of a share, say."""
    drive = root = ""
    text = text.replace("/", "\\")
    if len(text) > 1 and text[1] == ":":
        if not (text[0].isascii() and text[0].isalpha()):
            return None
        drive, text = text[:2], text[2:]
    if ":" in text or text.startswith("\\\\"):
        return None
    if text.startswith("\\"):
        root = "\\"
    return drive, root, [part for part in text.split("\\") if part and part != "."]


def hash_of_path(path):
    """Return the hash of a path of a class that `know_path` has said yes to."""
    cdef bint of_windows = type(path) in windows
    if made_by.get(type(path)) is _make_of_parts:
        parts = path._parts
        return hash(tuple([part.lower() for part in parts] if of_windows else parts))
    given = path._raw_paths
    if type(given) is not list or len(<list> given) != 1 or type((<list> given)[0]) is not str:
        return hash(path)  # joined by somebody's code, or made of another path
    raw = (<list> given)[0]
    if not of_windows:
        root, parts = posix_parts(raw)
        return hash(root + "/".join(parts) or ".")
    parsed = windows_parts(raw)
    if parsed is None:
        return hash(path)
    drive, root, parts = parsed
    return hash((drive + root + "\\".join(parts) or ".").lower())
