# What pi64 asks of a board over SSH: a function each. $1: the function; $2: the folder of the root filesystem, empty on
# a board; then its arguments. `serve` takes one request after the other. Needs what an essential Debian has: GNU find,
# tar, gzip, coreutils, util-linux. Paths are below the root, boot folder ($B) and slot among them: /boot, /boot/pi64.
set -u
export LC_ALL=C

serve() { # standard input: a request a line: token, function, arguments. Answers, what went wrong, and the status
	errors=$(mktemp) || exit
	trap 'rm -f "$errors"' EXIT
	while read -r token ask arguments; do
		(
			set -f
			# shellcheck disable=SC2086  # arguments hold no blanks
			set -- $arguments
			set +f
			"$ask" "$@"
		) 2>"$errors"
		status=$?
		printf '\n@%s errors\n' "$token"
		[ $status = 0 ] || tail -n 8 "$errors"
		printf '\n@%s %s\n' "$token" $status
	done
}

first_line() { # $1: file
	line=
	[ ! -f "$1" ] || read -r line <"$1"
	printf '%s\n' "$line"
}

decoded() { # $1: base64, or `-` for nothing
	[ "$1" = - ] || printf %s "$1" | base64 -d
}

drop_caches() {
	[ ! -w "$R/proc/sys/vm/drop_caches" ] || echo 3 >"$R/proc/sys/vm/drop_caches"
}

alone() { # a deploy whose connection was cut may still be at its last step
	exec 9>"$R/run/pi64.lock" && flock -w 60 9 && return
	echo "another deploy is at work on this board" >&2
	exit 75
}

# ---- what runs -----------------------------------------------------------------------------------------------------

survey() { # $1: the boot folder where lab.yaml names it, or `-`. Records `what value`, each with a zero byte
	B=$(boot_folder "$1")
	printf 'boot %s\0' "$B"
	[ ! -e "$R/dev/vcio" ] || printf 'mailbox \0'
	! command -v vcmailbox >/dev/null || printf 'vcmailbox \0'
	[ ! -e "$R/proc/device-tree/chosen/bootloader/tryboot" ] || printf 'flag \0'
	if command -v vcgencmd >/dev/null; then
		printf 'firmware %s\0' "$(vcgencmd version 2>&1)"
		printf 'bootloader %s\0' "$(vcgencmd bootloader_version 2>&1)"
	fi
	for slot in pi64 pi64-b; do
		for list in pi64.begun pi64.sums; do
			[ ! -f "$R$B/$slot/$list" ] || printf 'slot %s/ %s\0' $slot "$(first_line "$R$B/$slot/$list")"
		done
	done
	for owned in "$R"/lib/modules/*/pi64.owned; do
		[ ! -f "$owned" ] || printf 'modules %s\0' "$(basename "${owned%/pi64.owned}")"
	done
	for file in proc/sys/kernel/osrelease proc/cmdline proc/device-tree/model proc/device-tree/compatible; do
		[ ! -f "$R/$file" ] || printf '%s %s\0' "${file##*/}" "$(base64 -w 0 <"$R/$file")"
	done
	for file in config.txt cmdline.txt usercfg.txt distroconfig.txt extraconfig.txt autoboot.txt tryboot.txt \
		config.txt.pi64-before; do
		[ ! -f "$R$B/$file" ] || printf 'text %s %s\0' $file "$(base64 -w 0 <"$R$B/$file")"
	done
}

boot_folder() { # $1: as for survey. /boot/firmware since 2023, /boot before that, where a text file may still lie about it
	if [ "$1" != - ]; then
		[ ! -f "$R$1/config.txt" ] || echo "$1"
		return
	fi
	for folder in /boot/firmware /boot; do
		while read -r _ mounted type _; do
			[ "$mounted $type" != "$folder vfat" ] || [ ! -f "$R$folder/config.txt" ] || echo $folder
		done <"$R/proc/mounts"
	done | head -n 1
}

# ---- what lies there -----------------------------------------------------------------------------------------------

look() { # $1: slot, $2: release. Which list is there, whether what it lists was touched since, whose modules are there
	cd "$R/" || exit
	if [ -f ".$1/pi64.sums" ] && [ -f ".$1/pi64.stat" ]; then
		printf 'listed %s\0' "$(first_line ".$1/pi64.sums")"
		! stat_all "$@" | cmp -s - ".$1/pi64.stat" || printf 'same \0'
	fi
	if [ -f "lib/modules/$2/pi64.owned" ]; then
		printf 'modules owned\0'
	elif [ -d "lib/modules/$2" ]; then
		printf 'modules foreign\0'
	fi
}

stat_all() { # $1: slot, $2: release
	find ".$1" "./lib/modules/$2" ! -type d ! -name pi64.sums ! -name pi64.stat ! -name pi64.begun ! -name pi64.owned \
		-printf '%y\t%s\t%T@\t%l\t%p\0' 2>/dev/null
	return 0 # a folder may not be there yet
}

detail() { # $1: slot, $2: release. The list, then what stat said when it was written, then what it says now
	cd "$R/" || exit
	printf '@sums\0'
	[ ! -f ".$1/pi64.sums" ] || cat ".$1/pi64.sums"
	printf '\0@then\0'
	[ ! -f ".$1/pi64.stat" ] || cat ".$1/pi64.stat"
	printf '@now\0'
	stat_all "$@"
}

sums() { # $1: names, each with a zero byte, as base64. Sums of those that can be read
	cd "$R/" || exit
	decoded "$1" | xargs -0 -r sha256sum -z -- 2>/dev/null
	return 0
}

# ---- writing -------------------------------------------------------------------------------------------------------

begin() { # $1: slot, $2: release, $3: `own` or `leave` its modules, $4: names that go, as for sums. Prints what df says
	alone
	cd "$R/" || exit
	decoded "$4" | xargs -0 -r rm -rf -- || exit
	mkdir -p ".$1" "lib/modules/$2" && rm -f ".$1/pi64.sums" ".$1/pi64.stat" && echo "# pi64 - $2" >".$1/pi64.begun" || exit
	[ "$3" != own ] || : >"lib/modules/$2/pi64.owned" || exit
	sync
	df -Pk ".$1" "lib/modules/$2"
}

receive() { # $1: slot, $2: release. Standard input: a packed tar of files below the root, with run/pi64.sums and .check
	alone
	cd "$R/" || exit
	tar --no-same-owner --no-same-permissions -mxzf - || exit
	sync
	drop_caches
	[ ! -s run/pi64.check ] || sha256sum -c --quiet --strict run/pi64.check >&2 || exit 65
	stat_all "$@" >".$1/pi64.stat" && cat run/pi64.sums >".$1/pi64.new" && sync || exit
	mv -f ".$1/pi64.new" ".$1/pi64.sums" && rm -f ".$1/pi64.begun" run/pi64.sums run/pi64.check && sync
}

place() { # $1: a file of the boot partition, $2: its content as base64, which is all there before the old one goes
	alone
	decoded "$2" >"$R$1.new" && sync && mv -f "$R$1.new" "$R$1" && sync || exit
	drop_caches
	sha256sum <"$R$1"
}

remove() { # $1: names that go, as for sums
	alone
	cd "$R/" || exit
	decoded "$1" | xargs -0 -r rm -rf -- && sync
}

# ---- the next start ------------------------------------------------------------------------------------------------

restart() { # $1: `tryboot`, or `-`
	sync
	if [ "$1" = - ]; then
		reboot
	else
		! command -v vcmailbox >/dev/null || vcmailbox 0x00038064 4 0 1 >/dev/null 2>&1
		reboot '0 tryboot'
	fi
}

commit() { # $1: boot folder; $2: release, $3: slot that must be running. Then config.txt starts what tryboot.txt did
	release=$(first_line "$R/proc/sys/kernel/osrelease")
	[ "$release" = "$2" ] || {
		echo "$release answers" >&2
		exit 66
	}
	case " $(first_line "$R/proc/cmdline") " in
	*" pi64.slot=$3 "*) ;;
	*)
		echo "$release answers, but not from $3: its command line is $(first_line "$R/proc/cmdline")" >&2
		exit 66
		;;
	esac
	alone
	cd "$R$1" || exit
	if [ -f tryboot.txt ]; then
		cp tryboot.txt config.new && sync && mv -f config.new config.txt && sync || exit
		drop_caches
		cmp tryboot.txt config.txt >&2 || exit 65
	fi
	rm -f config.txt.pi64-before && sync
}

ask=$1 R=$2
shift 2
"$ask" "$@"
