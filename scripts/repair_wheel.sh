#!/usr/bin/env bash
# Give a wheel the tag of the oldest glibc that it works with, and say what it needs.
#
#   scripts/repair_wheel.sh WHEEL FOLDER
#
# The extension links the modules of the itk wheels, which are installed beside it: nothing is copied into the wheel.
# cibuildwheel calls this in its manylinux image (pyproject.toml); it needs auditwheel and patchelf.
set -euo pipefail

wheel=${1:?"usage: repair_wheel.sh WHEEL FOLDER"}
folder=${2:?"usage: repair_wheel.sh WHEEL FOLDER"}

auditwheel show "$wheel"
auditwheel repair --exclude '_ITK*.abi3.so' --wheel-dir "$folder" "$wheel"
