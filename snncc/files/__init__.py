"""What a file of a stranger is, told before it is opened: its kind, and to what it unpacks."""
