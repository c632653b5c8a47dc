"""pi64 tells whether a kernel branch boots and works on a Raspberry Pi, and if not, whose fault it is.

labgrid owns the lab, pytest the tests; this package is the kernel's way between them. Read it in this order:
``lab.yaml`` -> ``tests_hw/test_boot.py`` -> ``plugin.py`` -> ``strategy.py``.

Floors; an import points down only (``tests_unit/test_layers.py`` holds this picture as data)::

    6  plugin options asking attempts outcomes cli   pytest; the command line
    5  nightly                                 runs the floor below many times
    4  strategy lab                            labgrid
    3  build image deploy power console virtual   labgrid, pexpect, cables; not one another
    2  card deadline host progress usbbus      a card image; an end to a wait; the host's programs and disk; USB
    1  boards bootfs verdict checks report     pure: no subprocess, socket, serial, labgrid, pytest, clock
    0  model errors                            attrs

``image`` makes (or takes) a base image, ``card`` reads and writes one, ``deploy`` puts a kernel onto it, ``virtual``
boots it; they meet only in the frozen values of ``model``. ``card``, ``host`` and ``usbbus`` stand on a floor of their
own because four rooms above need them and none of those may import another.
"""
