"""A card, as an image file or as a disk in a reader: its partitions, its FAT, its ext4; no root, no mounts."""
