// SPDX-License-Identifier: GPL-2.0-only
/*
 * labgpu: makes a parent of mediated devices out of any PCI card, so that the lab has a parent that
 * is a PCI card, and that comes and goes. The card itself is never touched: QEMU's pci-testdev is
 * taken when it appears, any other one through driver_override.
 *
 * Each card has 1 GiB, of which any mix of labgpu-eighth, labgpu-quarter, labgpu-half and labgpu-whole
 * takes its part. The description is worded as that of mbochs, which shares its memory alike.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vfio.h>

#define UNITS_PER_CARD 8
#define MIB_PER_UNIT 128

#define REGION_SHIFT 40
#define CONFIG_START ((loff_t)VFIO_PCI_CONFIG_REGION_INDEX << REGION_SHIFT)

/* Can be written at any time: who waits in a create sees the new value at once. */
static unsigned int create_delay_ms;
module_param(create_delay_ms, uint, 0644);
MODULE_PARM_DESC(create_delay_ms, "How long each create blocks; no signal interrupts it");

struct labgpu_type {
	struct mdev_type mdev_type;
	unsigned int units;
};

/* The kernel puts the driver's name before sysfs_name: labgpu-half. */
static const struct {
	const char *sysfs_name;
	const char *pretty_name;
	unsigned int units;
} all_types[] = {
	{ "eighth", "Lab GPU eighth", 1 },
	{ "quarter", "Lab GPU quarter", 2 },
	{ "half", "Lab GPU half", 4 },
	{ "whole", "Lab GPU whole", UNITS_PER_CARD },
};

struct labgpu_card {
	struct mdev_parent parent;
	struct labgpu_type types[ARRAY_SIZE(all_types)];
	struct mdev_type *mdev_types[ARRAY_SIZE(all_types)];
	spinlock_t lock;
	unsigned int free_units; /* under lock */
};

struct labgpu_instance {
	struct vfio_device vfio; /* first: vfio_alloc_device wants it so */
	u8 config[PCI_CFG_SPACE_SIZE];
};

static struct labgpu_type *type_of(struct mdev_type *type)
{
	return container_of(type, struct labgpu_type, mdev_type);
}

static struct labgpu_card *card_of(struct mdev_type *type)
{
	return container_of(type->parent, struct labgpu_card, parent);
}

/* --- Capacity --- */

static bool take_units(struct mdev_type *type)
{
	struct labgpu_card *card = card_of(type);
	unsigned int units = type_of(type)->units;
	bool taken;

	spin_lock(&card->lock);
	taken = card->free_units >= units;
	if (taken)
		card->free_units -= units;
	spin_unlock(&card->lock);
	return taken;
}

static void give_units_back(struct mdev_type *type)
{
	struct labgpu_card *card = card_of(type);

	spin_lock(&card->lock);
	card->free_units += type_of(type)->units;
	spin_unlock(&card->lock);
}

static unsigned int labgpu_get_available(struct mdev_type *type)
{
	return READ_ONCE(card_of(type)->free_units) / type_of(type)->units;
}

static ssize_t labgpu_show_description(struct mdev_type *type, char *buf)
{
	return sysfs_emit(buf, "Lab GPU, %u MB video memory\n", type_of(type)->units * MIB_PER_UNIT);
}

/* --- An instance, as VFIO's users see it: a PCI function with a config space and no more --- */

static void put_u16(u8 *at, u16 value)
{
	at[0] = value & 0xff;
	at[1] = value >> 8;
}

static int instance_init(struct vfio_device *vfio)
{
	struct labgpu_instance *instance = container_of(vfio, struct labgpu_instance, vfio);

	put_u16(instance->config + PCI_VENDOR_ID, PCI_VENDOR_ID_REDHAT);
	put_u16(instance->config + PCI_DEVICE_ID, 0x0005);
	put_u16(instance->config + PCI_CLASS_DEVICE, PCI_CLASS_DISPLAY_OTHER);
	return 0;
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
static void instance_release(struct vfio_device *vfio)
{
	vfio_free_device(vfio);
}
#endif

static int instance_open(struct vfio_device *vfio)
{
	return 0;
}

static void instance_close(struct vfio_device *vfio)
{
}

/* How many of count bytes at pos lie in the config space; *at is where it starts in there. */
static ssize_t config_range(loff_t pos, size_t count, size_t *at)
{
	if (pos < CONFIG_START || pos - CONFIG_START >= PCI_CFG_SPACE_SIZE)
		return -EINVAL;
	*at = pos - CONFIG_START;
	return min_t(size_t, count, PCI_CFG_SPACE_SIZE - *at);
}

static ssize_t instance_read(struct vfio_device *vfio, char __user *buf, size_t count, loff_t *pos)
{
	struct labgpu_instance *instance = container_of(vfio, struct labgpu_instance, vfio);
	size_t at;
	ssize_t size = config_range(*pos, count, &at);

	if (size < 0)
		return size;
	if (copy_to_user(buf, instance->config + at, size))
		return -EFAULT;
	*pos += size;
	return size;
}

/* Nothing in there can be changed; that is no error, on hardware it is none either. */
static ssize_t instance_write(struct vfio_device *vfio, const char __user *buf, size_t count,
			      loff_t *pos)
{
	size_t at;
	ssize_t size = config_range(*pos, count, &at);

	if (size > 0)
		*pos += size;
	return size;
}

static long get_device_info(void __user *arg)
{
	struct vfio_device_info info = {
		.argsz = offsetofend(struct vfio_device_info, num_irqs),
		.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
		.num_regions = VFIO_PCI_NUM_REGIONS,
		.num_irqs = VFIO_PCI_NUM_IRQS,
	};
	u32 argsz;

	if (get_user(argsz, (u32 __user *)arg))
		return -EFAULT;
	if (argsz < info.argsz)
		return -EINVAL;
	return copy_to_user(arg, &info, info.argsz) ? -EFAULT : 0;
}

static long get_region_info(void __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_region_info, offset);
	struct vfio_region_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	info.argsz = minsz;
	info.flags = 0;
	info.cap_offset = 0;
	info.size = 0;
	info.offset = (u64)info.index << REGION_SHIFT;
	if (info.index == VFIO_PCI_CONFIG_REGION_INDEX) {
		info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
		info.size = PCI_CFG_SPACE_SIZE;
	}
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long get_irq_info(void __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_irq_info, count);
	struct vfio_irq_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info.argsz = minsz;
	info.flags = 0;
	info.count = 0;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long instance_ioctl(struct vfio_device *vfio, unsigned int command, unsigned long arg)
{
	switch (command) {
	case VFIO_DEVICE_GET_INFO:
		return get_device_info((void __user *)arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region_info((void __user *)arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq_info((void __user *)arg);
	case VFIO_DEVICE_RESET:
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct vfio_device_ops instance_ops = {
	.name = "labgpu",
	.init = instance_init,
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	.release = instance_release,
#else
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
#endif
	.open_device = instance_open,
	.close_device = instance_close,
	.read = instance_read,
	.write = instance_write,
	.ioctl = instance_ioctl,
};

/* --- Creation and removal of instances --- */

/* In slices: the parameter may change, and the kernel reports tasks that sleep for two minutes. */
static void delay_create(void)
{
	unsigned long start = jiffies;

	while (time_before(jiffies, start + msecs_to_jiffies(READ_ONCE(create_delay_ms))))
		msleep(20);
}

static int labgpu_mdev_probe(struct mdev_device *mdev)
{
	struct labgpu_instance *instance;
	int error;

	if (!take_units(mdev->type))
		return -ENOSPC;
	delay_create();
	instance = vfio_alloc_device(labgpu_instance, vfio, &mdev->dev, &instance_ops);
	if (IS_ERR(instance)) {
		error = PTR_ERR(instance);
		goto no_instance;
	}
	dev_set_drvdata(&mdev->dev, instance);
	error = vfio_register_emulated_iommu_dev(&instance->vfio);
	if (error)
		goto not_registered;
	return 0;

not_registered:
	vfio_put_device(&instance->vfio);
no_instance:
	give_units_back(mdev->type);
	return error;
}

/* Blocks while someone has the instance open. */
static void labgpu_mdev_remove(struct mdev_device *mdev)
{
	struct labgpu_instance *instance = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&instance->vfio);
	vfio_put_device(&instance->vfio);
	give_units_back(mdev->type);
}

static struct mdev_driver labgpu_mdev_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.probe = labgpu_mdev_probe,
	.remove = labgpu_mdev_remove,
	.get_available = labgpu_get_available,
	.show_description = labgpu_show_description,
	.driver = {
		.name = "labgpu",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
};

/* --- The card --- */

static int labgpu_pci_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct labgpu_card *card = devm_kzalloc(&pci->dev, sizeof(*card), GFP_KERNEL);
	unsigned int i;

	if (!card)
		return -ENOMEM;
	spin_lock_init(&card->lock);
	card->free_units = UNITS_PER_CARD;
	for (i = 0; i < ARRAY_SIZE(all_types); i++) {
		card->types[i].mdev_type.sysfs_name = all_types[i].sysfs_name;
		card->types[i].mdev_type.pretty_name = all_types[i].pretty_name;
		card->types[i].units = all_types[i].units;
		card->mdev_types[i] = &card->types[i].mdev_type;
	}
	pci_set_drvdata(pci, card);
	return mdev_register_parent(&card->parent, &pci->dev, &labgpu_mdev_driver, card->mdev_types,
				    ARRAY_SIZE(card->mdev_types));
}

/* Removes the instances, too; blocks while one is open. */
static void labgpu_pci_remove(struct pci_dev *pci)
{
	struct labgpu_card *card = pci_get_drvdata(pci);

	mdev_unregister_parent(&card->parent);
}

static const struct pci_device_id labgpu_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT, 0x0005) }, /* pci-testdev */
	{}
};
MODULE_DEVICE_TABLE(pci, labgpu_ids);

static struct pci_driver labgpu_pci_driver = {
	.name = "labgpu",
	.id_table = labgpu_ids,
	.probe = labgpu_pci_probe,
	.remove = labgpu_pci_remove,
};

static int __init labgpu_init(void)
{
	int error = mdev_register_driver(&labgpu_mdev_driver);

	if (error)
		return error;
	error = pci_register_driver(&labgpu_pci_driver);
	if (error)
		mdev_unregister_driver(&labgpu_mdev_driver);
	return error;
}
module_init(labgpu_init);

static void __exit labgpu_exit(void)
{
	pci_unregister_driver(&labgpu_pci_driver);
	mdev_unregister_driver(&labgpu_mdev_driver);
}
module_exit(labgpu_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Lab GPU: any PCI card as a parent of mediated devices");
