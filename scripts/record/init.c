/* The only program on the card of record.py: loads pi64_fault with what=$pi64, and looks like a system that is up. */
#include "nolibc.h"

int main(int argc, char **argv, char **envp)
{
	char options[64] = "what=";
	const char *what = getenv("pi64");
	int module = open("/pi64_fault.ko", O_RDONLY);

	mount("proc", "/proc", "proc", 0, 0);
	mount("sys", "/sys", "sysfs", 0, 0);
	strlcat(options, what ? what : "nothing", sizeof(options));
	syscall(__NR_finit_module, module, options, 0);
	sleep(1);
	printf("\nDebian GNU/Linux 12 raspberrypi ttyAMA0\n\nraspberrypi login: ");
	sleep(1);
	reboot(LINUX_REBOOT_CMD_POWER_OFF);
	return 0;
}
