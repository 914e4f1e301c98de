"""``stainxform demo``: the command, and what it does."""

__all__: list[str] = []
