#!/usr/bin/env bash
# Prepare this host for pi64: missing host packages by apt, Python packages in .venv, binfmt for 32-bit Arm programs.
#
#   scripts/setup.sh test        what the offline tests need
#   scripts/setup.sh hw          that, and what builds a kernel and the base image (default)
#   scripts/setup.sh toolchain   as hw, and what builds binutils and GCC, the distribution's sources of both among it
#   scripts/setup.sh host        as hw without .venv: the administrator's part, where the user has no sudo
#
# What is there stays as it is: a program found in PATH counts, wherever it came from. A second run changes nothing.
# Debian 12 and 13, Ubuntu 24.04. Other hosts: install the programs of the tables below by hand; the rest works.
set -euo pipefail
export LC_ALL=C.UTF-8
export PATH="$PATH:/usr/sbin:/sbin"  # e2fsprogs and dosfstools live there, outside an ordinary user's PATH

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STAMP=$ROOT/.venv/.pi64-setup
BACKPORTS=/etc/apt/sources.list.d/pi64-backports.sources
BACKPORTS_PIN=/etc/apt/preferences.d/pi64-backports.pref
BINFMT=/proc/sys/fs/binfmt_misc

# program (or file) = package. harness/host.py PACKAGES has the same names, for its hints.
TEST_NEEDS="
bzip2=bzip2 debugfs=e2fsprogs depmod=kmod fakeroot=fakeroot gcc=gcc git=git make=make
mcopy=mtools mke2fs=e2fsprogs mkfs.vfat=dosfstools openssl=openssl qemu-system-aarch64=qemu-system-arm
sfdisk=fdisk ssh=openssh-client sshd=openssh-server tar=tar xz=xz-utils
/usr/include/stdio.h=libc6-dev
"
HW_NEEDS="
aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu bc=bc bison=bison ccache=ccache cpio=cpio flex=flex mmdebstrap=mmdebstrap
qemu-arm-static=qemu-user-static rsync=rsync update-binfmts=binfmt-support
/usr/include/gelf.h=libelf-dev /usr/include/openssl/ssl.h=libssl-dev
/usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring
"  # the keyring: mmdebstrap on Ubuntu does not know Debian's keys otherwise
TOOLCHAIN_NEEDS="
g++=g++ /usr/include/mpc.h=libmpc-dev /usr/include/mpfr.h=libmpfr-dev
"  # both bring libgmp-dev, whose header lies elsewhere on each architecture; texinfo is not needed: no manual is built

say() { printf 'pi64: %s\n' "$*"; }
die() { printf 'pi64: %s\n' "$@" >&2; exit 1; }
have() { command -v "$1" >/dev/null || [[ $1 == /* && -e $1 ]]; }

# ---- the host ----------------------------------------------------------------------------------------------------

read_host() {  # sets HOST (for people), HOST_ID and CODENAME
  # shellcheck disable=SC1091
  source /etc/os-release
  HOST=${PRETTY_NAME:-this host} HOST_ID=${ID:-unknown} CODENAME=${VERSION_CODENAME:-}
}

as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

can_be_root() {  # a password may only be asked for where somebody can type it
  ((EUID == 0)) || { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]; }; }
}

# ---- what is missing -----------------------------------------------------------------------------------------------

missing_packages() {  # $1: mode; prints one package a line
  local needs=$TEST_NEEDS pair
  [[ $1 == test ]] || needs+=$HW_NEEDS
  [[ $1 != toolchain ]] || needs+=$TOOLCHAIN_NEEDS
  [[ $1 == test || $EUID == 0 ]] || needs+=" newuidmap=uidmap"  # mmdebstrap without root works in a user namespace
  for pair in $needs; do
    have "${pair%%=*}" || echo "${pair#*=}"
  done
  [[ $1 == test ]] || have_kernel_source || echo linux-source
  [[ $1 != toolchain ]] || toolchain_sources
  [[ $1 == host ]] || venv_is_current || python_packages
}

have_kernel_source() {  # Ubuntu's linux-source-6.8.0.tar.bz2 is a link into a folder linux-source-6.8.0/ beside it
  compgen -G '/usr/src/linux-source-[6-9]*.tar.*' >/dev/null
}

toolchain_sources() {  # GCC's in the version of the host's own compiler, which is the one the distribution cares for
  compgen -G '/usr/src/binutils/binutils-*.tar.*' >/dev/null || echo binutils-source
  compgen -G '/usr/src/gcc-*/gcc-*.tar.*' >/dev/null || ! have gcc || echo "gcc-$(gcc -dumpversion | cut -d. -f1)-source"
}

python_packages() {  # pip builds pylibfdt, which needs Python.h; Debian splits both this and `venv` from python3
  local python
  if ! python=$(find_python); then
    have python3 || printf '%s\n' python3 python3-venv python3-dev
  elif [[ $("$python" -c 'import sys; print(sys.prefix)') == /usr ]]; then
    python_has_venv "$python" || echo "$python-venv"
    python_has_headers "$python" || echo "$python-dev"
  fi
}

find_python() {
  local python
  for python in python3 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  return 1
}

python_has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }
python_has_headers() { [[ -e $("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h ]]; }

# ---- QEMU: raspi4b came with version 9 -----------------------------------------------------------------------------

qemu_has_raspi4b() { [[ $(qemu-system-aarch64 -M help 2>/dev/null) == *raspi4b* ]]; }

qemu_from_debian_is_too_old() {
  [[ $HOST_ID == debian && $(command -v qemu-system-aarch64) == /usr/bin/* ]] && ! qemu_has_raspi4b
}

is_qemu_9_on_offer() {
  local version
  version=$(apt-cache policy qemu-system-arm | awk '/Candidate:/ && $2 != "(none)" {print $2}')
  [[ -n $version ]] && dpkg --compare-versions "$version" ge 1:9
}

backports_known() {
  # shellcheck disable=SC2016  # $(...) are apt's fields
  apt-get indextargets --format '$(CODENAME)' | grep -x "$CODENAME-backports" >/dev/null
}

backports_source() {  # prints the source in apt's own format, from the mirror this host already uses
  local uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  # shellcheck disable=SC2016
  uri=$(apt-get indextargets --format '$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(ORIGIN)' |
    awk -F'|' -v codename="$CODENAME" '$2 == codename && $3 == "main" && $4 == "Debian" && !n++ {print $1}')
  [[ -n $uri ]] || return 1
  echo "# Added by pi64's scripts/setup.sh for QEMU 9 or newer (raspi4b)."
  printf '%s\n' "Types: deb" "URIs: $uri" "Suites: $CODENAME-backports" "Components: main"
  [[ ! -e $keyring ]] || echo "Signed-By: $keyring"
}

backports_pin() {  # `apt-get -t` would take QEMU's libraries from there as well, and libelf-dev then misses its own
  echo "# Added by pi64's scripts/setup.sh: all of QEMU from backports, so that its packages fit, and nothing else."
  printf '%s\n' "Package: src:qemu" "Pin: release n=$CODENAME-backports" "Pin-Priority: 500"
}

add_backports() {  # leaves nothing behind where the mirror does not carry them
  local source
  if ! backports_known && source=$(backports_source); then
    say "adding $BACKPORTS ($CODENAME-backports: QEMU 9 or newer)"
    write_as_root "$BACKPORTS" "$source"
    as_root apt-get -qq update -o Dir::Etc::sourcelist="$BACKPORTS" -o Dir::Etc::sourceparts=- \
      -o APT::Get::List-Cleanup=false 9<&- || true
  fi
  write_as_root "$BACKPORTS_PIN" "$(backports_pin)"
  is_qemu_9_on_offer || as_root rm -f "$BACKPORTS" "$BACKPORTS_PIN"
}

write_as_root() { as_root tee "$1" <<<"$2" >/dev/null && as_root chmod 644 "$1"; }

tell_qemu() {
  local version
  qemu_has_raspi4b && return
  version=$(qemu-system-aarch64 --version | awk 'NR == 1 {print $4}')
  say "QEMU $version has no raspi4b: virtual-rpi3 works, virtual-rpi4 needs QEMU 9 or newer in PATH ($HOST has none)"
}

# ---- apt -----------------------------------------------------------------------------------------------------------

kernel_source_package() {  # the kernels this was tried with first, then the newest on offer
  local offered name
  offered=$(apt-cache --names-only search '^linux-source-[6-9]\.[0-9.]*$' | awk '{print $1}' | sort -V)
  for name in linux-source-6.12 linux-source-6.8.0; do
    if grep -x "$name" <<<"$offered"; then return; fi
  done
  tail -n 1 <<<"${offered:-linux-source}"  # nothing known without apt-get update
}

install_packages() {  # $@: packages
  local packages=("$@") at
  have apt-get || die "$HOST has no apt-get; install what provides these Debian packages: $*"
  can_be_root || tell_without_root "$@"
  say "$HOST lacks $# host packages: $*"
  say "reading apt's package lists"
  as_root apt-get -qq update 9<&- || say "apt-get update failed; going on with the lists that are here"
  [[ $HOST_ID != debian || " $* " != *" qemu-"* ]] || is_qemu_9_on_offer || add_backports
  for at in "${!packages[@]}"; do
    [[ ${packages[at]} != linux-source ]] || packages[at]=$(kernel_source_package)
  done
  keep_sshd_down "$@"
  apt_install "${packages[@]}"
}

NO_SSHD=/etc/ssh/sshd_not_to_be_run  # Debian's own switch: what starts sshd looks for this file
keep_sshd_down() {  # $@: packages; the tests start an sshd of their own, and a host without one shall not get a door
  [[ " $* " == *" openssh-server "* && ! -e $NO_SSHD ]] || return 0
  say "openssh-server is for the tests; $NO_SSHD keeps it from serving this host (remove it if you want that)"
  as_root mkdir -p /etc/ssh
  write_as_root "$NO_SSHD" "Made by pi64's scripts/setup.sh: its tests start an sshd of their own."
}

apt_install() {  # $@: options and packages; quiet unless it fails
  local log
  log=$(mktemp "${TMPDIR:-/tmp}/pi64-apt.XXXXXX")
  say "apt-get install --no-install-recommends $*"
  if ! as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get install -y -q --no-install-recommends \
    --no-remove -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1 9<&-; then
    tail -n 30 "$log" >&2
    die "apt-get failed; all it said is in $log"
  fi
  rm -f "$log"
}

tell_without_root() {  # $@: packages; ends the script
  local source
  {
    say "$HOST lacks $# host packages, and there is neither root nor sudo here. As root, once:"
    if [[ $HOST_ID == debian && " $* " == *" qemu-"* ]] && ! is_qemu_9_on_offer; then
      backports_known || ! source=$(backports_source) || as_heredoc "$BACKPORTS" "$source"
      as_heredoc "$BACKPORTS_PIN" "$(backports_pin)"
    fi
    [[ " $* " != *" openssh-server "* ]] || echo "  mkdir -p /etc/ssh && touch $NO_SSHD  # the tests need sshd, the host none"
    echo "  apt-get update"
    echo "  apt-get install --no-install-recommends $* " | sed "s/ linux-source / $(kernel_source_package) /; s/ $//"
    echo "or: bash $ROOT/scripts/setup.sh host"
  } >&2
  exit 1
}

as_heredoc() { printf "cat >%s <<'END'\n%s\nEND\n" "$1" "$2"; }

# ---- Python --------------------------------------------------------------------------------------------------------

fingerprint() {  # the scripts in .venv/bin carry the folder's name: a moved folder needs a new .venv
  cd "$ROOT" && { echo "$ROOT"; cat pyproject.toml constraints.txt scripts/setup.sh; } | sha256sum
}

venv_is_current() {
  [[ -x $ROOT/.venv/bin/python && -e $STAMP && $(<"$STAMP") == "$(fingerprint)" ]]
}

make_venv() {
  local python pip="$ROOT/.venv/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt"
  cd "$ROOT"
  export PYTHONWARNINGS=ignore  # setuptools' remarks on editable installs
  python=$(find_python) || die "no Python 3.11 or newer in PATH (python3 is $(python3 --version 2>&1 || true))"
  python_has_venv "$python" || die "$(command -v "$python") has no module ensurepip or venv; use the system's python3"
  python_has_headers "$python" || die "$(command -v "$python") has no Python.h, which pylibfdt is built with"
  say "installing the Python packages of constraints.txt into .venv ($("$python" --version))"
  # A .venv without a stamp was left half made; one with a stamp takes changed pins.
  [[ -x .venv/bin/python && -e $STAMP ]] || "$python" -m venv --clear .venv
  rm -f "$STAMP"
  export PATH="$ROOT/.venv/bin:$PATH"  # pylibfdt's build calls swig
  $pip pip setuptools setuptools-scm swig || die "pip failed; its words are above"
  # Without isolation pylibfdt is built by the pinned tools just installed, not by whatever is newest today.
  $pip --no-build-isolation -e '.[dev]' || die "pip failed; its words are above"
  check_venv
  fingerprint >"$STAMP"
}

check_venv() {  # labgrid brings pyserial-labgrid 3.5.0.x; plain pyserial (3.5) writes over the same folder
  .venv/bin/python - <<'END' || die ".venv is not usable; remove it and run this again"
import importlib.util
import sys

import labgrid, libfdt, serial

if not serial.__version__.startswith("3.5.0"):
    sys.exit(f"pi64: serial {serial.__version__} is not labgrid's fork: plain `pyserial` got in")
END
}

# ---- binfmt: the host runs armhf programs while mmdebstrap configures the base image -------------------------------

enable_binfmt() {  # gone after each reboot where no service does it, so looked at each time
  binfmt_is_on && return
  if can_be_root; then
    [[ -e $BINFMT/register ]] || as_root mount -t binfmt_misc none "$BINFMT" 2>/dev/null || true
    as_root update-binfmts --enable qemu-arm >/dev/null 2>&1 || true
    # qemu-user-binfmt (Debian 13) leaves registering to systemd, which a container does not run
    binfmt_is_on || as_root sh -c "cat /usr/lib/binfmt.d/qemu-arm.conf >$BINFMT/register" 2>/dev/null || true
    binfmt_is_on && say "registered qemu-arm with binfmt_misc: this host now runs 32-bit Arm programs" && return
  fi
  say "warning: $BINFMT/qemu-arm is not enabled, so mmdebstrap cannot configure an armhf base image here." \
    "As root: mount -t binfmt_misc none $BINFMT; update-binfmts --enable qemu-arm"
}

binfmt_is_on() {
  case $(uname -m) in aarch64 | armv7l) return ;; esac  # an Arm host needs no help
  [[ -e $BINFMT/qemu-arm && $(<"$BINFMT/qemu-arm") == enabled* ]]
}

# ---- main ----------------------------------------------------------------------------------------------------------

main() {
  local mode=${1:-hw} missing
  case $mode in test | hw | toolchain | host) ;; *) die "usage: scripts/setup.sh [test|hw|toolchain|host]" ;; esac
  exec 9<"$ROOT/scripts/setup.sh"
  flock 9  # two `make` at once: the second waits, then finds nothing to do
  read_host
  mapfile -t missing < <(missing_packages "$mode" | sort -u)
  if ((${#missing[@]})); then
    install_packages "${missing[@]}"
    mapfile -t missing < <(missing_packages "$mode" | sort -u)
    if [[ ${missing[*]} == gcc-*-source ]]; then  # its name is that of the compiler that came just now
      install_packages "${missing[@]}"
      mapfile -t missing < <(missing_packages "$mode" | sort -u)
    fi
    ((${#missing[@]} == 0)) || die "installed, but what they provide is not in PATH: ${missing[*]}"
  elif qemu_from_debian_is_too_old && can_be_root; then
    install_packages qemu-system-arm
  fi
  [[ $mode == host ]] || venv_is_current || make_venv
  [[ $mode == test ]] || enable_binfmt
  tell_qemu
}

main "$@"
