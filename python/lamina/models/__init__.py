"""Networks: a graph with its parameters, the programs that run it, and what one call of it does."""
