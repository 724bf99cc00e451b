"""The administration tool: enrols and manages users on the server's own database."""
