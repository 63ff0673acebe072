"""When a request may start: hard limits by moving windows, an even pace, and waits that an API asks for.

limiter: all limits of one account or bucket.
hold: what keeps a request from starting.
lowered_limits: limits that people have lowered for a time.
window: a limit of requests within less than a minute.
quota: a limit of requests within a minute or longer, charged on disk.
quota_ahead: when starts fit into a quota that is partly used.
shared: limits in Redis, shared with other programs.
bucket: a token bucket.
concurrency: learns how many requests an API accepts at once.
adaptive: learns the rate that an API accepts from its 429s.
background: 429s that occur at any rate.
outage: whether an API answers; its probes.
refusals: whether a refusal concerns one task or all tasks of a bucket.
"""
