"""What a packet would meet between two addresses: routes, peerings, security groups, endpoints."""
