#!/bin/bash
# Run tests with an extension that is built under a sanitizer of the compiler:
#   scripts/sanitize.sh address|undefined|thread [PYTEST-ARGUMENTS]
# Beside ITK's installed modules lies the sanitized one in a folder of links, so that nothing is installed. The C++ alone
# is tested under sanitizers by test/cpp.
set -euo pipefail
cd "$(dirname "$0")/.."
sanitizer=$1
shift
python=$PWD/.venv/bin/python
folder=$PWD/build/sanitize-$sanitizer
mkdir -p "$folder"

export CXXFLAGS="-fsanitize=$sanitizer -fno-omit-frame-pointer -g -O1"
export LDFLAGS="-fsanitize=$sanitizer"
export PIP_CONSTRAINT=$PWD/constraints.txt
if [ ! -e "$folder/wheel" ]; then
  "$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/made" .
  "$python" -m zipfile -e "$folder"/made/*.whl "$folder/wheel"
fi

# ITK's folder by links, the sanitized module in place of the installed one
itk=$("$python" -c "import itkConfig, pathlib; print(pathlib.Path(itkConfig.__file__).parent)")
rm -rf "$folder/python"
mkdir -p "$folder/python/itk"
cp "$itk/itkConfig.py" "$folder/python"
ln -s "$itk"/itk/* "$folder/python/itk"
ln -s "$itk"/*.libs "$folder/python"
(cd "$folder/wheel/itk" && find . -type f) | while read -r file; do
  target=$folder/python/itk/$file
  if [ -L "$(dirname "$target")" ]; then
    source=$(readlink "$(dirname "$target")")
    rm "$(dirname "$target")"
    mkdir "$(dirname "$target")"
    ln -s "$source"/* "$(dirname "$target")"
  fi
  rm -f "$target"
  cp "$folder/wheel/itk/$file" "$target"
done

case $sanitizer in
  address) library=libasan.so ;;
  undefined) library=libubsan.so ;;
  thread) library=libtsan.so ;;
esac
export ASAN_OPTIONS=detect_leaks=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1:exitcode=66
export PYTHONPATH=$folder/python:$PWD
export OMP_NUM_THREADS=2
# the thread sanitizer does not see how TBB, which ITK's wheels hold, synchronizes
export ITK_GLOBAL_DEFAULT_THREADER=Platform
# the sanitizer writes to stderr, which pytest leaves alone
# libstdc++ as well: a sanitizer that is loaded before it does not find what throws
preloaded="$(gcc -print-file-name=$library) $(gcc -print-file-name=libstdc++.so.6)"
[ $# -gt 0 ] || set -- test/test_itk_transform.py test/alignment/test_explained_variance.py
LD_PRELOAD=$preloaded setarch -R "$python" -m pytest -q -p no:faulthandler --capture=sys \
  "$@"
