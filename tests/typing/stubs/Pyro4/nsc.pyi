from fastpyro.compat.pyro4.nsc import *  # noqa: F403
