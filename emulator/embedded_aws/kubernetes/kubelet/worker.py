"""Life of one pod on its node: prepare, start, watch, start again, end.

Source: Kubernetes documentation, "Pod Lifecycle": phases, conditions, restarts, termination.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Any

from embedded_aws.kubernetes import deleting
from embedded_aws.kubernetes.controllers.desk import Desk, with_condition
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.kubelet import environment, probes
from embedded_aws.kubernetes.kubelet.container import Container, Start
from embedded_aws.kubernetes.kubelet.host import Attachment, Host, Identity, Image, NoNetwork, PullError
from embedded_aws.kubernetes.kubelet.probing import Prober
from embedded_aws.kubernetes.kubelet.volumes import Missing, Volumes
from embedded_aws.kubernetes.kubelet.within import within
from embedded_aws.kubernetes.store import Object, stamp

POD = named("Pod")
SOURCE = "kubelet"
RETRY, LONGEST_RETRY = 0.5, 5.0  # seconds between two attempts to prepare a pod
LOOK = 1.0  # seconds after which volumes are compared with their sources
END_SECONDS = 5.0  # for a process that has been sent SIGKILL
log = logging.getLogger(__name__)


class Worker:
    """Sees a pod through.

    Parameters
    ----------
    desk : Desk
    host : Host
    pod : dict
        As it was when it came.
    folder : Path
        Its own.
    """

    def __init__(self, desk: Desk, host: Host, pod: Object, folder: Path) -> None:
        self.desk, self.host, self.pod, self.folder = desk, host, pod, folder
        self.space, self.name, self.uid = (pod["metadata"][key] for key in ("namespace", "name", "uid"))
        self.spec = pod["spec"]
        self._cv = threading.Condition()
        self._grace: float | None = None  # seconds that processes have, once the pod is to end
        self._changes = 0
        self.volumes = Volumes(desk.store, pod, folder / "volumes")
        self.init = [self._container(each) for each in self.spec.get("initContainers", ())]
        self.containers = [self._container(each) for each in self.spec["containers"]]
        self._images: dict[str, Image] = {}
        self._attachment: Attachment | None = None
        self._identity: Identity | None = None
        self._probers: list[Prober] = []
        self._phase = "Pending"
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pod {self.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, grace: float) -> None:
        """Have the pod end within ``grace`` seconds; sooner if that was said before."""
        with self._cv:
            deadline = time.monotonic() + grace
            if self._grace is None or deadline < self._grace:
                self._grace = deadline
                self._changes += 1
                self._cv.notify_all()

    def find(self, container: str) -> Container | None:
        """Return a container by its name; without one the first."""
        every = [*self.containers, *self.init]
        return next((each for each in every if container in ("", each.name)), None)

    def _container(self, spec: Object) -> Container:
        return Container(spec, self.folder / "logs" / spec["name"], self._changed)

    def _changed(self) -> None:
        with self._cv:
            self._changes += 1
            self._cv.notify_all()

    def _run(self) -> None:
        try:
            if self._prepare():
                self._live()
        except Exception:
            log.exception("pod %s/%s", self.space, self.name)
            self._phase = "Failed"
        finally:
            self._clean_up()

    def _prepare(self) -> bool:
        """Get ready all that the pod needs; return False if it is to end before that."""
        pause, told = RETRY, ""
        self._tell(startTime=stamp(self.desk.store.now()))
        while not self._ending:
            try:
                self.volumes.fill()
                if self._attachment is None:
                    self._attachment = self.host.attach(self.pod)
                    self._identity = self.host.identify(self.pod)
                for container in [*self.init, *self.containers]:
                    self._pull(container)
            except (Missing, NoNetwork, PullError) as error:
                if str(error) != told:
                    told = str(error)
                    self.desk.event(self.pod, _reason(error), told, warning=True, source=SOURCE)
                if not isinstance(error, PullError):
                    for container in [*self.init, *self.containers]:
                        container.wait_for("ContainerCreating")
                self._tell()
                self._pause(pause)
                pause = min(2 * pause, LONGEST_RETRY)
            else:
                return True
        return False

    def _pull(self, container: Container) -> None:
        reference = container.spec["image"]
        if reference in self._images:
            return
        try:
            image = self.host.pull(reference, self.pod)
        except PullError as error:
            first = container.wait_for("ErrImagePull", str(error))
            if not first:
                container.wait_for("ImagePullBackOff", f'Back-off pulling image "{reference}": {error}')
            raise PullError(f'Failed to pull image "{reference}": {error}') from error
        self._images[reference] = image
        self.desk.event(self.pod, "Pulled", f'Successfully pulled image "{reference}"', source=SOURCE)

    @property
    def _ending(self) -> bool:
        return self._grace is not None

    def _live(self) -> None:
        for container in self.init:
            if not self._run_init(container):
                return
        for container in self.containers:
            self._launch(container)
        self._tell()
        while True:
            before = self._changes
            waits = [wait for container in self.containers if (wait := self._look_after(container)) is not None]
            self._refresh()
            self._conclude()
            self._tell()
            if self._ending or self._phase in ("Succeeded", "Failed"):
                return
            with self._cv:
                self._cv.wait_for(lambda before=before: self._changes != before, timeout=min([LOOK, *waits]))

    def _run_init(self, container: Container) -> bool:
        """Run an init container until it has succeeded; return False if the pod is over before."""
        self._launch(container)
        while not self._ending:
            self._tell()
            before = self._changes
            if container.exit_code == 0:
                return True
            if container.exit_code is not None and self.spec.get("restartPolicy") == "Never":
                self._phase = "Failed"
                self._tell()
                return False
            wait = self._look_after(container, init=True)
            with self._cv:
                self._cv.wait_for(lambda before=before: self._changes != before, timeout=wait or LOOK)
        return False

    def _look_after(self, container: Container, *, init: bool = False) -> float | None:
        """Start a container again if it has ended and should not have; return the seconds until then."""
        if container.restart_at is not None:
            wait = container.restart_at - time.monotonic()
            if wait > 0:
                return wait
            self._launch(container)
            return None
        code, policy = container.exit_code, self.spec.get("restartPolicy", "Always")
        if code is None or policy == "Never" or (code == 0 and (policy == "OnFailure" or init)):
            return None
        wait = container.plan_restart(self.desk.pace.before_restart)
        if wait:
            message = f"Back-off restarting failed container {container.name} in pod {self.name}"
            self.desk.event(self.pod, "BackOff", message, warning=True, source=SOURCE)
        return wait

    def _launch(self, container: Container) -> None:
        image = self._images[container.spec["image"]]
        container.image_id = f"{container.spec['image'].partition('@')[0]}@{image.digest}"
        try:
            start = self._start_of(container, image)
            container.start(start)
        except Missing as error:
            container.wait_for("CreateContainerConfigError", str(error))
            container.restart_at = time.monotonic() + RETRY
            return
        except OSError as error:
            container.wait_for("RunContainerError", f"{type(error).__name__}: {error.strerror}")
            container.restart_at = time.monotonic() + LONGEST_RETRY
            return
        self.desk.event(self.pod, "Started", f"Started container {container.name}", source=SOURCE)
        self._probe(container, start)

    def _start_of(self, container: Container, image: Image) -> Start:
        attachment, identity = self._attachment, self._identity
        assert attachment is not None  # noqa: S101 - `_prepare` has seen to both
        assert identity is not None  # noqa: S101
        mounts = self.volumes.mounts(container.spec)
        paths = environment.Paths(image, mounts)
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        # Where processes share this machine's network, a pod's address is one of this machine's.
        pod = {**self.pod, "status": {"podIP": attachment.local, "podIPs": [{"ip": attachment.local}]}}
        asked = environment.variables(self.desk.store, pod, container.spec, image)
        files = self.folder / "identity"
        files.mkdir(parents=True, exist_ok=True)
        for name, content in identity.files.items():
            (files / name).write_text(content)
        own = {name: value.replace("{files}", str(files)) for name, value in identity.environment.items()}
        machine = environment.machine(home)
        whole = {
            **machine, "HOSTNAME": self.name, **{name: paths.real(value) for name, value in asked.items()},
            "PATH": machine["PATH"], **own, **attachment.environment,
        }  # fmt: skip
        words = environment.command(container.spec, image, asked)
        folder = paths.folder(container.spec.get("workingDir") or image.folder)
        return Start(words, whole, machine, folder, attachment.namespace, paths.real, paths.seen)

    def _probe(self, container: Container, start: Start) -> None:
        attachment = self._attachment
        assert attachment is not None  # noqa: S101
        for prober in [each for each in self._probers if each.container is container]:
            prober.stop()
            self._probers.remove(prober)
        ports = {port["name"]: port["containerPort"] for port in container.spec.get("ports", ()) if "name" in port}
        target = probes.Target(
            start.environment, start.folder, attachment.local, ports, start.real,
            lambda act: within(attachment.namespace, act),
        )  # fmt: skip
        prober = Prober(container, target, self._changed, self._unhealthy)
        self._probers.append(prober)
        prober.start()

    def _unhealthy(self, container: Container, kind: str, why: str) -> None:
        self.desk.event(self.pod, "Unhealthy", f"{kind.capitalize()} probe failed: {why}", warning=True, source=SOURCE)

    def _refresh(self) -> None:
        with contextlib.suppress(Missing):  # what a pod has, it keeps
            self.volumes.fill()

    def _conclude(self) -> None:
        codes = [container.exit_code for container in self.containers]
        if all(code is not None for code in codes) and not any(each.restart_at for each in self.containers):
            self._phase = "Failed" if any(codes) else "Succeeded"
        else:
            self._phase = "Running"

    def _clean_up(self) -> None:
        """End every process, give back what was borrowed; take the pod out if it is to go."""
        for prober in self._probers:
            prober.stop()
        running = [each for each in [*self.containers, *self.init] if each.process]
        for container in running:
            if process := container.process:
                process.ask_to_end()
        if running:
            self.desk.event(self.pod, "Killing", "Stopping container " + running[0].name, source=SOURCE)
            left = max(0.0, (self._grace or 0.0) - time.monotonic())
            self._wait_for_ends(running, left)
            for container in running:
                if process := container.process:
                    process.kill()
            self._wait_for_ends(running, END_SECONDS)
        if self._ending and self._phase not in ("Succeeded", "Failed"):
            codes = [each.exit_code for each in self.containers]
            self._phase = "Succeeded" if codes and all(code == 0 for code in codes) else "Failed"
        self._tell()
        if self._identity:
            self._identity.forget()
        if self._attachment:
            self._attachment.detach()
        with self._cv:
            self._cv.wait_for(lambda: self._ending)  # logs of a pod that is over stay until it is deleted
        self.volumes.remove()
        deleting.finish(self.desk.store, self.space, self.name, self.uid)
        self.ended.set()

    def _wait_for_ends(self, containers: list[Container], seconds: float) -> None:
        with self._cv:
            self._cv.wait_for(lambda: not any(each.process for each in containers), timeout=seconds)

    def _pause(self, seconds: float) -> None:
        with self._cv:
            self._cv.wait_for(lambda: self._ending, timeout=seconds)

    def _tell(self, **more: Any) -> None:
        """Write the pod's status, if it is still this pod's."""
        ready = self._phase == "Running" and all(each.ready for each in self.containers)
        initialized = all(each.exit_code == 0 for each in self.init)
        over = self._phase == "Succeeded"
        why = "" if ready else "PodCompleted" if over else "ContainersNotReady"
        unready = [each.name for each in self.containers if not each.ready]
        message = "" if ready or over else f"containers with unready status: [{' '.join(unready)}]"

        def tell(pod: Object) -> None:
            if pod["metadata"]["uid"] != self.uid:
                return
            status = pod.setdefault("status", {})
            conditions = status.get("conditions", [])
            now = self.desk.now
            for name, value, reason, text in (
                ("Initialized", initialized, "" if initialized else "ContainersNotInitialized", ""),
                ("ContainersReady", ready, why, message),
                ("Ready", ready, why, message),
            ):
                conditions = with_condition(conditions, name, str(value), reason, text, now=now)
            status |= {"phase": self._phase, "conditions": conditions, **more}
            status["containerStatuses"] = [each.status() for each in self.containers]
            if self.init:
                status["initContainerStatuses"] = [each.status() for each in self.init]
            if self._attachment:
                status |= {"podIP": self._attachment.address, "podIPs": [{"ip": self._attachment.address}]}
            status.setdefault("qosClass", _quality(self.spec))
            status.setdefault("hostIP", self._node_address())

        self.desk.store.change(POD, self.space, self.name, tell)

    def _node_address(self) -> str:
        node = self.desk.store.find(named("Node"), "", self.spec.get("nodeName", ""))
        addresses = (node or {}).get("status", {}).get("addresses", ())
        return next((each["address"] for each in addresses if each["type"] == "InternalIP"), "")


def _reason(error: Exception) -> str:
    if isinstance(error, NoNetwork):
        return "FailedCreatePodSandBox"
    return "Failed" if isinstance(error, PullError) else "FailedMount"


def _quality(spec: Object) -> str:
    """Return the class of a pod by its requests and limits."""
    resources = [container.get("resources", {}) for container in spec["containers"]]
    if not any(each.get("requests") or each.get("limits") for each in resources):
        return "BestEffort"
    same = all(
        each.get("limits") and {"cpu", "memory"} <= each["limits"].keys()
        and all(each.get("requests", {}).get(name) == each["limits"][name] for name in ("cpu", "memory"))
        for each in resources
    )  # fmt: skip
    return "Guaranteed" if same else "Burstable"
