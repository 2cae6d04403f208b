"""Pyro5.compatibility: Pyro4's names, for programs that move from Pyro4 to Pyro5."""
