# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Runs debian/tests with the package installed, in a copy of the release's root that is thrown away: this
# host's kernel, the libvirt and QEMU of the release. autopkgtest(1) does so in a machine of its own.

lab_autopkgtest() {
    local deb=build
    if [ "${1:-}" = --deb ]; then
        deb=$(readlink -f "$2")
        shift 2
    fi
    [ $# -gt 0 ] || usage_error "autopkgtest takes a release and perhaps cases of tests/host"
    local release=$1
    shift
    [ "$deb" != build ] || deb=$(lab_deb "$release")
    "$TOP/tests/host/libvirt-xmls" "$CACHE/libvirt-xmls"
    in_copy "$(image "$release")/root" "$deb" "$@"
}

# What debian/tests/control wants but for the package itself (@), in one line.
test_dependencies() {
    sed -n '/^Depends:/,/^[A-Z].*:/p' "$TOP/debian/tests/control" | sed '/^[A-Z].*:/d; / @,/d' | xargs | sed 's/,$//'
}

# in_copy ROOT DEB CASE…: the copy becomes the root of a mount namespace, not of a chroot: nsenter(1), by
# which the host tier enters its hosts, leaves a chroot.
in_copy() {
    local work artifacts status=0
    work=$(mktemp -d "${TMPDIR:-/tmp}/gpuward-copy.XXXXXX")
    artifacts=$CACHE/runs/autopkgtest
    rm -rf "$artifacts"
    mkdir -p "$artifacts"
    unshare --mount --propagation private bash -euc '
        work=$1 root=$2 source=$3 deb=$4 xmls=$5 artifacts=$6 dependencies=$7
        shift 7
        mkdir "$work"/{upper,work,root}
        mount -t overlay overlay "$work/root" -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work"
        cd "$work/root"
        mount -t proc proc proc
        mount --rbind /sys sys
        mount --rbind /dev dev
        for directory in run tmp mnt; do mount -t tmpfs tmpfs $directory; done
        mkdir mnt/{source,xmls,artifacts,old}
        mount --bind -o ro "$source" mnt/source
        mount --bind -o ro "$xmls" mnt/xmls
        mount --bind "$artifacts" mnt/artifacts
        cp "$deb" tmp/gpuward.deb
        cat /etc/resolv.conf >etc/resolv.conf
        pivot_root . mnt/old
        umount -l /mnt/old
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            SOAK="${SOAK:-}" GPUWARD_LIBVIRT_XMLS=/mnt/xmls AUTOPKGTEST_ARTIFACTS=/mnt/artifacts bash -euc "
            { apt-get -qq update
              apt-get -qq -y --no-install-recommends install /tmp/gpuward.deb
              apt-get -qq -y --no-install-recommends satisfy \"\$0\"; } >/tmp/apt.log 2>&1 ||
                { cat /tmp/apt.log && exit 1; }
            exec /mnt/source/debian/tests/host \"\$@\"
        " "$dependencies" "$@"
    ' in_copy "$work" "$1" "$TOP" "$2" "$CACHE/libvirt-xmls" "$artifacts" \
        "$(test_dependencies)" "${@:3}" || status=$?
    rm -rf --one-file-system "$work"
    [ $status = 0 ] || say "what /mnt/artifacts had: $artifacts"
    return $status
}
