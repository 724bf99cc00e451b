"""The history of the schema, as alembic revisions; shipped so that an installed fsd can migrate."""
