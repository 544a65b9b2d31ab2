"""fit: where batches come from, the loop over epochs, and what it logs."""
