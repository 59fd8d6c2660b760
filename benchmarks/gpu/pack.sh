#!/usr/bin/env bash
# Packs what run.sh needs into one archive, from a checkout after `make setup`: pack.sh [ARCHIVE]
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHONPATH=$PWD exec "${PYTHON:-.venv/bin/python}" -m benchmarks.gpu.pack "${1:-dist/itk-nephi-gpu.tar.xz}"
