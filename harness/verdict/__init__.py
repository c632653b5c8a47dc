"""A console log in; boot stages, findings and one verdict with its evidence out. Pure: no file, no clock, no wire.

``lines`` cleans a console line, ``sieve`` finds the few that matter, ``rules`` is the table of what a log says when
something is wrong, ``findings`` groups a trace into one finding, ``stages`` knows how far a boot came, ``judge``
decides whose fault it was, ``classify`` does all of it for a recorded log.
"""
