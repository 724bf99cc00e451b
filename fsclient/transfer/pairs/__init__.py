"""Pairs of synchronised folders: the state that the last sync left, and what may be replaced."""
