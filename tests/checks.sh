# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What host cases and lab scenarios check with: each says what was wanted and what was found.

step() { echo "- $*"; }

fail() {
    printf 'FAILED: %s\n' "$*"
    exit 1
}

# equal WHAT WANTED FOUND
equal() { [ "$2" = "$3" ] || fail "$1: wanted '$2', found '$3'"; }

# contains WHAT WANTED FOUND
contains() { [[ $3 == *"$2"* ]] || fail "$1: wanted something with '$2', found '$3'"; }

# lacks WHAT UNWANTED FOUND
lacks() { [[ $3 != *"$2"* ]] || fail "$1: wanted nothing with '$2', found '$3'"; }

# succeeds COMMAND…
succeeds() {
    local said
    said=$("$@" 2>&1) || fail "wanted success of '$*', found status $? and '$said'"
}

# refused TEXT COMMAND…: it must fail and say TEXT.
refused() {
    local text=$1 said
    shift
    ! said=$("$@" 2>&1) || fail "wanted '$*' to be refused, it succeeded with '$said'"
    contains "refusal of '$*'" "$text" "$said"
}

# repeats FEW MANY: how often something is done over and over: in tests/run soak it is MANY.
repeats() { if [ -n "${SOAK:-}" ]; then echo "$2"; else echo "$1"; fi; }

# wait_until SECONDS COMMAND…: the seconds bound a hang on a quick machine with nothing else to do. One
# that emulates beside other work is slower by some times.
wait_until() {
    local seconds=$(($1 * 3)) deadline
    deadline=$((SECONDS + seconds))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt "$deadline" ] || fail "wanted within $seconds s: $*"
        sleep 0.2
    done
}
