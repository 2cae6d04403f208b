"""Pyro4.utils: programs around Pyro."""
