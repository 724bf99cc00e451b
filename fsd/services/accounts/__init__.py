"""Use cases of administration: users, groups, access, hand-over."""
