"""``stainxform demo``: the command, and what it does."""
