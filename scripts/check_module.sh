#!/usr/bin/env bash
# Build the ITK module against an installed ITK 5.4, with gcc and with clang, and run its C++ tests.
#
#   make check-module
#
# Against the ITK in ITK_DIR; else against that of Debian 13, which mmdebstrap unpacks into build/debian with its
# compilers (3 GB, root). Each public header is compiled alone, too.
set -euo pipefail

compile_and_test() {
  source=$1
  for compiler in g++ clang++; do
    build=$source/build/module-$compiler
    cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_CXX_COMPILER=$compiler -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror"
    cmake --build "$build"
    ctest --test-dir "$build" --output-on-failure
  done
}

if [ -n "${ITK_DIR:-}" ]; then
  compile_and_test .
  exit 0
fi

for tool in mmdebstrap chroot; do
  command -v "$tool" >/dev/null || { echo "expected $tool, or an ITK 5.4 in ITK_DIR, not found" >&2; exit 1; }
done
root=build/debian
if [ ! -e "$root/usr/bin/clang++" ]; then
  mkdir -p build
  # libfftw3-dev: Debian's ITK links it without depending on it
  mmdebstrap --variant=apt \
    --include=clang,cmake,g++,libfftw3-dev,libgtest-dev,libinsighttoolkit5-dev,ninja-build trixie "$root"
fi
mkdir -p "$root/module"
tar -c CMakeLists.txt itk-module.cmake include src test/CMakeLists.txt test/cpp | tar -x -C "$root/module"
chroot "$root" bash -c "set -euo pipefail; $(declare -f compile_and_test); compile_and_test /module"
