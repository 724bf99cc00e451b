"""Uploads: walking a local tree, batches of small files, streams of large ones."""
