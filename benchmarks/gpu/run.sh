#!/usr/bin/env bash
# What needs a GPU, on a bare machine with Python, torch and numpy: run.sh DEVICE [ARCHIVE [OUT]]
# DEVICE is cuda, or cpu for a dry run at small sizes. Takes less than nine minutes on a GPU.
set -euo pipefail

device=${1:?expected a device, cuda or cpu}
here=$(cd "$(dirname "$0")" && pwd)
archive=${2:-$here/../../dist/itk-nephi-gpu.tar.xz}
out=$(mkdir -p "${3:-gpu-$device}" && cd "${3:-gpu-$device}" && pwd)
python=${PYTHON:-python3}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m tarfile -e "$archive" "$folder"
cd "$folder"
PYTHONPATH="$folder:$folder/packages" PYTHONDONTWRITEBYTECODE=1 "$python" -m benchmarks.gpu.run "$device" "$out"
