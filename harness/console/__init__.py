"""The serial line of a board: every byte kept with its time, and a shell on top that stays exact beside a loud kernel.

``recorder`` reads, ``watcher`` follows a boot, ``expect`` is pexpect on top of both, ``login`` and ``shell`` talk.
``deathwatch`` is armed in every read.
"""
