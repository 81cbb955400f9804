# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by whoever needs packages of the distribution.

# with_apt COMMAND…: no other of ours runs apt-get meanwhile. Parts of tests/run that run side by side install
# what they need, and apt-get waits for no other's lock on its lists.
with_apt() (
    mkdir -p /run/lock
    exec 9>/run/lock/gpuward-tests-apt
    flock --timeout 1800 9 || { echo "timed out waiting for another installation of packages" >&2 && exit 1; }
    "$@" 9>&-
)

missing_packages() {
    local package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

# need_packages PACKAGE…: installs those that are missing. Prints to stderr.
need_packages() {
    [ -z "$(missing_packages "$@")" ] || with_apt install_missing "$@" >&2
}

install_missing() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing ${missing[*]}"
    apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
}
