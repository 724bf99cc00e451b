"""Consistency check: compares stored data with the database, and quarantines unknown data."""
