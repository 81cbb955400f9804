# SPDX-License-Identifier: LGPL-2.1-or-later
"""Picks points, has workers run them, tells what does not hold. See run --help.

host.py is a host in a directory, kinds.py the hardware and domains on it, journeys.py what is run there
and what must hold. inject.cpp makes a call fail, sysfs.cpp is the host's /sys.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import queue
import random
import re
import subprocess
import sys
import tempfile
import time

from host import Host
from journeys import INVARIANTS, JOURNEYS, journeys_of, not_synced
from kinds import KINDS

KILLED_ALONE = ("poll", "ppoll", "read", "wait4")  # where a parent waits for its child


# --- A worker: a process with a /proc and mounts of its own, for one kind of device ---


def run_point(host, point):
    _, operation, place, action = point.split("/")
    journey = JOURNEYS[operation](host)
    # Of two points killed side by side one is followed by a release and one is not.
    variant = int(place.split(":")[1]) % 2
    first = journey.run(["--at", place, "--action", action], variant)
    return answer_of(host, point, journey, first.hit)


def answer_of(host, point, journey, hit):
    return {
        "point": point,
        "hit": hit and hit.replace(host.top, ""),
        "violations": journey.violations,
        "runs": [str(result).replace(host.top, "") for result in journey.results],
    }


def list_points(host):
    """All points of this kind, and what does not hold although nothing fails."""
    points, violated = [], []
    for operation in journeys_of(host.kind):
        file = f"{host.top}/tracer/calls"
        for variant in (0, 1):
            journey = JOURNEYS[operation](host)
            journey.run(["--list", file], variant)
            if journey.violations and operation != "rival":
                point = f"{host.kind.name}/{operation}/{variant}/nothing"
                violated.append(answer_of(host, point, journey, "nothing fails"))
            if host.kind.one_time and operation == "prepare":
                with open(file, encoding="utf-8", errors="replace") as calls:
                    for what in not_synced(calls):
                        point = f"{host.kind.name}/{operation}/{variant}/nothing"
                        journey.violated(10, f"not on disk before: {what}")
                        violated.append(answer_of(host, point, journey, "nothing fails"))
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                points += points_at(f"{host.kind.name}/{operation}", *line.split("\t")[:4])
    return {"points": points, "violated": violated}


def points_at(prefix, place, name, errors, origin):
    errors = [error for error in errors.split(",") if error]
    if origin == "loader":  # of libraries: all that can come of it is that one is not there
        return [f"{prefix}/{place}:{name}/{error}" for error in errors[-1:]]
    actions = ["kill", *errors]
    if not place.startswith("0:") or name in KILLED_ALONE:
        actions.insert(1, "kill-one")
    return [f"{prefix}/{place}:{name}/{action}" for action in actions]


def work(build, kind, top):
    host = Host(build, top, KINDS[kind])
    for line in sys.stdin:
        order = json.loads(line)
        if order == "list":
            answer = list_points(host)
        else:
            answer = run_point(host, order)
        print(json.dumps(answer), flush=True)
    host.close()


class Worker:
    def __init__(self, build, kind):
        self.directory = tempfile.TemporaryDirectory(prefix="gpuward-tracer-")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
            + [sys.executable, __file__, "--worker", kind, self.directory.name, build],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker ended at {order}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.directory.cleanup()


# --- The whole run ---


def choose(points, options):
    if options.point:
        return options.point
    if options.operation:
        points = [point for point in points if point.split("/")[1] in options.operation]
    if options.every == 1:
        return points
    chance = random.Random(options.seed)
    return [point for point in points if chance.randrange(options.every) == 0]


def run_kind(options, kind, report):
    workers = [Worker(options.build, kind) for _ in range(options.jobs)]
    there = {"points": [], "violated": []} if options.point else workers[0].ask("list")
    for result in there["violated"]:
        report.add(result)
    points = choose(there["points"], options)
    points = [point for point in points if point.startswith(kind + "/")]
    left = queue.SimpleQueue()
    for point in points:
        left.put(point)

    def drive(worker):
        while True:
            try:
                point = left.get_nowait()
            except queue.Empty:
                return
            report.add(worker.ask(point))

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for future in [pool.submit(drive, worker) for worker in workers]:
            future.result()
    for worker in workers:
        worker.close()
    print(f"{kind}: {len(points)} points in {time.monotonic() - start:.0f} s", flush=True)


def place_of(result):
    """The operation and the call that failed, without what differs from run to run."""
    call = re.sub(r"\btmp\d+|pipe:\[\d+\]", lambda match: match[0].rstrip("0123456789[]:"), result["hit"])
    call = re.sub(r"/proc/\d+", "/proc/PID", call)
    return "/".join(result["point"].split("/")[:2]) + f" {call}"


class Report:
    def __init__(self, options):
        self.options = options
        self.passed = self.skipped = self.failed = 0
        self.failures = []

    def add(self, result):
        if not result["hit"]:
            self.skipped += 1
        elif not result["violations"]:
            self.passed += 1
        else:
            self.failed += 1
            self.failures.append(result)
            said = "; ".join(f"({number}) {what}" for number, what in result["violations"])
            print(f"FAIL {result['point']} at {result['hit']}: {said}", flush=True)
        if self.options.verbose or self.options.point:
            self.show(result)

    def show(self, result):
        print(f"{result['point']}: {result['hit'] or 'not reached'}")
        for run in result["runs"]:
            print(f"  {run}")
        for number, what in result["violations"]:
            print(f"  VIOLATION {number}: {what}", flush=True)

    def end(self):
        by_call = collections.defaultdict(list)
        for result in self.failures:
            by_call[place_of(result)].append(result)
        for place, results in sorted(by_call.items()):
            actions = {result["point"].split("/")[-1] for result in results}
            print(f"\n{place}: {', '.join(sorted(actions))}")
            said = {tuple(violation) for result in results for violation in result["violations"]}
            for number, what in sorted(said):
                print(f"  {number}: {what}")
            for result in results[: self.options.show]:
                print(f"  --point {result['point']}")
        numbers = {number for result in self.failures for number, _ in result["violations"]}
        for number in sorted(numbers):
            print(f"\nmust hold ({number}): {INVARIANTS[number]}", end="")
        if self.options.report:
            with open(self.options.report, "w", encoding="utf-8") as file:
                json.dump(self.failures, file, indent=1)
        print()
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed or not self.passed else 0


def main():
    parser = argparse.ArgumentParser(
        prog="tests/tracer/run",
        description="Runs the hook, reconcile and gpuward-provision, and at a system call kills "
        "them or makes the call fail; then looks at what a host would do next, and at what is "
        "left. A point is KIND/OPERATION/TASK:CALL:NAME/ACTION.",
    )
    parser.add_argument("build", metavar="BUILD_DIR")
    # Always the same points by default: a run that fails shows what a change did. --all takes all.
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--every", type=int, default=40, help="a point of so many (default 40)")
    parser.add_argument("--all", dest="every", action="store_const", const=1, help="all points")
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--operation", action="append", choices=list(JOURNEYS))
    parser.add_argument("--point", action="append", help="only this one, with all that it printed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--show", type=int, default=3, help="points named for each call")
    parser.add_argument("--report", metavar="FILE", help="all violations, as JSON")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    kinds = options.kind or list(KINDS)
    if options.point:
        options.jobs = 1
        kinds = [kind for kind in KINDS if any(p.startswith(kind + "/") for p in options.point)]
    else:
        print(f"seed {options.seed}, one of {options.every} points, {options.jobs} at a time")
    report = Report(options)
    for kind in kinds:
        run_kind(options, kind, report)
    return report.end()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(build=sys.argv[4], kind=sys.argv[2], top=sys.argv[3])
    else:
        sys.exit(main())
