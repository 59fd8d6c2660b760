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
"$work/venv/bin/python" -m pip install --quiet "$work"/*.whl -r "$work/oldest.txt" pytest psutil
PYTHONPATH=. "$work/venv/bin/python" -m pytest \
  test/cli/test_info.py test/cli/test_options.py test/cli/test_transform.py \
  test/spatial test/io test/test_itk_transform.py test/workflows/test_configuration.py
