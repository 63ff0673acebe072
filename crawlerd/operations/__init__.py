"""What people ask of a crawlerd, and what it answers: typed, and rendered by whoever asks.

account_facts: what each account waits for, and all that is known of one.
dead: retrying dead letters.
pause_requests: pausing and resuming.
problem: what can be wrong with what is asked for.
why: why something waits, and until when.
"""
