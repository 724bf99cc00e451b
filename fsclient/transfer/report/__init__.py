"""The reports of a transfer: progress, rates, lines and bars, failures."""
