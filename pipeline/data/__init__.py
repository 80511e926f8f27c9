"""The data sets: exact mixtures of normals, and real images with a fixed held-out split."""
