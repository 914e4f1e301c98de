"""The compiled kernels: found and chosen (``native``), and wrapped, one function each (``kernels``)."""
