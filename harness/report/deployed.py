"""What was deployed in a run, and how to do it again; parts of its page."""

import shlex
from collections.abc import Iterator

from markupsafe import Markup

from harness.report import moment
from harness.report.markup import breakable, facts, join, listing, table, tag
from harness.report.material import Material
from harness.report.page import paragraphs
from harness.report.record import RunRecord


def files(material: Material) -> Markup:
    """Return the kernel, what is to be told of its build, and the files on the board with their digests."""
    record = material.record
    new = f"{len(record.new_warnings)} of {record.warnings} warnings are new since the last good build:"
    return join(
        [
            facts(_kernel(material)),
            tag("p", new) + listing(record.new_warnings) if record.new_warnings else "",
            listing(record.remarks),
            _files(material),
        ]
    )


def _kernel(material: Material) -> Iterator[tuple[str, object]]:
    record = material.record
    ccache = f", ccache had {record.ccache_rate:.0%}" if record.ccache_rate is not None else ""
    built = f"in {moment.told(record.build_seconds)}{ccache}" if record.build_seconds else "before; it was in the cache"
    yield "Kernel", record.release
    yield "Build id", record.build_id
    yield "Key", record.build_key
    yield "Configuration", " + ".join(filter(None, [record.base_config, *record.fragments]))
    yield "Toolchain", record.toolchain
    yield "System", record.image
    yield "Built", built if record.release else ""
    yield "Features", ", ".join(record.features)


def _files(material: Material) -> Markup:
    boot, modules = material.digests("boot"), material.digests("modules")
    if not boot and not modules:
        return paragraphs("Nothing was deployed.")
    rows = [tag("tr", tag("td", breakable(path)), tag("td", tag("code", digest))) for path, digest in boot.items()]
    grid = table(["Boot partition", "SHA-256"], rows, label="Files on the boot partition")
    return grid + paragraphs(f"{len(modules)} files of modules; deploy.json has their digests.")


def repeat(record: RunRecord) -> Markup:
    """Return the commands that do it again."""
    command = shlex.join(["pytest", *map(str, record.argv)])
    same = f"{command} --kernel ~/.cache/pi64/kernels/{shlex.quote(record.build_key)}"
    told = [
        tag("p", f"With lab.yaml, target {record.target}, from the folder that holds it:"),
        tag("pre", tag("code", command)),
    ]
    if record.commit:
        wanted = f"{record.commit}{', and its changes' if record.dirty else ''}"
        told.append(tag("p", f"The kernel tree was at commit {wanted} ({record.source})."))
    if record.build_key and "--kernel" not in record.argv:
        told += [tag("p", "With the very same kernel, as long as the cache has it:"), tag("pre", tag("code", same))]
    told += [tag("p", "To judge the log again: "), tag("pre", tag("code", "pi64 classify console.log"))]
    return join(told)
