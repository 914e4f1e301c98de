"""Training of networks: the loop they share, and one file per method for its data and losses."""
