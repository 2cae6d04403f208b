"""Pyro4.socketserver: the server loops, one of which is every daemon's ``transportServer``."""
