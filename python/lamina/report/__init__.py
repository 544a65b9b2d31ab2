"""What a network tells of itself in tables and figures: summary, profile, inspection, curves."""
