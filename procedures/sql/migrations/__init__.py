"""The run-once steps: `NNNN_name.sql` leads from schema version NNNN - 1 to NNNN.

Upgrade runs them in order, as the owner, before the numbered files of the folder above, which hold the full definitions
and may run again. A fresh install runs none. So a migration alters tables (new columns stand last in CREATE TABLE, as
ALTER TABLE adds them last), moves data, and drops the functions and views whose signature or columns change.
"""
