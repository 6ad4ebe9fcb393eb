"""Values planted in the clients' rows are found nowhere outside their own account; where they belong they are found."""

import contextlib
import os
import shutil
import socket
import struct
import threading

import numpy as np
import pytest
from flwr.server.superlink.fleet.grpc_bidi.grpc_client_proxy import GrpcClientProxy

from client_code import schema
from data_prep import owners
from workshop import problems, state
from workshop.aws import jobs, uploads
from workshop.errors import FederationError
from workshop.federation import participants, tls
from workshop.lessons import rehearsal

FRAUD = problems.load()

CANARIES = {"client-1": 8675309.25, "client-2": 7041776.75, "client-3": 3141592.5}
COLUMN = "total_drug_cost_sum"


def traces(value):
    """Return what a value looks like in files and messages: as text, in binary, and as the model sees it."""
    forms = [str(value).encode(), str(int(value)).encode()]
    for number in (value, float(np.log1p(value))):
        forms += [struct.pack(f"{order}{kind}", number) for order in "<>" for kind in "df"]
    return forms


def found(haystack):
    """Return the clients whose planted value shows up in some bytes."""
    return {name for name, value in CANARIES.items() if any(trace in haystack for trace in traces(value))}


@contextlib.contextmanager
def overheard():
    """Yield a list that fills with the packets on loopback, as ``(ports, bytes)``; needs root on Linux."""
    if os.geteuid() or not hasattr(socket, "AF_PACKET"):
        pytest.skip("listening in on loopback needs root on Linux")
    packets, done = [], threading.Event()
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x0003))
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    ear.bind(("lo", 0))
    ear.settimeout(0.1)

    def listen():
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                frame = ear.recv(1 << 17)
                if len(frame) > 54 and frame[23] == socket.IPPROTO_TCP:
                    packets.append((set(struct.unpack(">HH", frame[34:38])), frame[54:]))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield packets
    finally:
        done.set()
        thread.join()
        ear.close()


@pytest.fixture(scope="module")
def planted(stage):
    """Put a value of its own into every client's rows; yield the folders' state, and put the old files back."""
    folder, kept = state.home() / "data", state.home() / "kept"
    shutil.copytree(folder, kept)
    for name, value in CANARIES.items():
        manifest = owners.verify_owner(folder / name)
        tables = {file: schema.read_table(folder / name / file, FRAUD) for file in manifest["files"]}
        for table in tables.values():
            table.loc[table.index[1], COLUMN] = value
        about = {key: manifest[key] for key in ("source", "source_sha256", "seed")}
        owners.write_owner(folder / name, tables, FRAUD, owner=name, **about)
        bucket = next(client.bucket for client in stage.clients if client.name == name)
        uploads.upload(name, stage.sessions[name], bucket)
    yield
    shutil.rmtree(folder)
    kept.rename(folder)
    for client in stage.clients:
        uploads.upload(client.name, stage.sessions[client.name], client.bucket)


@pytest.fixture(scope="module")
def heard(stage, planted):
    """Run a federation over the planted rows; return what clients told the server, and what went over the wire."""
    told = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("get_properties", "get_parameters", "fit", "evaluate"):
            original = getattr(GrpcClientProxy, name)

            def listening(self, *arguments, _original=original, **more):
                answer = _original(self, *arguments, **more)
                told.append(repr(vars(answer)).encode("latin-1", "replace"))
                parameters = getattr(answer, "parameters", None)
                told.extend(parameters.tensors if parameters else [])
                return answer

            patch.setattr(GrpcClientProxy, name, listening)
        with overheard() as packets:
            result, started = rehearsal.federate(stage)
    return told, packets, result, started


def test_the_values_are_where_they_belong(stage, planted):
    for client in stage.clients:
        body = stage.sessions[client.name].client("s3").get_object(Bucket=client.bucket, Key="data/train.csv")["Body"]
        assert found(body.read()) == {client.name}


@pytest.mark.promise("P-05", "Values planted in the rows are in nothing that clients tell the server")
def test_what_the_clients_told_the_server_holds_none_of_them(heard):
    told, _, result, _ = heard
    assert len(told) > 20
    assert not found(b"".join(told))
    arrays = [*result.parameters, result.scaler.mean, result.scaler.scale]
    assert not found(b"".join(array.tobytes() for array in arrays))


def test_the_wire_to_the_server_holds_none_of_them_and_the_wire_to_the_own_bucket_does(stage, heard):
    _, packets, _, _ = heard
    to_server = b"".join(data for ports, data in packets if stage.port in ports)
    elsewhere = b"".join(data for ports, data in packets if stage.port not in ports)
    assert len(to_server) > 10_000
    assert not found(to_server)
    assert found(elsewhere) == set(CANARIES)  # the jobs fetched their own rows, on this machine without TLS
    assert b"total_drug_cost" not in to_server  # nor the names of columns


@pytest.mark.promise("P-05", "They are nowhere in the server's account and files")
def test_the_server_s_account_and_files_hold_none_of_them(stage, heard):
    s3 = stage.sessions["server"].client("s3")
    bucket = stage.accounts.outputs["server"]["fl-storage"]["Bucket"]
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert versions
    for version in versions:
        body = s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])["Body"].read()
        assert not found(body), version["Key"]
    own = [path for path in state.home().rglob("*") if path.is_file() and "client-" not in str(path)]
    own = [path for path in own if "kept" not in path.parts]
    assert len(own) > 5
    for path in own:
        assert not found(path.read_bytes()), path


def test_the_descriptions_that_the_server_may_read_hold_none_of_them_and_neither_does_the_owner_s_log(stage, heard):
    _, _, _, started = heard
    for job in started:
        lines = "\n".join(jobs.log_tail(stage.sessions[job.name], job.job_name, 100))
        assert "real training rows" in lines
        assert not found((lines + str(job.describe())).encode())


@pytest.mark.promise("P-05", "An error about the rows quotes none of them")
def test_an_error_about_the_rows_quotes_none_of_them(stage, planted):
    client = stage.clients[0]
    storage = stage.sessions["client-1"].client("s3")
    good = storage.get_object(Bucket=client.bucket, Key="data/train.csv")["Body"].read()
    value = str(CANARIES["client-1"]).encode()
    assert value in good
    storage.put_object(Bucket=client.bucket, Key="data/train.csv", Body=good.replace(value, b"-" + value))
    try:
        place, certificates = rehearsal.stand(stage)
        started = rehearsal.kick_off(stage, certificates=certificates, address=place.address)
        with pytest.raises(FederationError, match="client-1 ended before it joined") as error:
            rehearsal.lead(stage, started, place=place, certificates=certificates)
        told = str(error.value) + "".join(participants.report(job) for job in started[:1])
        assert COLUMN in told
        assert not found(told.encode())
    finally:
        storage.put_object(Bucket=client.bucket, Key="data/train.csv", Body=good)
        with contextlib.suppress(jobs.JobError):
            jobs.wait(started, deadline=60)


@pytest.mark.promise("T-03", "No private key is in a bucket, a bundle or a file that others read")
def test_no_private_key_is_in_a_bucket_a_bundle_or_a_file(stage, heard):
    """T-03: what the server signs with stays in its memory."""
    for name, session in stage.sessions.items():
        s3 = session.client("s3")
        bucket = stage.accounts.outputs[name]["fl-storage"]["Bucket"]
        for version in s3.list_object_versions(Bucket=bucket)["Versions"]:
            body = s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])["Body"].read()
            assert b"PRIVATE KEY" not in body, (name, version["Key"])
    for path in state.home().rglob("*"):
        if path.is_file():
            assert b"PRIVATE KEY" not in path.read_bytes(), path
    assert b"PRIVATE KEY" in tls.make_certificates("127.0.0.1").server_key  # this is what it would look like
