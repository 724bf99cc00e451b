"""What is kept in the database: engine, tables, and every query."""
