"""A Raspberry Pi that everybody has: QEMU's board, our own code as its firmware, a process of its own.

``board`` is the labgrid driver, ``pi`` the process behind it, ``firmware`` reads the card, ``dtb`` edits the device
tree, ``qemu`` runs one QEMU from power-on to its end. ``bench`` serves boards over the protocols of a real lab:
``served`` is one of them, ``relay`` the power switch, ``tcp_serial`` the serial server, ``mux`` hands the card over.
"""
