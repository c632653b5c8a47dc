"""What the lab has: reading lab.yaml, choosing a target."""
