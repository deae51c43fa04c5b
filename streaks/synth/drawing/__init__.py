"""Light and damage as they fall on an image: PSFs, scenes, populations, artifacts."""
