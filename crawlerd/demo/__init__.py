"""A local Stripe-shaped API that runs as its own process, for the demo command, the crash tests and the benchmarks."""
