"""Run once each, by `pgscore upgrade`: NNNN_name.sql leads to schema version NNNN."""
