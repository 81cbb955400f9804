# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What scenarios are written with, beside the checks of tests/checks.sh.
#
# A scenario is a bash script in scenarios/, run as root in the guest with `set -euo pipefail`.
# It may set in its head:   # limit: 3600  seconds it may take per part (default 1800)
#                           # deb: COMMIT  the package of that commit is /lab/debs/COMMIT.deb, if git has it
#                           # virtqemud: 13  there libvirt's modular daemon is /lab/virtqemud.tar, to unpack at /
# To go on after a restart it is run again with another $PART (the first is `first`):
#
#     case $PART in
#     first)   …; reboot_to after ;;
#     after)   … ;;
#     esac
#
# $STATE is a directory that outlives the restart. What a scenario leaves behind (domains, mdevs,
# changes in /etc/gpuward) is taken away after it passed; after it failed the machine is thrown away.

claims_dir=/run/gpuward/claims

. /lab/guest/checks.sh

# Only for what the release cannot do; it is counted and shown.
skip() {
    echo "$*" >"$STATE/skipped"
    exit 77
}

# libvirt_since 9.7: whether this release's libvirt is that new.
libvirt_since() { [ "$(printf '%s\n' "$1" "$(virsh --version)" | sort -V | head -n 1)" = "$1" ]; }

# open_guards: for domains written by hand, which no guard is to look at.
open_guards() {
    cat >/etc/gpuward/gpuward.conf <<'INI'
[guard]
migration = allow
pause = allow
memory-hotplug = allow
gpu-hotplug = allow
INI
}

# --- Instances and claims ---

# mdevs: UUIDs of all instances, sorted, one per line.
mdevs() { ls /sys/bus/mdev/devices 2>/dev/null || true; }

# claims: UUIDs of the domains that hold a device.
claims() { ls "$claims_dir" 2>/dev/null || true; }

# no_leftovers [UUID…]: no instance but the named foreign ones, which must be there, and no claim.
no_leftovers() {
    local wanted
    wanted=$([ $# = 0 ] || printf '%s\n' "$@" | sort)
    equal "instances left" "$wanted" "$(mdevs)"
    equal "claims left" "" "$(claims)"
}

# settles_without_leftovers [UUID…]: the same, for what goes on in the background.
settles_without_leftovers() {
    wait_until 60 leaves_nothing "$@"
    no_leftovers "$@"
}
leaves_nothing() { (no_leftovers "$@"); }

types_of() { echo "/sys/class/mdev_bus/$1/mdev_supported_types"; }

# available PARENT TYPE
available() { cat "$(types_of "$1")/$2/available_instances"; }

# make_mdev PARENT TYPE UUID: as a foreign tool would.
make_mdev() { echo "$3" >"$(types_of "$1")/$2/create"; }

remove_mdev() { echo 1 >"/sys/bus/mdev/devices/$1/remove"; }

new_uuid() { cat /proc/sys/kernel/random/uuid; }

# --- Domains: emulated; QEMU opens a device whatever the guest does ---

# Firmware that stops at once (cli; hlt), for guests without a disk: what runs in an emulator that runs
# in an emulator takes the time of all that scenarios look at.
idle_firmware() {
    local path=/var/lib/libvirt/images/idle.rom
    [ -e $path ] || {
        head -c 65520 /dev/zero
        printf '\xfa\xf4\xeb\xfd'
        head -c 12 /dev/zero
    } >$path
    echo "<loader type='rom'>$path</loader>"
}

# domain_xml NAME [MIB [MACHINE [DEVICES]]]
# Starting under AppArmor takes twice as long here: only with `confined=yes domain_xml …` (or define).
domain_xml() {
    local label="<seclabel type='none' model='apparmor'/>" loader=
    [ "${confined:-}" != yes ] || label=
    [[ ${4:-} == *"<disk "* ]] || loader=$(idle_firmware)
    cat <<XML
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>${2:-32}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='${3:-q35}'>hvm</type>$loader</os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    ${4:-}
  </devices>
  $label
</domain>
XML
}

# mdev_xml UUID [ALIAS]
mdev_xml() {
    cat <<XML
<hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci'>
  <source><address uuid='$1'/></source>
  ${2:+<alias name='$2'/>}
</hostdev>
XML
}

# pci_xml 0000:01:00.0 [MANAGED]
pci_xml() {
    local domain bus slot function
    IFS=:. read -r domain bus slot function <<<"$1"
    cat <<XML
<hostdev mode='subsystem' type='pci' managed='${2:-yes}'>
  <source><address domain='0x$domain' bus='0x$bus' slot='0x$slot' function='0x$function'/></source>
</hostdev>
XML
}

# disk_xml PATH
disk_xml() {
    cat <<XML
<disk type='file' device='disk'>
  <driver name='qemu' type='raw'/><source file='$1'/><target dev='vda' bus='virtio'/>
</disk>
XML
}

# define NAME [MIB [MACHINE [DEVICES]]]
define() {
    local xml
    xml=$(mktemp)
    domain_xml "$@" >"$xml"
    succeeds virsh define --validate "$xml"
    rm "$xml"
}

start_ok() {
    succeeds virsh start "$1"
    equal "state of $1" running "$(state "$1")"
}

state() { virsh domstate "$1" | sed -n 1p; }

# stopped_as DOMAIN REASON: libvirt's word for it: shutdown, destroyed, crashed, failed …
stopped_as() {
    wait_until 60 is_off "$1"
    equal "why $1 is off" "shut off ($2)" "$(virsh domstate --reason "$1" | sed -n 1p)"
}
is_off() { [ "$(state "$1")" = "shut off" ]; }

qemu_pid() { cat "/run/libvirt/qemu/$1.pid"; }

# poweroff_disk PATH [SECONDS]: a disk whose boot sector waits (timer ticks of 55 ms) and then powers
# off as a guest would, by the ACPI register at port 0x604. SeaBIOS puts it there on q35 and on pc.
poweroff_disk() {
    local ticks=$((${2:-1} * 18))
    {
        printf '\xfb\x31\xc0\x8e\xd8'                              # sti; ds = 0
        printf '\x8b\x1e\x6c\x04\x81\xc3'                          # bx = [0x46c], the tick count, plus
        printf "\\x$(printf %02x $((ticks % 256)))\\x$(printf %02x $((ticks / 256)))" # … ticks
        printf '\xf4\xa1\x6c\x04\x39\xd8\x78\xf8'                  # hlt until [0x46c] reaches bx
        printf '\xba\x04\x06\xb8\x00\x20\xef'                      # out 0x604, SLP_EN
        printf '\xf4\xeb\xfd'                                      # hlt for ever
    } >"$1"
    truncate -s 510 "$1"
    printf '\x55\xaa' >>"$1"
    truncate -s 1M "$1"
}

# --- Cards: what only the host of this machine can do ---

# hotplug DEVICE: QEMU's words, on a free port (free1 … free3): bochs-display,id=gpu9,bus=free1
hotplug() { ask_host hotplug "$1"; }

# unplug ID: returns when the card is gone.
unplug() { ask_host unplug "$1"; }

ask_host() {
    local id=$BASHPID-$RANDOM answer=
    echo "$*" >"/lab/requests/.$id"
    mv "/lab/requests/.$id" "/lab/requests/$id"
    wait_until 120 test -e "/lab/answers/$id"
    answer=$(cat "/lab/answers/$id")
    [ "$answer" = ok ] || fail "host could not $*: $answer"
}

# display_cards: PCI addresses of class 03xx.
display_cards() { lspci -D -n | sed -n 's/ 03..:.*//p'; }

# device_of DOMAIN: PCI address that its definition names first.
device_of() {
    virsh dumpxml --inactive "$1" | tr -d "'" | sed -n '/<hostdev /,/<\/hostdev>/s/.*<address domain=0x\(.*\) bus=0x\(.*\) slot=0x\(.*\) function=0x\(.\)\/>.*/\1:\2:\3.\4/p' | head -n 1
}

# pci ADDRESS: its directory.
pci() { echo "/sys/bus/pci/devices/$1"; }

# driver_of ADDRESS: nothing where it has none.
driver_of() { [ ! -e "$(pci "$1")/driver" ] || basename "$(readlink "$(pci "$1")/driver")"; }

# unbind ADDRESS: from the driver that it has, if any. A module that is being loaded binds its devices, and so
# makes their `driver` link, before it makes its `unbind` file (bus_add_driver in drivers/base/bus.c).
unbind() {
    local file
    file=$(pci "$1")/driver
    wait_until 60 test ! -e "$file" -o -e "$file/unbind"
    [ ! -e "$file" ] || echo "$1" >"$file/unbind"
}

# --- Virtual functions, with a lab driver's vGPUs (see modules/) ---

# sriov_cards: PCI addresses; first the nvme with 4 VFs, then an igb with 7.
sriov_cards() { printf '%s\n' /sys/bus/pci/devices/*/sriov_totalvfs | cut -d/ -f6; }

# enable_vfs CARD COUNT: with the drivers that udev loads for them.
enable_vfs() {
    echo 0 >"$(pci "$1")/sriov_numvfs"
    echo "$2" >"$(pci "$1")/sriov_numvfs"
    udevadm settle
}

# vfs_of CARD: addresses of its VFs, the first one first.
vfs_of() {
    local link
    for link in "$(pci "$1")"/virtfn*; do
        [ ! -e "$link" ] || basename "$(readlink "$link")"
    done
}

# bind_labvgpu VF…: from here on they have nvidia/.
bind_labvgpu() {
    local vf
    modprobe labvgpu
    for vf; do
        unbind "$vf"
        echo labvgpu >"$(pci "$vf")/driver_override"
        echo "$vf" >/sys/bus/pci/drivers_probe
    done
}

# vgpu_type VF: 0 where it has none.
vgpu_type() { cat "$(pci "$1")/nvidia/current_vgpu_type"; }

# set_vgpu_type VF TYPE
set_vgpu_type() { echo "$2" >"$(pci "$1")/nvidia/current_vgpu_type"; }

# creatable_vgpu_types VF: ids, on one line.
creatable_vgpu_types() { sed -n 's/^\([0-9]\+\) *:.*/\1/p' "$(pci "$1")/nvidia/creatable_vgpu_types" | xargs; }

# --- Restarts: both end this part of the scenario ---

# reboot_to PART: the guest restarts in an orderly way.
reboot_to() { end_part reboot "$1"; }

# power_cut_to PART: it does not; files on the disk are synced before, or no later part could rely on them.
power_cut_to() {
    sync
    end_part power-cut "$1"
}

end_part() {
    echo "$1 $2" >"$STATE/restart"
    exit 78
}
