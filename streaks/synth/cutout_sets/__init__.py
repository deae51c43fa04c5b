"""Labelled sets of cutouts: drawn, rendered as users have them, kept on disk."""
