# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Builds a Debian root and, out of it, what a machine boots from:
#   $CACHE/debianNN/KEY/{root/,disk.img,vmlinuz,initrd}
# KEY is a hash of all inputs; KEY/ appears by one rename, so it is complete or absent.

sample_drivers=(mtty mdpy mbochs)
# What no emulated card is: a parent of mdevs, NVIDIA's VFs with vGPU types, Intel's VFs with quotas.
own_drivers=(labgpu labvgpu labxe)

codename() {
    case $1 in
    12) echo bookworm ;;
    13) echo trixie ;;
    *) die "unknown release '$1': 12 or 13" ;;
    esac
}

image_key() {
    cat "$LAB/image.sh" "$LAB/packages" "$LAB/guest/gpuward-lab.service" "$LAB"/modules/*/{Kbuild,*.c} <(echo "$1") |
        sha256sum | cut -c1-16
}

image_dir() { echo "$CACHE/debian$1/$(image_key "$1")"; }

# Prints the directory of the release's image; builds it first where it is missing.
image() {
    local release=$1 dir lock
    codename "$release" >/dev/null
    dir=$(image_dir "$release")
    mkdir -p "$CACHE/debian$release"
    exec {lock}>"$CACHE/debian$release/lock"
    flock "$lock"
    [ -d "$dir" ] || build_image "$release" "$dir" >&2
    exec {lock}>&-
    echo "$dir"
}

build_image() {
    local release=$1 dir=$2 parent=${2%/*} work
    need_packages mmdebstrap e2fsprogs debian-archive-keyring
    remove_interrupted_builds "$parent"
    work=$(mktemp -d "$parent/build.XXXXXX")
    chmod 755 "$work"
    timed "Debian $release: root" build_root "$release" "$work/root"
    timed "Debian $release: sample mdev drivers" build_sample_drivers "$work/root"
    timed "Debian $release: kernel and disk image" build_disk "$work"
    mv "$work" "$dir"
    remove_old_images "$parent" "$dir"
}

# The caller has the lock. mmdebstrap that was killed leaves /proc, /sys and /dev/shm mounted in its root:
# nothing may be removed through them.
remove_interrupted_builds() {
    local mount mounts
    mounts=$(findmnt --raw --noheadings --output TARGET)
    while read -r mount; do
        [[ $mount != "$1/build."* ]] || umount "$mount"
    done < <(sort --reverse <<<"$mounts")
    rm -rf --one-file-system "$1"/build.??????
}

remove_old_images() {
    local old
    for old in "$1"/*/root; do
        [ "${old%/root}" = "$2" ] || rm -rf "${old%/root}"
    done
}

# The sources of this host's apt, with the suites of the wanted release.
apt_sources() {
    local release_name=$1 main security
    main=$(apt_site Debian)
    security=$(apt_site Debian-Security)
    [ -n "$main" ] || die "no Debian mirror in this host's apt sources; set GPUWARD_LAB_MIRROR"
    echo "deb $main $release_name main"
    echo "deb $main $release_name-updates main"
    [ -z "$security" ] || echo "deb $security $release_name-security main"
}

# apt_site LABEL: the first site that carries that archive. It needs apt's lists.
apt_site() {
    if [ "$1" = Debian ] && [ -n "${GPUWARD_LAB_MIRROR:-}" ]; then
        echo "$GPUWARD_LAB_MIRROR"
        return
    fi
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)' 'Created-By: Packages' |
        sed -n "s/^Debian|$1|//p" | head -n 1
}

build_root() {
    local release_name root=$2 log=$2.log
    release_name=$(codename "$1")
    [ -n "$(apt_site Debian)" ] || with_apt apt-get update -qq
    apt_sources "$release_name" >"$root.list"
    # The initrd gets only what finds the disk, and is packed once, at the end.
    mmdebstrap --variant=minbase --mode=root --format=directory \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        --include="$(grep -v '^#' "$LAB/packages" | xargs | tr ' ' ,)" \
        --aptopt='Acquire::Languages "none"' \
        --dpkgopt='force-unsafe-io' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
        --essential-hook='printf "MODULES=list\nCOMPRESS=cat\n" >"$1/etc/initramfs-tools/conf.d/lab"' \
        --essential-hook='printf "%s\n" virtio_pci virtio_blk ext4 crc32c_generic >"$1/etc/initramfs-tools/modules"' \
        --customize-hook='chroot "$1" sh -c "cd /var/cache && apt-get download linux-source-\$(ls /lib/modules | cut -d. -f1,2)"' \
        "$release_name" "$root" "$root.list" >"$log" 2>&1 ||
        die "mmdebstrap failed, last lines of its log:" "$(tail -n 15 "$log")"
    configure_root "$root"
}

configure_root() {
    local root=$1 unit units=$1/etc/systemd/system
    echo gpuward-lab >"$root/etc/hostname"
    echo '127.0.0.1 localhost gpuward-lab' >"$root/etc/hosts"
    mkdir -p "$root/lab" "$root/var/log/journal" "$units/multi-user.target.wants"
    cat >"$root/etc/fstab" <<-FSTAB
	/dev/vda / ext4 rw,noatime 0 0
	lab /lab 9p trans=virtio,version=9p2000.L,msize=262144,cache=none 0 0
	FSTAB
    cp "$LAB/guest/gpuward-lab.service" "$units/"
    ln -s ../gpuward-lab.service "$units/multi-user.target.wants/"
    # Emulated cycles are dear: no unit runs that no scenario needs.
    for unit in serial-getty@ttyS0.service getty@tty1.service systemd-timesyncd.service e2scrub_reap.service \
        apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer \
        systemd-networkd.service systemd-update-utmp.service systemd-binfmt.service ldconfig.service \
        dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount proc-sys-fs-binfmt_misc.automount \
        systemd-pstore.service; do
        ln -sf /dev/null "$units/$unit"
    done
    # A slow machine is no reason to call a unit broken.
    mkdir -p "$root/etc/systemd/system.conf.d"
    printf '[Manager]\nDefaultTimeoutStartSec=300s\n' >"$root/etc/systemd/system.conf.d/lab.conf"
    # debhelper brings man-db: its index of no pages would be built at each installation.
    rm -f "$root/var/lib/man-db/auto-update"
    keep_apparmor_small "$root"
    # Without it libvirt asks QEMU for each of some 450 CPU features: two thirds of a domain's start.
    echo 'capability_filters = [ "cpu-unavailable-features" ]' >>"$root/etc/libvirt/qemu.conf"
}

# Compiling profiles is half of a boot and, three times over, half of a domain's start.
keep_apparmor_small() {
    local profile profiles=$1/etc/apparmor.d
    echo 'Optimize=no-expr-simplify' >>"$1/etc/apparmor/parser.conf"
    mkdir -p "$profiles/disable"
    for profile in "$profiles"/*; do
        case ${profile##*/} in
        *libvirt* | *virtqemud*) ;;
        *) [ ! -f "$profile" ] || ln -sf "../${profile##*/}" "$profiles/disable/" ;;
        esac
    done
}

# Debian's kernels have mdev, but none of the sample drivers: build them for the root's kernel.
build_sample_drivers() {
    local root=$1 kernel dir=$1/tmp/drivers driver
    kernel=$(basename "$root"/lib/modules/*)
    mkdir -p "$dir"
    unpack_sample_drivers "$root" "$dir"
    cp -r "${own_drivers[@]/#/$LAB/modules/}" "$dir/"
    printf 'obj-m += %s\n' "${sample_drivers[@]/%/.o}" "${own_drivers[@]/%//}" >"$dir/Makefile"
    chroot "$root" make -C "/lib/modules/$kernel/build" M=/tmp/drivers modules >"$root.drivers.log" 2>&1 ||
        die "sample drivers do not build:" "$(tail -n 15 "$root.drivers.log")"
    install -D -m 644 -t "$root/lib/modules/$kernel/extra" "$dir"/*.ko "$dir"/*/*.ko
    chroot "$root" depmod "$kernel"
    rm -rf "$dir"
}

# The source package is a tar.xz inside a .deb; only a few files of it are wanted.
unpack_sample_drivers() {
    local root=$1 dir=$2
    dpkg-deb --fsys-tarfile "$root"/var/cache/linux-source-*.deb |
        tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
        tar -xJ -C "$dir" --strip-components=3 --wildcards 'linux-source-*/samples/vfio-mdev/*'
    rm "$root"/var/cache/linux-source-*.deb
}

build_disk() {
    local work=$1 kernel
    kernel=$(basename "$work"/root/lib/modules/*)
    cp "$work/root/boot/vmlinuz-$kernel" "$work/vmlinuz"
    cp "$work/root/boot/initrd.img-$kernel" "$work/initrd"
    mke2fs -q -t ext4 -d "$work/root" "$work/disk.img" 6G >/dev/null
}

lab_image() {
    [ $# = 1 ] || usage_error "image takes a release"
    image "$1"
}
