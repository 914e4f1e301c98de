"""The methods in plain float64, written from their papers: slow, pixel by pixel, and independent of stainxform."""
