#!/usr/bin/env bash
# The tests' PostgreSQL 15 with PL/Python, and systemd, which judges the units that pgscore prints. As root on Debian
# it installs what is missing; elsewhere it says what the tests will skip. PGSCORE_REQUIRE_ALL=1 (as in CI) makes what is
# missing a failure of the tests.
set -euo pipefail

packages=(postgresql-15 postgresql-plpython3-15 postgresql-15-cron postgresql-15-pgtap systemd)
missing=()
if command -v dpkg-query >/dev/null; then
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing+=("$package")
  done
else
  missing=("${packages[@]}")
fi
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq &&
  [ -n "$(apt-cache madison "${missing[0]}" 2>/dev/null)" ]; then
  echo "Installing ${missing[*]} for the tests"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "Not here: ${missing[*]}."
  echo "Tests of ONNX in PL/Python and of PostgreSQL 15 are skipped; those on the embedded PostgreSQL 18 run."
  echo "To run all: on Debian 12, 'sudo apt-get install ${missing[*]}'."
fi
