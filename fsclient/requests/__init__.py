"""Request links: making, listing and ending them; and sending files without an account."""
