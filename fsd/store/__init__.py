"""The database: engine, tables, and every query."""
