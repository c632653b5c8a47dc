"""``pi64 bisect``: which commit broke it, found on hardware by halving, as ``git bisect`` does.

``graph`` is the history in question as a value, ``search`` chooses the next commit or has the answer, ``votes`` makes a
vote of a run's record, ``confidence`` says what n boots prove, ``plan`` puts them in order, ``state`` is what is kept:
these are pure, and a whole campaign can be played through in a Python shell. ``git`` reads the history and makes the
revert, ``places`` finds what is on the disk, ``campaign`` runs it all; ``excerpts`` reads two consoles, ``tell`` and
``page`` say what came of it, ``ending`` leaves it.
"""
