"""Sharing: member lists, the user's own shares, groups."""
