"""The cluster: several fsd processes (nodes) on one database and one blob store."""
