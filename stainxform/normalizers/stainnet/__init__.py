"""StainNet: any normalizer, distilled into a 1x1 network."""
