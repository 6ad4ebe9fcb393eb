"""Container runtime of training jobs: each runs as processes of its own."""
