"""What the firmware reads from the boot partition, as text and values; nothing here opens a file.

``config_txt`` and ``cmdline_txt`` read the two text files as the firmware does; ``firmware.plan`` decides from them
what would be loaded; ``messages`` and ``explain`` say it, to a console and to people; ``compose`` writes the files of a
new kernel and lets ``plan`` confirm that the firmware will take it.
"""
