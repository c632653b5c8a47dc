/*
 * PID 1 of an initramfs: loads the modules that the root filesystem needs, in the order of /modules, mounts the root
 * filesystem that the command line names, and starts its init.
 *
 * It stands alone (no libc: any aarch64 compiler will do) and is 64-bit, so it runs whether or not the kernel can run
 * 32-bit programs. What it has to say goes to the kernel's log, in the words that the kernel itself uses when it mounts
 * the root filesystem.
 */

typedef unsigned long size_t;
typedef unsigned char byte;

enum { /* include/uapi/asm-generic/unistd.h */
	MKDIRAT = 34, UNLINKAT = 35, MOUNT = 40, CHDIR = 49, CHROOT = 51, OPENAT = 56, CLOSE = 57, GETDENTS64 = 61,
	READ = 63, WRITE = 64, PREAD64 = 67, EXIT = 93, NANOSLEEP = 101, EXECVE = 221, FINIT_MODULE = 273,
};
enum { AT_FDCWD = -100, O_RDONLY = 0, O_WRONLY = 1, O_DIRECTORY = 040000, O_CLOEXEC = 02000000 };
enum { MS_RDONLY = 1, MS_MOVE = 8192, EEXIST = 17 };
enum { WAIT_TICKS = 600, TICK_NS = 100000000 }; /* one minute; a card under emulation answers within 5 s */

static long call(long number, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory", "cc");
	return x0;
}

/* --- text ------------------------------------------------------------------------------------------------------- */
static size_t length(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

/* Copy at most size-1 characters, always closed; return where the copy ends. */
static char *copy(char *to, const char *text, size_t size)
{
	while (size-- > 1 && *text)
		*to++ = *text++;
	*to = 0;
	return to;
}

static int begins(const char *text, const char *with)
{
	while (*with)
		if (*text++ != *with++)
			return 0;
	return 1;
}

static int same(const char *one, const char *other)
{
	return begins(one, other) && length(one) == length(other);
}

static long hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 32;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* --- the kernel's log ------------------------------------------------------------------------------------------- */
static long log_file = 1;

/* Write one line of up to four parts. */
static void say(const char *level, const char *a, const char *b, const char *c, const char *d)
{
	char line[512], *at = copy(line, level, sizeof(line));
	const char *parts[4] = { a, b, c, d };

	for (int i = 0; i < 4; i++)
		at = copy(at, parts[i], line + sizeof(line) - at);
	call(WRITE, log_file, (long)line, at - line, 0, 0);
}

/* Return "-6" for an errno of 6. */
static const char *number(long value)
{
	static char text[24];
	char *at = text + sizeof(text) - 1;
	long rest = value < 0 ? -value : value;

	*at = 0;
	do
		*--at = '0' + rest % 10;
	while (rest /= 10);
	if (value < 0)
		*--at = '-';
	return at;
}

static void __attribute__((noreturn)) give_up(void)
{
	for (;;)
		call(EXIT, 1, 0, 0, 0, 0); /* "Attempted to kill init": panic=, if given, then does what it should */
}

/* --- files ------------------------------------------------------------------------------------------------------ */
static long open_file(const char *path, long flags)
{
	return call(OPENAT, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0, 0);
}

/* Read a whole small file; return its length, or -errno; the text is closed. */
static long read_file(const char *path, char *to, size_t size)
{
	long file = open_file(path, O_RDONLY), got, all = 0;

	to[0] = 0;
	if (file < 0)
		return file;
	while ((got = call(READ, file, (long)to + all, size - 1 - all, 0, 0)) > 0)
		all += got;
	call(CLOSE, file, 0, 0, 0, 0);
	to[all] = 0;
	return all;
}

static long mount(const char *what, const char *where, const char *type, long flags, const char *options)
{
	return call(MOUNT, (long)what, (long)where, (long)type, flags, (long)options);
}

static void make_folder(const char *path)
{
	call(MKDIRAT, AT_FDCWD, (long)path, 0755, 0, 0);
}

/* --- modules ---------------------------------------------------------------------------------------------------- */
static char list[65536];

static void load(const char *path)
{
	long file = open_file(path, O_RDONLY), status = file;

	if (file >= 0) {
		status = call(FINIT_MODULE, file, (long)"", 0, 0, 0);
		call(CLOSE, file, 0, 0, 0, 0);
		call(UNLINKAT, AT_FDCWD, (long)path, 0, 0, 0); /* its memory is the board's again */
	}
	if (status < 0 && status != -EEXIST)
		say("<3>", "pi64-init: ", path, " does not load: error ", number(status));
}

/* The list has a path a line, each after those that it needs. */
static void load_all(void)
{
	char *at = list, *start = list;

	read_file("/modules", list, sizeof(list));
	for (; *at; at++)
		if (*at == '\n') {
			*at = 0;
			load(start);
			start = at + 1;
		}
}

/* --- the command line ------------------------------------------------------------------------------------------- */
static char cmdline[4096], words[4096];
static char root[256] = "", type[64] = "ext4", options[512] = "", program[256] = "/sbin/init";
static long read_only = MS_RDONLY;
static char *arguments[32] = { program };

/* Split as the kernel does: blanks inside double quotes do not count, and what follows "--" goes to init. */
static void read_cmdline(void)
{
	char *from = cmdline, *to = words;
	int given = 1, rest = 0;

	read_file("/proc/cmdline", cmdline, sizeof(cmdline));
	while (*from) {
		char *word = to;
		int quoted = 0;

		for (; *from && (quoted || (*from != ' ' && *from != '\n')); from++)
			if (*from == '"')
				quoted = !quoted;
			else
				*to++ = *from;
		*to++ = 0;
		while (*from == ' ' || *from == '\n')
			from++;
		if (rest && *word && given < 31)
			arguments[given++] = word;
		else if (same(word, "--"))
			rest = 1;
		else if (begins(word, "root="))
			copy(root, word + 5, sizeof(root));
		else if (begins(word, "rootfstype="))
			copy(type, word + 11, sizeof(type));
		else if (begins(word, "rootflags="))
			copy(options, word + 10, sizeof(options));
		else if (begins(word, "init="))
			copy(program, word + 5, sizeof(program));
		else if (same(word, "ro") || same(word, "rw"))
			read_only = word[1] == 'o' ? MS_RDONLY : 0;
		else if (given < 31 && (same(word, "single") || same(word, "emergency") || same(word, "-b")))
			arguments[given++] = word; /* the kernel passes on what it does not know; these are meant for init */
	}
}

/* --- the root device -------------------------------------------------------------------------------------------- */
/* Whether the disk /dev/<name> carries the MBR signature that eight hex digits name. */
static int has_signature(const char *name, const char *wanted)
{
	char path[300];
	byte found[4];
	long file, got;

	copy(copy(path, "/dev/", sizeof(path)), name, sizeof(path) - 8);
	file = open_file(path, O_RDONLY);
	if (file < 0)
		return 0;
	got = call(PREAD64, file, (long)found, 4, 440, 0);
	call(CLOSE, file, 0, 0, 0, 0);
	for (int i = 0; i < 4; i++)
		if (got != 4 || found[3 - i] != hex_digit(wanted[2 * i]) * 16 + hex_digit(wanted[2 * i + 1]))
			return 0;
	return 1;
}

/* Write the device that PARTUUID=<8 digits>-<2 digits> means to `device`; return whether there is one. */
static int find_partition(const char *uuid, char *device, size_t size)
{
	static char entries[4096];
	long folder = open_file("/sys/block", O_RDONLY | O_DIRECTORY), got;
	long number_of = hex_digit(uuid[9]) * 16 + hex_digit(uuid[10]);
	int found = 0;

	if (folder < 0)
		return 0;
	while (!found && (got = call(GETDENTS64, folder, (long)entries, sizeof(entries), 0, 0)) > 0)
		for (long at = 0; !found && at < got; at += *(unsigned short *)(entries + at + 16)) {
			const char *name = entries + at + 19; /* struct linux_dirent64 */
			char *end;

			if (name[0] == '.' || !has_signature(name, uuid))
				continue;
			end = copy(copy(device, "/dev/", size), name, size - 16);
			if (end[-1] >= '0' && end[-1] <= '9') /* mmcblk0 -> mmcblk0p2, sda -> sda2 */
				*end++ = 'p';
			copy(end, number(number_of), 8);
			found = 1;
		}
	call(CLOSE, folder, 0, 0, 0, 0);
	return found;
}

static int looks_like_mbr_uuid(const char *uuid)
{
	for (int i = 0; i < 11; i++)
		if (i == 8 ? uuid[i] != '-' : hex_digit(uuid[i]) < 0)
			return 0;
	return uuid[11] == 0;
}

static int find_root(char *device, size_t size)
{
	long file;

	if (begins(root, "PARTUUID=")) {
		if (!looks_like_mbr_uuid(root + 9) || !find_partition(root + 9, device, size))
			return 0;
	} else {
		copy(device, root, size);
	}
	file = open_file(device, O_RDONLY);
	call(CLOSE, file, 0, 0, 0, 0);
	return file >= 0;
}

static void wait_for_root(char *device, size_t size)
{
	long tick[2] = { 0, TICK_NS };

	for (int i = 0; i < WAIT_TICKS; i++) {
		if (find_root(device, size))
			return;
		call(NANOSLEEP, (long)tick, 0, 0, 0, 0);
	}
	say("<0>", "ALERT!  ", root[0] ? root : "root=", " does not exist. pi64-init gives up.", "");
	give_up();
}

/* --- all of it -------------------------------------------------------------------------------------------------- */
static char *environment[] = { "HOME=/", "TERM=linux", 0 };

void _start(void)
{
	static char device[300];
	long status;

	make_folder("/dev");
	make_folder("/proc");
	make_folder("/sys");
	make_folder("/root");
	mount("proc", "/proc", "proc", 0, 0);
	mount("sysfs", "/sys", "sysfs", 0, 0);
	status = mount("devtmpfs", "/dev", "devtmpfs", 0, 0);
	log_file = open_file("/dev/kmsg", O_WRONLY);
	if (log_file < 0)
		log_file = 1;
	if (status < 0)
		say("<3>", "pi64-init: no devtmpfs on /dev: error ", number(status), "", "");
	read_cmdline();
	load_all();
	wait_for_root(device, sizeof(device));
	status = mount(device, "/root", type, read_only, options);
	if (status < 0) {
		say("<3>", "pi64-init: ", device, " cannot be mounted as ", type);
		say("<0>", "VFS: Cannot open root device \"", root, "\": error ", number(status));
		give_up();
	}
	say("<6>", "VFS: Mounted root (", type, " filesystem)", read_only ? " readonly." : ".");
	mount("/dev", "/root/dev", 0, MS_MOVE, 0);
	mount("/proc", "/root/proc", 0, MS_MOVE, 0);
	mount("/sys", "/root/sys", 0, MS_MOVE, 0);
	call(CHDIR, (long)"/root", 0, 0, 0, 0);
	mount(".", "/", 0, MS_MOVE, 0);
	call(CHROOT, (long)".", 0, 0, 0, 0);
	call(CHDIR, (long)"/", 0, 0, 0, 0);
	say("<6>", "Run ", program, " as init process", "");
	status = call(EXECVE, (long)program, (long)arguments, (long)environment, 0, 0);
	say("<0>", "pi64-init: ", program, " does not start: error ", number(status));
	give_up();
}
