"""From a source tree to a kernel that can prove where it came from.

=============  =========================================================================================
``source``     what is built: a tree, a git ref, a tarball or a distribution package -> ``KernelSource``
``git``        work trees and mirrors; ``archive``: tarballs
``toolchain``  what it is built with -> ``Toolchain``
``tarballs``   sources of binutils and GCC, by name; ``built_toolchain``: built here; ``download``: resumed, verified
``stubs``      boot stubs, which a Pi 4 with firmware of 2019 needs
``recipe``     all inputs of one build, and the key they add up to
``request``    what is asked of the configuration: a base, and fragments by name, file or word
``configure``  writes ``.config`` and refuses one that lacks what was asked for, or what ``requirements/*.toml`` need
``kconfig``    PURE: configuration text; ``fragments/*.config`` are named sets of it
``symbols``    PURE: what a tree's Kconfig files declare; ``expression``: its conditions; ``reasons``: why one is unmet
``kernel``     the build itself -> ``KernelBuild``
``objects``    the object tree it builds in, and what of that can be believed; ``explain``: the same in plain commands
``make``       one run of make: log, progress, end; ``ccache``: its compilers through ccache
``diagnose``   PURE: why make failed, and whose fault it was; ``complaints``: its warnings against the last good build's
``store``      artifacts by key, each byte proven when read; ``elf``: PURE: the build id
``cache``      what may go from the cache, and its bound; ``lease``: who uses what of it
``prebuilt``   kernels that somebody else has built: packages, tarballs, build directories
=============  =========================================================================================
"""
