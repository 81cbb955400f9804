# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is run with a failing call, what a host runs after it, and what must hold in between."""
import re

from host import fill_in, uuid_of

PCI = r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

INVARIANTS = {
    1: "prepare exits 0: the claim names exactly the devices that are there for the domain",
    2: "prepare fails: after release and reconcile no device and no claim is left",
    3: "a device of somebody else is never given, changed or removed",
    4: "a device that is left, or was not scrubbed, is in a claim; exit 0 of a release or reconcile "
    "means that none is",
    5: "reconcile does not say that there are no claims while there are",
    6: "provisioning that exits 0 has made what is configured, or says what it has not",
    7: "nothing takes longer than 120 s",
    8: "after that all works as if nothing had been",
    10: "a device for a single use that was touched, or that a domain was given, is marked on disk before, "
    "until it is cleared",
    9: "reconnect exits 0, touches no device, and leaves a claim that names what the domain has",
}


def claimed(text):
    """The devices that a claim names: the first UUID or address of each line of a device."""
    devices = set()
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in ("mdev", "vf", "vendor-vf", "whole"):
            found = re.search(UUID if words[0] == "mdev" else PCI, line)
            devices.add(found[0] if found else line)
    return devices


class Journey:
    """One point: the program with its failing call, then what follows."""

    def __init__(self, host):
        self.host = host
        self.kind = host.kind
        self.results, self.violations = [], []
        self.own = host.devices_of("web01")
        self.base = None
        self.scrubs = 0  # how often a device must have been scrubbed before it is free

    # --- Helpers ---

    def begin(self, state):
        self.host.load("base")
        self.base = self.host.seen()
        if state != "base":
            self.host.load(state)
            self.scrubs = int(self.kind.scrubbed)

    def violated(self, number, what):
        if (number, what) not in self.violations:
            self.violations.append((number, what))

    def did(self, result):
        self.results.append(result)
        if result.end == "timeout":
            self.violated(7, f"{result.program} takes longer")
        self.check_others(self.host.seen())
        return result

    def devices(self, seen):
        """State lines of vGPUs that were not there before."""
        return {line for line in seen.state - self.base.state if line.split()[0] in ("mdev", "vgpu")}

    def scrubs_done(self, seen):
        return sum(line.startswith("end ") for line in seen.scrubs)

    # --- What must hold ---

    def touched(self, seen):
        """The domain's devices for a single use that were written to."""
        paths = [write.split(" ", 2)[1] for write in seen.writes] if self.kind.one_time else []
        return {address for address in self.own if any(address in path for path in paths)}

    def check_marked(self, addresses):
        """Only a prepare that goes on to its end may take back the mark of what it has touched."""
        if self.kind.one_time and addresses - set(self.host.seen().used):
            self.violated(10, "it is not marked")

    def clear_marks(self):
        """The sysadmin does, after a start was refused for them."""
        marked = set(self.host.seen().used) & self.own
        if not marked:
            return
        refused = self.did(self.host.hook("prepare", "web01"))
        if refused.exit == 0:
            self.violated(10, "a device that is marked is given again")
        self.did(self.host.hook("release", "web01"))
        for address in sorted(marked):
            if address not in self.host.seen().used:
                self.violated(10, "a refused start has taken its mark")
            cleared = self.did(self.host.clear(address))
            if cleared.exit != 0:
                self.violated(8, f"clear: {cleared.end}")

    def check_others(self, seen):
        lost = {
            line
            for line in self.base.state - seen.state - self.allowed_to_go()
            if line.split()[0] != "quota"
        }
        for line in lost:
            self.violated(3, f"gone or changed: {self.anonymous(line)}")
        canary = uuid_of("canary")
        if seen.claims.get(canary) != self.base.claims[canary]:
            self.violated(3, "the claim of another domain is changed")
        theirs = self.host.devices_of("canary") | {
            line.split()[1] for line in self.base.state if line.split()[0] in ("mdev", "vgpu")
        } - {line.split()[1] for line in self.allowed_to_go()}
        kept = self.base.state - self.allowed_to_go()
        counts = {f"{line.split()[1]}/sriov_numvfs" for line in kept if line.startswith("vfs ")}
        for write in seen.writes:
            path = write.split(" ", 2)[1]
            if any(device in path for device in theirs | counts):
                self.violated(3, f"written to a device of somebody else: {self.anonymous(write)}")
        for name, text in seen.claims.items():
            if name != canary and claimed(text) & theirs:
                self.violated(3, "a claim names a device of somebody else")

    def allowed_to_go(self):
        return set()

    def anonymous(self, text):
        return re.sub(UUID, "UUID", text)

    def check_prepared(self, seen):
        text = seen.claims.get(uuid_of("web01"))
        if text is None:
            self.violated(1, "there is no claim")
        elif claimed(text) != self.own or "quarantined" in text:
            self.violated(1, "the claim names other devices than the domain has")
        there = {line.split()[1] for line in self.devices(seen)}
        if self.kind.device and there != self.own:
            self.violated(1, f"{len(there & self.own)} of {len(self.own)} vGPUs are there")
        if not self.kind.device:
            for address in self.own:
                try:
                    self.host.read_sysfs(f"bus/pci/devices/{address}/vendor")
                except OSError:
                    self.violated(1, "a virtual function is not there")
        kinds = {line.split()[-1] for line in self.devices(seen)}
        if len(kinds) > 1 or kinds - {"i915-GVTg_V5_4", "1145"}:
            self.violated(1, f"of another type: {sorted(kinds)}")

    def check_not_lost(self, seen):
        """A device that is left must be in a claim, and so must one that is not scrubbed."""
        if uuid_of("web01") not in seen.claims and self.scrubs_done(seen) < self.scrubs:
            self.violated(4, "a device is free that was not scrubbed")
        if any(line.startswith("overlap ") for line in seen.scrubs):
            self.violated(4, "a second scrub program beside the first")
        named = set().union(*[claimed(text) for text in seen.claims.values()])
        for line in self.devices(seen):
            if line.split()[1] not in named:
                self.violated(4, f"left without a claim: {line.split()[0]}")

    def check_clean(self, seen, number, after):
        for line in sorted(self.devices(seen)):
            self.violated(number, f"after {after} a device is left: {line.split()[0]}")
        for name in sorted(set(seen.claims) - set(self.base.claims)):
            what = "a claim" if re.fullmatch(UUID, name) else "a file in the claims folder"
            self.violated(number, f"after {after} {what} is left")
        if seen.marks - self.base.marks:
            self.violated(number, f"after {after} a mark of a domain with a GPU is left")

    def check_reconcile(self, result):
        if "No claims" in result.output:
            self.violated(5, "it says 'No claims'")
        return result

    # --- What a host runs ---

    def recover(self, number):
        """libvirt is back, the domain is off: reconcile, and a whole life of the domain."""
        self.check_reconcile(self.did(self.host.reconcile()))
        self.check_not_lost(self.host.seen())
        self.check_clean(self.host.seen(), number, "reconcile")
        self.clear_marks()
        again = self.did(self.host.hook("prepare", "web01"))
        if again.exit != 0:
            self.violated(8, f"prepare again: {again.end}")
        else:
            self.check_prepared(self.host.seen())
            self.check_marked(self.own)
            self.scrubs += int(self.kind.scrubbed)
        released = self.did(self.host.hook("release", "web01"))
        if released.exit != 0:
            self.violated(8, f"release again: {released.end}")
        self.check_not_lost(self.host.seen())
        self.check_clean(self.host.seen(), 8, "another life")
        used = self.host.seen().used
        if self.kind.one_time and not all("used" in used.get(address, "") for address in self.own):
            self.violated(10, "after a release its mark is not final")


class Prepare(Journey):
    """libvirt calls release after a refused prepare. When libvirt died with it, nobody does."""

    start = "base"

    def before(self):
        pass

    def run(self, inject, variant):
        self.begin(self.start)
        self.before()
        first = self.did(self.host.hook("prepare", "web01", inject))
        if first.exit == 0:
            self.check_prepared(self.host.seen())
            self.scrubs += int(self.kind.scrubbed)
        marked = self.own if first.exit == 0 else self.touched(self.host.seen())
        if first.exit not in (0, None):
            marked = set()  # undone by the same call
        self.check_marked(marked)
        if first.exit is not None or variant:
            self.did(self.host.hook("release", "web01"))
            self.check_not_lost(self.host.seen())
            self.check_marked(marked)
        self.recover(2)
        return first


def not_synced(calls):
    """What is not on disk yet when the hardware is touched first: a mark, or its directory. `calls` are the
    lines of inject --list, in their order."""
    missing = {"file", "directory"}
    for line in calls:
        _, name, _, _, detail = line.rstrip("\n").split("\t")
        if name == "fsync" and detail.endswith("/var/lib/gpuward/used"):
            missing.discard("directory")
        elif name == "fsync" and "/var/lib/gpuward/used/" in detail:
            missing.discard("file")
        elif name == "write" and detail.endswith("/current_vgpu_type"):
            return missing
    return {"no hardware was touched"}


class FirstPrepare(Prepare):
    """The version of QEMU is not known yet, and QEMU is asked."""

    def before(self):
        self.host.forget_qemu()


class PrepareAgain(Prepare):
    """The last run of the domain was not released, as libvirt was killed."""

    start = "prepared"

    def check_prepared(self, seen):
        super().check_prepared(seen)
        if self.scrubs_done(seen) < self.scrubs:
            self.violated(1, "a device is given that was not scrubbed")


class Reconnect(Journey):
    """libvirt itself was started anew. The claim is there, or is lost."""

    def run(self, inject, variant):
        self.begin("prepared")
        if not variant:
            self.host.lose_claim("web01")
        first = self.did(self.host.hook("reconnect", "web01", inject))
        # 127: the C library did not come as far as main().
        if first.exit not in (0, None, 127):
            self.violated(9, f"reconnect: {first.end}")
        self.check_claim(self.host.seen(), may_lack=not variant)
        self.did(self.host.hook("reconnect", "web01"))
        self.check_claim(self.host.seen(), may_lack=False)
        if self.did(self.host.hook("release", "web01")).exit == 0:
            self.check_clean(self.host.seen(), 4, "exit 0")
        self.check_not_lost(self.host.seen())
        self.clear_unknown()
        self.recover(4)
        return first

    def clear_unknown(self):
        """Where the claim was lost and the configuration cannot be read, how to scrub is not known:
        such devices wait in quarantine for the sysadmin, who scrubs and clears them."""
        lines = self.host.seen().claims.get(uuid_of("web01"), "").splitlines()
        for line in (line for line in lines if " scrub=/unknown" in line):
            cleared = self.did(self.host.clear(re.search(PCI, line)[0]))
            if cleared.exit != 0:
                self.violated(8, f"clear: {cleared.end}")
            self.scrubs = 0  # here the sysadmin does it, not the scrub program

    def check_claim(self, seen, may_lack):
        text = seen.claims.get(uuid_of("web01"))
        if text is None and not may_lack:
            self.violated(9, "the claim of a domain that runs is not there")
        if text is not None and claimed(text) != self.own:
            self.violated(9, "the claim names other devices than the domain has")
        if self.devices(seen) != self.devices(self.host.snapshot_seen["prepared"]):
            self.violated(9, "a device of a domain that runs is changed")


class Release(Journey):
    """Where there are scrub programs, what is killed is not waited for: one may go on."""

    def first(self, inject, wait):
        return self.host.hook("release", "web01", inject, wait)

    def run(self, inject, variant):
        self.begin("prepared")
        is_left = self.kind.scrubbed and inject[-1].startswith("kill")
        self.host.set_slow_scrub(is_left)
        first = self.did(self.first(inject, not is_left))
        if is_left:
            self.check_reconcile(self.did(self.host.reconcile(wait=False)))
            self.did(self.host.hook("release", "web01"))
            self.host.set_slow_scrub(False)
        seen = self.host.seen()
        self.check_not_lost(seen)
        self.check_marked(self.own)
        if first.exit == 0:
            self.check_clean(seen, 4, "exit 0")
        self.recover(4)
        return first


class Reconcile(Release):
    def first(self, inject, wait):
        return self.check_reconcile(self.host.reconcile(inject, wait))


class Rival(Journey):
    """A domain whose XML names what another domain has is refused, whatever fails."""

    def run(self, inject, variant):
        self.begin("base")
        first = self.did(self.host.hook("prepare", "rival", inject))
        if first.exit == 0:
            self.violated(3, "prepare gives what another domain has")
        if first.exit is not None or variant:
            self.did(self.host.hook("release", "rival"))
        self.recover(2)
        return first


class Provision(Journey):
    def run(self, inject, variant):
        self.begin("base")
        first = self.did(self.host.provision(inject))
        if first.exit == 0:
            self.check_made(first, "")
        self.check_again()
        return first

    def wanted(self):
        return {fill_in(line) for line in self.kind.provisioned}

    def allowed_to_go(self):
        return {fill_in(line) for line in self.kind.withdrawn}

    def check_made(self, result, again):
        seen = self.host.seen()
        for line in sorted(self.wanted() - seen.state) + sorted(self.allowed_to_go() & seen.state):
            if again or line.split()[1] not in result.output:
                what = "is not made" if line in self.wanted() else "is still there"
                self.violated(8 if again else 6, f"{again}{self.anonymous(line)} {what}")

    def check_again(self):
        again = self.did(self.host.provision())
        if again.exit != 0:
            self.violated(8, f"provisioning again: {again.end}")
        self.check_made(again, "provisioning again: ")


JOURNEYS = {
    "prepare": Prepare,
    "first-prepare": FirstPrepare,
    "prepare-again": PrepareAgain,
    "reconnect": Reconnect,
    "release": Release,
    "reconcile": Reconcile,
    "rival": Rival,
    "provision": Provision,
}


def journeys_of(kind):
    """Which program asks QEMU for its version does not depend on the kind."""
    if kind.one_time:
        return ["prepare", "release", "reconcile"]
    left_out = ([] if kind.has_rival else ["rival"]) + ([] if kind.name == "mdev" else ["first-prepare"])
    return [name for name in JOURNEYS if name not in left_out]
