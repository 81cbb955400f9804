# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What came of each test. A verdict is a line `passed NAME`, `failed NAME` or `skipped NAME`; every part
# of tests/run ends with a line `N passed, N failed, N skipped`.

# verdicts_of_lines PREFIX: from lines such as `[3/21] 30-broken-stdin: ok (4 s)` on stdin.
verdicts_of_lines() {
    sed -nE "s/^\[[0-9]+\/[0-9]+\] ([^ :]+): ok\b.*/passed $1\1/p
        s/^\[[0-9]+\/[0-9]+\] ([^ :]+): FAILED\b.*/failed $1\1/p
        s/^\[[0-9]+\/[0-9]+\] ([^ :]+): skipped\b.*/skipped $1\1/p"
}

# verdicts_of_junit: from the file that ctest --output-junit writes, on stdin.
verdicts_of_junit() {
    sed -nE 's/.*<testcase name="([^"]*)".* status="run".*/passed \1/p
        s/.*<testcase name="([^"]*)".* status="fail".*/failed \1/p
        s/.*<testcase name="([^"]*)".* status="(notrun|disabled)".*/skipped \1/p'
}

# expected_failures FILE: the names in it, one per line; `NAME  # the line that it waits for`.
expected_failures() { sed -E 's/[[:space:]]*#.*//; /^$/d' "$1"; }

# judge FILE: counts the verdicts on stdin. A test that FILE lists may fail, and is counted as skipped;
# when it passes it has to go off the list, and is counted as failed. The last line has the sums.
judge() {
    awk -v expected="$(expected_failures "$1")" '
        BEGIN { split(expected, names, "\n"); for (at in names) listed[names[at]] = 1 }
        $1 == "failed" && $2 in listed { print "expected to fail: " $2; $1 = "skipped" }
        $1 == "passed" && $2 in listed {
            print "FAILED: " $2 " passes: take it off the list of expected failures"; $1 = "failed"
        }
        { count[$1]++ }
        END { printf "%d passed, %d failed, %d skipped\n", count["passed"], count["failed"], count["skipped"] }'
}

# sum: of lines `N passed, N failed, N skipped` on stdin.
sum() {
    awk '{ passed += $1; failed += $3; skipped += $5 }
        END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }'
}

# counts_of STATUS LOG: the sums of a part. Its last line counts only where it fits the status: what
# ends badly without a failed test is one failure, what says nothing is one test.
counts_of() {
    local last failed=0
    last=$(tail -n 1 "$2" | grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$') || last=
    [[ $last == *skipped ]] || [ -z "$last" ] || last+=", 0 skipped"
    [ -z "$last" ] || failed=$(awk '{ print $3 }' <<<"$last")
    if [ "$1" != 0 ] && [ "$failed" = 0 ]; then
        { echo "${last:-0 passed, 0 failed, 0 skipped}" && echo "0 passed, 1 failed, 0 skipped"; } | sum
    else
        echo "${last:-1 passed, 0 failed, 0 skipped}"
    fi
}
