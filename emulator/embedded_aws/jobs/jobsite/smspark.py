"""smspark-submit of SageMaker's Spark processing image: the given application, run by the local Spark of this machine.

Runs as ``python smspark.py ROOT ARGUMENTS...``, where ROOT is ``/opt/ml``, the arguments are those of
``smspark-submit``, and ``SPARK_HOME`` says where Spark is. The master is ``local[*]`` where the image has YARN: one
process with a thread for each core. What the image's program knows and this one does not act on is refused by name.

Source: aws/sagemaker-spark-container, ``smspark/cli.py``, ``job.py``, ``bootstrapper.py``, read.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

LISTS = ("--jars", "--py-files", "--files")
VALUES = (*LISTS, "--class", "--local-spark-event-logs-dir")
FLAGS = {"-v": "--verbose", "--verbose": "--verbose"}
CONFIGURATION = "processing/input/conf/configuration.json"


class Refused(Exception):
    """What this program does not do; says what."""


def parsed(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the options, and the application with its own arguments: all from the first word that is no option.

    >>> parsed(["--py-files", "/a", "--class=Main", "-v", "/app.py", "--py-files", "x"])
    ({'--py-files': '/a', '--class': 'Main', '--verbose': ''}, ['/app.py', '--py-files', 'x'])
    """
    options: dict[str, str] = {}
    left = list(arguments)
    while left and left[0].startswith("-"):
        name, equals, value = left.pop(0).partition("=")
        if name in FLAGS:
            options[FLAGS[name]] = ""
            continue
        if name not in VALUES:
            raise Refused(f"the embedded AWS does not act on {name} of smspark-submit")
        if not equals and not left:
            raise Refused(f"smspark-submit: {name} needs a value")
        options[name] = value if equals else left.pop(0)
    if not left:
        raise Refused("smspark-submit: missing parameter: app")
    return options, left


def files_of(paths: str) -> str:
    """Spell a list of paths as Spark wants it: of a folder, every file in it."""
    found: list[str] = []
    for text in paths.split(","):
        path = Path(text.removeprefix("file://"))
        if "://" in str(path) or text.startswith(("s3:", "s3a:")):
            raise Refused(f"the embedded AWS's Spark reads files: {text} must come as an input of the job")
        if not path.is_absolute():
            raise Refused(f"file path {text} must be an absolute path to a file or directory")
        if not path.exists():
            raise Refused(f"file path {text} does not exist")
        inside = sorted(str(one) for one in path.iterdir() if one.is_file()) if path.is_dir() else [str(path)]
        if not inside:
            raise Refused(f"Found zero files in {text}")
        found += inside
    return ",".join(found)


def configured(file: Path) -> dict[str, str]:
    """Return the Spark settings of the job's configuration.json, if it has one."""
    if not file.is_file():
        return {}
    content = json.loads(file.read_text())
    settings: dict[str, str] = {}
    for part in [content] if isinstance(content, dict) else content:
        if part.get("Classification") != "spark-defaults" or part.get("Configurations"):
            raise Refused(f"the embedded AWS does not act on {part.get('Classification')} of configuration.json")
        settings |= part.get("Properties") or {}
    if "spark.master" in settings:
        raise Refused("the embedded AWS does not act on spark.master of configuration.json")
    return settings


def command(root: str, arguments: list[str]) -> list[str]:
    """Return the spark-submit command."""
    options, application = parsed(arguments)
    settings = {"spark.ui.enabled": "false"} | configured(Path(root, CONFIGURATION))
    if events := options.pop("--local-spark-event-logs-dir", ""):
        Path(events).mkdir(parents=True, exist_ok=True)
        settings |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": Path(events).as_uri()}
        settings.setdefault("spark.eventLog.compress", "false")  # as the image's Spark 3 has it
    words = [os.path.join(os.environ["SPARK_HOME"], "bin", "spark-submit"), "--master", "local[*]"]  # noqa: PTH118
    for name, value in settings.items():
        words += ["--conf", f"{name}={value}"]
    for name, value in options.items():
        words += [name, *([files_of(value) if name in LISTS else value] if name in VALUES else [])]
    return words + application


def main(root: str, arguments: list[str]) -> int:
    """Run the application; leave in the job's message why it failed, as the image does."""
    try:
        submit = command(root, arguments)
        print(f"smspark-submit: running {' '.join(submit)}", file=sys.stderr, flush=True)
        code = subprocess.run(submit, check=False).returncode
        why = f"(caused by CalledProcessError)\n\nCaused by: Command '{' '.join(submit)}' returned non-zero exit status"
        why = f"Algorithm Error: {why} {code}." if code else ""
    except Refused as refused:
        print(refused, file=sys.stderr)
        code, why = 1, f"Algorithm Error: {refused}"
    if why:
        Path(root, "output", "message").write_text(why)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
