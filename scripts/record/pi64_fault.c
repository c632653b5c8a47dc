// SPDX-License-Identifier: MIT
/* Makes one real mistake, by name, so that the kernel says what it says of it. */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kfence.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/mmc/host.h>
#include <linux/mmc/mmc.h>
#include <linux/mmc/sdio.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/thermal.h>
#include <soc/bcm2835/raspberrypi-firmware.h>

static char *what = "nothing";
module_param(what, charp, 0);

/* --- kernel/sched/core.c, __might_resched */
static int pi64_bug(void)
{
	preempt_disable();
	might_sleep();
	preempt_enable();
	return 0;
}

/* --- kernel/watchdog.c: soft, one's own processor; hard, that of another, whom its neighbour looks after */
static int pi64_soft_lockup(void)
{
	preempt_disable();
	mdelay(9000);
	preempt_enable();
	return 0;
}

static int pi64_hard_lockup(void)
{
	unsigned long flags;

	local_irq_save(flags);
	mdelay(12000);
	local_irq_restore(flags);
	return 0;
}

/* --- kernel/hung_task.c */
static DECLARE_COMPLETION(pi64_never);

static int pi64_wait(void *unused)
{
	wait_for_completion(&pi64_never);
	return 0;
}

static int pi64_hung_task(void)
{
	kthread_run(pi64_wait, NULL, "pi64_waits");
	msleep_interruptible(8000);
	return 0;
}

/* --- kernel/locking/lockdep.c */
static DEFINE_MUTEX(pi64_first);
static DEFINE_MUTEX(pi64_second);

static int pi64_lockdep(void)
{
	mutex_lock(&pi64_first);
	mutex_lock(&pi64_second);
	mutex_unlock(&pi64_second);
	mutex_unlock(&pi64_first);
	mutex_lock(&pi64_second);
	mutex_lock(&pi64_first);
	mutex_unlock(&pi64_first);
	mutex_unlock(&pi64_second);
	return 0;
}

/* --- mm/kfence/report.c */
static int pi64_kfence(void)
{
	int tries;

	for (tries = 0; tries < 100000; tries++) {
		char *memory = kmalloc(32, GFP_KERNEL);
		bool watched = is_kfence_address(memory);

		kfree(memory);
		if (watched) {
			pr_info("read after free: %d\n", *(volatile char *)memory);
			return 0;
		}
		usleep_range(100, 200);
	}
	return -ENOENT;
}

/* --- lib/ubsan.c */
static int pi64_ubsan(void)
{
	static volatile int places = 40;

	pr_info("shifted: %d\n", 1 << places);
	return 0;
}

/* --- drivers/thermal/thermal_core.c */
static int pi64_heat(struct thermal_zone_device *zone, int *millicelsius)
{
	*millicelsius = 110000;
	return 0;
}

static const struct thermal_zone_device_ops pi64_heat_ops = { .get_temp = pi64_heat };
static const struct thermal_trip pi64_trips[] = { { .type = THERMAL_TRIP_CRITICAL, .temperature = 105000 } };

static int pi64_overheated(void)
{
	struct thermal_zone_device *zone = thermal_zone_device_register_with_trips(
		"cpu-thermal", pi64_trips, ARRAY_SIZE(pi64_trips), NULL, &pi64_heat_ops, NULL, 0, 1000);

	if (IS_ERR(zone))
		return PTR_ERR(zone);
	return thermal_zone_device_enable(zone);
}

/* --- drivers/mmc/core/sdio.c: a slot whose card says that it is an SDIO card, and then nothing more */
static void pi64_request(struct mmc_host *host, struct mmc_request *request)
{
	struct mmc_command *command = request->cmd;

	if (command->opcode == MMC_GO_IDLE_STATE)
		command->error = 0;
	else if (command->opcode == SD_IO_SEND_OP_COND)
		command->resp[0] = MMC_CARD_BUSY | 1 << 28 | host->ocr_avail;
	else
		command->error = -ETIMEDOUT;
	mmc_request_done(host, request);
}

static void pi64_set_ios(struct mmc_host *host, struct mmc_ios *ios)
{
}

static int pi64_present(struct mmc_host *host)
{
	return 1;
}

static const struct mmc_host_ops pi64_mmc_ops = {
	.request = pi64_request, .set_ios = pi64_set_ios, .get_cd = pi64_present,
};

static int pi64_sdio(void)
{
	struct platform_device *slot = platform_device_register_simple("pi64_slot", -1, NULL, 0);
	struct mmc_host *host = mmc_alloc_host(0, &slot->dev);

	if (!host)
		return -ENOMEM;
	host->ops = &pi64_mmc_ops;
	host->ocr_avail = MMC_VDD_32_33 | MMC_VDD_33_34;
	host->f_min = host->f_max = 400000;
	host->caps2 = MMC_CAP2_NO_SD | MMC_CAP2_NO_MMC;
	return mmc_add_host(host);
}

/* --- drivers/hwmon/raspberrypi-hwmon.c: QEMU's firmware knows no voltage, so it is answered here in its place */
struct pi64_question {
	u32 tag;
	u32 *answer;
};

static int pi64_asked(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct pi64_question *question = (void *)probe->data;

	question->tag = regs->regs[1];
	question->answer = (u32 *)regs->regs[2];
	return 0;
}

static int pi64_answered(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct pi64_question *question = (void *)probe->data;

	if (question->tag == RPI_FIRMWARE_GET_THROTTLED) {
		*question->answer = 0x50005;
		regs->regs[0] = 0;
	}
	return 0;
}

static struct kretprobe pi64_firmware = {
	.kp.symbol_name = "rpi_firmware_property",
	.entry_handler = pi64_asked,
	.handler = pi64_answered,
	.data_size = sizeof(struct pi64_question),
	.maxactive = 8,
};

static int pi64_under_voltage(void)
{
	int failed = register_kretprobe(&pi64_firmware);

	msleep_interruptible(5000);
	return failed;
}

static const struct {
	const char *name;
	int (*make)(void);
} pi64_mistakes[] = {
	{ "bug", pi64_bug },
	{ "soft-lockup", pi64_soft_lockup },
	{ "hard-lockup", pi64_hard_lockup },
	{ "hung-task", pi64_hung_task },
	{ "lockdep", pi64_lockdep },
	{ "kfence", pi64_kfence },
	{ "ubsan", pi64_ubsan },
	{ "overheated", pi64_overheated },
	{ "sdio-error", pi64_sdio },
	{ "under-voltage", pi64_under_voltage },
};

static int __init pi64_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(pi64_mistakes); i++)
		if (!strcmp(what, pi64_mistakes[i].name))
			return pi64_mistakes[i].make();
	return -EINVAL;
}
module_init(pi64_init);

MODULE_DESCRIPTION("Makes one real mistake, by name");
MODULE_LICENSE("GPL");
