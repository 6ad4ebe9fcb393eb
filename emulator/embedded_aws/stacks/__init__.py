"""CloudFormation engine: templates, plans, and stacks whose resources really take effect."""
