"""Trained models inside PostgreSQL."""
