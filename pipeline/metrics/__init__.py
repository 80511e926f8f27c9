"""What is reported, never optimised: features -> statistics -> number, every number beside its floor."""
