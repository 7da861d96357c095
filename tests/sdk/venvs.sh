#!/usr/bin/env bash
# Makes the virtual environments that the SDK tests run in, and prints the directory that holds them:
# $TENURE_TEST_VENVS, else sdk-venvs in cargo's target directory. What is already there and unchanged is kept.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${TENURE_TEST_VENVS:-${CARGO_TARGET_DIR:-$here/../../target}/sdk-venvs}
mkdir -p "$root"
root=$(cd "$root" && pwd)

venv() { # name, requirement…: one environment, rebuilt when its place, its requirements or the constraints change
    local dir=$root/$1
    shift
    local want
    want=$(printf '%s\n' "$dir" "$@" | cat - "$here/constraints.txt" | sha256sum)
    [ "$(cat "$dir/.built-from" 2>/dev/null)" = "$want" ] && return
    rm -rf "$dir"
    python3 -m venv "$dir"
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$here/constraints.txt" "$@" >&2
    printf '%s' "$want" >"$dir/.built-from"
    printf 'built %s\n' "$dir" >&2
}

(
    flock 9 # two test runs at once build each environment once
    venv pytest pytest pytest-timeout pytest-xdist
    venv sdk-0.2.0 agentspan==0.2.0 conductor-python==1.3.11
    venv sdk-0.1.10 agentspan==0.1.10 conductor-python==1.3.11
    venv schemathesis schemathesis
    venv worker-2.0.0 conductor-python==2.0.0
) 9>"$root/.lock"
printf '%s\n' "$root"
