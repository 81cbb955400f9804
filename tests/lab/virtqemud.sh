# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Builds the modular daemon virtqemud of Debian 13. Debian's libvirt compiles it and installs libvirtd alone
# (debian/not-installed), so it is built here from the same source package, with what the daemon itself needs:
# it runs with the libvirt0 and the QEMU driver that the release's packages installed. libvirt 9.0 of Debian 12
# has other build options.

# virtqemud RELEASE: prints the path of a tar to unpack at /. Built once for an image.
virtqemud() {
    local dir lock
    dir=$CACHE/debian$1/virtqemud-$({ image_key "$1" && cat "$LAB/virtqemud.sh"; } | sha256sum | cut -c1-16)
    mkdir -p "$dir"
    exec {lock}>"$dir.lock"
    flock "$lock"
    [ -e "$dir/virtqemud.tar" ] || timed "Debian $1: virtqemud" build_virtqemud "$1" "$dir" >&2
    exec {lock}>&-
    echo "$dir/virtqemud.tar"
}

lab_virtqemud() {
    [ "$*" = 13 ] || usage_error "virtqemud takes the release 13"
    image "$1" >/dev/null
    virtqemud "$1"
}

# Options as in debian/rules; what is found without being named is off. One file after the other, as some
# mirrors have no .dsc; apt checks each by its signed list of sources.
virtqemud_commands='
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -n "s/^deb /deb-src /p" | sort -u >/tmp/sources
    cp /tmp/sources /etc/apt/sources.list.d/lab-sources.list
    apt-get -qq update
    apt-get -qq -y --no-install-recommends install meson python3-docutils xsltproc libglib2.0-dev libgnutls28-dev \
        libjson-c-dev libnl-3-dev libnl-route-3-dev libtirpc-dev libcap-ng-dev libudev-dev
    cd /mnt/out
    apt-get -qq source --download-only --tar-only libvirt
    apt-get -qq source --download-only --diff-only libvirt
    mkdir source tree
    tar -C source --strip-components=1 -xf libvirt_*.orig.tar.xz
    tar -C source -xf libvirt_*.debian.tar.xz
    cd source
    for patch in $(sed "/^#/d" debian/patches/series); do patch -sp1 <"debian/patches/$patch"; done
    meson setup ../build --prefix=/usr --libdir="/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)" \
        --libexecdir=/usr/lib/libvirt --sysconfdir=/etc --localstatedir=/var -Drunstatedir=/run \
        -Dauto_features=disabled -Ddriver_qemu=enabled -Ddriver_remote=enabled -Ddriver_libvirtd=enabled \
        -Djson_c=enabled -Dlibnl=enabled -Dpolkit=enabled -Dqemu_user=libvirt-qemu -Dqemu_group=libvirt-qemu \
        -Dinit_script=systemd -Dremote_default_mode=legacy -Ddocs=disabled -Dtests=disabled
    ninja -C ../build src/virtqemud src/virtqemud.conf
    cd ../build/src
    strip virtqemud
    install -D -t ../../tree/usr/sbin virtqemud
    install -D -m 644 -t ../../tree/usr/lib/systemd/system virtqemud.service virtqemud.socket virtqemud-ro.socket virtqemud-admin.socket
    install -D -m 644 -t ../../tree/etc/libvirt virtqemud.conf
    mkdir -p ../../tree/etc/apparmor.d
    sed "s,@sbindir@,/usr/sbin,g; s,@libexecdir@,/usr/lib/libvirt,g; s,@runstatedir@,/run,g; s,@sysconfdir@,/etc,g" \
        ../../source/src/security/apparmor/usr.sbin.virtqemud.in >../../tree/etc/apparmor.d/usr.sbin.virtqemud
    if grep -rn "@[a-z]*dir@" ../../tree/etc/apparmor.d; then exit 1; fi
    tar -C ../../tree -cf ../../virtqemud.tar .'

# In a copy of the root, which is thrown away (as in_copy of autopkgtest.sh).
build_virtqemud() {
    local root dir=$2
    root=$(image "$1")/root
    rm -rf "${dir:?}"/*
    mkdir -p "$dir"/{upper,work,merged,out} "$CACHE/ccache"
    unshare --mount --propagation private bash -euc '
        root=$1 dir=$2 ccache=$3 commands=$4
        mount -t overlay overlay "$dir/merged" -o "lowerdir=$root,upperdir=$dir/upper,workdir=$dir/work"
        cd "$dir/merged"
        mount -t proc proc proc
        mount --rbind /dev dev
        for directory in run tmp mnt; do mount -t tmpfs tmpfs $directory; done
        mkdir mnt/{out,ccache}
        mount --bind "$dir/out" mnt/out
        mount --bind "$ccache" mnt/ccache
        cat /etc/resolv.conf >etc/resolv.conf
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            CC="ccache gcc" CCACHE_DIR=/mnt/ccache chroot . bash -euc "$commands"
    ' build_virtqemud "$root" "$dir" "$CACHE/ccache" "$virtqemud_commands" >"$dir.log" 2>&1 ||
        die "virtqemud does not build, see $dir.log:" "$(tail -n 30 "$dir.log")"
    mv "$dir/out/virtqemud.tar" "$dir/tar"
    rm -rf "${dir:?}"/{upper,work,merged,out}
    mv "$dir/tar" "$dir/virtqemud.tar"
}
