#!/usr/bin/env bash
# Fetch a package from this machine's own Debian or Ubuntu mirror, and unpack it.
#
#   scripts/fetch_package.sh libinsighttoolkit5-dev 5.4.* FOLDER    # headers of ITK: FOLDER/usr/include/ITK-5.4
#   scripts/fetch_package.sh googletest 1.* FOLDER                  # sources: FOLDER/usr/src/googletest
#
# Installs nothing, needs no root, leaves the machine's apt settings alone and keeps apt's signature check.
set -euo pipefail

usage="usage: fetch_package.sh PACKAGE VERSIONS FOLDER"
package=${1:?"$usage"}
versions=${2:?"$usage"}
folder=${3:?"$usage"}

fail() {
  echo "fetch_package.sh: $1" >&2
  exit 1
}

for tool in apt-get apt-cache dpkg-deb; do
  command -v "$tool" >/dev/null || fail "expected $tool (Debian or Ubuntu), not found"
done

. /etc/os-release
case $ID in
  debian) suites="trixie sid" component=main keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
  ubuntu)
    suites="$VERSION_CODENAME plucky questing resolute"
    component=universe
    keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg
    ;;
  *) fail "expected Debian or Ubuntu, got $ID" ;;
esac
[ -r "$keyring" ] || fail "expected the archive's keys in $keyring, not found"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/empty"
mirrors=$(apt-get update --print-uris -o Dir::State::Lists="$work/lists" | grep -v security |
  sed -n "s|^'\(.*\)/dists/.*|\1|p" | sort -u)
[ -n "$mirrors" ] || fail "expected a package mirror in the machine's apt sources, found none"

private=(
  -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts="$work/empty"
  -o Dir::Etc::Preferences="$work/empty" -o Dir::Etc::PreferencesParts="$work/empty"
  -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache"
  -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3
)
cd "$work"
for suite in $suites; do
  for mirror in $mirrors; do
    echo "deb [signed-by=$keyring] $mirror $suite $component" >sources.list
    apt-get "${private[@]}" -qq -o APT::Update::Error-Mode=any update 2>log || { cat log >&2; continue; }
    version=$(apt-cache "${private[@]}" madison "$package" | awk 'NR == 1 { print $3 }')
    case $version in
      $versions) ;;
      *) continue ;;
    esac
    echo "Fetching $package $version from $suite"
    apt-get "${private[@]}" -qq download "$package=$version"
    mkdir -p "$folder"
    dpkg-deb -x "$package"_*.deb "$folder"
    exit 0
  done
done
fail "none of the suites '$suites' of this machine's mirrors carries $package $versions"
