"""The settings of the server: their table, the sources of their values, and their text form."""
