"""What lies on the boot partition of the image made here, as the stock system would have left it."""

from pathlib import PurePosixPath

CONFIG = """\
# For more options and information see
# https://www.raspberrypi.com/documentation/computers/config_txt.html
# Some settings may impact device functionality. See link above for details

# Uncomment some or all of these to enable the optional hardware interfaces
#dtparam=i2c_arm=on
#dtparam=i2s=on
#dtparam=spi=on

# Enable audio (loads snd_bcm2835)
dtparam=audio=on

# Disable compensation for displays with overscan
disable_overscan=1

enable_uart=1

[all]
"""

PLACEHOLDER = (
    "pi64 placeholder for {name}: a virtual board needs no VideoCore firmware; a real one does not boot from it.\n"
)
FIRMWARE = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")


def boot_files(disk_id: str) -> dict[PurePosixPath, bytes]:
    """Return the stock boot files; *disk_id* names the card, so that root= finds it wherever it is plugged in.

    There is no kernel: what boots is what a deploy puts there, never a leftover.
    """
    cmdline = (
        f"console=serial0,115200 console=tty1 root=PARTUUID={disk_id}-02 rootfstype=ext4 fsck.repair=yes rootwait\n"
    )
    texts = {"config.txt": CONFIG, "cmdline.txt": cmdline} | {name: PLACEHOLDER.format(name=name) for name in FIRMWARE}
    return {PurePosixPath(name): text.encode() for name, text in texts.items()}
