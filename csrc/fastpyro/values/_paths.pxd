# Paths, without their constructors.

# The hash of a path whose class `know_paths` has accepted.
cdef Py_hash_t hash_of_path(object path) except -1
