"""AWS KMS: keys, their policies and states."""
