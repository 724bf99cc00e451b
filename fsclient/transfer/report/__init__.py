"""What a transfer reports: progress, rates, lines and bars, failures."""
