"""A base image: the Debian made here, or the user's own Raspberry Pi OS; both end as a ``BaseImage``."""
