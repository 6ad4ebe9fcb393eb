"""Who asks, what the policies say, and a trail of every decision."""
