"""Where records go: the sinks that the store writes before it acknowledges a task."""
