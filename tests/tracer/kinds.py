# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hosts that the tracer works on, one for each kind of device."""
import dataclasses

GUARD = "[guard]\nmigration = block\n"


@dataclasses.dataclass
class Kind:
    name: str
    hardware: str  # for the program sysfs
    config: str
    setup: list  # (path below /sys, value): what is there before gpuward does anything
    profiles: list  # what the domain asks for
    canary: list  # what the other domain has, all the time
    device: str  # what a device of the domain is in the state: "mdev" or "vgpu", "" for VFs
    has_rival: bool  # whether a domain can name devices of another one in its XML
    one_time: bool = False  # whether each device may be assigned only once
    scrubbed: bool = False  # whether the last device of the domain is one to be scrubbed
    provisioned: set = dataclasses.field(default_factory=set)  # state lines that provisioning makes
    withdrawn: set = dataclasses.field(default_factory=set)  # and takes away


STRANGER = "5b0c5d0e-9a55-4c5e-8d0c-0d6f0a3a9e11"  # an instance that another tool has made

MDEV = Kind(
    name="mdev",
    hardware="""
driver i915
driver vfio-pci
pci 0000:41:00.0 8086 5917 030000 i915 41
mdev 0000:41:00.0 i915-GVTg_V5_4 4
mdev 0000:41:00.0 i915-GVTg_V5_8 8
pci 0000:42:00.0 8086 5917 030000 i915 42
mdev 0000:42:00.0 i915-GVTg_V5_4 4
mdev 0000:42:00.0 i915-GVTg_V5_8 8
""",
    config=GUARD
    + """
[gpu 0000:41:00.0]
use = mdev
[gpu 0000:42:00.0]
use = mdev
instances = i915-GVTg_V5_8:2
[profile small]
type = i915-GVTg_V5_4
""",
    setup=[
        ("class/mdev_bus/0000:41:00.0/mdev_supported_types/i915-GVTg_V5_4/create", STRANGER),
        # Numbers 1 and 2 of the instances to keep ready: 2 is one too many, 0 is not there.
        (
            "class/mdev_bus/0000:42:00.0/mdev_supported_types/i915-GVTg_V5_8/create",
            "{provisioned:0000:42:00.0/i915-GVTg_V5_8/1}",
        ),
        (
            "class/mdev_bus/0000:42:00.0/mdev_supported_types/i915-GVTg_V5_8/create",
            "{provisioned:0000:42:00.0/i915-GVTg_V5_8/2}",
        ),
    ],
    profiles=["small", "small"],
    canary=["small"],
    device="mdev",
    has_rival=False,
    provisioned={"mdev {provisioned:0000:42:00.0/i915-GVTg_V5_8/0} 0000:42:00.0 i915-GVTg_V5_8"},
    withdrawn={"mdev {provisioned:0000:42:00.0/i915-GVTg_V5_8/2} 0000:42:00.0 i915-GVTg_V5_8"},
)

VF = Kind(
    name="vf",
    hardware="""
driver xe
driver vfio-pci
pci 0000:51:00.0 8086 e211 030000 xe 51
sriov 0000:51:00.0 3 1 1 -
pci 0000:52:00.0 8086 e211 030000 xe 52
sriov 0000:52:00.0 3 1 1 -
pci 0000:53:00.0 8086 e211 030000 xe 53
sriov 0000:53:00.0 3 1 1 -
quota 0000:53:00.0
pci 0000:54:00.0 8086 e211 030000 xe 54
sriov 0000:54:00.0 3 1 1 -
""",
    # 51: made when a domain needs one. 52: there. 53: to be made, with settings. 54: to be changed.
    config=GUARD
    + """
[gpu 0000:51:00.0]
use = vf
[gpu 0000:52:00.0]
use = vf
vfs = 3
[gpu 0000:53:00.0]
use = vf
vfs = 2
exec-quantum = 20
preempt-timeout = 1000
vf-memory = 2048MiB
[gpu 0000:54:00.0]
use = vf
vfs = 2
[profile fresh]
use = vf
gpu = 0000:51:00.0
[profile made]
use = vf
gpu = 0000:52:00.0
[profile scrubbed]
use = vf
gpu = 0000:52:00.0
scrub = {top}/tracer/scrub
""",
    setup=[
        ("bus/pci/devices/0000:52:00.0/sriov_drivers_autoprobe", "0"),
        ("bus/pci/devices/0000:52:00.0/sriov_numvfs", "3"),
        ("bus/pci/devices/0000:54:00.0/sriov_numvfs", "3"),
    ],
    profiles=["fresh", "scrubbed"],
    canary=["made"],
    device="",
    has_rival=True,
    scrubbed=True,
    provisioned={"vfs 0000:53:00.0 2", "vfs 0000:54:00.0 2"}
    | {
        f"quota 0000:53:00.0 vf{number} {name}"
        for number in (1, 2)
        for name in ("vram_quota 2147483648", "exec_quantum_ms 20", "preempt_timeout_us 1000")
    },
    withdrawn={"vfs 0000:54:00.0 3"},
)

VENDOR_VF = Kind(
    name="vendor-vf",
    hardware="""
driver nvidia
driver vfio-pci
pci 0000:61:00.0 10de 26b9 030200 nvidia 61
sriov 0000:61:00.0 6 4 1 nvidia
vgpu 0000:61:00.0 12288 1145 1024 NVIDIA L40S-1B
vgpu 0000:61:00.0 12288 1146 2048 NVIDIA L40S-2B
pci 0000:62:00.0 10de 26b9 030200 nvidia 62
sriov 0000:62:00.0 4 4 1 nvidia
vgpu 0000:62:00.0 12288 1145 1024 NVIDIA L40S-1B
""",
    config=GUARD
    + """
[gpu 0000:61:00.0]
use = vendor-vf
vfs = max
[gpu 0000:62:00.0]
use = vendor-vf
vfs = 3
[profile vgpu]
use = vendor-vf
type = NVIDIA L40S-1B
gpu = 0000:61:00.0
""",
    setup=[
        ("bus/pci/devices/0000:61:00.0/sriov_numvfs", "6"),
        ("bus/pci/devices/0000:61:01.1/nvidia/current_vgpu_type", "1145"),
    ],
    profiles=["vgpu", "vgpu"],
    canary=["vgpu"],
    device="vgpu",
    has_rival=True,
    provisioned={"vfs 0000:62:00.0 3"},
)

ONE_TIME = dataclasses.replace(
    VENDOR_VF,
    name="one-time",
    config=VENDOR_VF.config.replace(
        "[profile vgpu]",
        """[profile once]
use = vendor-vf
type = NVIDIA L40S-1B
gpu = 0000:61:00.0
one-time = yes
[profile vgpu]""",
    ),
    profiles=["once", "once"],
    has_rival=False,
    one_time=True,
    provisioned=set(),
)

KINDS = {kind.name: kind for kind in (MDEV, VF, VENDOR_VF, ONE_TIME)}
