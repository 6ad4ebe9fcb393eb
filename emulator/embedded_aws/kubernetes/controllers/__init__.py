"""Controllers: what brings a cluster's objects from what is asked for to what is there, one pure step at a time.

Each is a function of the desk: it looks at the store, changes it, and returns after how many seconds it wants to look
again, though nothing changes; None if never. ``manager.py`` calls all of them after every change.
"""
