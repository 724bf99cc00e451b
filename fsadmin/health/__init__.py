"""The checks of `fsadmin doctor`, one module for each kind."""
