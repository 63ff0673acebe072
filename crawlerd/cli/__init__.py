"""The commands: they render, and decide nothing."""
