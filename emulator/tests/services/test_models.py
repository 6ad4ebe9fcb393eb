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


def test_what_nobody_asks_for_is_not_read_and_regions_are_botocore_s():
    """In a process of its own, against a plain botocore in another."""
    import subprocess
    import sys

    plain = "import botocore.session; s = botocore.session.Session()\n"
    regions = "print([s.get_available_regions('ec2', name) for name in ('aws', 'aws-cn', 'aws-us-gov')])\n"
    ours = f"""
from embedded_aws import models
models.install()
{plain}{regions}
from moto.ec2.models import instance_types
assert not instance_types.INSTANCE_TYPES
assert not any(instance_types.INSTANCE_TYPE_OFFERINGS["region"].values())
"""
    told = [
        subprocess.run([sys.executable, "-c", text], check=True, capture_output=True).stdout
        for text in (plain + regions, ours)
    ]
    assert told[0] == told[1] != b""
