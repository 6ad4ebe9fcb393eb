"""State machines: whose name their tasks call in, what a definition may hold, how executions are named and end."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from moto.stepfunctions.parser.asl.component.common.query_language import QueryLanguage
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from stack_desk import StackDesk, template
from training_desk import Desk

from embedded_aws.services.states import interpreter

WHO = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sts:getCallerIdentity", "Parameters": {}, "End": True}
END = {"Type": "Pass", "End": True}
LONG = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}


def allow(*actions, resource="*", **condition):
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement | ({"Condition": condition} if condition else {})]}


def trust(**condition):
    document = allow("sts:AssumeRole", **condition)
    del document["Statement"][0]["Resource"]
    document["Statement"][0]["Principal"] = {"Service": "states.amazonaws.com"}
    return json.dumps(document)


class Machines:
    """Makes roles and state machines in one account, and runs them."""

    def __init__(self, session):
        self.session, self.iam, self.api = session, session.client("iam"), session.client("stepfunctions")
        self.made = []

    def role(self, name, trusts=None, policy=None):
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusts or trust())["Role"]["Arn"]
        self.made.append(name)
        if policy:
            self.iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
        return arn

    def machine(self, name, definition, role):
        text = definition if isinstance(definition, str) else json.dumps(definition)
        return self.api.create_state_machine(name=name, definition=text, roleArn=role)["stateMachineArn"]

    def run(self, machine, given=None, **request):
        return self.ended(self.api.start_execution(stateMachineArn=machine, input=json.dumps(given), **request))

    def ended(self, execution, within=20):
        give_up = time.monotonic() + within
        while True:
            described = self.api.describe_execution(executionArn=execution["executionArn"])
            if described["status"] != "RUNNING":
                return described
            assert time.monotonic() < give_up, described
            time.sleep(0.02)

    def clear(self):
        for machine in self.api.list_state_machines()["stateMachines"]:
            self.api.delete_state_machine(stateMachineArn=machine["stateMachineArn"])
        for name in self.made:
            for policy in self.iam.list_role_policies(RoleName=name)["PolicyNames"]:
                self.iam.delete_role_policy(RoleName=name, PolicyName=policy)
            self.iam.delete_role(RoleName=name)


@pytest.fixture
def machines(aws):
    machines = Machines(aws.session("client-2"))
    yield machines
    machines.clear()


@pytest.fixture(scope="module")
def training(aws):
    """Return a desk of the account, with a bucket and an execution role."""
    return Desk.open(aws.session("client-2"), "jobs-of-a-machine")


def starter(desk, code, *, sync=False, **fields):
    """Return a definition that starts a job named by the input."""
    request = desk.request(code, name="filled-in") | fields
    del request["TrainingJobName"]
    resource = "sagemaker:createTrainingJob.sync" if sync else "aws-sdk:sagemaker:createTrainingJob"
    task = {
        "Type": "Task",
        "Resource": f"arn:aws:states:::{resource}",
        "Parameters": {"TrainingJobName.$": "$.job", **request},
        "End": True,
    }
    return {"StartAt": "Train", "States": {"Train": task}}


def test_a_task_calls_as_the_machine_s_role_in_its_own_account(aws, machines):
    machine = machines.machine("who", {"StartAt": "A", "States": {"A": WHO}}, machines.role("who"))
    ended = machines.run(machine)
    assert ended["status"] == "SUCCEEDED"
    arn = json.loads(ended["output"])["Arn"]
    assert arn.startswith(f"arn:aws:sts::{aws.accounts['client-2']}:assumed-role/who/")
    assert machines.run(machine)["executionArn"] != ended["executionArn"]  # without a name each is another


def test_iam_decides_what_a_machine_may_start(machines, training):
    role = machines.role("starts")
    machine = machines.machine("starts", starter(training, "print('done')"), role)
    refused = machines.run(machine, {"job": "fl-machine-1"})
    assert (refused["status"], refused["error"]) == ("FAILED", "SageMaker.SageMakerException"), refused["cause"]
    assert "assumed-role/starts/" in refused["cause"]
    assert "is not authorized to perform: sagemaker:CreateTrainingJob" in refused["cause"]
    policies = allow("sagemaker:CreateTrainingJob")
    machines.iam.put_role_policy(RoleName="starts", PolicyName="may", PolicyDocument=json.dumps(policies))
    assert "iam:PassRole" in machines.run(machine, {"job": "fl-machine-1"})["cause"]
    policies["Statement"] += allow("iam:PassRole", resource=training.role)["Statement"]
    machines.iam.put_role_policy(RoleName="starts", PolicyName="may", PolicyDocument=json.dumps(policies))
    started = machines.run(machine, {"job": "fl-machine-1"})
    assert json.loads(started["output"])["TrainingJobArn"].endswith(":training-job/fl-machine-1")
    assert training.ended("fl-machine-1")["TrainingJobStatus"] == "Completed"
    again = machines.run(machine, {"job": "fl-machine-1"})
    assert again["error"] == "SageMaker.ResourceInUseException"


def test_a_machine_that_waits_ends_with_its_job(machines, training):
    role = machines.role("waits", policy=allow("sagemaker:*", "iam:PassRole"))
    good = machines.machine("waits", starter(training, "print('done')", sync=True), role)
    ended = machines.run(good, {"job": "fl-machine-2"})
    job = json.loads(ended["output"])
    assert (ended["status"], job["TrainingJobStatus"]) == ("SUCCEEDED", "Completed")
    assert job["CreationTime"].endswith("Z")  # a date as text
    bad = machines.machine("fails", starter(training, "raise SystemExit(3)", sync=True), role)
    failed = machines.run(bad, {"job": "fl-machine-3"})
    assert (failed["status"], failed["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(failed["cause"])["TrainingJobStatus"] == "Failed"


def test_who_stops_a_machine_that_waits_stops_its_job(machines, training):
    role = machines.role("stops", policy=allow("sagemaker:*", "iam:PassRole"))
    machine = machines.machine("stops", starter(training, "import time; time.sleep(60)", sync=True), role)
    execution = machines.api.start_execution(stateMachineArn=machine, input='{"job": "fl-machine-4"}')
    give_up = time.monotonic() + 20
    while not training.sagemaker.list_training_jobs(NameContains="fl-machine-4")["TrainingJobSummaries"]:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    stopped = machines.api.stop_execution(executionArn=execution["executionArn"], error="Enough", cause="It is late")
    ended = machines.ended(execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Enough", "It is late")
    assert ended["stopDate"] >= stopped["stopDate"]
    assert training.ended("fl-machine-4")["TrainingJobStatus"] == "Stopped"


def test_a_role_must_trust_step_functions_for_this_machine(aws, machines):
    account = aws.accounts["client-2"]
    nobodys = machines.role("nobodys", trust(StringEquals={"aws:SourceAccount": "111111111111"}))
    of_one = f"arn:aws:states:us-east-1:{account}:stateMachine:one"
    one_s = machines.role("one-s", trust(ArnLike={"aws:SourceArn": of_one}))
    definition = {"StartAt": "A", "States": {"A": WHO}}
    for name, role in {"one": nobodys, "two": one_s}.items():
        with pytest.raises(ClientError, match=r"AccessDeniedException.*authorized to assume the provided role"):
            machines.machine(name, definition, role)
    machine = machines.machine("one", definition, one_s)
    assert machines.run(machine)["status"] == "SUCCEEDED"
    with pytest.raises(ClientError, match="AccessDeniedException"):
        machines.api.update_state_machine(stateMachineArn=machine, roleArn=nobodys)
    machines.iam.update_assume_role_policy(RoleName="one-s", PolicyDocument=trust(Null={"aws:SourceArn": "true"}))
    withdrawn = machines.run(machine)
    assert withdrawn["status"] == "FAILED"
    assert "authorized to assume the provided role" in withdrawn["cause"]


def test_who_makes_a_machine_must_be_allowed_to_pass_its_role(aws, machines):
    role = machines.role("passed")
    user = f"arn:aws:iam::{aws.accounts['client-2']}:root"
    lets = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole"}],
        }
    )
    policy = allow("states:CreateStateMachine", resource="arn:aws:states:*:*:stateMachine:mine")
    maker = machines.role("maker", lets, policy)
    keys = machines.session.client("sts").assume_role(RoleArn=maker, RoleSessionName="maker")["Credentials"]
    own = machines.session.client(
        "stepfunctions",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    request = {"definition": json.dumps(LONG), "roleArn": role}
    with pytest.raises(ClientError, match="iam:PassRole"):
        own.create_state_machine(name="mine", **request)
    policy["Statement"] += allow("iam:PassRole", StringEquals={"iam:PassedToService": "states.amazonaws.com"})[
        "Statement"
    ]
    machines.iam.put_role_policy(RoleName="maker", PolicyName="may", PolicyDocument=json.dumps(policy))
    mine = own.create_state_machine(name="mine", **request)["stateMachineArn"]
    with pytest.raises(ClientError, match=r"states:CreateStateMachine on resource: .*:stateMachine:yours"):
        own.create_state_machine(name="yours", **request)
    with pytest.raises(ClientError, match=r"states:TagResource"):
        own.create_state_machine(name="mine", **request, tags=[{"key": "a", "value": "b"}])
    for call, arn in (
        (own.start_execution, {"stateMachineArn": mine}),
        (own.describe_execution, {"executionArn": mine.replace("stateMachine", "execution") + ":one"}),
    ):
        with pytest.raises(ClientError, match="AccessDeniedException"):
            call(**arn)


def test_no_account_starts_another_s_machine(aws, machines):
    machine = machines.machine("mine", LONG, machines.role("mine"))
    stranger = aws.session("client-1").client("stepfunctions")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        stranger.start_execution(stateMachineArn=machine)


SAGEMAKER = "arn:aws:states:::aws-sdk:sagemaker:createTrainingJob"


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("{", "INVALID_JSON_DESCRIPTION"),
        ({"StartAt": "Z", "States": {"A": WHO}}, "StartAt value Z not found"),
        ({"StartAt": "A", "States": {"A": {"Type": "Wish", "End": True}}}, "Wish"),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}, "No state found named"),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True, "Sleep": 1}}}, "Sleep"),
        (
            {"StartAt": "A", "States": {"A": {**WHO, "Resource": SAGEMAKER, "Parameters": {"TrainingJob": "x"}}}},
            "'TrainingJob' is not supported by Step Functions",
        ),
        (
            {"StartAt": "A", "States": {"A": {**WHO, "Resource": SAGEMAKER, "Parameters": {"RoleArn.$": "$.role"}}}},
            "'TrainingJobName' is required but was missing",
        ),
        ({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {**WHO}}}, "Parameters"),
        (
            {
                "QueryLanguage": "JSONata",
                "StartAt": "A",
                "States": {"A": {"Type": "Pass", "Output": "{% ( %}", "End": True}},
            },
            "cannot be parsed",
        ),
    ],
)
def test_a_wrong_definition_is_refused_when_it_is_made(machines, definition, message):
    with pytest.raises(ClientError, match=f"InvalidDefinition.*{message}"):
        machines.machine("wrong", definition, machines.role("wrong"))
    text = definition if isinstance(definition, str) else json.dumps(definition)
    told = machines.api.validate_state_machine_definition(definition=text)
    assert told["result"] == "FAIL"
    assert message in str(told["diagnostics"])


@pytest.mark.parametrize(
    "state",
    [
        {**WHO, "Resource": "arn:aws:states:::lambda:invoke"},
        {**WHO, "Resource": "arn:aws:states:::aws-sdk:ec2:runInstances"},
        {**WHO, "Resource": "arn:aws:states:::aws-sdk:sts:getCallerIdentity.waitForTaskToken"},
        {**WHO, "Credentials": {"RoleArn": "arn:aws:iam::111122223333:role/x"}},
        {"Type": "Pass", "QueryLanguage": "JSONata", "Assign": {"x": 1}, "End": True},
    ],
)
def test_what_is_not_served_is_refused_by_name(machines, state):
    with pytest.raises(ClientError, match=r"NotImplemented.*the embedded AWS does not do this: .* at /States/A"):
        machines.machine("other", {"StartAt": "A", "States": {"A": state}}, machines.role("other"))


def test_input_is_checked_by_patterns_and_handed_on(machines):
    checked = "$contains($states.input.run, /^[a-z0-9]{4}$/)"
    states = {
        "Check": {
            "Type": "Choice",
            "Choices": [{"Condition": f"{{% {checked} %}}", "Next": "Go"}],
            "Default": "No",
        },
        "Go": {"Type": "Pass", "Output": {"name": "{% 'fl-' & $states.input.run %}"}, "End": True},
        "No": {"Type": "Fail", "Error": "Run", "Cause": "{% 'run is ' & $string($states.input.run) %}"},
    }
    machine = machines.machine(
        "checks", {"QueryLanguage": "JSONata", "StartAt": "Check", "States": states}, machines.role("checks")
    )
    assert json.loads(machines.run(machine, {"run": "ab12"})["output"]) == {"name": "fl-ab12"}
    for wrong in ("ab", "AB12", 'a"b', "a' & 'b", "{% 1 %}"):
        ended = machines.run(machine, {"run": wrong})
        assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", "Run", f"run is {wrong}")
    for odd in ({"run": 7}, {}, [], None):  # no text is no argument of $contains
        assert machines.run(machine, odd)["error"] == "States.QueryEvaluationError"


def test_names_of_executions_are_used_once(machines):
    machine = machines.machine("named", LONG, machines.role("named"))
    first = machines.api.start_execution(stateMachineArn=machine, name="one", input="{}")
    same = machines.api.start_execution(stateMachineArn=machine, name="one", input="{}")
    assert same["executionArn"] == first["executionArn"]
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        machines.api.start_execution(stateMachineArn=machine, name="one", input='{"a": 1}')
    machines.api.stop_execution(executionArn=first["executionArn"])
    assert machines.ended(first)["status"] == "ABORTED"
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        machines.api.start_execution(stateMachineArn=machine, name="one", input="{}")
    with pytest.raises(ClientError, match="InvalidName"):
        machines.api.start_execution(stateMachineArn=machine, name="a b")
    with pytest.raises(ClientError, match="InvalidExecutionInput"):
        machines.api.start_execution(stateMachineArn=machine, input="{")
    (listed,) = machines.api.list_executions(stateMachineArn=machine, statusFilter="ABORTED")["executions"]
    assert listed["name"] == "one"


def test_a_machine_of_this_name_is_the_same_or_another(machines):
    role = machines.role("same")
    arn = machines.machine("same", LONG, role)
    assert machines.machine("same", LONG, machines.role("other")) == arn
    assert machines.api.describe_state_machine(stateMachineArn=arn)["roleArn"] == role
    with pytest.raises(ClientError, match="StateMachineAlreadyExists"):
        machines.machine("same", {"StartAt": "A", "States": {"A": WHO}}, role)
    with pytest.raises(ClientError, match="StateMachineTypeNotSupported"):
        machines.api.create_state_machine(name="fast", definition=json.dumps(LONG), roleArn=role, type="EXPRESS")
    for missing in (f"{arn}s", f"{arn}:1"):
        with pytest.raises(ClientError, match="StateMachineDoesNotExist"):
            machines.api.start_execution(stateMachineArn=missing)


def test_history_comes_in_pages_and_in_both_orders(machines):
    states = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "End": True}}
    machine = machines.machine("two", {"StartAt": "A", "States": states}, machines.role("two"))
    execution = {"executionArn": machines.run(machine)["executionArn"]}
    events = machines.api.get_execution_history(**execution)["events"]
    assert [event["type"] for event in events][:2] == ["ExecutionStarted", "PassStateEntered"]
    newest = machines.api.get_execution_history(**execution, reverseOrder=True, maxResults=1)
    assert newest["events"] == events[-1:]
    pages = machines.api.get_paginator("get_execution_history").paginate(**execution, PaginationConfig={"PageSize": 2})
    assert [event for page in pages for event in page["events"]] == events


def test_a_stack_makes_changes_and_deletes_a_machine(aws):
    desk = StackDesk(aws.session("client-1"))
    lets = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    }
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", **lets}}}
    definition = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": "${Word}", "End": True}}}
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "StateMachineName": "of-a-stack",
            "DefinitionString": json.dumps(definition),
            "DefinitionSubstitutions": {"Word": "one"},
            "RoleArn": {"Fn::GetAtt": ["R", "Arn"]},
            "Tags": [{"Key": "of", "Value": "owner"}],
        },
    }
    outputs = {"Outputs": {"Machine": {"Value": {"Ref": "M"}}, "Name": {"Value": {"Fn::GetAtt": ["M", "Name"]}}}}
    body = json.dumps({**json.loads(template(R=role, M=machine)), **outputs})
    assert desk.create("machine", body)["StackStatus"] == "CREATE_COMPLETE", desk.reasons("machine")
    arn = desk.outputs("machine")["Machine"]
    assert desk.outputs("machine")["Name"] == "of-a-stack"
    api = desk.client("stepfunctions")
    assert '"one"' in api.describe_state_machine(stateMachineArn=arn)["definition"]
    assert {"key": "of", "value": "owner"} in api.list_tags_for_resource(resourceArn=arn)["tags"]
    machine["Properties"] |= {"DefinitionSubstitutions": {"Word": "two"}, "Tags": []}
    body = json.dumps({**json.loads(template(R=role, M=machine)), **outputs})
    assert desk.update("machine", body)["StackStatus"] == "UPDATE_COMPLETE", desk.reasons("machine")
    assert '"two"' in api.describe_state_machine(stateMachineArn=arn)["definition"]
    assert all(tag["key"] != "of" for tag in api.list_tags_for_resource(resourceArn=arn)["tags"])
    assert desk.delete("machine")["StackStatus"] == "DELETE_COMPLETE", desk.reasons("machine")
    assert api.list_state_machines()["stateMachines"] == []


def test_definitions_that_are_read_at_the_same_time_do_not_touch_each_other(monkeypatch):
    """moto's readers share one list: an execution's thread died unseen, and it stayed RUNNING (moto 5.2.5)."""
    monkeypatch.setattr(Preprocessor, "__init__", Preprocessor.__init__)  # as it was, afterwards
    interpreter.install("http://127.0.0.1:1")
    one, other = Preprocessor(), Preprocessor()
    one._query_language_per_scope.append(QueryLanguage())
    assert other._query_language_per_scope == []


def test_executions_that_begin_at_the_same_time_all_end(machines):
    states = {f"S{number}": {"Type": "Pass", "Next": f"S{number + 1}"} for number in range(20)}
    many = {"StartAt": "S0", "QueryLanguage": "JSONPath", "States": states | {"S20": END}}
    machine = machines.machine("many", many, machines.role("many"))
    with ThreadPoolExecutor(max_workers=16) as pool:
        executions = list(pool.map(lambda _: machines.api.start_execution(stateMachineArn=machine), range(64)))
    ended = [machines.ended(execution)["status"] for execution in executions]
    assert ended == ["SUCCEEDED"] * 64
