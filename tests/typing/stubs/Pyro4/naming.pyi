from fastpyro.compat.pyro4.naming import *  # noqa: F403
