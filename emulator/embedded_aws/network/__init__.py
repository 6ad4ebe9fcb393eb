"""VPC networking: what a packet would meet between two addresses, and wires that do accordingly."""
