"""Values and pure decisions: no clock, random, thread, disk or network."""
