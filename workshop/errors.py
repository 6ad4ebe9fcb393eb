"""The errors of this kit: what is wrong, which account, job or file, and what to do next."""


class WorkshopError(Exception):
    """Base of every error that a learner is meant to read."""


class MissingStep(WorkshopError):
    """Something that an earlier notebook makes is not there."""


class AccountError(WorkshopError):
    """An account cannot be reached, or is not the one it should be."""


class StartedAgain(AccountError):
    """The embedded AWS is another one than that in which the accounts were connected."""


class StackError(WorkshopError):
    """A CloudFormation stack did not reach the state it should."""


class AgreementError(WorkshopError):
    """What the owners want to agree on cannot work."""


class BundleError(WorkshopError):
    """What should travel cannot be packed."""


class JobError(WorkshopError):
    """A training job did not do its part."""


class FederationError(WorkshopError):
    """The federation ended before its last round."""


class NotThisMachine(FederationError):
    """The server's place is another machine."""


class ModelError(WorkshopError):
    """A model file is not what its manifest says."""
