"""A raw card image as a file: its partitions, its FAT, its ext4; no root, no mounts, no loop devices."""
