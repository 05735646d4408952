"""From a step graph to cores: populations, tilings, places on the chip, and their checker."""
