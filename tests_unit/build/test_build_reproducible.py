"""Who builds, where and when is not in the kernel; the plain commands give the same one; ccache knows no checkouts."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import stubbuild

from harness import boards
from harness.build import ccache, explain, make, recipe, source
from harness.build.process import environment
from harness.model import CacheUse
from tests_unit import fakelinux


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return stubbuild.own_cache(monkeypatch, tmp_path / "cache")


def checkout(folder: Path, flavour: str = "mainline") -> Path:
    """Return a stub tree whose files have the times that every checkout of it has."""
    tree = fakelinux.write(folder, flavour)
    for file in tree.rglob("*"):
        os.utime(file, (1_700_000_000, 1_700_000_000))
    return tree


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


# --- two machines ----------------------------------------------------------------------------------------------------
def test_two_machines_build_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user, host, time zone, language, umask, path of the tree and of the objects."""
    here = stubbuild.build(checkout(tmp_path / "here"), tmp_path / "build.log")
    for name, value in {
        "USER": "other", "HOSTNAME": "elsewhere", "TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8", "LC_ALL": "C.UTF-8",
        "KBUILD_BUILD_USER": "me", "KCFLAGS": "-O3", "CPATH": "/opt/include", "SOURCE_DATE_EPOCH": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    stubbuild.own_cache(monkeypatch, tmp_path / "home/other/.cache")
    before = os.umask(0o077)
    try:
        there = stubbuild.build(checkout(tmp_path / "mnt/far/there"), tmp_path / "build.log")
    finally:
        os.umask(before)
    assert not there.cached
    assert stubbuild.content(there) == stubbuild.content(here)
    assert (there.release, there.build_id) == (here.release, here.build_id)


def test_without_our_care_they_would_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub tells its builder as a kernel does, so the test above is one."""
    monkeypatch.setattr(make, "variables", lambda plan, _: ["ARCH=arm64", f"LOCALVERSION={plan.localversion}"])
    images = []
    for name in ("here", "there"):
        stubbuild.own_cache(monkeypatch, tmp_path / name / "cache")
        images.append(stubbuild.build(checkout(tmp_path / name / "tree"), tmp_path / "log").image.read_bytes())
    assert images[0] != images[1]


# --- plain commands --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("flavour", "base"),
    [("mainline", "allnoconfig"), ("raspberrypi", "defconfig"), ("mainline", "file")],
)
def test_the_plain_commands_give_the_same_image_and_modules(tmp_path: Path, flavour: str, base: str) -> None:
    tree = checkout(tmp_path / "linux", flavour)
    mine = write(tmp_path, "mine.config", "CONFIG_MODULES=y\nCONFIG_BLK_DEV_LOOP=m\n# CONFIG_COMPAT is not set\n")
    config = {"defconfig": None, "file": str(write(tmp_path, "base.config", "CONFIG_COMPAT=y\n"))}.get(base, base)
    built = stubbuild.build(tree, tmp_path / "build.log", config=config, fragments=[mine], localversion="-x")
    script = explained(tree, config, mine)
    said = subprocess.run(
        ["bash", "-c", script], env={"PATH": os.environ["PATH"], "O": str(tmp_path / "out")},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert (tmp_path / "out/arch/arm64/boot/Image").read_bytes() == built.image.read_bytes()
    assert said.stdout.splitlines()[-1] == str(tmp_path / "out/arch/arm64/boot/Image")
    typed, ours = (modules(folder) for folder in (tmp_path / "out/modules", built.modules_root))
    assert typed == ours
    assert typed


def explained(tree: Path, config: str | None, fragment: Path) -> str:
    plan = recipe.compose(
        source.open_tree(str(tree)), stubbuild.TOOLCHAIN, boards.load("rpi-3-b"),
        config=config, fragments=[fragment], localversion="-x",
    )  # fmt: skip
    return explain.script(plan, config=config, jobs=2)


def modules(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.ko")}


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_the_plain_commands_are_clean_shell(tmp_path: Path) -> None:
    script = explained(checkout(tmp_path / "linux"), None, write(tmp_path, "mine.config", "CONFIG_MODULES=y\n"))
    subprocess.run(["shellcheck", "-s", "bash", "-"], input=script.encode(), check=True)


def test_values_with_quotes_and_dollars_survive(tmp_path: Path) -> None:
    mine = write(tmp_path, "mine.config", 'CONFIG_LOCALVERSION="-$(id)`id`"\n')
    script = explained(checkout(tmp_path / "linux"), None, mine)
    assert 'CONFIG_LOCALVERSION="-$(id)`id`"' in script
    assert "<<'" in script


# --- ccache ----------------------------------------------------------------------------------------------------------
HEADER = "static inline int penguin(void) { return __LINE__; }\n"
CODE = '#include "penguin.h"\nconst char *where = __FILE__;\nint main(void) { return penguin(); }\n'


@pytest.mark.skipif(not (shutil.which("ccache") and shutil.which("gcc")), reason="needs ccache and gcc")
def test_a_second_checkout_compiles_nothing_and_gets_the_same_object(tmp_path: Path) -> None:
    """As Kbuild calls the compiler: absolute paths into the tree, in the folder of the objects, debug information."""
    log, objects = tmp_path / "stats", []
    for name in ("linux", "else/where/worktree"):
        tree, out = tmp_path / name, tmp_path / name / "out"
        (tree / "include").mkdir(parents=True)
        out.mkdir(parents=True)
        write(tree / "include", "penguin.h", HEADER)
        write(tree, "main.c", CODE)
        (out / "source").symlink_to(tree)
        places = [f"-fmacro-prefix-map={tree}/=", f"-fdebug-prefix-map={tree}/=", f"-fdebug-prefix-map={out}=."]
        subprocess.run(
            ["sh", ccache.WRAPPER, "gcc", "-Wp,-MMD,.main.d", f"-I{tree}/include", *places, "-g", "-c",
             "-o", "main.o", f"{tree}/main.c"],
            cwd=out, env={**environment(os.environ), **ccache.environment(tree, log)}, check=True,
        )  # fmt: skip
        objects.append((out / "main.o").read_bytes())
        assert str(tree) not in (out / ".main.d").read_text()
    assert ccache.use(log.read_text()) == CacheUse(hits=1, misses=1)
    assert objects[0] == objects[1]
    assert str(tmp_path).encode() not in objects[0]


def test_a_build_tells_what_ccache_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = checkout(tmp_path / "linux")
    monkeypatch.setattr(make.Make, "ccache_log", write(tmp_path, "stats", ""))
    monkeypatch.setattr(ccache, "use", lambda _: CacheUse(hits=3, misses=1, remote=2))
    for cached in (False, True):
        built = stubbuild.build(tree, tmp_path / "build.log")
        assert (built.cached, built.ccache) == (cached, CacheUse(hits=3, misses=1, remote=2))
        assert built.ccache.rate == 0.75


def test_calls_that_are_no_compilation_do_not_count() -> None:
    log = "# fork.c\ndirect_cache_hit\nlocal_storage_hit\n# main.c\ncache_miss\n# /dev/null\ncache_miss\n"
    assert ccache.use(f"{log}# head.S\npreprocessed_cache_hit\nremote_storage_hit\n") == CacheUse(2, 1, 1)
    assert ccache.use("# \ncalled_for_link\n") is None


def test_the_users_language_does_not_count() -> None:
    """ccache hashes it, since a compiler may complain in it; under LC_ALL=C ours does not."""
    kept = environment({"LANG": "de_DE.UTF-8", "LC_CTYPE": "C.UTF-8", "LANGUAGE": "de", "LC_ALL": "de_DE.UTF-8"})
    assert {name: value for name, value in kept.items() if name.startswith("L")} == {"LC_ALL": "C"}


def test_where_ccache_keeps_things_is_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"CCACHE_REMOTE_STORAGE": "http://cache", "CCACHE_DIR": "/shared", "CCACHE_MAXSIZE": "50G"}
    kept = environment({**asked, "CCACHE_SLOPPINESS": "time_macros", "CCACHE_PREFIX": "distcc", "CCACHE_BASEDIR": "/"})
    assert {name: value for name, value in kept.items() if name.startswith("CCACHE")} == asked
    monkeypatch.setenv("PI64_CACHE", "/tmp/pi64-own")
    assert environment({})["CCACHE_DIR"] == "/tmp/pi64-own/ccache"
