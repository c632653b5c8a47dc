"""Power switches that labgrid has no driver for; none so far: labgrid's own are named in lab.yaml."""
