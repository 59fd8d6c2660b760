#!/usr/bin/env bash
# Check that the base install, without torch and matplotlib, applies and converts transforms.
#
#   make check-extras
set -euo pipefail
unset PYTHONPATH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make wheel WHEEL_DIR="$work/wheel"
"$PYTHON" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet "$work/wheel"/*.whl
if "$work/venv/bin/python" -m pip show --quiet torch matplotlib; then
  echo "expected an install without torch and matplotlib, got one with them" >&2
  exit 1
fi
echo "the base install: $(du --summarize --block-size MB "$work/venv" | cut --fields 1)"

PYTHONPATH=. .venv/bin/python -m itk_nephi demo -o "$work/demo" --steps 2 --size 32 28 24
cd "$work/demo"
PATH="$work/venv/bin:$PATH"
itk-nephi info fixed_to_moving.h5
itk-nephi transform-image moving.nii.gz fixed_to_moving.h5 --reference fixed.nii.gz -o resampled.nii.gz
itk-nephi transform-points landmarks.csv fixed_to_moving.h5 -o moved.csv
itk-nephi convert fixed_to_moving.h5 --reference fixed.nii.gz -o field.nii.gz
itk-nephi invert fixed_to_moving.h5 -o inverse.h5
itk-nephi jacobian fixed_to_moving.h5 --reference fixed.nii.gz -o determinant.nii.gz
itk-nephi align fixed.nii.gz moving.nii.gz -o affine.h5

if itk-nephi register fixed.nii.gz moving.nii.gz -o result 2> error.txt; then
  echo "expected a registration without torch to fail, got a result" >&2
  exit 1
fi
grep "pip install 'itk-nephi\[register\]'" error.txt
