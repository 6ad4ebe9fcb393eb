"""Amazon S3: buckets and their policies, public access, objects."""
