"""How far synthetic cutouts are from real ones."""
