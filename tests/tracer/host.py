# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host in a directory: a /sys that reacts, a /proc of its own, and gpuward's programs."""
import ctypes
import dataclasses
import os
import re
import shutil
import signal
import stat
import subprocess
import time
import uuid

OWN_NAMES = uuid.UUID("7c70ed16-e67e-42e9-8078-0faf7693ba71")  # provisioned_uuid()
NOBODY = 65534
LIMIT = 120  # seconds that a program may take

DOMAIN = """<domain type='kvm'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='KiB'>4194304</memory>
  <vcpu placement='static'>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-9.2'>hvm</type>
  </os>
  <pm>
    <suspend-to-mem enabled='no'/>
    <suspend-to-disk enabled='no'/>
  </pm>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='pci' index='0' model='pcie-root'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""
LIBVIRT = """<node>
  <domain type='test'>
    <name>canary</name><uuid>{canary}</uuid><memory>1024</memory><os><type>hvm</type></os>
  </domain>
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
    <name>web01</name><uuid>{web01}</uuid><memory>1024</memory><os><type>hvm</type></os>
    <test:runstate>5</test:runstate>
  </domain>
</node>
"""


def uuid_of(domain):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, domain))


def fill_in(text):
    """{provisioned:PARENT/TYPE/NUMBER}: the UUID that gpuward-provision gives that instance."""
    return re.sub(
        r"\{provisioned:(.*?)\}", lambda match: str(uuid.uuid5(OWN_NAMES, match[1])), text
    )


def mount_for_nobody(directory):
    """As fusermount3 does it for a user, without allow_other: the kernel answers nobody else, root neither.
    Nothing is asked of the program behind it, which does not exist."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={NOBODY},group_id={NOBODY}"
    nosuid, nodev = 2, 4
    if libc.mount(b"tracer", directory.encode(), b"fuse", nosuid | nodev, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def stand_by(directory, report):
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.open(f"{directory}/fuse", os.O_PATH)
    os.chdir(f"{directory}/deep")
    for _ in range(20):  # 5000 bytes, more than PATH_MAX
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    os.open(".", os.O_RDONLY)
    os.write(report, b"ready")
    while True:
        signal.pause()


def start_bystander(directory):
    """What any user may do: a process with files open whose path or attributes root cannot read. No start
    and no release may fail for it."""
    os.mkdir(f"{directory}/fuse")
    mount_for_nobody(f"{directory}/fuse")
    os.mkdir(f"{directory}/deep")
    os.chown(f"{directory}/deep", NOBODY, NOBODY)
    ready, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            stand_by(directory, report)
        finally:
            os._exit(1)
    os.close(report)
    if os.read(ready, 5) != b"ready":
        raise RuntimeError("the bystander did not start")
    os.close(ready)
    return pid


@dataclasses.dataclass
class Result:
    program: str
    exit: int | None  # None: a signal, or the limit
    end: str
    output: str
    hit: str | None

    def __str__(self):
        text = f"{self.program}: {self.end}"
        return text + ("".join(f"\n    | {line}" for line in self.output.splitlines()))


@dataclasses.dataclass
class Seen:
    """What there is at one moment."""

    state: set
    writes: list
    claims: dict
    marks: set
    used: dict  # the marks of single use, by the address that each is named by
    scrubs: list


class Host:
    def __init__(self, build, top, kind):
        self.build, self.top, self.kind = build, top, kind
        self.snapshots, self.snapshot_seen = {}, {}
        subprocess.run(["mount", "-t", "tmpfs", "tracer", top], check=True)
        for directory in ("etc/gpuward", "proc", "sys", "run", "dev", "tracer", "usr/bin", "usr/sbin"):
            os.makedirs(f"{top}/{directory}")
        os.makedirs(f"{top}/var/lib/gpuward")
        os.chmod(top, 0o755)
        os.mknod(f"{top}/dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        subprocess.run(["mount", "-t", "proc", "proc", f"{top}/proc"], check=True)
        shutil.copy(f"{build}/tests/tracer/stand_in", f"{top}/usr/bin/qemu-system-x86_64")
        shutil.copy(f"{build}/hooks/gpuward-qemu-hook", f"{top}/usr/sbin/gpuward-qemu-hook")
        self.put("etc/gpuward/gpuward.conf", kind.config.replace("{top}", top))
        # A scrub program has one path for the hook, which sees this as /, and for the others.
        os.makedirs(top + top)
        subprocess.run(["mount", "--bind", top, top + top], check=True)
        shutil.copy(f"{build}/tests/tracer/stand_in", f"{top}/tracer/scrub")
        self.put("tracer/hardware", kind.hardware)
        self.put(
            "tracer/libvirt.xml", LIBVIRT.format(canary=uuid_of("canary"), web01=uuid_of("web01"))
        )
        self.mount_sysfs()
        self.bystander = start_bystander(f"{top}/tracer")
        self.known = set(self.processes()) | {str(os.getpid())}
        for path, value in kind.setup:
            self.write_sysfs(path, fill_in(value))
        self.set_up_domains()

    def put(self, path, text):
        with open(f"{self.top}/{path}", "w", encoding="utf-8") as file:
            file.write(text)

    def mount_sysfs(self):
        self.daemon = subprocess.Popen(
            [f"{self.build}/tests/tracer/sysfs", f"{self.top}/sys", f"{self.top}/tracer/hardware"]
        )
        for _ in range(6000):
            if os.path.ismount(f"{self.top}/sys"):
                return
            if self.daemon.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError("the file system of /sys did not start")

    def close(self):
        os.kill(self.bystander, signal.SIGKILL)
        os.waitpid(self.bystander, 0)
        subprocess.run(["umount", f"{self.top}/sys"], check=False)
        self.daemon.wait(LIMIT)

    def write_sysfs(self, path, value):
        fd = os.open(f"{self.top}/sys/{path}", os.O_WRONLY)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def read_sysfs(self, path):
        with open(f"{self.top}/sys/{path}", encoding="utf-8") as file:
            return file.read()

    # --- The domains: the canary runs all the time, web01 is started and stopped ---

    def set_up_domains(self):
        plain = DOMAIN.format(name="canary", uuid=uuid_of("canary"))
        self.put("tracer/canary.xml", self.attached(plain, self.kind.canary))
        self.must(self.hook("prepare", "canary"))
        self.save("base")
        plain = DOMAIN.format(name="web01", uuid=uuid_of("web01"))
        self.put("tracer/web01.xml", self.attached(plain, self.kind.profiles))
        with open(f"{self.top}/tracer/canary.xml", encoding="utf-8") as file:
            rival = file.read().replace(">canary<", ">rival<")
        self.put("tracer/rival.xml", rival.replace(uuid_of("canary"), uuid_of("rival")))
        self.load("base")
        self.must(self.hook("prepare", "web01"))
        self.save("prepared")
        self.load("base")

    def attached(self, xml, profiles):
        command = [f"{self.build}/cli/gpuward", "--root", self.top, "rewrite"]
        for profile in profiles:
            command += ["--attach", profile]
        done = subprocess.run(command, input=xml, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{self.kind.name}: {done.stderr}")
        return done.stdout

    def must(self, result):
        if result.exit != 0:
            raise RuntimeError(f"{self.kind.name}: without anything that fails: {result}")

    def devices_of(self, domain):
        """What the XML of a domain names: UUIDs of mdevs, else PCI addresses."""
        with open(f"{self.top}/tracer/{domain}.xml", encoding="utf-8") as file:
            xml = file.read()
        sources = re.findall(r"<source>\s*<address (.*?)/>\s*</source>", xml)
        if self.kind.device == "mdev":
            return {re.search(r"uuid='(.*?)'", source)[1] for source in sources}
        parts = [re.findall(r"'0x(\w+)'", source) for source in sources]
        return {f"{domain}:{bus}:{slot}.{function}" for domain, bus, slot, function in parts}

    # --- Programs ---

    def run(self, name, command, inject=(), chroot=False, stdin="/dev/null", wait=True):
        log = f"{self.top}/tracer/output"
        arguments = [f"{self.build}/tests/tracer/inject", "--timeout", str(LIMIT)]
        arguments += ["--root", self.top] if chroot else ["--from", self.top]
        arguments += ["--stdin", stdin, "--stdout", log, "--stderr", log + ".err", *inject]
        done = subprocess.run(
            [*arguments, "--", *command],
            stdout=subprocess.PIPE,
            text=True,
            close_fds=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            check=True,
        )
        end, hit = done.stdout.splitlines()[:2]
        if wait:
            self.wait_for_children()
        output = ""
        for file in (log, log + ".err"):
            with open(file, encoding="utf-8", errors="replace") as text:
                output += text.read()
        return Result(
            program=name,
            exit=int(end.split()[1]) if end.startswith("exit ") else None,
            end=end,
            output=output,
            hit=hit[4:] if hit.startswith("hit ") else None,
        )

    def hook(self, operation, domain, inject=(), wait=True):
        end = "end" if operation == "release" else "begin"
        return self.run(
            f"gpuward-qemu-hook {domain} {operation}",
            ["/usr/sbin/gpuward-qemu-hook", domain, operation, end, "-"],
            inject,
            chroot=True,
            stdin=f"{self.top}/tracer/{domain}.xml",
            wait=wait,
        )

    def reconcile(self, inject=(), wait=True):
        url = f"test://{self.top}/tracer/libvirt.xml"
        command = [f"{self.build}/cli/gpuward", "--root", self.top, "--connect", url, "reconcile"]
        return self.run("gpuward reconcile", command, inject, wait=wait)

    def clear(self, address):
        command = [f"{self.build}/cli/gpuward", "--root", self.top, "clear", address]
        return self.run(f"gpuward clear {address}", command)

    def provision(self, inject=()):
        command = [f"{self.build}/provision/gpuward-provision", "--root", self.top]
        return self.run("gpuward-provision", command, inject)

    def set_slow_scrub(self, is_slow):
        """Long enough for another program to begin meanwhile, or not."""
        if is_slow:
            self.put("tracer/scrub.slow", "")
        elif os.path.exists(f"{self.top}/tracer/scrub.slow"):
            os.unlink(f"{self.top}/tracer/scrub.slow")

    def lose_claim(self, domain):
        os.unlink(f"{self.top}/run/gpuward/claims/{uuid_of(domain)}")

    def forget_qemu(self):
        """As on a host where no domain has been prepared since it started."""
        shutil.rmtree(f"{self.top}/run/gpuward/qemu", ignore_errors=True)

    def processes(self):
        return [name for name in os.listdir("/proc") if name.isdigit()]

    def wait_for_children(self):
        """Until no process of an earlier program is left: we are process 1 here, and get them."""
        end = time.monotonic() + LIMIT
        while set(self.processes()) - self.known:
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass
            if time.monotonic() > end:
                raise RuntimeError(f"processes that do not end: {self.processes()}")
            time.sleep(0.0005)

    # --- State ---

    def seen(self):
        claims = {}
        directory = f"{self.top}/run/gpuward/claims"
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            with open(f"{directory}/{name}", encoding="utf-8", errors="replace") as file:
                claims[name] = file.read()
        marks = f"{self.top}/run/gpuward/gpu-domains"
        return Seen(
            state=set(self.read_sysfs(".tracer/state").splitlines()),
            writes=self.read_sysfs(".tracer/writes").splitlines(),
            claims=claims,
            marks=set(os.listdir(marks)) if os.path.isdir(marks) else set(),
            scrubs=self.scrubs(),
            used=self.used(),
        )

    def used(self):
        directory = f"{self.top}/var/lib/gpuward/used"
        marks = {}
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            if ".tmp" not in name:
                with open(f"{directory}/{name}", encoding="utf-8", errors="replace") as file:
                    marks[name.split("~")[0]] = file.read()
        return marks

    def scrubs(self):
        try:
            with open(f"{self.top}/tracer/scrubs", encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def save(self, name):
        files = []
        for top in ("run", "var"):
            for directory, _, names in os.walk(f"{self.top}/{top}"):
                files.append((directory, os.stat(directory).st_mode, None))
                for file in names:
                    path = f"{directory}/{file}"
                    with open(path, "rb") as content:
                        files.append((path, os.stat(path).st_mode, content.read()))
        self.snapshots[name] = files
        self.snapshot_seen[name] = self.seen()
        self.write_sysfs(".tracer/control", f"save {name}")

    def load(self, name):
        if os.path.exists(f"{self.top}/tracer/scrubs"):
            os.unlink(f"{self.top}/tracer/scrubs")
        for top in ("run", "var"):
            shutil.rmtree(f"{self.top}/{top}")
        for path, mode, content in self.snapshots[name]:
            if content is None:
                os.mkdir(path)
            else:
                with open(path, "wb") as file:
                    file.write(content)
            os.chmod(path, stat.S_IMODE(mode))
        self.write_sysfs(".tracer/control", f"load {name}")
