"""Alembic migrations of the promotion database; run when it is opened."""
