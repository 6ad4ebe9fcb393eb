"""AWS Step Functions: state machines whose tasks call this AWS, each in the name of the machine's own role."""
