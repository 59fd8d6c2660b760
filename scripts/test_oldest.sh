#!/usr/bin/env bash
# Test with every dependency at the lower bound that pyproject.toml has, in an environment of its own.
#
#   make test-oldest
set -euo pipefail
unset PYTHONPATH PIP_CONSTRAINT

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

PIP_CONSTRAINT=constraints.txt make wheel WHEEL_DIR="$work"
.venv/bin/python scripts/oldest.py > "$work/oldest.txt"
"$PYTHON" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet "$work"/*.whl -r "$work/oldest.txt" pytest psutil SimpleITK

# warnings of old packages about new ones are theirs
PYTHONPATH=. "$work/venv/bin/python" -m pytest -W default test/spatial test/io test/test_itk_transform.py

cd "$work"
PATH="$work/venv/bin:$PATH"
itk-nephi demo -o demo --steps 2 --size 48 40 36
itk-nephi register --config demo/config.toml -o again -q
cmp demo/config.toml again/config.toml
itk-nephi info again/fixed_to_moving.h5 --json
