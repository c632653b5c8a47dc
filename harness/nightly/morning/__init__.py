"""The morning after: what a night has to tell, as a page, on the terminal, and by mail.

``values`` is what is told; ``gather`` makes it from the history and the state of a night, with ``slots`` (which run
counts for which branch and board), ``news``, ``trends`` and ``health``. ``page``, ``matrix``, ``plots`` and ``summary``
show it and are pure; ``letter`` is the mail, ``outbox`` keeps it until a server took it, ``publish`` does all of it.
"""
