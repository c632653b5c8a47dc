"""From a source tree to a kernel that can prove where it came from.

=============  =========================================================================================
``source``     what is built: a tree, a git ref, a tarball or a distribution package -> ``KernelSource``
``git``        work trees and mirrors; ``archive``: tarballs
``toolchain``  what it is built with -> ``Toolchain``
``recipe``     all inputs of one build, and the key they add up to
``kconfig``    PURE: configuration text; ``fragments/*.config`` are named sets of it
``kernel``     the build itself -> ``KernelBuild``
``make``       one run of make: log, progress, end; ``diagnose``: PURE: why it failed, and whose fault it was
``store``      artifacts by key; ``elf``: PURE: the build id
=============  =========================================================================================
"""
