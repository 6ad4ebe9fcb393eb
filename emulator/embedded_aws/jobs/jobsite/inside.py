"""Mount namespace of a processing job: a process with the job's own ``/opt/ml``, which then becomes the job's command.

Runs as ``python inside.py FOLDER COMMAND...``, where ``FOLDER/opt/ml`` is to be ``/opt/ml``. Linux gives a process such
a view of its own: to root, and to anybody where unprivileged user namespaces are allowed. Elsewhere ``/opt/ml`` is
written as the real folder in arguments and variables; what a script itself calls ``/opt/ml`` is not there.
"""

import ctypes
import os
import re
import sys

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
ABOVE = "/opt"
NAME = re.compile(r"(?:(?<=file://)|(?<![\w./]))/opt/ml(?![\w.-])")
WARNING = (
    "embedded AWS: this machine gives a process no /opt/ml of its own. In arguments and in variables of the request it "
    "is written as the folder that stands for it; a script should take its paths from there."
)


def mount(what: str, where: str, flags: int, kind: str | None = None) -> None:
    """Call mount(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(what.encode(), where.encode(), kind and kind.encode(), ctypes.c_ulong(flags), None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), where)


def move_in(folder: str) -> None:
    """Give this process a view in which ``/opt/ml`` is the job's, and all else is as it was."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS if user == 0 else CLONE_NEWNS | CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if user != 0:  # who one is stays the same
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
                file.write(text)
    mount("none", "/", MS_REC | MS_PRIVATE)  # first of all: nothing of this is seen outside
    stage = os.path.join(folder, "stage")  # noqa: PTH118
    mount("tmpfs", stage, 0, "tmpfs")
    for entry in os.scandir(ABOVE):
        place = os.path.join(stage, entry.name)  # noqa: PTH118
        if entry.name == "ml":
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)  # noqa: PTH115,PTH211
            continue
        if entry.is_dir():
            os.mkdir(place)  # noqa: PTH102
        else:
            os.close(os.open(place, os.O_CREAT))
        mount(entry.path, place, MS_BIND | MS_REC)
    os.mkdir(f"{stage}/ml")  # noqa: PTH102
    mount(f"{folder}/opt/ml", f"{stage}/ml", MS_BIND | MS_REC)
    mount(stage, ABOVE, MS_BIND | MS_REC)


def may_move_in(folder: str) -> bool:
    """Tell whether that works here, by doing it in another process."""
    if not sys.platform.startswith("linux"):
        return False
    if (pid := os.fork()) == 0:
        try:
            move_in(folder)
        except Exception:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def rewritten(text: str, folder: str) -> str:
    """Write ``/opt/ml`` as the folder that stands for it, wherever a path begins so.

    >>> rewritten("--in=/opt/ml/processing/in,file:///opt/ml /x/opt/ml /opt/mlx", "/job")
    '--in=/job/opt/ml/processing/in,file:///job/opt/ml /x/opt/ml /opt/mlx'
    """
    return NAME.sub(lambda _: f"{folder}/opt/ml", text)


def main(folder: str, command: list[str]) -> None:
    """Move in if that is possible, and become the command."""
    environment = dict(os.environ)
    if may_move_in(folder):
        move_in(folder)
    else:
        print(WARNING, file=sys.stderr, flush=True)
        command = [rewritten(word, folder) for word in command]
        environment = {name: rewritten(value, folder) for name, value in environment.items()}
    os.execvpe(command[0], command, environment)  # noqa: S606 - no shell


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
