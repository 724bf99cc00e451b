"""The commands of fsadmin, one file a noun."""
