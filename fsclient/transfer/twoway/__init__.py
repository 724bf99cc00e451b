"""Two-way sync: what it does is planned from three lists of files, then done."""
