# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Runs scenarios on a machine. After a scenario that failed or hung the rest gets a fresh one.

scenario_limit=1800 # seconds for one part, unless the scenario says otherwise; it only bounds a hang
kept_runs=10

lab_run() {
    local deb=build on_running='' verbose='' queue='' soak=''
    while [[ ${1:-} == -* ]]; do
        case $1 in
        --deb) deb=$(readlink -f "$2") && shift ;;
        --no-deb) deb='' ;;
        --on-running) on_running=yes ;;
        --queue) queue=$(readlink -f "$2") && shift ;;
        --soak) soak=yes ;;
        -v | --verbose) verbose=yes ;;
        *) usage_error "run knows no option $1" ;;
        esac
        shift
    done
    [ $# -gt 0 ] || usage_error "run takes a release"
    local release=$1 scenarios=()
    shift
    find_scenarios "$@"
    [ "$deb" != build ] || deb=$(lab_deb "$release")
    run_scenarios
}

# Fills scenarios, in the order of file names: those that are named, else those that tests/lab/releases
# lists for the release; for soak all.
find_scenarios() {
    local name
    check_releases
    for name; do
        [ -f "$LAB/scenarios/$name" ] || usage_error "no scenario '$name' in $LAB/scenarios"
    done
    if [ $# = 0 ] && [ -z "$soak" ]; then
        set -- $(scenarios_of "$release")
    elif [ $# = 0 ]; then
        set -- $(ls "$LAB/scenarios")
    fi
    readarray -t scenarios < <(printf '%s\n' "$@" | sort)
}

# scenarios_of RELEASE: what tests/lab/releases lists for it.
scenarios_of() { awk -v release="$1" '!/^#/ && NF { for (at = 2; $at ~ /^1[0-9]$/; at++) if ($at == release) print $1 }' "$LAB/releases"; }

# Every scenario is in tests/lab/releases, with a release or `soak`, and with a reason unless it runs on one
# release.
check_releases() {
    local wrong
    wrong=$(awk -v files="$(ls "$LAB/scenarios")" '
        BEGIN { split(files, names, "\n"); for (at in names) there[names[at]] = 1 }
        /^#/ || !NF { next }
        { seen[$1]++
          for (at = 2; $at ~ /^(1[0-9]|soak)$/; at++) count[$1] += $at == "soak" ? 2 : 1
          if (!($1 in there)) print $1 " is listed, and no such scenario is there"
          if (seen[$1] > 1) print $1 " is listed twice"
          if (!count[$1]) print $1 " is listed without a release (12, 13, or soak alone)"
          if (count[$1] > 1 && at > NF) print $1 " is listed for soak or more than one release without a reason" }
        END { for (name in there) if (!(name in seen)) print name " is not listed: on which releases does it run, and why?" }
    ' "$LAB/releases")
    [ -z "$wrong" ] || die "tests/lab/releases does not fit tests/lab/scenarios:" "$wrong"
}

lab_releases() {
    [ $# = 0 ] || usage_error "releases takes no argument"
    check_releases
    grep -v '^#' "$LAB/releases"
}

# Uses the variables of lab_run, which is its only caller.
run_scenarios() {
    local name number=0 passed=0 failed=() skipped=0 boots=0 hangs=0 dir='' rundir
    rundir=$(new_run_dir "$release")
    trap 'stop_machine' EXIT
    for name in "${scenarios[@]}"; do
        number=$((number + 1))
        is_ours || continue
        [ -n "$dir" ] || start_machine "$rundir/machine$number"
        run_scenario
    done
    stop_machine
    trap - EXIT
    # All is in plain files: nobody needs more of a run in which nothing failed.
    [ ${#failed[@]} -gt 0 ] || say "logs: $rundir"
    # Once more at the end: whoever reads a long log, or only its last lines, looks there.
    for name in "${failed[@]}"; do
        echo "debian$release $name FAILED:"
        tail -n 15 "$rundir/$name.log" | sed 's/^/    /'
    done
    [ $boots = 0 ] || echo "debian$release: $boots boots were tried again, as the machine hung or did not come up in $first_boot_limit s"
    [ $hangs = 0 ] || echo "debian$release: $hangs scenarios ran again, as the emulator lost an interrupt"
    echo "$passed passed, ${#failed[@]} failed, $skipped skipped"
    [ ${#failed[@]} = 0 ]
}

# Of a queue that is shared (--queue), each scenario is taken by one run.
is_ours() { [ -z "$queue" ] || mkdir "$queue/$name" 2>/dev/null; }

new_run_dir() {
    local dir
    mkdir -p "$CACHE/runs"
    ls -dt "$CACHE"/runs/debian* 2>/dev/null | tail -n +$kept_runs | xargs -r rm -rf
    dir=$CACHE/runs/debian$1-$(date +%Y%m%d-%H%M%S)-$$
    mkdir "$dir"
    echo "$dir"
}

start_machine() {
    dir=$1
    if [ -n "$on_running" ]; then
        dir=$(running_machine "$release")
        share_scripts "$dir"
    else
        boot "$dir" "$release" setpriv --pdeathsig KILL
    fi
    [ -z "$deb" ] || timed "Debian $release: install ${deb##*/}" install_deb "$dir" "$deb" >"$dir/install.log" ||
        die "the package does not install:" "$(tail -n 20 "$dir/install.log")"
}

stop_machine() {
    [ -n "${on_running:-}" ] || [ -z "$dir" ] || power_off "$dir"
    dir=''
}

run_scenario() {
    local started=$SECONDS status=0 output=$rundir/$name.log verdict
    rm -rf "$dir/share/state/$name"
    : >"$output"
    run_parts || status=$?
    # 124, 125: what is known is only that the machine did not answer.
    if [[ $status = 12[45] && -e $dir/lost-interrupt ]]; then
        run_again || status=$?
    fi
    case $status in
    0) verdict=ok passed=$((passed + 1)) ;;
    77) verdict="skipped: $(cat "$dir/share/state/$name/skipped")" skipped=$((skipped + 1)) ;;
    *) verdict=FAILED failed+=("$name") ;;
    esac
    echo "[$number/${#scenarios[@]}] debian$release.$name: $verdict ($((SECONDS - started)) s)"
    [ "$verdict" != FAILED ] || after_failure $status
}

# Once, on a fresh machine: this one's emulator lost an interrupt.
run_again() {
    say "$name: the emulator lost an interrupt, tried once more; what it had to tell: $dir/hang.log"
    hangs=$((hangs + 1))
    status=0
    stop_machine
    start_machine "$rundir/machine$number-again"
    rm -rf "$dir/share/state/$name"
    echo "the emulator lost an interrupt; on a fresh machine:" >>"$output"
    run_parts
}

# Part after part, until one ends without asking for a restart.
run_parts() {
    local part=first how limit status
    provide_deb >>"$output" 2>&1 || return
    provide_virtqemud >>"$output" 2>&1 || return
    limit=$(sed -n 's/^# limit: //p' "$LAB/scenarios/$name")
    [ -z "$soak" ] || limit=14400
    while :; do
        status=0
        run_part "$part" "${limit:-$scenario_limit}" || status=$?
        [ $status = 78 ] || return $status
        read -r how part <"$dir/share/state/$name/restart"
        restart "$dir" "$how" || return 125
    done
}

# A scenario that says `# deb: COMMIT` in its head finds the package of that commit as /lab/debs/COMMIT.deb. It
# has to say what it does without where this repository has no such commit.
provide_deb() {
    local commit built
    commit=$(sed -n 's/^# deb: //p' "$LAB/scenarios/$name")
    [ -n "$commit" ] && has_commit "$commit" || return 0
    # It ends where the build fails, and the run is to go on.
    built=$(commit_deb "$release" "$commit") || return 1
    mkdir -p "$dir/share/debs"
    cp "$built" "$dir/share/debs/$commit.deb"
}

# A scenario that says `# virtqemud: RELEASE…` in its head finds libvirt's modular daemon as /lab/virtqemud.tar, on
# these releases. It has to say what it does without.
provide_virtqemud() {
    local built
    grep -qE "^# virtqemud:.* $release( |$)" "$LAB/scenarios/$name" || return 0
    built=$(virtqemud "$release") || return 1
    cp "$built" "$dir/share/virtqemud.tar"
}

run_part() {
    local part=$1 limit=$2 heartbeat status=0
    with_heartbeat &
    heartbeat=$!
    if [ -n "$verbose" ]; then
        run_job "$dir" "$limit" "SOAK=$soak bash /lab/guest/run-scenario $name $part" | tee -a "$output" || status=$?
    else
        run_job "$dir" "$limit" "SOAK=$soak bash /lab/guest/run-scenario $name $part" >>"$output" || status=$?
    fi
    kill "$heartbeat" && wait "$heartbeat" 2>/dev/null || true
    return $status
}

# Somebody waits: every half minute tell where the scenario is. A machine that has lost an interrupt
# (start_qemu) is switched off: nothing else would end what runs on it.
with_heartbeat() {
    while sleep 30; do
        say "$name: $(grep '^- ' "$output" | tail -n 1)"
        has_lost_interrupt "$dir" || continue
        describe_hang "$dir" >>"$dir/hang.log" 2>&1 || true
        : >"$dir/lost-interrupt"
        power_off "$dir"
    done
}

after_failure() {
    case $1 in
    124) echo "FAILED: took longer than its limit" >>"$output" ;;
    125) echo "FAILED: the machine went away" >>"$output" ;;
    esac
    [ -n "$verbose" ] || tail -n 15 "$output" | sed 's/^/    /'
    collect_logs
    echo "    all of it: $output; console, journal, gpuward and libvirt logs: $rundir/$name.logs"
    stop_machine
}

# What the guest can still tell is asked for; console and journal are on this host all the time.
collect_logs() {
    local logs=$rundir/$name.logs
    mkdir "$logs"
    run_job "$dir" 120 'cp -r /var/log/libvirt /lab/libvirt-log; virsh list --all; ps -ef; lspci -k; ls -l /sys/bus/mdev/devices /run/gpuward/claims' \
        >"$logs/state.log" 2>&1 || echo "the guest no longer answers" >>"$logs/state.log"
    cp "$dir/console.log" "$logs/console.log"
    cp "$dir/share/journal.log" "$logs/journal.log"
    grep gpuward "$logs/journal.log" >"$logs/gpuward.log" || true
    [ ! -d "$dir/share/libvirt-log" ] || mv "$dir/share/libvirt-log" "$logs/libvirt"
}
