"""What an image is: its layout, its colors counted, its tissue, its glass, and what happens if it is blank."""

__all__: list[str] = []
