"""AWS services, one folder each, with a record that tells the engines what they must know of it."""
