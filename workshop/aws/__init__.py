"""AWS: accounts, agreement, stacks, jobs, access, clean-up."""
