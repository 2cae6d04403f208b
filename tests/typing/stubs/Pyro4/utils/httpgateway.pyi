from fastpyro.compat.pyro4.utils.httpgateway import *  # noqa: F403
