"""The key log: an append-only list of whose keys are which, and heads that stand for all of it."""
