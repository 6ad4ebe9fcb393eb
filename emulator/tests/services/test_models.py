"""What describes AWS is read once for the whole process, and only as far as it is asked for."""


def test_every_session_of_the_server_shares_one_description():
    """In a process of its own: whoever imports it changes what botocore's sessions read."""
    import subprocess
    import sys

    script = """
from embedded_aws import models
import boto3, botocore.session
models.install()
sessions = boto3.Session()._session, botocore.session.Session()
assert len({id(one.get_component("data_loader")) for one in sessions}) == 1
s3, again = (one.get_service_model("s3") for one in sessions)
assert s3._service_description["shapes"] is again._service_description["shapes"]
assert s3._service_description["operations"] is not again._service_description["operations"]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
