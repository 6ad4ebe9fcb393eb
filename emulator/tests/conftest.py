"""Shared by every test: the accounts that the tests name, and the services in this process."""

from __future__ import annotations

import os

from embedded_aws import models, service, settings
from embedded_aws.settings import Settings

models.install()

from embedded_aws.application import SERVICES  # noqa: E402 - moto, which reads the models at once

service.serve(SERVICES)
if settings.read() == Settings():  # nobody's who uses it
    own = Settings(first="server", others="client-{}", profile="fl-{}", user="workshop-admin")
    os.environ[settings.VARIABLE] = own.dumps()
