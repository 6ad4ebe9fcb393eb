"""Tools: benchmarks and result pages for the makers."""
