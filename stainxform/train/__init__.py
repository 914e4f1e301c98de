"""Fitting: :func:`~stainxform.train.center.fit_center`, and the training of networks."""
