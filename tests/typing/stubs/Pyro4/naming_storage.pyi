from fastpyro.compat.pyro4.naming_storage import *  # noqa: F403
