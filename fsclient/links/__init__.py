"""Public links: making, listing and ending them; and receiving without an account."""
