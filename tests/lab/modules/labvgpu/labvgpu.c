// SPDX-License-Identifier: GPL-2.0-only
/*
 * labvgpu: makes any card's virtual functions look like those of NVIDIA's driver where that has its own
 * VFIO framework (vGPU 17 and newer): VF/nvidia/{creatable_vgpu_types,current_vgpu_type}. As there, the
 * driver that has the VF is its VFIO provider, and a type must be written before anybody can open it.
 *
 * A VF is taken only through driver_override. The driver is not named "nvidia" as the real one: libvirt
 * (since 9.7) and gpuward know a VFIO provider by vfio-dev/ and a vGPU by nvidia/, not by a name.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/version.h>
#include <linux/vfio_pci_core.h>

/* All can be written at any time. */
static unsigned int framebuffer_mib = 4096;
module_param(framebuffer_mib, uint, 0644);
MODULE_PARM_DESC(framebuffer_mib, "Memory of each card that its VFs share");

static unsigned int stubborn;
module_param(stubborn, uint, 0644);
MODULE_PARM_DESC(stubborn, "How many writes of 0 to a VF succeed and change nothing");

static unsigned int hang_ms;
module_param(hang_ms, uint, 0644);
MODULE_PARM_DESC(hang_ms, "How long each write of a type blocks; no signal interrupts it");

struct vgpu_type {
	unsigned int id;
	unsigned int mib;
	const char *name;
};

static const struct vgpu_type catalogue[] = {
	{ 1145, 1024, "NVIDIA L40S-1B" },
	{ 1146, 2048, "NVIDIA L40S-2B" },
	{ 1148, 1024, "NVIDIA L40S-1Q" },
	{ 1149, 2048, "NVIDIA L40S-2Q" },
};

struct labvgpu {
	struct vfio_pci_core_device core; /* first: vfio_alloc_device wants it so */
	struct list_head entry;
	const struct vgpu_type *type; /* NULL: none */
	unsigned int zeros_ignored;
	bool open;
};

static LIST_HEAD(all_vfs);
static DEFINE_MUTEX(lock); /* of the list and of all that changes in its members */

static struct labvgpu *vf_of(struct device *dev)
{
	return container_of(dev_get_drvdata(dev), struct labvgpu, core);
}

/* --- What can be created --- */

/* One size of framebuffer for all VFs of a card, as long as its memory lasts. */
static bool creatable(const struct labvgpu *vf, const struct vgpu_type *type)
{
	unsigned int used = 0;
	struct labvgpu *other;

	if (vf->type)
		return false;
	list_for_each_entry(other, &all_vfs, entry) {
		if (!other->type || pci_physfn(other->core.pdev) != pci_physfn(vf->core.pdev))
			continue;
		if (other->type->mib != type->mib)
			return false;
		used += other->type->mib;
	}
	return used + type->mib <= READ_ONCE(framebuffer_mib);
}

static ssize_t creatable_vgpu_types_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const struct labvgpu *vf = vf_of(dev);
	ssize_t size;
	size_t i;

	size = sysfs_emit(buf, "ID    : vGPU Name\n");
	mutex_lock(&lock);
	for (i = 0; i < ARRAY_SIZE(catalogue); i++)
		if (creatable(vf, &catalogue[i]))
			size += sysfs_emit_at(buf, size, "%-6u: %s\n", catalogue[i].id, catalogue[i].name);
	mutex_unlock(&lock);
	return size;
}
static DEVICE_ATTR_RO(creatable_vgpu_types);

static ssize_t current_vgpu_type_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const struct labvgpu *vf = vf_of(dev);
	unsigned int id;

	mutex_lock(&lock);
	id = vf->type ? vf->type->id : 0;
	mutex_unlock(&lock);
	return sysfs_emit(buf, "%u\n", id);
}

/*
 * Which errno NVIDIA's driver gives where is not documented: these are the plausible ones, and no user
 * should tell more from them than that it was refused. What the catalogue does not list, be it unknown,
 * of another size or without room, is EINVAL.
 */
static int create_vgpu(struct labvgpu *vf, unsigned int id)
{
	size_t i;

	if (vf->type)
		return -EBUSY; /* it has to be destroyed first */
	for (i = 0; i < ARRAY_SIZE(catalogue); i++) {
		if (catalogue[i].id != id || !creatable(vf, &catalogue[i]))
			continue;
		vf->type = &catalogue[i];
		vf->zeros_ignored = 0;
		return 0;
	}
	return -EINVAL;
}

static void destroy_vgpu(struct labvgpu *vf)
{
	if (vf->type && vf->zeros_ignored < READ_ONCE(stubborn))
		vf->zeros_ignored++;
	else
		vf->type = NULL;
}

/* In slices: the parameter may change, and the kernel reports tasks that sleep for two minutes. */
static void hang(void)
{
	unsigned long start = jiffies;

	while (time_before(jiffies, start + msecs_to_jiffies(READ_ONCE(hang_ms))))
		msleep(20);
}

static ssize_t current_vgpu_type_store(struct device *dev, struct device_attribute *attr,
				       const char *buf, size_t count)
{
	struct labvgpu *vf = vf_of(dev);
	unsigned int id;
	int error;

	error = kstrtouint(buf, 10, &id);
	if (error)
		return error;
	hang();
	mutex_lock(&lock);
	if (vf->open)
		error = -EBUSY; /* under a guest that runs nothing changes */
	else if (id)
		error = create_vgpu(vf, id);
	else
		destroy_vgpu(vf);
	mutex_unlock(&lock);
	return error ?: count;
}
static DEVICE_ATTR_RW(current_vgpu_type);

static struct attribute *nvidia_attributes[] = {
	&dev_attr_creatable_vgpu_types.attr,
	&dev_attr_current_vgpu_type.attr,
	NULL,
};

static const struct attribute_group nvidia_group = {
	.name = "nvidia",
	.attrs = nvidia_attributes,
};

static const struct attribute_group *labvgpu_groups[] = {
	&nvidia_group,
	NULL,
};

/* --- The VF as a VFIO device: vfio-pci's own, but for who may open it --- */

static int labvgpu_open(struct vfio_device *vfio)
{
	struct labvgpu *vf = container_of(vfio, struct labvgpu, core.vdev);
	int error;

	mutex_lock(&lock);
	error = vf->type ? vfio_pci_core_enable(&vf->core) : -ENODEV;
	vf->open = !error;
	mutex_unlock(&lock);
	if (!error)
		vfio_pci_core_finish_enable(&vf->core);
	return error;
}

static void labvgpu_close(struct vfio_device *vfio)
{
	struct labvgpu *vf = container_of(vfio, struct labvgpu, core.vdev);

	vfio_pci_core_close_device(vfio);
	mutex_lock(&lock);
	vf->open = false;
	mutex_unlock(&lock);
}

static const struct vfio_device_ops labvgpu_ops = {
	.name = "labvgpu",
	.init = vfio_pci_core_init_dev,
	.release = vfio_pci_core_release_dev,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
#endif
	.open_device = labvgpu_open,
	.close_device = labvgpu_close,
	.ioctl = vfio_pci_core_ioctl,
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = vfio_pci_core_read,
	.write = vfio_pci_core_write,
	.mmap = vfio_pci_core_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
};

/* --- The driver --- */

static int labvgpu_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct labvgpu *vf;
	int error;

	if (!pci->is_virtfn)
		return -ENODEV;
	vf = vfio_alloc_device(labvgpu, core.vdev, &pci->dev, &labvgpu_ops);
	if (IS_ERR(vf))
		return PTR_ERR(vf);
	dev_set_drvdata(&pci->dev, &vf->core); /* where vfio-pci-core looks for it, too */
	error = vfio_pci_core_register_device(&vf->core);
	if (error) {
		vfio_put_device(&vf->core.vdev);
		return error;
	}
	mutex_lock(&lock);
	list_add(&vf->entry, &all_vfs);
	mutex_unlock(&lock);
	return 0;
}

/* Blocks while someone has the VF open. The vGPU goes with it. */
static void labvgpu_remove(struct pci_dev *pci)
{
	struct labvgpu *vf = vf_of(&pci->dev);

	vfio_pci_core_unregister_device(&vf->core);
	mutex_lock(&lock);
	list_del(&vf->entry);
	mutex_unlock(&lock);
	vfio_put_device(&vf->core.vdev);
}

/*
 * Without a table of IDs nothing but driver_override matches. An alias vfio_pci:* as vfio-pci's own would
 * be worse than useless: libvirt looks there for the driver of any managed device.
 */
static struct pci_driver labvgpu_driver = {
	.name = "labvgpu",
	.probe = labvgpu_probe,
	.remove = labvgpu_remove,
	.dev_groups = labvgpu_groups,
	.err_handler = &vfio_pci_core_err_handlers,
	.driver_managed_dma = true,
};
module_pci_driver(labvgpu_driver);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Lab vGPU: virtual functions of any PCI card as NVIDIA's vendor-specific VFIO devices");
