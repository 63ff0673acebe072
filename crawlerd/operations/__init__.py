"""What people ask of a crawlerd, and what it answers: typed, and rendered by whoever asks.

why: why something waits, and until when.
"""
