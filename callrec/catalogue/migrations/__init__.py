"""The catalogue's schema, step by step; `alembic` runs what is missing at start."""
