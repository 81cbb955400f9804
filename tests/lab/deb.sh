# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Builds the package of this working tree, or of an earlier commit, inside the root of a release.

# Trees do not share build directories: mtimes of one say nothing about objects of the other.
build_dir() { echo "$CACHE/debian$1/build-$(echo "$TOP $(image_key "$1")" | sha256sum | cut -c1-16)"; }

# in_root RELEASE SOURCE BUILD COMMAND: the root is read-only, SOURCE is at /mnt/src, BUILD at /mnt/build can be
# written to. All mounts live in a namespace of their own, so they go away with the command, however it ends.
in_root() {
    local root source=$2 build=$3
    root=$(image "$1")/root
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
    ' in_root "$root" "$source" "$build" "$CACHE/ccache" "$4"
}

lab_chroot() {
    [ $# = 2 ] || usage_error "chroot takes a release and a command"
    in_root "$1" "$TOP" "$(build_dir "$1")" "$2"
}

lab_deb() {
    [ $# = 1 ] || [ $# = 2 ] || usage_error "deb takes a release and perhaps a commit"
    image "$1" >/dev/null
    if [ $# = 2 ]; then
        has_commit "$2" || die "no commit $2 in this repository"
        commit_deb "$1" "$2"
        return
    fi
    timed "Debian $1: package" build_deb "$1" >&2
    ls "$(build_dir "$1")"/gpuward_*.deb
}

# As on a real host, but that warnings are errors, and without the debug symbols, which no scenario needs.
# A package is built inside its tree: in a copy.
package_commands='
    set -e
    export DEB_BUILD_PROFILES=nocheck DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$(nproc)"
    export DEB_CXXFLAGS_APPEND=-Werror DEB_CXXFLAGS_STRIP=-g
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
    in_root "$1" "$TOP" "$build" "$package_commands" >"$build.log" 2>&1 ||
        die "the package does not build, see $build.log:" "$(tail -n 30 "$build.log")"
    exec {lock}>&-
}

# --- The package of an earlier release, which an upgrade begins with ---

# git, also where the tree belongs to another user than root.
tree_git() { git -c safe.directory="$TOP" -C "$TOP" "$@"; }

# has_commit COMMIT: not in a clone without history, nor in a source package.
has_commit() { tree_git cat-file -e "$1^{commit}" 2>/dev/null; }

# commit_deb RELEASE COMMIT: prints its path. A commit does not change, so it is built once for an image.
commit_deb() {
    local dir lock
    dir=$CACHE/debian$1/commit-$(image_key "$1")-$2
    mkdir -p "$dir"
    exec {lock}>"$dir.lock"
    flock "$lock"
    [ -e "$dir/gpuward.deb" ] || timed "Debian $1: package of commit ${2:0:7}" build_commit_deb "$1" "$2" "$dir" >&2
    exec {lock}>&-
    echo "$dir/gpuward.deb"
}

# 0.1.0 made its package with cpack, later ones have debian/.
build_commit_deb() {
    local release=$1 commit=$2 dir=$3 commands=$package_commands
    rm -rf "${dir:?}"/{source,build}
    mkdir -p "$dir"/{source,build}
    tree_git archive "$commit" | tar -x -C "$dir/source"
    [ -e "$dir/source/debian/control" ] || commands='cmake -S /mnt/src -B . -DCMAKE_BUILD_TYPE=Release \
        -DBUILD_TESTING=OFF && cmake --build . && cpack -G DEB'
    in_root "$release" "$dir/source" "$dir/build" "$commands" >"$dir/log" 2>&1 ||
        die "the package of commit $commit does not build, see $dir/log:" "$(tail -n 30 "$dir/log")"
    mv "$dir"/build/gpuward_*.deb "$dir/gpuward.deb"
    rm -rf "${dir:?}"/{source,build}
}
