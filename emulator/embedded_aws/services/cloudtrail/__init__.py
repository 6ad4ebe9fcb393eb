"""AWS CloudTrail: the event history."""
