# SPDX-License-Identifier: LGPL-2.1-or-later
# What gpuward-guard is measured against: the least that a Python client of the same API does.
import libvirt


def on_lifecycle(_connection, domain, event, _detail, _opaque):
    if event != libvirt.VIR_DOMAIN_EVENT_SUSPENDED:
        return
    if domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER]:
        domain.resume()


libvirt.virEventRegisterDefaultImpl()
connection = libvirt.open("qemu:///system")
connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle, None)
print("connected to libvirt", flush=True)
while True:
    libvirt.virEventRunDefaultImpl()
