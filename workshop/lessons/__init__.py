"""Lessons: what notebooks call to show, try, execute and render."""
