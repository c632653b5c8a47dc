"""Power switches that labgrid has no driver for (none so far), and whether one that answers also switches."""
