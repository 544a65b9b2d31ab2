"""What users pass, made into arrays that belong together, and checked."""
