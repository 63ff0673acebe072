"""When a request may start: hard caps by moving windows, even pacing, and obedience to throttling."""
