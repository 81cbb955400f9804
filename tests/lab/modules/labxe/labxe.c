// SPDX-License-Identifier: GPL-2.0-only
/*
 * labxe: puts the sriov_admin directory of Intel's xe driver (Linux 7.0, a discrete card of one tile) on
 * any card with virtual functions, beside whatever driver the card has:
 *
 *   PF/sriov_admin/.bulk_profile/{exec_quantum_ms,preempt_timeout_us,sched_priority,vram_quota}
 *   PF/sriov_admin/{pf,vf1..vfN}/{device,profile/{exec_quantum_ms,preempt_timeout_us,sched_priority}}
 *   PF/sriov_admin/vf1..vfN/{stop,profile/vram_quota}
 *
 * There is one such directory for each VF that could be, from the start; its link `device` comes and goes
 * with the VF. Nothing is enforced, only answered as xe does.
 */
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#define VRAM_TOTAL (8ULL * SZ_1G) /* what the VFs may have of it */
#define VRAM_PAGE ((u64)SZ_2M) /* of the card's local memory translation table */
/* The firmware clamps silently. */
#define EXEC_QUANTUM_MAX_MS 100000U
#define PREEMPT_TIMEOUT_MAX_US 100000000U

static char *pf;
module_param(pf, charp, 0444);
MODULE_PARM_DESC(pf, "PCI address of the card, as 0000:03:00.0");

struct function {
	struct kobject kobject;
	unsigned int number; /* 0: the card itself */
	bool enabled;
	u32 exec_quantum_ms;
	u32 preempt_timeout_us;
	unsigned int priority;
	u64 vram;
};

static struct pci_dev *card;
static struct kobject *root; /* sriov_admin; NULL after the card went */
static struct function **functions;
static unsigned int total_vfs;
static DEFINE_MUTEX(lock); /* of what changes in functions */

static struct function *function_of(struct kobject *kobject)
{
	return container_of(kobject, struct function, kobject);
}

/* --- Times: live, and 0 is no limit --- */

static ssize_t exec_quantum_ms_show(struct kobject *kobject, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(function_of(kobject)->exec_quantum_ms));
}

static ssize_t exec_quantum_ms_store(struct kobject *kobject, struct kobj_attribute *attr,
				     const char *buf, size_t count)
{
	u32 value;
	int error = kstrtou32(buf, 0, &value);

	if (error)
		return error;
	WRITE_ONCE(function_of(kobject)->exec_quantum_ms, min(value, EXEC_QUANTUM_MAX_MS));
	return count;
}

static ssize_t preempt_timeout_us_show(struct kobject *kobject, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(function_of(kobject)->preempt_timeout_us));
}

static ssize_t preempt_timeout_us_store(struct kobject *kobject, struct kobj_attribute *attr,
					const char *buf, size_t count)
{
	u32 value;
	int error = kstrtou32(buf, 0, &value);

	if (error)
		return error;
	WRITE_ONCE(function_of(kobject)->preempt_timeout_us, min(value, PREEMPT_TIMEOUT_MAX_US));
	return count;
}

/* --- Priority: a single VF's cannot be set, and no VF's to high --- */

static const char *const priorities[] = { "low", "normal", "high" };

static unsigned int priorities_of(unsigned int number)
{
	return number ? 2 : 3;
}

static ssize_t sched_priority_show(struct kobject *kobject, struct kobj_attribute *attr, char *buf)
{
	const struct function *function = function_of(kobject);
	unsigned int priority = READ_ONCE(function->priority), i;
	ssize_t size = 0;

	for (i = 0; i < priorities_of(function->number); i++)
		size += sysfs_emit_at(buf, size, i == priority ? "%s[%s]" : "%s%s", i ? " " : "", priorities[i]);
	return size + sysfs_emit_at(buf, size, "\n");
}

static ssize_t sched_priority_store(struct kobject *kobject, struct kobj_attribute *attr,
				    const char *buf, size_t count)
{
	struct function *function = function_of(kobject);
	int priority;

	if (function->number)
		return -EOPNOTSUPP;
	priority = __sysfs_match_string(priorities, priorities_of(0), buf);
	if (priority < 0)
		return -EINVAL;
	WRITE_ONCE(function->priority, priority);
	return count;
}

/* --- Memory: only while the VF is not there --- */

/* Under lock. The firmware refuses to change it under a VF that is enabled. */
static int set_vram(struct function *function, u64 bytes)
{
	u64 used = 0;
	unsigned int i;

	if (!bytes && !function->vram)
		return 0;
	if (function->enabled)
		return -EIO;
	if (bytes > VRAM_TOTAL)
		return -ENOMEM;
	function->vram = 0;
	for (i = 1; i <= total_vfs; i++)
		used += functions[i]->vram;
	bytes = round_up(bytes, VRAM_PAGE);
	if (used + bytes > VRAM_TOTAL)
		return -ENOMEM; /* what it had is gone, too, as on xe */
	function->vram = bytes;
	return 0;
}

static ssize_t vram_quota_show(struct kobject *kobject, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(function_of(kobject)->vram));
}

static ssize_t vram_quota_store(struct kobject *kobject, struct kobj_attribute *attr, const char *buf,
				size_t count)
{
	u64 bytes;
	int error = kstrtou64(buf, 0, &bytes);

	if (error)
		return error;
	mutex_lock(&lock);
	error = set_vram(function_of(kobject), bytes);
	mutex_unlock(&lock);
	return error ?: count;
}

/* The VF would need a reset before it runs again. */
static ssize_t stop_store(struct kobject *kobject, struct kobj_attribute *attr, const char *buf,
			  size_t count)
{
	bool yes;
	int error = kstrtobool(buf, &yes);

	if (error)
		return error;
	if (yes)
		pci_info(card, "VF%u stopped\n", function_of(kobject)->number);
	return count;
}

/* --- Directories of the card and of its VFs --- */

static struct kobj_attribute exec_quantum_ms = __ATTR_RW(exec_quantum_ms);
static struct kobj_attribute preempt_timeout_us = __ATTR_RW(preempt_timeout_us);
static struct kobj_attribute sched_priority = __ATTR_RW(sched_priority);
static struct kobj_attribute vram_quota = __ATTR_RW(vram_quota);
static struct kobj_attribute stop = __ATTR_WO(stop);

static struct attribute *profile_attributes[] = {
	&exec_quantum_ms.attr, &preempt_timeout_us.attr, &sched_priority.attr, &vram_quota.attr, NULL,
};

static umode_t profile_mode(struct kobject *kobject, struct attribute *attr, int index)
{
	unsigned int number = function_of(kobject)->number;

	if (attr == &vram_quota.attr && !number)
		return 0;
	return attr == &sched_priority.attr && number ? 0444 : attr->mode;
}

static const struct attribute_group profile_group = {
	.name = "profile",
	.attrs = profile_attributes,
	.is_visible = profile_mode,
};

static struct attribute *control_attributes[] = { &stop.attr, NULL };

static umode_t control_mode(struct kobject *kobject, struct attribute *attr, int index)
{
	return function_of(kobject)->number ? attr->mode : 0;
}

static const struct attribute_group control_group = {
	.attrs = control_attributes,
	.is_visible = control_mode,
};

static const struct attribute_group *function_groups[] = { &profile_group, &control_group, NULL };

static void function_release(struct kobject *kobject)
{
	kfree(function_of(kobject));
}

static const struct kobj_type function_type = {
	.release = function_release,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = function_groups,
};

/* --- .bulk_profile: for the card and all VFs that could be, not only those that are enabled --- */

static ssize_t bulk_exec_quantum_ms_store(struct kobject *kobject, struct kobj_attribute *attr,
					  const char *buf, size_t count)
{
	ssize_t result = count;
	unsigned int i;

	for (i = 0; i <= total_vfs && result > 0; i++)
		result = exec_quantum_ms_store(&functions[i]->kobject, attr, buf, count);
	return result;
}

static ssize_t bulk_preempt_timeout_us_store(struct kobject *kobject, struct kobj_attribute *attr,
					     const char *buf, size_t count)
{
	ssize_t result = count;
	unsigned int i;

	for (i = 0; i <= total_vfs && result > 0; i++)
		result = preempt_timeout_us_store(&functions[i]->kobject, attr, buf, count);
	return result;
}

static ssize_t bulk_sched_priority_store(struct kobject *kobject, struct kobj_attribute *attr,
					 const char *buf, size_t count)
{
	int priority = __sysfs_match_string(priorities, priorities_of(1), buf);
	unsigned int i;

	if (priority < 0)
		return -EINVAL;
	for (i = 0; i <= total_vfs; i++)
		WRITE_ONCE(functions[i]->priority, priority);
	return count;
}

/* The first that cannot ends it; those before keep what they got. */
static ssize_t bulk_vram_quota_store(struct kobject *kobject, struct kobj_attribute *attr,
				     const char *buf, size_t count)
{
	ssize_t result = count;
	unsigned int i;

	for (i = 1; i <= total_vfs && result > 0; i++)
		result = vram_quota_store(&functions[i]->kobject, attr, buf, count);
	return result;
}

#define BULK_ATTRIBUTE(_name) \
	static struct kobj_attribute bulk_##_name = __ATTR(_name, 0200, NULL, bulk_##_name##_store)
BULK_ATTRIBUTE(exec_quantum_ms);
BULK_ATTRIBUTE(preempt_timeout_us);
BULK_ATTRIBUTE(sched_priority);
BULK_ATTRIBUTE(vram_quota);

static struct attribute *bulk_attributes[] = {
	&bulk_exec_quantum_ms.attr, &bulk_preempt_timeout_us.attr, &bulk_sched_priority.attr,
	&bulk_vram_quota.attr, NULL,
};

static const struct attribute_group bulk_group = {
	.name = ".bulk_profile",
	.attrs = bulk_attributes,
};

/* --- VFs come and go --- */

static u16 vfs_being_enabled(void)
{
	u16 count = 0;

	/* pci_num_vf() tells only after the last of them is there. */
	pci_read_config_word(card, pci_find_ext_capability(card, PCI_EXT_CAP_ID_SRIOV) + PCI_SRIOV_NUM_VF,
			     &count);
	return count;
}

/* Under lock. Where nobody gave memory to any VF, all that are enabled get the same: a power of two GiB. */
static void provision_by_default(unsigned int count)
{
	u64 share = count ? VRAM_TOTAL / count : 0;
	unsigned int i;

	for (i = 1; i <= total_vfs; i++)
		if (functions[i]->vram || functions[i]->enabled)
			return;
	for (i = 1; i <= count && i <= total_vfs && share >= SZ_1G; i++)
		functions[i]->vram = rounddown_pow_of_two(share);
}

static void vf_added(struct pci_dev *vf, struct function *function)
{
	mutex_lock(&lock);
	provision_by_default(vfs_being_enabled());
	function->enabled = true;
	if (sysfs_create_link(&function->kobject, &vf->dev.kobj, "device"))
		pci_warn(vf, "no link in sriov_admin\n");
	mutex_unlock(&lock);
}

/* A VF that was enabled loses all that it was given. The memory of the others goes, too: VFs go together. */
static void vf_removed(struct function *function)
{
	unsigned int i;

	mutex_lock(&lock);
	function->enabled = false;
	WRITE_ONCE(function->exec_quantum_ms, 0);
	WRITE_ONCE(function->preempt_timeout_us, 0);
	for (i = 1; i <= total_vfs; i++)
		functions[i]->vram = 0;
	sysfs_remove_link(&function->kobject, "device");
	mutex_unlock(&lock);
}

static void remove_tree(void)
{
	unsigned int i;

	if (!root)
		return;
	for (i = 0; i <= total_vfs && functions[i]; i++) {
		sysfs_remove_link(&functions[i]->kobject, "device");
		kobject_del(&functions[i]->kobject);
		kobject_put(&functions[i]->kobject);
	}
	kfree(functions);
	sysfs_remove_group(root, &bulk_group);
	kobject_put(root);
	root = NULL;
}

static int on_pci_event(struct notifier_block *block, unsigned long event, void *data)
{
	struct pci_dev *pci = to_pci_dev(data);
	int index;

	if (!root)
		return NOTIFY_DONE;
	if (pci == card && event == BUS_NOTIFY_DEL_DEVICE)
		remove_tree();
	if (!pci->is_virtfn || pci_physfn(pci) != card)
		return NOTIFY_DONE;
	index = pci_iov_vf_id(pci);
	if (index < 0 || index >= total_vfs)
		return NOTIFY_DONE;
	if (event == BUS_NOTIFY_ADD_DEVICE)
		vf_added(pci, functions[index + 1]);
	if (event == BUS_NOTIFY_DEL_DEVICE)
		vf_removed(functions[index + 1]);
	return NOTIFY_DONE;
}

static struct notifier_block pci_events = { .notifier_call = on_pci_event };

/* --- The module --- */

static int add_function(unsigned int number)
{
	struct function *function = kzalloc(sizeof(*function), GFP_KERNEL);

	if (!function)
		return -ENOMEM;
	function->number = number;
	functions[number] = function; /* from here on remove_tree() lets go of it */
	return kobject_init_and_add(&function->kobject, &function_type, root, number ? "vf%u" : "pf", number);
}

static int add_tree(void)
{
	unsigned int i;
	int error;

	functions = kcalloc(total_vfs + 2, sizeof(*functions), GFP_KERNEL); /* the last stays NULL */
	root = functions ? kobject_create_and_add("sriov_admin", &card->dev.kobj) : NULL;
	if (!root) {
		kfree(functions);
		return -ENOMEM;
	}
	error = sysfs_create_group(root, &bulk_group);
	for (i = 0; i <= total_vfs && !error; i++)
		error = add_function(i);
	return error ?: sysfs_create_link(&functions[0]->kobject, &card->dev.kobj, "device");
}

static struct pci_dev *find_card(void)
{
	unsigned int domain, bus, slot, function;

	if (!pf || sscanf(pf, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
}

static int __init labxe_init(void)
{
	int error;

	card = find_card();
	if (!card)
		return -ENODEV;
	total_vfs = pci_sriov_get_totalvfs(card);
	/* xe's directory is there before its first VF is, and so is ours. */
	error = !total_vfs ? -ENODEV : pci_num_vf(card) ? -EBUSY : add_tree();
	if (!error)
		error = bus_register_notifier(&pci_bus_type, &pci_events);
	if (error) {
		remove_tree();
		pci_dev_put(card);
	}
	return error;
}
module_init(labxe_init);

static void __exit labxe_exit(void)
{
	bus_unregister_notifier(&pci_bus_type, &pci_events);
	remove_tree();
	pci_dev_put(card);
}
module_exit(labxe_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Lab xe: sriov_admin of Intel's xe driver on any card with virtual functions");
