"""What the lessons call."""
