"""AWS CloudFormation: requests on stacks; what brings them about is the engine in ``stacks``."""
