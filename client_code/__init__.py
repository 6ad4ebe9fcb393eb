"""Exactly what travels to a client's training job; imports nothing else of this repository."""
