"""Request links: what owners and uploaders do with them."""
