# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What cases are written with, beside the checks of tests/checks.sh.
#
# A case is a bash script in cases/, run as root with `set -euo pipefail` in a PID, mount and network
# namespace of its own. It sets up one host or two (`host_up A`), each a mount namespace with its own
# libvirtd, and runs commands there (`on A virsh list`). $CASE_DIR/A/log is that host's
# /var/log/libvirt; it is kept when the case fails.

# libvirt makes file names of domain names, and needs a locale that knows their letters.
export LC_ALL=C.UTF-8
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

hook=/usr/sbin/gpuward-qemu-hook
hooks=/etc/libvirt/hooks/qemu.d
config=/etc/gpuward/gpuward.conf

declare -A holder # of a host's mount namespace: its PID

# A command that fails where no check stands around it shall not end the case without a word.
set -E
trap '[ $BASHPID != $$ ] || echo "FAILED: status $? of $BASH_COMMAND (${BASH_SOURCE[0]##*/}:$LINENO)"' ERR

. "$HOST_TIER/../checks.sh"

new_uuid() { cat /proc/sys/kernel/random/uuid; }

# --- Hosts ---

# host_up NAME: a host with libvirtd running and gpuward installed, with a valid configuration.
host_up() {
    local host=$1
    make_host "$host"
    install_gpuward "$host"
    record_hook_calls "$host"
    valid_config "$host"
    start_libvirtd "$host"
}

on() {
    local host=$1
    shift
    nsenter --mount="/proc/${holder[$host]}/ns/mnt" --wd=/ -- "$@"
}

make_host() {
    local host=$1
    mkdir -p "$CASE_DIR/$host"/{etc,sbin,run/lock,lib,log}
    install "$GPUWARD_HOOK" "$GPUWARD_CLI" "$GPUWARD_GUARD" "$CASE_DIR/$host/sbin"
    unshare --mount sleep infinity &
    holder[$host]=$!
    wait_until 60 in_own_namespace "$host"
    on "$host" bash -euo pipefail -c "$(declare -f furnish); furnish '$CASE_DIR/$host' '$CAPABILITIES'"
    write_libvirt_config "$host"
}

in_own_namespace() { [ "$(readlink "/proc/${holder[$1]}/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]; }

# In the host's mount namespace: whatever this machine has of libvirt and gpuward is hidden. Without
# the machine's /run there is no D-Bus either, through which libvirt would reach out of here.
furnish() {
    local dir=$1 capabilities=$2
    mount -t tmpfs tmpfs "$dir/etc"
    mkdir "$dir/etc/upper" "$dir/etc/work"
    mount -t overlay -o "lowerdir=/etc,upperdir=$dir/etc/upper,workdir=$dir/etc/work" overlay /etc
    mount -t overlay -o "lowerdir=$dir/sbin:/usr/sbin" overlay /usr/sbin
    rm -rf /etc/libvirt /etc/gpuward
    mkdir -p /etc/libvirt/hooks/qemu.d
    mount --bind "$dir/run" /run
    mount --bind "$dir/lib" /var/lib/libvirt
    mount --bind "$dir/log" /var/log/libvirt
    mount --bind "$capabilities" /var/cache/libvirt
    # Where only root may use KVM, libvirt looks at QEMU anew for every domain that it meets.
    if [ -e /dev/kvm ]; then
        install -m 0 /dev/null "$dir/no-kvm"
        mount --bind "$dir/no-kvm" /dev/kvm
    fi
}

# No virtlogd, no cgroup and no confinement: none of them has a part in how hooks are called.
write_libvirt_config() {
    local host=$1
    put "$host" /etc/libvirt/libvirtd.conf <<CONF
host_uuid = "$(new_uuid)"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "1:file:/var/log/libvirt/libvirtd.log"
log_filters = "1:util.command 3:util 3:qemu 3:conf 3:rpc"
CONF
    put "$host" /etc/libvirt/qemu.conf <<'CONF'
stdio_handler = "file"
security_driver = "none"
namespaces = []
cgroup_controllers = []
CONF
}

# put HOST FILE: stdin becomes the file.
put() { on "$1" bash -c 'mkdir -p "$(dirname "$0")" && cat >"$0"' "$2"; }

start_libvirtd() {
    local host=$1
    on "$host" libvirtd >>"$CASE_DIR/$host/log/libvirtd.stderr" 2>&1 &
    wait_until 60 answers "$host"
}

answers() { on "$1" virsh list; }

kill_libvirtd() {
    local pid
    pid=$(cat "$CASE_DIR/$1/run/libvirtd.pid")
    kill -KILL "$pid"
    wait_until 60 ended "$pid"
}

ended() { ! kill -0 "$1"; }

# --- gpuward on a host ---

# As the package does it.
install_gpuward() { on "$1" ln -s "$hook" "$hooks/50-gpuward"; }
take_gpuward_out() { on "$1" rm "$hooks/50-gpuward"; }

# pretend_qemu HOST 8002000: its QEMU is 8.2, as far as gpuward can see, which looks at what it kept
# when it asked last.
pretend_qemu() {
    gpu_xml "$1" any >/dev/null
    on "$1" sed -i "2s/.*/$2/" "$(on "$1" find /run/gpuward/qemu -type f)"
}

# Only what no host of this world has: nothing here may ever find a GPU to create an instance on.
valid_config() {
    put "$1" "$config" <<'CONF'
[profile small]
type = on-no-host
CONF
}

# For a domain that has gpuward's metadata and no hostdev: behind gpuward's hook, one of our own takes
# that out of what arrives, as `prepare` would refuse it here, where there is no VFIO. It is not run
# when gpuward refuses, and sees that gpuward wrote no XML of its own.
forget_gpu_on_arrival() {
    put_hook "$1" 90-forget-gpu <<'HOOK'
#!/bin/sh
case $2 in
migrate | restore) sed '/<gpuward:domain/,/<\/gpuward:domain>/d' ;;
esac
HOOK
}

claims() { on "$1" bash -c 'ls /run/gpuward/claims 2>/dev/null || true'; }

no_leftovers() {
    equal "claims left on $1" "" "$(claims "$1")"
    equal "hooks still running" "" "$(pgrep -f "$hook" || true)"
    succeeds on "$1" virsh list --all
}

# --- The guard ---

# start_guard HOST [OPTION…]: returns when it has connected. Without a journal its entries are lines of
# text, the fields behind.
start_guard() {
    start_guard_alone "$@"
    wait_until 60 connected_guard "$1"
}

start_guard_alone() {
    local host=$1
    shift
    on "$host" env JOURNAL_STREAM=none gpuward-guard "$@" >>"$CASE_DIR/$host/log/guard" 2>&1 &
    guard_job=$!
    wait_until 60 pgrep -nx gpuward-guard
    guard_pid=$(pgrep -nx gpuward-guard)
}

connected_guard() { [ "$(guard_lines "$1" "connected to")" != 0 ]; }

kill_guard() {
    kill -KILL "$guard_pid"
    wait_until 60 ended "$guard_pid"
    mv "$CASE_DIR/$1/log/guard" "$CASE_DIR/$1/log/guard.before"
}

# guard_lines HOST TEXT: how many of its lines have TEXT.
guard_lines() { grep -cF -- "$2" "$CASE_DIR/$1/log/guard" || true; }

says() { [ "$(guard_lines "$1" "$2")" != 0 ]; }

is_state() { [ "$(state_of "$1" "$2")" = "$3" ]; }

# stays HOST DOMAIN STATE: now and for a second.
stays() {
    local count
    for count in {1..10}; do
        equal "state of $2" "$3" "$(state_of "$1" "$2")"
        sleep 0.1
    done
}

# resident_kib, descriptors: of the guard.
resident_kib() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$guard_pid/status"; }
descriptors() { ls "/proc/$guard_pid/fd" | wc -l; }

# own_kib: what the guard has allocated. VmRSS also counts pages of programs and libraries: the guard
# drops those 2 s after it has connected (guard/release_unused_text.cpp), the kernel when it reclaims
# memory, and each comes back when it is used next.
own_kib() { awk '/^(RssAnon|VmSwap):/ { kib += $2 } END { print kib }' "/proc/$guard_pid/status"; }

# does_not_grow COMMAND…: the guard's own memory does not grow with the runs of the command. The first
# ones fill its heap again, as the guard returns what is free 2 s after it has connected, which on a busy
# machine is when it has nothing else to do.
does_not_grow() {
    local run before after
    for run in {1..8}; do
        before=$(own_kib)
        "$@"
        after=$(own_kib)
        [ "$run" -lt 4 ] || [ $((after - before)) -ge 32 ] || return 0
    done
    fail "memory grew in each of the last 5 runs of $1, at last from $before KiB to $after KiB"
}

# --- Cards that this machine has not: files below a directory that stands for / (--root) ---

# make_function ROOT ADDRESS: a PCI function of display class, alone in its IOMMU group.
make_function() {
    local function=$1/sys/bus/pci/devices/$2
    mkdir -p "$function"
    echo 0x1234 >"$function/vendor"
    echo 0x1111 >"$function/device"
    echo 0x030000 >"$function/class"
    ln -s "../../../../kernel/iommu_groups/$((16#${2//[:.]/}))" "$function/iommu_group"
}

# make_pf ROOT BUS VFS: one that has made this many VFs, from slot 1 on.
make_pf() {
    local root=$1 pf=0000:$2:00.0 number vf
    make_function "$root" "$pf"
    echo "$3" >"$root/sys/bus/pci/devices/$pf/sriov_totalvfs"
    for ((number = 0; number < $3; number++)); do
        printf -v vf '0000:%s:%02x.%x' "$2" $((1 + number / 8)) $((number % 8))
        make_function "$root" "$vf"
        ln -s "../$pf" "$root/sys/bus/pci/devices/$vf/physfn"
        ln -s "../$vf" "$root/sys/bus/pci/devices/$pf/virtfn$number"
    done
}

# --- What libvirt called ---

# A hook of our own before gpuward's keeps operation, sub-operation, extra argument and name of each
# call in the order of calls, and what was on stdin.
record_hook_calls() {
    put_hook "$1" 10-recorder <<'HOOK'
#!/bin/bash
log=/var/log/libvirt
cat >"$log/hook-stdin-$$"
echo "$2 $3 $4 $$ $1" >>"$log/hook-calls"
HOOK
}

put_hook() {
    on "$1" rm -f "$hooks/$2" # which may be a link
    put "$1" "$hooks/$2"
    on "$1" chmod +x "$hooks/$2"
}

# calls HOST DOMAIN: the recorder's lines for it, without its name.
calls() {
    local line
    while IFS= read -r line; do
        [ "${line#* * * * }" != "$2" ] || echo "${line%" $2"}"
    done <"$CASE_DIR/$1/log/hook-calls"
}

# operations HOST DOMAIN: what libvirt called hooks for, in order.
operations() { calls "$@" | cut -d' ' -f1 | paste -s -d ' '; }

# arguments HOST DOMAIN OPERATION: sub-operation and extra argument of the last such call.
arguments() { last_call "$@" | cut -d' ' -f2,3; }

# stdin_of HOST DOMAIN OPERATION: what the last such call got.
stdin_of() { cat "$CASE_DIR/$1/log/hook-stdin-$(last_call "$@" | cut -d' ' -f4)"; }

last_call() { calls "$1" "$2" | grep "^$3 " | tail -n 1; }

# gpuward_operations HOST: what libvirt ran gpuward's own hook for, by libvirt's log. A newer libvirt names the
# reason of a release (11.3: saved).
gpuward_operations() {
    sed -n "s,.* About to run .*$hooks/50-gpuward .* \([a-z]*\) \(begin\|end\) [a-z-]*\$,\1,p" \
        "$CASE_DIR/$1/log/libvirtd.log" | paste -s -d ' '
}

# gpuward_failures HOST: its calls that did not end well: operation, status, what they said.
gpuward_failures() {
    sed -n "s,.*virCommandWait.*Child process (.*/50-gpuward .* \([a-z]*\) [a-z]* [a-z-]*) unexpected,\1:,p" \
        "$CASE_DIR/$1/log/libvirtd.log"
}

# forget_calls HOST: what follows looks at later calls only.
forget_calls() { : | tee "$CASE_DIR/$1/log/hook-calls" >"$CASE_DIR/$1/log/libvirtd.log"; }

# --- Domains: no disk, no network; firmware is all they run ---

# plain_xml NAME [MACHINE]: NAME as it must stand in XML.
plain_xml() {
    cat <<XML
<domain type='qemu'>
  <name>$1</name>
  <uuid>$(new_uuid)</uuid>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='${2:-q35}'>hvm</type>
  </os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
XML
}

# gpu_xml HOST NAME: what `gpuward rewrite` makes of a plain domain.
gpu_xml() { plain_xml "$2" | on "$1" gpuward rewrite --attach small; }

# asking_xml NAME: a domain that asks gpuward for a GPU without having a hostdev, so that it can run
# on a machine without VFIO, where no gpuward looks at it.
asking_xml() {
    plain_xml "$1" | sed "s,<vcpu>,<metadata>\n    <gpuward:domain xmlns:gpuward='urn:gpuward:domain:1'>\n      <gpuward:gpu alias='ua-gpuward-0' profile='small'/>\n    </gpuward:domain>\n  </metadata>\n  &,"
}

# define HOST: the domain on stdin.
define() { succeeds on "$1" virsh define /dev/stdin; }

# create_paused HOST: the domain on stdin is started, as far as hooks go; its firmware need not run.
create_paused() { on "$1" virsh create --paused /dev/stdin >/dev/null; }

state_of() { on "$1" virsh domstate -- "$2"; }
