#!/usr/bin/env bash
# Installs pgscore in the database POSTGRES_DB as the superuser POSTGRES_USER. The image runs it once, on the first start,
# against the local socket; PGHOST and PGPORT point it elsewhere.
set -euo pipefail
: "${RUNTIME_DIR:?the folder that runtime.sh filled}"

export PGUSER="${POSTGRES_USER:-postgres}"
export PGDATABASE="${POSTGRES_DB:-$PGUSER}"
pgscore install --plpython --runtime "$RUNTIME_DIR"
