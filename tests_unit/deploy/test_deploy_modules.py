from pathlib import Path

import pytest

from harness.deploy.modules import with_depmod, with_folder
from harness.errors import DeployError

RELEASE = "6.12.1-test"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "built" / "lib" / "modules" / RELEASE
    folder.mkdir(parents=True)
    for name in ("modules.order", "modules.builtin"):
        (folder / name).write_text("")
    return tmp_path / "built"


def test_depmods_files_go_to_a_copy_and_the_build_stays_as_it_is(root) -> None:
    staged = with_depmod(root, RELEASE)
    assert (staged / "lib" / "modules" / RELEASE / "modules.dep").exists()
    assert not (root / "lib" / "modules" / RELEASE / "modules.dep").exists()


def test_depmod_runs_once_per_build(root) -> None:
    first = with_depmod(root, RELEASE)
    made = (first / "lib" / "modules" / RELEASE / "modules.dep").stat().st_mtime_ns
    assert with_depmod(root, RELEASE) == first
    assert (first / "lib" / "modules" / RELEASE / "modules.dep").stat().st_mtime_ns == made


def test_a_damaged_module_is_a_deploy_error_with_depmods_words(root) -> None:
    module = root / "lib" / "modules" / RELEASE / "kernel" / "bad.ko"
    module.parent.mkdir()
    module.write_bytes(b"\x7fELF" + bytes(16))
    with pytest.raises(DeployError, match="depmod"):
        with_depmod(root, RELEASE)


def test_a_folder_comes_beside_the_modules_once_and_the_build_stays_as_it_is(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tests" / "size").mkdir(parents=True)
    (tmp_path / "tests" / "size" / "get_size").write_text("#!/bin/sh\n")
    staged = with_folder(root, RELEASE, tmp_path / "tests")
    assert (staged / "lib/modules" / RELEASE / "kselftest/size/get_size").read_text() == "#!/bin/sh\n"
    assert not (root / "lib/modules" / RELEASE / "kselftest").exists()
    assert with_folder(root, RELEASE, tmp_path / "tests") == staged
