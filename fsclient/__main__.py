"""`python -m fsclient` does what `fsclient` does."""

from fsclient.cli import main

main()
