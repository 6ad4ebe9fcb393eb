"""Container runtime of training and processing jobs: each runs as processes of its own."""
