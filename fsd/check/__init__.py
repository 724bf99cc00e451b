"""Holds what is stored against what is said of it, and puts aside what nothing is said of."""
