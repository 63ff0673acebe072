"""The engine: dispatcher, store, worker processes and runs, over one frontier."""
