#!/usr/bin/env bash
# Exits 0 when the server takes connections and can score. During the first start, the server that init.sh works on
# listens on the socket only, so this asks over TCP first.
set -euo pipefail

user="${POSTGRES_USER:-postgres}"
database="${POSTGRES_DB:-$user}"
pg_isready --quiet --host "${PGHOST:-127.0.0.1}" --username "$user" --dbname "$database"
installed=$(psql -X -A -t -q --username "$user" --dbname "$database" \
  -c "SELECT to_regprocedure('pgscore.onnx_row(text, double precision[])') IS NOT NULL")
[ "$installed" = t ]
