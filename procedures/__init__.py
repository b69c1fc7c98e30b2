"""What lives in PostgreSQL, and what puts it there. Nothing here imports scikit-learn."""
