from fastpyro.compat.pyro4.test.echoserver import *  # noqa: F403
