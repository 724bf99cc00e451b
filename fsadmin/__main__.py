"""`python -m fsadmin` is the same as `fsadmin`."""

from fsadmin.cli import main

main()
