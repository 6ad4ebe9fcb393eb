"""CloudFormation's API: change sets."""

from __future__ import annotations

from moto.core.responses import ActionResult

from embedded_aws.services.cloudformation.asked import Asked
from embedded_aws.stacks.changesets import NOTHING_TO_DO, ChangeSet
from embedded_aws.stacks.engine import Deployment, begin
from embedded_aws.stacks.errors import AlreadyExists, ChangeSetNotFound, InvalidChangeSetStatus
from embedded_aws.stacks.state import Stack


class ChangeSetRequests(Asked):
    """Change sets are made, told, executed and deleted."""

    def create_change_set(self) -> ActionResult:
        """CreateChangeSet; one without changes ends FAILED."""
        kind = self._get_param("ChangeSetType") or "UPDATE"
        name, stack_name = self._get_param("ChangeSetName"), self._get_param("StackName")
        if kind not in ("CREATE", "UPDATE"):
            raise NotImplementedError(f"ChangeSetType {kind}")
        if kind == "CREATE":
            stack = self._book.get(stack_name)
            if stack is None or stack.status != "REVIEW_IN_PROGRESS":
                stack = Stack(self._new_name(), self.current_account, self.region)
            before = None
        else:
            stack = before = self._book.find(stack_name)
            self._check_updatable(stack)
        wanted = self._wanted(before)
        if name in stack.change_sets:
            raise AlreadyExists(f"ChangeSet {name} cannot be created due to a mismatch with existing attribute Name")
        changes = self._plan(stack, wanted, Deployment(stack, self._clients, self._book))
        nothing = before is not None and not changes and self._same(stack, wanted)
        change_set = ChangeSet(
            name,
            stack,
            kind,
            wanted,
            self._get_param("Description"),
            changes,
            status="FAILED" if nothing else "CREATE_COMPLETE",
            reason=NOTHING_TO_DO if nothing else None,
        )
        with self._book.lock:
            if before is None and self._book.get(stack.id) is None:
                self._book.add(stack)
                stack.turn("REVIEW_IN_PROGRESS", "User Initiated")
            stack.change_sets[name] = change_set
        return ActionResult({"Id": change_set.id, "StackId": stack.id})

    def describe_change_set(self) -> ActionResult:
        """DescribeChangeSet."""
        return ActionResult(self._change_set(self._get_param("ChangeSetName")).describe())

    def list_change_sets(self) -> ActionResult:
        """ListChangeSets."""
        stack = self._book.find(self._get_param("StackName"))
        return self._page("Summaries", [change_set.summary() for change_set in stack.change_sets.values()])

    def delete_change_set(self) -> ActionResult:
        """DeleteChangeSet."""
        change_set = self._change_set(self._get_param("ChangeSetName"))
        change_set.stack.change_sets.pop(change_set.name, None)
        return ActionResult({})

    def execute_change_set(self) -> ActionResult:
        """ExecuteChangeSet; the stack's other change sets are gone afterwards, as they speak of what was."""
        change_set = self._change_set(self._get_param("ChangeSetName"))
        stack = change_set.stack
        with self._book.lock:
            if change_set.execution != "AVAILABLE":
                raise InvalidChangeSetStatus(
                    f"ChangeSet [{change_set.id}] cannot be executed in its current status of [{change_set.status}]"
                )
            create = stack.status == "REVIEW_IN_PROGRESS"
            if not create:
                self._check_updatable(stack)
            change_set.execution = "EXECUTE_COMPLETE"
            stack.change_sets = {change_set.name: change_set}
            stack.made_by = change_set.id
            deployment = Deployment(stack, self._clients, self._book)
            if create:
                stack.wanted = change_set.wanted
                begin(stack, "CREATE_IN_PROGRESS", deployment.create, reason="User Initiated")
            else:
                wanted = change_set.wanted
                begin(stack, "UPDATE_IN_PROGRESS", lambda: deployment.update(wanted), reason="User Initiated")
        return ActionResult({})

    def _change_set(self, name_or_id: str) -> ChangeSet:
        stack_name = self._get_param("StackName")
        stacks = [self._book.find(stack_name)] if stack_name else list(self._book)
        for stack in stacks:
            for change_set in stack.change_sets.values():
                if change_set.id == name_or_id or (stack_name and change_set.name == name_or_id):
                    return change_set
        raise ChangeSetNotFound(f"ChangeSet [{name_or_id}] does not exist")
