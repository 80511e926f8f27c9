"""GAN Foundry: a reproducible study of GAN objectives, from their formulas to a paper."""
