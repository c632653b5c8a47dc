"""Importing this lets labgrid know our resources, drivers and strategy; lab.yaml names it under ``imports:``."""

from harness import deploy, power
from harness.strategy import RaspberryPiStrategy
from harness.virtual.board import VirtualPiDriver

__all__ = ["RaspberryPiStrategy", "VirtualPiDriver"]

deploy.register()
power.register()
