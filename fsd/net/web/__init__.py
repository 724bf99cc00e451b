"""The web listener: receivers of public links, over HTTP."""
