"""What a compiled network does and costs, as data, as text and as JSON."""
