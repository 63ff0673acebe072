"""When a request may start: hard caps by moving windows, even pacing, and obedience to throttling.

limiter: all limits of one account or bucket.
hold: what keeps a request from starting.
lowered_limits: those that people have lowered for a time.
window: a limit of requests in a short time.
quota: a limit in a minute or longer, charged on disk.
quota_ahead: when starts fit into a quota that is partly used.
shared: limits in Redis, shared with other programs.
bucket: a token bucket.
concurrency: the most requests at once, found out.
adaptive: the pace, found out by 429s.
background: 429s that no rate cures.
outage: whether an API answers; its probes.
refusals: whether a refusal concerns one task or all.
"""
