#!/usr/bin/env bash
# Fails unless each chart, each that it depends on, and each package has the version of the release: versions.sh VERSION.
# The processes say that of their packages in telemetry (service.version).
set -euo pipefail
version=${1:?name the version}
for chart in helm/*/Chart.yaml; do
  for field in version appVersion; do
    found=$(sed -nE "s/^$field: *\"?([^\"]+)\"?/\1/p" "$chart")
    [[ $found == "$version" || ($field == appVersion && -z $found) ]] \
      || { echo "$chart has $field $found, and the tag says $version. Set it to $version, and tag that commit." >&2; exit 1; }
  done
  # Those of this repository are the only ones, indented or in braces.
  for found in $(sed -nE 's/.*[{ ]version: *"?([^", }]+).*/\1/p' "$chart"); do
    [[ $found == "$version" ]] \
      || { echo "$chart depends on a chart of version $found, and the tag says $version. Set it to $version, and tag that commit." >&2; exit 1; }
  done
done
for package in pyproject.toml {services,libs}/*/pyproject.toml; do
  found=$(sed -nE 's/^version = "([^"]+)"/\1/p' "$package")
  [[ $found == "$version" ]] \
    || { echo "$package has version $found, and the tag says $version. Set it to $version, lock again, and tag that commit." >&2; exit 1; }
done
