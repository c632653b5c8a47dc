"""What belongs to a kernel's trace: the lines that follow a headline, and the place that they name."""

import re

_CUT_HERE = "[ cut here ]"
_BANNER = re.compile(r"Booting Linux on|^Linux version|^RPi: BOOTLOADER|^MESS:\d\d:")
_FRAME = re.compile(r"^\s*(?:\[<[0-9a-f]*>\]\s*)*\(?\??\s*([\w.$]+)\+0x[0-9a-f]+/0x[0-9a-f]+(?: (\[\w+)[^]]*\])?")
_PC = re.compile(r"^(?:pc|PC is at|RIP:) ?:?\s*(?:[0-9a-f]{4}:)?([\w.$]+)\+0x[0-9a-f]+/0x[0-9a-f]+(?: (\[\w+)[^]]*\])?")
SPEAKER = re.compile(r"(?:\w[\w .()-]{0,40}: ?){0,2}$")
"""What a kernel puts in front of a headline: ``watchdog: ``; nothing of the kind stands in the middle of a text."""

_HANDLER = re.compile(r"^\[<[^>]*>\] ([\w.$]+)(?: (\[\w+)\])?(?: threaded .*)?$")
_PLUMBING = re.compile(  # functions that print a trace, or that wait: never where the mistake is
    r"(?:dump_backtrace|show_(?:stack|trace|regs)|dump_stack|dump_header|print_\w+|__warn|warn_slowpath|report_bug"
    r"|kasan_\w+|__asan_\w+|__hwasan_\w+|kfence_\w+|__kfence_\w+|__ubsan_\w+|ubsan_\w+|__might_(?:sleep|resched|fault)"
    r"|__schedule_bug|lockdep_\w+|check_(?:noncircular|prevs?_add|irq_usage|deadlock)|mark_(?:lock\w*|usage)|__lock_acquire"
    r"|lock_acquire|lock_release|validate_chain|(?:__|ww_)?mutex_lock\w*|__?down\w*|down_(?:read|write)\w*"
    r"|__(?:const_)?udelay|__ndelay|__(?:timer_)?delay|arch_counter_get_\w+|_?queued_spin_\w+|_raw_\w+lock\w*"
    r"|panic$|die$|\w*_delay_loop$)"
)
_FOLLOWS = re.compile(
    # headline, modules, registers, stack
    r"Call [Tt]race:|Backtrace:|Modules linked in:|Hardware name:|CPU: ?\d|Workqueue: |Tainted: |Code: |Stack: ?"
    r"|Process \S+ \(|pstate: |p?[cs]tate ?:|(?:pc|lr|sp) :|x\d\d?\s?:|r\d\d?\s?:|PC is at|LR is at|note: |---\[ "
    r"|[ER]?(?:IP|SP|AX|DX|FLAGS): |\s*(?:\[<[^>]*>\]|\(?\??\s*[\w.$]+\+0x[0-9a-f]+/0x[0-9a-f]+)"
    # arch/arm64/mm/fault.c
    r"|Mem abort info|Data abort info|  ?(?:ESR|EC|SET|EA|FSC|ISV|CM|GCS|Access size|SSE|SF) = |ESR: |FAR: "
    r"|(?:swapper|user) pgtable|\[[0-9a-f]{8,16}\] |(?:Task|IRQ|Overflow) stack:|Unable to handle|Internal error"
    # kernel/panic.c
    r"|Kernel panic|Kernel Offset|CPU features|PHYS_OFFSET|Memory Limit|SMP: stopping"
    # stalls, hung tasks, sleeping where one must not
    r"|task:|Task dump|Sending NMI|NMI backtrace|rcu: |rcu_\w+|\s*\d+-[.O!N]+:|\t|irq event stamp"
    r"|(?:hard|soft)irqs last|handlers:|Disabling IRQ|\"echo 0 > |\s+(?:Not tainted|Tainted: )"
    r"|in_atomic\(\): |preempt_count: |RCU nest depth: |Preemption disabled at:"
    # lockdep
    r"|(?:no|\d+) locks? held by|Showing all locks| ?#\d+: |INFO: lockdep is turned off|stack backtrace:|-> #\d"
    r"|.{0,80} is trying to (?:acquire|release)|but task is|but there are no|which lock|the existing dep|other info"
    r"|ffff[0-9a-f]{8,} \(| Possible |\s+CPU\d|\s+----|\s+lock\(| \*\*\* "
    # sanitizers
    r"|Read of size|Write of size|(?:[Aa]llocated|[Ff]reed) by task|The buggy address|page:|raw: |flags: |Memory state"
    r"|[> ]f{4}[0-9a-f]+: |kfence-#|={20,}|-{20,}| which belongs to|page dumped|(?:Use-after-free|Out-of-bounds) "
    # no root, no init, no card, no memory
    r"|Please append|List of all|No filesystem|driver: |[0-9a-f]{4,8} +\d+ \w+|Run /|Starting init:|VFS: |EXT4-fs \("
    r"| [a-z]\w{1,15}$|sdhci: |sdhost: |mmc\d+: sdhci|Mem-Info|Node \d|active_anon|.{0,80}: exited with"
)


def goes_on(said: str) -> bool:
    """Tell whether *said*, without its stamp, may follow the headline of a trace."""
    return _FOLLOWS.match(said) is not None


def ends_before(said: str) -> bool:
    """Tell whether *said* begins something else: another trace, another boot."""
    return _CUT_HERE in said or _BANNER.search(said) is not None


def place(said: str, *, best_only: bool = False) -> str:
    """Return the function that *said* names, with its module: ``pi64_null [pi64_fault]``; empty for plumbing.

    ``pc :`` is better than any frame, and so is the handler that left an interrupt alone; *best_only*: no frames.
    """
    found = _PC.match(said) or _HANDLER.match(said) or (None if best_only else _FRAME.match(said))
    if found is None or _PLUMBING.match(found[1]):
        return ""
    return f"{found[1]} {found[2]}]" if found[2] else found[1]
