#!/usr/bin/env bash
# PL/Python for PostgreSQL PG_MAJOR, and the Python that it runs. Needs root where it is not there yet.
set -euo pipefail
: "${PG_MAJOR:?the major version of the server, such as 17}"

package="postgresql-plpython3-$PG_MAJOR"
status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
if [ "$status" = "install ok installed" ] && [ -x /usr/bin/python3 ]; then
  echo "$package is installed"
  exit 0
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" python3
