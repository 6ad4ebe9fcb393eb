"""Who may join: every proof is checked by the embedded AWS's STS, whose signatures are real, and TLS is TLS."""

import datetime
import json
import threading
import time

import botocore.auth
import botocore.session
import connection
import grpc
import pytest
import task
from cohort import FRAUD, ROLE, Cohort, Member
from cryptography import x509
from flwr.proto.transport_pb2_grpc import FlowerServiceStub

from client_code import identity
from workshop import federation
from workshop.errors import FederationError
from workshop.federation import Verifier, tls
from workshop.federation.checkpoints import Checkpoints
from workshop.federation.identity import IdentityError

FEDERATION = "this federation"


@pytest.fixture(scope="module")
def credentials(aws):
    """Return sessions: of the execution role of four accounts, of another role, and of a user."""
    sessions = {}
    for name in ("client-1", "client-2", "client-3", "client-4"):
        own = aws.session(name)
        iam, account = own.client("iam"), aws.accounts[name]
        anybody = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
        for role in (ROLE, "another-role"):
            iam.create_role(
                RoleName=role, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [anybody]})
            )
            arn = f"arn:aws:iam::{account}:role/{role}"
            keys = own.client("sts").assume_role(RoleArn=arn, RoleSessionName="SageMaker")["Credentials"]
            session = botocore.session.Session()
            session.set_credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
            session.set_config_variable("region", own.region_name)
            sessions[name, role] = session
    sessions["a user"] = aws.session("client-1")._session
    yield sessions
    for name in ("client-1", "client-2", "client-3", "client-4"):
        for role in (ROLE, "another-role"):
            aws.session(name).client("iam").delete_role(RoleName=role)


@pytest.fixture(autouse=True)
def sts(aws, monkeypatch):
    """Lead the clients of this process to the embedded AWS, as a job's environment does."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)


def late(session, nonce, **about):
    """Sign with a clock that is ten minutes behind."""
    with pytest.MonkeyPatch.context() as patch:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        patch.setattr(botocore.auth, "get_current_datetime", lambda: now - datetime.timedelta(minutes=10))
        return identity.prove(nonce, session=session, **about)


def without_nonce(session, nonce, **about):
    """Sign everything but the nonce."""
    proof = identity.prove("", session=session, **about)
    proof["Authorization"] = proof["Authorization"].replace(";x-fl-nonce", "")
    return proof | {"X-Fl-Nonce": nonce}


# What a stranger signs and with whose credentials, and what the server says.
OWN = ("client-1", ROLE)
REFUSALS = {
    "nothing": (OWN, lambda session, nonce, **about: {}, "no proof"),
    "not the nonce": (OWN, lambda session, nonce, **about: identity.prove("old", session=session, **about), "replayed"),
    "no nonce": (OWN, without_nonce, "does not sign what it must"),
    "another federation": (
        OWN,
        lambda session, nonce, job, federation: identity.prove(nonce, session=session, job=job, federation="other"),
        "another federation",
    ),
    "altered after signing": (
        OWN,
        lambda session, nonce, job, federation: (
            identity.prove(nonce, session=session, job="fl-another", federation=federation) | {"X-Fl-Job": job}
        ),
        "STS does not confirm its proof",
    ),
    "ten minutes ago": (OWN, late, "STS does not confirm its proof"),
    "another role": (
        ("client-1", "another-role"),
        lambda session, nonce, **about: identity.prove(nonce, session=session, **about),
        "role another-role of account",
    ),
    "an account that was not invited": (
        ("client-4", ROLE),
        lambda session, nonce, **about: identity.prove(nonce, session=session, **about),
        "is not part of this federation",
    ),
    "a user": (
        "a user",
        lambda session, nonce, **about: identity.prove(nonce, session=session, **about),
        "not those of",
    ),
    "another job": (
        OWN,
        lambda session, nonce, job, federation: identity.prove(
            nonce, session=session, job="fl-another", federation=federation
        ),
        "under another name",
    ),
    "a line break": (
        OWN,
        lambda session, nonce, **about: (
            identity.prove(nonce, session=session, **about)
            | {"X-Amz-Date": "20260101T000000Z\r\nX-Amz-Security-Token: x"}
        ),
        "malformed",
    ),
}


class Signing(Member):
    """A client that signs with given credentials."""

    session, sign = None, None

    def get_properties(self, config):
        proof = type(self).sign(type(self).session, str(config["nonce"]), **self.about)
        return {"instance": self.instance, **proof}


def member(session, sign=lambda session, nonce, **about: identity.prove(nonce, session=session, **about)):
    return type("Signing", (Signing,), {"session": session, "sign": staticmethod(sign)})


@pytest.fixture(scope="module")
def honest(aws, credentials, three):
    """Return a function that makes a cohort of the three invited accounts, with STS as the judge."""

    def make():
        cohort = Cohort(three, member={name: member(credentials[name, ROLE]) for name in three.clients})
        for name, job in cohort.jobs.items():
            job.account = aws.accounts[name]
        cohort.caller = Verifier(aws.session("server"), FEDERATION).caller
        cohort.federation = FEDERATION
        return cohort

    return make


@pytest.mark.promise(
    "T-01", "Eleven kinds of strangers are turned away within 10 s, each with its reason; the invited finish all rounds"
)
def test_invited_accounts_prove_themselves_and_strangers_are_named_while_the_others_go_on(
    honest, credentials, three, figure
):
    cohort = honest()
    told, took = {}, {}

    def try_to_join(case):
        whose, sign, _ = REFUSALS[case]
        job = cohort.jobs["client-1"]
        stranger = member(credentials[whose], sign)(
            task.new_model(), three.clients["client-1"], problem=FRAUD, job_name=job.job_name, federation=FEDERATION
        )
        started = time.monotonic()
        try:
            connection.stay(
                stranger.to_client(), cohort.place.address, root_certificates=cohort.certificates.authority, deadline=10
            )
        except connection.ServerError as error:
            told[case] = str(error)
        took[case] = time.monotonic() - started

    strangers = [threading.Thread(target=try_to_join, args=(case,)) for case in REFUSALS]
    for thread in strangers:
        thread.start()

    def progress(message, history):
        if not history and len(told) == len(REFUSALS) and not cohort.threads:
            cohort.join()  # the invited come after every stranger has been turned away

    result = cohort.run(progress=progress, join=40)
    for thread in strangers:
        thread.join()
    assert [entry.clients for entry in result.history] == [3, 3, 3]
    for case, (_, _, reason) in REFUSALS.items():
        assert reason in told[case], case
        assert took[case] < 10, case
        assert any(reason in line for line in result.notes), case
    assert result.client_rows.keys() == three.clients.keys()
    figure(f"{len(told)} of {len(REFUSALS)} turned away, the slowest in {max(took.values()):.1f} s")


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.promise(
    "T-02",
    "A proof that is missing, replayed, altered, expired or made for something else is refused by the server or by STS",
)
def test_every_proof_is_judged_alone_too(aws, credentials, case):
    whose, sign, reason = REFUSALS[case]
    verifier = Verifier(aws.session("server"), FEDERATION)
    good = identity.prove("nonce", session=credentials[OWN], federation=FEDERATION, job="fl-client-1")
    assert verifier.caller(good, "nonce") == (aws.accounts["client-1"], ROLE, "fl-client-1")
    proof = sign(credentials[whose], "nonce", federation=FEDERATION, job="fl-client-1")
    try:
        caller = verifier.caller(proof, "nonce")
    except IdentityError as error:
        assert reason in str(error)
    else:  # STS confirms who it is; the seats do not know them
        assert caller != (aws.accounts["client-1"], ROLE, "fl-client-1")


@pytest.mark.promise(
    "T-02", "Whoever receives a proof can do nothing with it at another service, nor another call at STS"
)
def test_a_proof_is_worth_nothing_to_who_receives_it(aws, credentials):
    proof = identity.prove("nonce", session=credentials[OWN], federation=FEDERATION, job="fl-client-1")
    told = " ".join(proof.values())
    secret = credentials[OWN].get_credentials().secret_key
    assert secret not in told
    # Its signature covers the host and the question: it lists no bucket.
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    for service in ("s3", "sts"):
        body = "Action=AssumeRole&Version=2011-06-15" if service == "sts" else ""
        request = AWSRequest("POST" if body else "GET", aws.endpoint + "/", data=body, headers=proof).prepare()
        assert URLLib3Session().send(request).status_code in (400, 403)


@pytest.mark.promise("F-07", "STS in trouble is asked three times; the client may come back")
def test_sts_in_trouble_is_asked_again_and_then_the_client_may_come_back(aws, credentials, monkeypatch):
    verifier = Verifier(aws.session("server"), FEDERATION)
    proof = identity.prove("nonce", session=credentials[OWN], federation=FEDERATION, job="fl-client-1")
    calls, send = [], verifier.http.send

    class Trouble:
        status_code, text = 503, "<Code>ServiceUnavailable</Code>"

    def twice(request):
        calls.append(request)
        return Trouble if len(calls) < 3 else send(request)

    monkeypatch.setattr(verifier.http, "send", twice)
    assert verifier.caller(proof, "nonce").role == ROLE
    monkeypatch.setattr(verifier.http, "send", lambda request: Trouble)
    with pytest.raises(IdentityError, match="STS does not answer") as error:
        verifier.caller(proof, "nonce")
    assert error.value.again


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: (tls.make_certificates("127.0.0.1"), tls.make_certificates("127.0.0.1").authority),
            "not signed by the",
        ),
        (lambda: (made := tls.make_certificates("10.9.9.9"), made.authority), "for another address"),
        (
            lambda: (
                made := tls.make_certificates("127.0.0.1", now=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)),
                made.authority,
            ),
            "not valid any more by this job's clock",
        ),
    ],
    ids=["another authority", "another address", "expired"],
)
@pytest.mark.promise(
    "T-01", "A client ends at once before another authority, an expired certificate or another address"
)
def test_a_client_talks_to_no_server_but_its_own(three, make, told):
    cohort = Cohort(three, patience=8)
    cohort.certificates, trusted = make()

    def serve():
        with pytest.raises(FederationError, match="did not join within 4 s"):
            cohort.run(join=4)

    served = threading.Thread(target=serve, daemon=True)
    served.start()
    job = cohort.jobs["client-1"]
    client = Member(task.new_model(), three.clients["client-1"], problem=FRAUD, job_name=job.job_name, federation="")
    started = time.monotonic()
    with pytest.raises(connection.ServerError, match=told):
        connection.stay(client.to_client(), cohort.place.address, root_certificates=trusted, deadline=8)
    assert time.monotonic() - started < 10
    served.join(timeout=30)


@pytest.mark.promise("T-01", "A client without TLS is no client")
def test_a_client_without_tls_is_no_client(three):
    import grpc
    from flwr.proto.transport_pb2_grpc import FlowerServiceStub

    cohort = Cohort(three)

    def plain():
        with grpc.insecure_channel(cohort.place.address) as channel, pytest.raises(grpc.RpcError):
            next(FlowerServiceStub(channel).Join(iter([]), timeout=8))
        plain.refused = True

    thread = threading.Thread(target=plain)

    def progress(message, history):
        if not thread.is_alive() and not hasattr(plain, "refused"):
            thread.start()
            thread.join(10)
            cohort.join()

    result = cohort.run(progress=progress, join=20)
    assert plain.refused
    assert len(result.history) == 3


@pytest.mark.promise("T-04", "A server with a new certificate of the same authority finds its clients again")
def test_a_new_certificate_is_accepted_by_clients_that_are_there(three, tmp_path):
    authority = tls.Authority.make()
    cohort, checkpoints = Cohort(three, patience=20), Checkpoints(tmp_path, "run")
    first = cohort.certificates = authority.issue("127.0.0.1")
    cohort.join()

    def interrupt(message, history):
        if message.startswith("round 2 of 3: "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr("workshop.federation.seats._dismiss", lambda proxy: proxy.bridge.close())  # no good-bye
        cohort.run(checkpoints=checkpoints, progress=interrupt)
    second = cohort.certificates = authority.issue("127.0.0.1")
    assert (first.server, first.server_key) != (second.server, second.server_key)
    assert first.authority == second.authority
    result = cohort.run(checkpoints=checkpoints)
    assert (result.resumed, [entry.clients for entry in result.history]) == (1, [3, 3, 3])
    cohort.leave()
    assert {job.outcome for job in cohort.jobs.values()} == {"Completed"}


@pytest.mark.promise("T-04", "Running the cell again gives the server a new certificate for the same clients")
def test_opening_a_run_again_signs_a_new_certificate(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    first, second = (federation.open_run("127.0.0.1", {"rounds": 3}) for _ in range(2))
    assert (first.id, first.certificates.authority) == (second.id, second.certificates.authority)
    assert first.certificates.server != second.certificates.server
    assert {path.name for path in first.folder.iterdir() if path.stat().st_mode & 0o077} <= {
        "authority.pem",
        "run.json",
    }
    other = federation.open_run("127.0.0.1", {"rounds": 4})
    assert other.before == (first.id,)


@pytest.mark.promise("T-04", "A damaged key or certificate is never used: there is a new authority instead")
@pytest.mark.parametrize("name", ["authority.key", "authority.pem"])
def test_a_damaged_authority_is_replaced(tmp_path, monkeypatch, name):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    first = federation.open_run("127.0.0.1", {"rounds": 3})
    path = first.folder / name
    whole = path.read_bytes()
    for place in range(0, len(whole), 11):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        certificates = federation.open_run("127.0.0.1", {"rounds": 3}).certificates
        authority = x509.load_pem_x509_certificate(certificates.authority)
        x509.load_pem_x509_certificate(certificates.server).verify_directly_issued_by(authority)
    path.write_bytes(whole[: len(whole) // 2])
    assert federation.open_run("127.0.0.1", {"rounds": 3}).id == first.id


def test_a_damaged_note_of_the_run_begins_a_new_one(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    first = federation.open_run("127.0.0.1", {"rounds": 3})
    for text in ("[]", "7", '{"id": "x"}', "{"):
        (first.folder / "run.json").write_text(text)
        assert federation.open_run("127.0.0.1", {"rounds": 3}).id != first.id


@pytest.mark.promise("T-03", "Strangers that say nothing make room for the invited")
def test_strangers_that_say_nothing_make_room_for_the_invited(three, figure):
    cohort = Cohort(three, patience=20)
    strangers, over = [], threading.Event()
    credentials = grpc.ssl_channel_credentials(cohort.certificates.authority)

    def silent():
        over.wait()
        yield from ()

    def crowd():
        while len(strangers) < 120 and not over.wait(0.02):
            channel = grpc.secure_channel(cohort.place.address, credentials, [("grpc.use_local_subchannel_pool", 1)])
            strangers.append((channel, FlowerServiceStub(channel).Join(silent())))

    def begin(message, history):
        if not strangers:
            threading.Thread(target=crowd, daemon=True).start()
        elif len(strangers) > 60 and not joined:
            joined.append(True)
            cohort.join()

    joined = []
    try:
        result = cohort.run(rounds=2, join=6, progress=begin)  # sooner than silence is noticed
    finally:
        over.set()
        for channel, _ in strangers:
            channel.close()
    assert [entry.clients for entry in result.history] == [3, 3]
    figure(f"{len(strangers)} strangers")
