#!/usr/bin/env bash
# Prints the notes of a release: the subjects of the commits since the tag before it. changelog.sh TAG
set -euo pipefail
tag=${1:?name the tag}
before=$(git describe --tags --abbrev=0 --match 'v[0-9]*' "$tag^" 2>/dev/null || true)
echo "## Changes${before:+ since $before}"
echo
git log --no-merges --reverse --format='- %s' "${before:+$before..}$tag"
