"""What learned methods share: the training loop, tiles as training data, and fixed statistics of networks."""

__all__: list[str] = []
