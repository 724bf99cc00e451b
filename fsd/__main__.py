"""`python -m fsd` is the same as `fsd`."""

from fsd.cli import main

main()
