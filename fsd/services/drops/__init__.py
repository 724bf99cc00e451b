"""Use cases of the drop box: sessions, incoming drops, their keys."""
