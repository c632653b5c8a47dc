"""What a run leaves for people and machines; text and bytes in, text out. Pure.

``record`` is the run as JSON, ``redact`` what must not get into it, ``overview`` what takes several of its fields.
``summary`` is for the terminal, ``junit`` for pytest's XML, ``github``, ``gitlab``, ``kcidb`` and ``openmetrics`` for
whom their names say. ``run_page`` is the HTML page, made of a ``material``; it stands in the shell of ``page`` with the
looks of ``style``, draws with ``timeline``, shows the ``console`` (a ``transcript``, ``paint``ed, with ``folds``), and
all of it is written with ``markup``. ``moment`` counts seconds without a clock.
"""
