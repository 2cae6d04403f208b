"""Pyro5.utils."""
