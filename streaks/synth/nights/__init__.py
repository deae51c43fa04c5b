"""Simulated nights: pointings, movers, exposures, and their files with the truth."""
