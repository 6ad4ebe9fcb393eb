#!/usr/bin/env bash
# moto 5.2.5 with its server, Python 3.11
#
# What happens: moto's server finds out for every request which service is asked, and lists the folders of all its services
# to do so, in the lock through which every request goes. Many small calls from several clients at once, as
# CloudFormation makes them, stand in that lock more often than anywhere else.
#
# Seen:              20 requests to a service that is loaded already, 20 listings
# The good guess:    0 listings (the application of a service is kept once it was found)
#
# Exits 0 while that is so, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "moto[server]==5.2.5"
"$folder/venv/bin/python" - << 'PYTHON'
import sys
from unittest import mock

import moto.backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import Client

scope = "key/20260101/us-east-1/sts/aws4_request"
signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
client = Client(DomainDispatcherApplication(create_backend_app))


def ask() -> None:
    answer = client.post("/", data={"Action": "GetCallerIdentity", "Version": "2011-06-15"}, headers=signed)
    assert answer.status_code == 200, answer.text


ask()  # loads the service
with mock.patch("moto.backends.list_of_moto_modules", wraps=moto.backends.list_of_moto_modules) as listings:
    for _ in range(20):
        ask()
print(f"20 requests, {listings.call_count} listings")
sys.exit(listings.call_count != 20)
PYTHON
