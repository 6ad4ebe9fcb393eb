"""The entry point of a run's pod (a Kubernetes Job): be the federation's server, from the first agent to the model.

Every event goes to standard output, a line of JSON each: whoever started the run follows the pod's log. Checkpoints go
to the server's bucket, so a pod that is killed is followed by one that carries on. The run's end is told by the exit
code: 0 when it is done, ``ENDED`` when it ended for a reason that another try would not change.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from client_code import schema
from workshop import federation, problems
from workshop.clusters.spec import RunSpec
from workshop.errors import FederationError, WorkshopError
from workshop.federation import events, results
from workshop.federation.checkpoints import VERSION, Checkpoints
from workshop.federation.tls import Authority

TEST, PROBLEM = "data/test.csv", "state/problem.toml"  # in the server's bucket
RESULTS = "model/runs"  # in the same bucket, by run
ENDED = 2


def lead(
    spec: RunSpec, *, session: boto3.Session, authority: Authority, listen: str, folder: Path, out: events.Sink
) -> None:
    """Be the server of one run; its result is in the bucket afterwards.

    Parameters
    ----------
    session : boto3.Session
        Of the server's account.
    authority : Authority
        Which the agents trust; signs a new certificate for this pod.
    listen : str
        ``host:port`` here.
    folder : Path
        For what may vanish with the pod.
    out : callable
        Gets every event.

    Raises
    ------
    WorkshopError
        If the run ends early.
    """
    certificates = authority.issue(spec.host)
    common = {
        "listen": listen,
        "certificates": certificates,
        "caller": federation.Verifier(session, certificates.fingerprint).caller,
        "sinks": [out],
        "introduction": {"run": spec.run, **spec.training},
    }
    if spec.rounds == 0:
        federation.roll_call(spec.participants, seconds=spec.terms.get("join", 10.0), **common)
        return
    test, problem, digest = _from_bucket(spec, session, folder)
    settings = hashlib.sha256(json.dumps([VERSION, digest, spec.training, spec.terms], sort_keys=True).encode())
    result = federation.run(
        spec.participants, test=test, problem=problem, terms=spec.agreed(),
        checkpoints=Checkpoints(
            folder / spec.run, spec.run, settings=settings.hexdigest(), session=session, bucket=spec.bucket
        ),
        **common,
    )  # fmt: skip
    try:
        session.client("s3").put_object(
            Bucket=spec.bucket, Key=f"{RESULTS}/{spec.run}/result.npz", Body=results.to_bytes(result)
        )
    except (BotoCoreError, ClientError) as error:
        raise FederationError(f"the result of run {spec.run} cannot be stored in {spec.bucket}: {error}") from error


def _from_bucket(spec: RunSpec, session: boto3.Session, folder: Path):
    """Return the test rows, the problem, and a digest of both."""
    client = session.client("s3")
    try:
        content = {key: client.get_object(Bucket=spec.bucket, Key=key)["Body"].read() for key in (TEST, PROBLEM)}
    except (BotoCoreError, ClientError) as error:
        raise FederationError(
            f"bucket {spec.bucket} does not hold what a run needs ({error}): its owner runs `fl upload server` first"
        ) from error
    for key, body in content.items():
        (folder / Path(key).name).write_bytes(body)
    problem = problems.load(str(folder / Path(PROBLEM).name))
    test = schema.to_arrays(schema.read_table(folder / Path(TEST).name, problem), problem)
    return test, problem, hashlib.sha256(content[TEST] + content[PROBLEM]).hexdigest()


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Read what the pod was given, lead the run, say in the last line how it ended."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    # A pod that has to go leaves at once: what a round has brought is in the bucket.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder, ended = Path(environ.get("RUN_FOLDER", ".")), False

    def tell(event: events.Event) -> None:
        nonlocal ended
        ended = ended or isinstance(event, events.Ended)
        print(events.to_json(event), flush=True)

    try:
        spec = RunSpec.loads(Path(environ["RUN_TERMS"]).read_text())
        authority = Authority.load(Path(environ["RUN_AUTHORITY"]))
        listen = f"{environ.get('POD_IP', '127.0.0.1')}:{spec.port}"
        lead(spec, session=boto3.Session(), authority=authority, listen=listen, folder=folder, out=tell)
    except WorkshopError as error:
        if not ended:
            tell(events.Ended(str(error)))
        return ENDED
    except (KeyError, OSError, ValueError) as error:
        tell(events.Ended(f"the run's pod lacks what it needs: {error}"))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
