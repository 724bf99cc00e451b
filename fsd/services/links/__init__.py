"""Public links: what owners and receivers do with them."""
