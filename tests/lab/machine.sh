# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# A machine: one QEMU (TCG only), its directory, and the ways to talk to it.
#   DIR/share/          seen by the guest as /lab (9p, read-write)
#   DIR/share/jobs/ID/  command in; output and status out; the agent is woken through DIR/agent.in
#   DIR/share/requests/ what the guest asks of us: one file each, answered under answers/
#   DIR/qmp.{in,out}    QEMU's monitor;  DIR/console.log  the serial console

# Seconds. A machine that is silent for the first is switched off and tried once more: now and then one hangs
# (see start_qemu). The second is generous: it only bounds a hang.
first_boot_limit=180
boot_limit=1200

machine_dir() { echo "$CACHE/machines/${GPUWARD_LAB_NAME:-up}-debian$1"; }

# The loops below run for minutes beside a machine that needs every cycle: no process per turn.
exec {never_ready}<> <(:)
pause() { read -r -t 0.2 -u "$never_ready" || true; }

machine_alive() {
    local pid program
    # Until QEMU's name is there, what becomes QEMU sets the stage. A zombie has no words at all.
    read -r pid 2>/dev/null <"$1/qemu.pid" && read -r -d '' program 2>/dev/null <"/proc/$pid/cmdline" &&
        [[ $program =~ ^(.*/)?(qemu-system-x86_64|setsid|setpriv|unshare|bash|env|chroot)$ ]]
}

# boot DIR RELEASE [PREFIX…]: start a machine and wait until its agent answers.
boot() {
    local dir=$1 release=$2 image emulator
    shift 2
    need_packages jq qemu-utils
    image=$(image "$release")
    # Debian 13's QEMU forks guests' processes three times as fast as 12's.
    emulator=$(image 13)/root
    mkdir -p "$dir"/share/{jobs,requests,answers}
    echo "$release" >"$dir/release"
    echo "$image" >"$dir/image"
    echo "$emulator" >"$dir/emulator"
    echo "$*" >"$dir/prefix"
    share_scripts "$dir"
    fresh_disk "$dir"
    first_or_second_boot "$dir" "Debian $release: boot" fresh_disk || die "no machine"
}

# What the machine writes stays out of the image. The path is QEMU's view of it.
fresh_disk() {
    qemu-img create -q -u -f qcow2 -F raw -b /mnt/image/disk.img "$1/disk.qcow2" "$(stat -c %s "$(cat "$1/image")/disk.img")"
}

# first_or_second_boot DIR WHAT [fresh_disk]: what a machine that hung had to tell is kept in DIR/hang.log. The
# first boot of a machine is tried again on a fresh disk; one that restarts needs what it has written.
first_or_second_boot() {
    local dir=$1
    timed "$2" switch_on "$dir" $first_boot_limit && return
    boots=$((${boots:-0} + 1))
    say "$2: tried once more${3:+ on a fresh disk}; what the first try had to tell: $dir/hang.log"
    describe_hang "$dir" >>"$dir/hang.log" 2>&1 || true
    power_off "$dir"
    [ $# -lt 3 ] || "$3" "$dir"
    timed "$2, second try" switch_on "$dir" $boot_limit
}

# has_lost_interrupt DIR: whether a CPU sleeps while its APIC has an interrupt in service, now and 5 s later:
# Linux halts in no handler (see start_qemu).
has_lost_interrupt() {
    sleeps_in_interrupt "$1" && sleep 5 && sleeps_in_interrupt "$1"
}

sleeps_in_interrupt() {
    machine_alive "$1" || return 1
    local cpu said halted=()
    said=$(monitor "$1" "info registers -a" || true)
    readarray -t halted < <(grep -o 'HLT=[01]' <<<"$said")
    for cpu in "${!halted[@]}"; do
        [ "${halted[cpu]}" = HLT=1 ] || continue
        said=$(monitor "$1" "info lapic $cpu" || true)
        [[ ! $said =~ (^|$'\n')ISR[[:blank:]]+[0-9] ]] || return 0
    done
    return 1
}

# Where the processors stand, twice, whether timers move between, and what the guest has said.
describe_hang() {
    machine_alive "$1" || return 0
    echo "load of the host: $(cat /proc/loadavg)"
    local command
    for command in "info status" "info cpus" "info registers -a" "info lapic 0" "info lapic 1" "info pic" "info registers -a"; do
        echo "== $command"
        monitor "$1" "$command" || true
    done
    echo "== console"
    tail -n 40 "$1/console.log"
}

# Replaces whole files: a script that is running meanwhile keeps the one it has.
share_scripts() {
    cp -r --remove-destination "$LAB/guest" "$LAB/scenarios" "$1/share/"
    cp --remove-destination "$TOP/tests/checks.sh" "$TOP"/docs/{promises.md,gpuward-qemu-hook.8} "$1/share/guest/"
}

switch_on() {
    local dir=$1
    rm -f "$dir"/{agent,qmp}.{in,out} "$dir/share/ready"
    mkfifo "$dir"/{agent,qmp}.{in,out}
    start_qemu "$dir" $(cat "$dir/prefix")
    qmp "$dir" '{"execute": "qmp_capabilities"}' >/dev/null
    wait_ready "$dir" "$2"
}

# start_qemu DIR [PREFIX…]: QEMU comes out of a root of the lab: this host needs none, its version is known.
#
# Which clock: no_timer_check tsc=unstable leaves the HPET as the guest's clock. The TSC would be the faster
# by a quarter, but with it a CPU slept through its timers for 21 s, on Debian 13 and once in an hour, and
# then the machine was gone.
#
# A machine hangs now and then, at boot or in the middle of a scenario: "rcu_preempt kthread timer wakeup
# didn't happen … Possible timer handling issue on cpu=1", after which whatever waits for that CPU waits without
# an end. What was found in two that hung on one day, CPU 0 of one and CPU 1 of the other, both Debian 13 (Linux
# 6.12) in Debian 13's QEMU 10.0 with two CPUs, HPET as the clock:
# - The CPU sleeps in HLT with interrupts enabled, while its local APIC has vector 236, the local timer, in
#   service (ISR), as if its handler ran. So the emulated APIC holds back all interrupts of the same or a lower
#   priority class, the next timer's and wakeups of other CPUs among them (IRR: 236 and 39 or 42): arch/x86 ends
#   the interrupt (EOI) first of all in its handler, and a CPU in HLT runs none. Either that EOI was lost or
#   QEMU took the interrupt from the APIC (apic_get_interrupt) and did not enter it: a fault of the emulation
#   (TCG, thread=multi), not of the clock and not of what is tested. Linux 6.1 in the same QEMU did it too.
# - Nothing from outside ends it: QEMU has no command to change an APIC, and an NMI is masked on CPU 1.
# - No report of it was found. One CPU would hide what happens to two hooks or guards at once, which scenarios
#   are for.
# So has_lost_interrupt looks for just that, twice: such a machine is thrown away, and its boot or its scenario
# is run again on a fresh one, once, and the run says so. A scenario that hangs otherwise fails.
# Slow is no hang: with 15 processes waiting for two processors a machine was thrown away after 180 s whose
# processors were both at work, in a module, with the constants of a hash in their registers, and came up in
# 118 s at the second try. cryptomgr.notests leaves out the kernel's self tests of ciphers that udev loads.
start_qemu() {
    local dir=$1
    shift
    "$@" unshare --mount --propagation private bash -euc '
        dir=$1 image=$2 root=$3
        shift 3
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/mnt"
        mkdir "$root"/mnt/{image,machine}
        mount --bind "$image" "$root/mnt/image"
        mount --bind "$dir" "$root/mnt/machine"
        exec env -i PATH=/usr/bin:/bin /usr/sbin/chroot "$root" qemu-system-x86_64 "$@"
    ' start_qemu "$dir" "$(cat "$dir/image")" "$(cat "$dir/emulator")" $(qemu_arguments) \
        -append "root=/dev/vda rw console=ttyS0 quiet loglevel=4 intel_iommu=on iommu=pt mitigations=off audit=0 no_timer_check tsc=unstable cryptomgr.notests" \
        </dev/null >>"$dir/qemu.log" 2>&1 &
    # Each step above replaces the one before: this is QEMU's pid.
    echo $! >"$dir/qemu.pid"
}

# Display cards as the guest sees them (boards of class 03xx, all 1234:1111):
#   gpu1 01:00.0, gpu3 07:00.0, gpu4 08:00.0, gpu5 09:00.0   equal, each alone in its IOMMU group
#   gpu2 02:00.0 with its audio function 02:00.1             both in one group
#   gpu6 0b:01.0, gpu7 0b:02.0                               two cards behind one bridge: one group
# Cards with virtual functions: card1, and card2, whose functions sit at shifted addresses.
# A card that is plugged into free1 finds room there for its framebuffer.
# No argument has a blank in it, so a list of words will do.
qemu_arguments() {
    cat <<'ARGUMENTS'
-M q35,kernel-irqchip=split -accel tcg,thread=multi -cpu max -smp 2 -m 3072
-nodefaults -no-user-config -no-reboot -display none
-kernel /mnt/image/vmlinuz -initrd /mnt/image/initrd
-drive file=/mnt/machine/disk.qcow2,if=virtio,format=qcow2,cache=unsafe
-fsdev local,id=share,path=/mnt/machine/share,security_model=none
-device virtio-9p-pci,fsdev=share,mount_tag=lab
-chardev file,id=console,path=/mnt/machine/console.log,append=on -serial chardev:console
-chardev pipe,id=qmp,path=/mnt/machine/qmp -mon chardev=qmp,mode=control
-chardev pipe,id=agent,path=/mnt/machine/agent
-device virtio-serial-pci -device virtserialport,chardev=agent,name=lab
-device intel-iommu,intremap=on,caching-mode=on
-device pcie-root-port,id=display,slot=1,chassis=1
-device pcie-root-port,id=audio,slot=2,chassis=2
-device pcie-root-port,id=sriov,slot=3,chassis=3
-device pcie-root-port,id=free1,slot=11,chassis=11,mem-reserve=32M
-device pcie-root-port,id=free2,slot=12,chassis=12
-device pcie-root-port,id=free3,slot=13,chassis=13
-device pcie-root-port,id=pool1,slot=5,chassis=5
-device pcie-root-port,id=pool2,slot=6,chassis=6
-device pcie-root-port,id=pool3,slot=7,chassis=7
-device pcie-root-port,id=shared,slot=8,chassis=8
-device bochs-display,id=gpu1,bus=display
-device bochs-display,id=gpu2,bus=audio,addr=0.0,multifunction=on
-device intel-hda,id=gpu2audio,bus=audio,addr=0.1
-device bochs-display,id=gpu3,bus=pool1
-device bochs-display,id=gpu4,bus=pool2
-device bochs-display,id=gpu5,bus=pool3
-device pcie-pci-bridge,id=bridge,bus=shared
-device bochs-display,id=gpu6,bus=bridge,addr=1.0
-device bochs-display,id=gpu7,bus=bridge,addr=2.0
-device nvme-subsys,id=subsys,nqn=subsys
-device nvme,id=card1,serial=card1,subsys=subsys,sriov_max_vfs=4,sriov_vq_flexible=8,sriov_vi_flexible=4,max_ioqpairs=18,msix_qsize=16,bus=sriov
-device pcie-root-port,id=network,slot=4,chassis=4
-netdev hubport,id=nowhere,hubid=0 -device igb,id=card2,bus=network,netdev=nowhere,romfile=
ARGUMENTS
}

wait_ready() {
    local dir=$1 deadline=$((SECONDS + $2)) look=$((SECONDS + 60))
    until [ -e "$dir/share/ready" ]; do
        machine_alive "$dir" || { say "QEMU ended: $(tail -n 5 "$dir/qemu.log")" && return 1; }
        [ $SECONDS -lt $deadline ] || { say "no answer from the guest in $2 s, see $dir/console.log" && return 1; }
        [ $SECONDS -lt $look ] || { look=$((SECONDS + 30)) && ! has_lost_interrupt "$dir" || return 1; }
        pause
    done
}

power_off() {
    local dir=$1 pid
    machine_alive "$dir" || return 0
    pid=$(cat "$dir/qemu.pid")
    kill "$pid"
    while [ -e "/proc/$pid" ]; do pause; done
}

# --- The monitor ---

# qmp DIR JSON: prints the answer. One speaker at a time; events in between are dropped.
qmp() {
    local dir=$1 line id=$BASHPID$RANDOM lock in out
    exec {lock}>"$dir/qmp.lock"
    flock "$lock"
    exec {in}<>"$dir/qmp.in" {out}<>"$dir/qmp.out"
    jq -c --arg id "$id" '. + {id: $id}' <<<"$2" >&"$in"
    until read -r -t 1 -u "$out" line && [[ $line == *"\"id\": \"$id\""* ]]; do
        machine_alive "$dir" || die "QEMU ended:" "$(tail -n 5 "$dir/qemu.log")"
    done
    exec {lock}>&- {in}>&- {out}>&-
    echo "$line"
}

# monitor DIR COMMAND: QEMU's own command language; whatever it prints is an error.
monitor() {
    local said
    said=$(qmp "$1" "$(jq -n --arg line "$2" \
        '{execute: "human-monitor-command", arguments: {"command-line": $line}}')" | jq -r '.return // .error.desc')
    [ -z "$said" ] || { echo "$said" && return 1; }
}

has_device() {
    qmp "$1" '{"execute": "qom-list", "arguments": {"path": "/machine/peripheral"}}' |
        jq -e --arg id "$2" 'any(.return[]; .name == $id)' >/dev/null
}

hotplug() { monitor "$1" "device_add $2"; }

# The guest has its say in this: it is over when the device is gone.
unplug() {
    local deadline=$((SECONDS + 180))
    monitor "$1" "device_del $2" || return
    while has_device "$1" "$2"; do
        [ $SECONDS -lt $deadline ] || { echo "the guest does not let $2 go" && return 1; }
        pause
    done
}

# --- Jobs, and what the guest asks of us meanwhile ---

# run_job DIR LIMIT COMMAND: its output on ours, its status is ours; 124 too late, 125 the machine died.
run_job() {
    local dir=$1 deadline=$((SECONDS + $2)) job id
    id=$(date +%s)-$BASHPID-$RANDOM
    job=$dir/share/jobs/$id
    mkdir "$job"
    printf '%s\n' "$3" >"$job/command"
    : >"$job/output"
    echo "$id" 1<>"$dir/agent.in"
    local output
    exec {output}<"$job/output"
    until [ -e "$job/status" ]; do
        pass_on "$output"
        serve_requests "$dir"
        machine_alive "$dir" || return 125
        [ $SECONDS -lt $deadline ] || return 124
        pause
    done
    cat <&"$output"
    exec {output}<&-
    return "$(cat "$job/status")"
}

# pass_on FD: what has come since the last time; a line may come in two pieces.
pass_on() {
    local line=
    while IFS= read -r -u "$1" line; do printf '%s\n' "$line"; done
    printf '%s' "$line"
}

serve_requests() {
    local dir=$1 request answer verb what
    for request in "$dir"/share/requests/*; do
        [ -e "$request" ] || return 0
        read -r verb what <"$request"
        case $verb in
        hotplug | unplug) answer=$("$verb" "$dir" "$what" 2>&1) && answer=ok ;;
        *) answer="the host knows no '$verb'" ;;
        esac
        rm "$request"
        echo "$answer" >"$dir/share/answers/.new"
        mv "$dir/share/answers/.new" "$dir/share/answers/${request##*/}"
    done
}

# restart DIR HOW: `reboot` asks the guest, `power-cut` does not. Both get a fresh QEMU on the same disk:
# the code that an emulator has translated makes a reset guest boot several times slower. Cards that
# were plugged in are out again.
restart() {
    local dir=$1 deadline=$((SECONDS + boot_limit))
    if [ "$2" = reboot ]; then
        run_job "$dir" 300 'systemctl --no-block reboot' || true
        while machine_alive "$dir"; do
            [ $SECONDS -lt $deadline ] || { say "the guest does not go down, see $dir/console.log" && return 1; }
            pause
        done
    else
        power_off "$dir"
    fi
    first_or_second_boot "$dir" "guest restarts ($2)"
}

# --- Verbs ---

running_machine() {
    machine_alive "$(machine_dir "$1")" || die "no machine of Debian $1 is up (lab up $1)"
    machine_dir "$1"
}

lab_up() {
    local dir
    [ $# = 1 ] || usage_error "up takes a release"
    dir=$(machine_dir "$1")
    ! machine_alive "$dir" || die "it is up already"
    rm -rf "$dir"
    # It must outlive this shell and its terminal.
    boot "$dir" "$1" setsid
}

lab_exec() {
    local dir
    [ $# = 2 ] || usage_error "exec takes a release and a command"
    dir=$(running_machine "$1")
    share_scripts "$dir"
    run_job "$dir" 86400 "$2"
}

lab_shell() {
    local dir status=0
    [ $# = 2 ] || usage_error "shell takes a release and a command"
    mkdir -p "$CACHE/runs"
    dir=$(mktemp -d "$CACHE/runs/shell.XXXXXX")
    trap 'power_off "$dir"; rm -rf "$dir"' EXIT
    boot "$dir" "$1" setpriv --pdeathsig KILL
    run_job "$dir" 86400 "$2" || status=$?
    exit $status
}

lab_put() {
    local dir
    dir=$(running_machine "$1")
    mkdir -p "$dir/share/files"
    cp "${@:2}" "$dir/share/files/"
}

lab_install() {
    local dir
    dir=$(running_machine "$1")
    install_deb "$dir" "${2:-$(lab_deb "$1")}"
}

install_deb() {
    rm -f "$1"/share/gpuward_*.deb
    cp "$2" "$1/share/"
    run_job "$1" 1800 'rm -f /srv/gpuward_*.deb && cp /lab/gpuward_*.deb /srv/ && apt-get install -y --allow-downgrades --reinstall /srv/gpuward_*.deb'
}

lab_hotplug() { hotplug "$(running_machine "$1")" "$2"; }
lab_unplug() { unplug "$(running_machine "$1")" "$2"; }
lab_restart() { restart "$(running_machine "$1")" "$2"; }
lab_console() { cat "$(machine_dir "$1")/console.log"; }
lab_down() { power_off "$(machine_dir "$1")"; }
