#!/usr/bin/env bash
# numpy and onnxruntime for the server's Python, in the folder RUNTIME_DIR.
set -euo pipefail
: "${RUNTIME_DIR:?the folder for numpy and onnxruntime}"

pgscore runtime install --target "$RUNTIME_DIR" --python "${SERVER_PYTHON:-/usr/bin/python3}"
