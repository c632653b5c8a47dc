"""What many runs say together: their history, and what is new in one of them.

``db`` opens the history's file, ``schema`` is its form; ``importer`` fills it from the records of runs (``facts`` reads
one, ``store`` writes it), ``questions`` and ``evidence`` ask it. ``compare`` decides what is new in a run, with
``sequence`` for what is there or not, and ``slowness`` for what takes longer; these three are pure. ``told`` keeps what
was decided.

``trial`` is one run in a process of its own. ``bisection`` finds the commit that broke something.
``night`` runs a plan of them, as boards become free. ``watching`` sees what goes on (``doing`` is its value),
``morning`` tells what came of it.
"""
