"""The drop box from the person's side: what waits, and what becomes of it."""
