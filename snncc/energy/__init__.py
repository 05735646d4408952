"""Energy models, which are data, and what they say of counted operations."""
