"""Networks (torch modules) of the learned normalizers; how they are trained is in :mod:`stainxform.train`."""
