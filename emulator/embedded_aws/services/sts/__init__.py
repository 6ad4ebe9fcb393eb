"""AWS STS: temporary credentials."""
