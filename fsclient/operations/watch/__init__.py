"""`sync --watch`: runs a sync again whenever one of the two folders may have changed."""
