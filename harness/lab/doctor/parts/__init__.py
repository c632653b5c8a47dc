"""The parts of a bench, one file each; the package above says what is in one."""
