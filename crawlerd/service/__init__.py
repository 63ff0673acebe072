"""The daemon: signals, health, metrics, and how others reach it."""
