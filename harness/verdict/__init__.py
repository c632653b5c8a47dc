"""A console log in; boot stages, findings and one verdict with its evidence out. Pure: no file, no clock, no wire.

``lines`` cleans a console line, ``sieve`` finds the few that matter, ``rules`` is the table of what a log says when
something is wrong, ``trace`` and ``findings`` make one finding of a trace, ``stages`` knows how far a boot came,
``clues`` makes evidence of all that and says what explains what, ``judge`` decides whose fault it was, ``attempts``
does so for a test that was repeated, ``classify`` does all of it for a recorded log. ``garbage`` knows a console that
cannot be read, ``coldstart`` a board that was never off.
"""
