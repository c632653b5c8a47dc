"""One night: what it was to do, and what has become of each of its jobs.

``state`` is its form on the disk, the only thing that others (page, mail, ``pi64 watch``) need to know of it.
"""
