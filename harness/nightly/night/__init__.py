"""One night: what it was to do, and what has become of each of its jobs.

``agenda`` draws up the jobs of a plan (``inputs``: what decides what comes of one; ``past``: what earlier nights say),
``schedule`` says which kernel is built next and which job a board runs next, ``runner`` does it: with the ``hands``
that start its children and the ``crew`` that waits for them, the ``memory`` that compares, the ``standing`` of the
boards, and the ``book`` that keeps the state on the disk. ``bisections`` come last; ``tell`` puts it all into words.

``state`` is its form on the disk, the only thing that others (page, mail, ``pi64 watch``) need to know of it.
"""
