#!/usr/bin/env bash
# Check what is distributed: sdist and checkout give the same wheel, and the wheel works by itself.
#
#   make check-dist
set -euo pipefail
unset PYTHONPATH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make dist DIST_DIR="$work/sdist"
make wheel WHEEL_DIR="$work/checkout"
for source in sdist checkout; do
  "$PYTHON" -m zipfile -e "$work/$source"/*.whl "$work/unpacked/$source"
done
diff --recursive "$work/unpacked/sdist" "$work/unpacked/checkout"

"$PYTHON" -m venv "$work/venv"
wheel=$(echo "$work/sdist"/*.whl)
"$work/venv/bin/python" -m pip install "$wheel[register]"
cd "$work"
venv/bin/itk-nephi demo -o demo
test -s demo/report.html
