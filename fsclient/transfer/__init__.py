"""Transfers: comparing, uploading and downloading files."""
