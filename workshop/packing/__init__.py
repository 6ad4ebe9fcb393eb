"""Packing: what travels to a job, to a notebook instance."""
