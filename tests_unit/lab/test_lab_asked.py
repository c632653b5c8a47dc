"""What was asked of a run is in its record: by it, runs are found that differ in the kernel alone."""

from harness.lab import asked
from harness.lab.options import ImageOptions, KernelOptions, LoginOptions, TargetOptions
from harness.lab.run import Run
from harness.report import record as records

OPTIONS = TargetOptions(
    "rpi-4-b",
    kernel=KernelOptions("git+https://me:secret@git.example/linux.git", "rpi-6.12.y", fragments=("smoke",)),
    image=ImageOptions(suite="trixie"),
    login=LoginOptions("pi", "hunter2hunter2"),
    cmdline=("panic=10",),
)


def test_tree_and_branch_are_known_before_anything_is_built(tmp_path) -> None:
    run = Run.begin(tmp_path, target="desk", model="rpi-4-b", argv=(), options=OPTIONS)
    record = records.from_json((run.folder / "run.json").read_text())
    assert (record.tree, record.branch) == ("git+https://***@git.example/linux.git", "rpi-6.12.y")
    assert record.asked["cmdline"] == ["panic=10"]
    assert record.asked["image"]["suite"] == "trixie"


def test_neither_who_logs_in_nor_a_password_is_told() -> None:
    told = str(asked.facts(OPTIONS))
    assert "login" not in asked.facts(OPTIONS)["asked"]
    assert "secret" not in told
    assert "hunter2" not in told


def test_a_kernel_that_is_built_already_has_no_branch() -> None:
    options = TargetOptions("rpi-4-b", kernel=KernelOptions(ref="main", prebuilt=("a.deb", "b.deb")))
    facts = asked.facts(options)
    assert (facts["tree"], facts["branch"]) == ("a.deb, b.deb", "")
