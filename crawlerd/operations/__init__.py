"""What people ask of a crawlerd, and what it answers: typed, and rendered by whoever asks.

account_facts: what each account waits for, and all that is known of one.
dead: retrying dead letters.
import_names: renaming an import.
pause_requests: pausing and resuming.
problem: what can be wrong with what is asked for.
run_history: which runs there were; starting and cancelling one.
why: why something waits, and until when.
"""
