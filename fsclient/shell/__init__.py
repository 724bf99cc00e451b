"""The interactive shell: reading lines, splitting and completing them."""
