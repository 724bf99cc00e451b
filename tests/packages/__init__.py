"""The packages, built and installed in clean roots. They need a package index: `make soak` only."""
