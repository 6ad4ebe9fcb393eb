"""Amazon EC2: VPCs, subnets, routes, peerings, security groups, endpoints, flow logs."""
