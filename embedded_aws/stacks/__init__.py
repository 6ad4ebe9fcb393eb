"""CloudFormation: stacks whose resources really take effect and are really deleted."""
