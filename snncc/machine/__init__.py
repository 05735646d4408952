"""The placed network, run step by step: events, traffic, time and energy."""
