# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Builds the package of this working tree inside the root of a release.

# Trees do not share build directories: mtimes of one say nothing about objects of the other.
build_dir() { echo "$CACHE/debian$1/build-$(echo "$TOP $(image_key "$1")" | sha256sum | cut -c1-16)"; }

# in_root RELEASE COMMAND: the root is read-only, the tree is at /mnt/src, /mnt/build can be written to.
# All mounts live in a namespace of their own, so they go away with the command, however it ends.
in_root() {
    local root build
    root=$(image "$1")/root
    build=$(build_dir "$1")
    # Compiled once for all trees: in a root they have the same paths.
    mkdir -p "$build" "$CACHE/ccache"
    unshare --mount --propagation private bash -euc '
        root=$1 source=$2 build=$3 ccache=$4 command=$5
        mount --bind "$root" "$root"
        mount -o remount,bind,ro "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        mount -t tmpfs tmpfs "$root/mnt"
        mkdir "$root"/mnt/{src,build,ccache}
        mount --bind -o ro "$source" "$root/mnt/src"
        mount --bind "$build" "$root/mnt/build"
        mount --bind "$ccache" "$root/mnt/ccache"
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 CMAKE_GENERATOR=Ninja \
            CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_DIR=/mnt/ccache \
            chroot "$root" bash -c "cd /mnt/build && $command"
    ' in_root "$root" "$TOP" "$build" "$CACHE/ccache" "$2"
}

lab_chroot() {
    [ $# = 2 ] || usage_error "chroot takes a release and a command"
    in_root "$1" "$2"
}

lab_deb() {
    [ $# = 1 ] || usage_error "deb takes a release"
    image "$1" >/dev/null
    timed "Debian $1: package" build_deb "$1" >&2
    ls "$(build_dir "$1")"/gpuward_*.deb
}

# As on a real host, but that warnings are errors, and without the debug symbols, which no scenario needs.
# A package is built inside its tree: in a copy.
package_commands='
    set -e
    export DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$(nproc)" DEB_CXXFLAGS_APPEND=-Werror DEB_CXXFLAGS_STRIP=-g
    mkdir source
    tar -C /mnt/src --anchored --exclude="./build*" --exclude="./obj-*" --exclude=./.git -c . | tar -C source -x
    cd source
    dpkg-buildpackage -b -us -uc'

build_deb() {
    local build lock
    build=$(build_dir "$1")
    mkdir -p "$build"
    exec {lock}>"$build.lock"
    flock "$lock"
    rm -rf "${build:?}"/*
    in_root "$1" "$package_commands" >"$build.log" 2>&1 ||
        die "the package does not build, see $build.log:" "$(tail -n 30 "$build.log")"
    exec {lock}>&-
}
