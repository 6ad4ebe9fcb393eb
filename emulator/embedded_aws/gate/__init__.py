"""Request admission: who signed a call, what it asks for, and whether policies allow it."""
