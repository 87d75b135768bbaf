#!/usr/bin/python3
"""Plays the CI hosts for the files in packaging/: takes the shell out of them, has shellcheck read it, and runs it as the host would:
in its environment, first with what an earlier job has left, then cancelled half-way with the host's signals and its patience, until
the SIGKILL to whatever is left of the job, which must find nothing.

    play_host.py REAPCTL PACKAGING"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

REAPCTL = os.path.abspath(sys.argv[1])
PACKAGING = pathlib.Path(sys.argv[2])
SKIPPED = 77

try:
    import yaml
except ImportError:
    print("skipped: python3-yaml is not installed")
    sys.exit(SKIPPED)

# The build of every job: a server in a session of its own, another that hears no signal but SIGKILL, and no end.
MAKE = """#!/bin/sh
setsid sleep 5000 &
setsid sh -c 'trap "" INT TERM; sleep 5000 & wait; wait' &
echo "$@" > "$PLAY/up"
wait
"""


def fill_in(text, inputs):
    """${{ inputs.NAME }}, as the runner of GitHub does before it starts anything."""
    return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda match: str(inputs[match.group(1)]), text)


def github():
    action = yaml.safe_load((PACKAGING / "github/action.yml").read_text())
    inputs = {name: each.get("default") for name, each in action["inputs"].items()}
    inputs["run"] = "make test"
    inputs["options"] = "--no-new-privs --leftovers stop"
    steps = []
    for step in action["runs"]["steps"]:
        environment = {name: fill_in(value, inputs) for name, value in step.get("env", {}).items()}
        steps.append((["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"], environment, fill_in(step["run"], inputs)))
    known = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "1", "GITHUB_JOB": "build", "CI": "true"}
    return "github", known, steps, [(signal.SIGINT, 7.5), (signal.SIGTERM, 2.5)], "main"


def gitlab():
    job = yaml.safe_load((PACKAGING / "gitlab/reapctl.gitlab-ci.yml").read_text())[".reapctl"]
    environment = dict(job["variables"], RUN="make test")
    script = "\n".join(job["before_script"] + job["script"])
    known = {"GITLAB_CI": "true", "CI": "true", "CI_JOB_NAME": "test", "CI_JOB_ID": "7", "CI_PROJECT_PATH": "o/r"}
    return "gitlab", known, [(["bash", "-eo", "pipefail"], environment, script)], [(signal.SIGTERM, 10)], "group"


def jenkins():
    text = (PACKAGING / "jenkins/Jenkinsfile").read_text()
    environment = dict(re.findall(r"(REAPCTL_\w+) = '([^']*)'", text))
    steps = [(["sh", "-xe"], environment, script) for script in re.findall(r"sh '([^']*)'", text)]
    known = {"JENKINS_URL": "http://j/", "BUILD_TAG": "jenkins-test-3", "JOB_NAME": "test", "BUILD_NUMBER": "3"}
    return "jenkins", known, steps, [(signal.SIGTERM, 5)], "all"


def buildkite():
    step = yaml.safe_load((PACKAGING / "buildkite/pipeline.yml").read_text())["steps"][0]
    known = {"BUILDKITE": "true", "CI": "true", "BUILDKITE_BUILD_ID": "b", "BUILDKITE_JOB_ID": "j", "BUILDKITE_PIPELINE_SLUG": "p"}
    return "buildkite", known, [(["bash", "-e"], step["env"], "\n".join(step["command"]))], [(signal.SIGTERM, 10)], "group"


def alive(mark):
    """All processes that carry the mark in their environment or are below one that does; zombies are dead."""
    found, parents = set(), {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = pathlib.Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            environ = pathlib.Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        if stat[0] in "ZX":
            continue
        parents[int(name)] = int(stat[1])
        if mark in environ.split(b"\0"):
            found.add(int(name))
    found.discard(os.getpid())
    return found


def await_that(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.01)


class Play:
    def __init__(self, host):
        self.name, known, self.steps, self.signals, self.whom = host
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="reapctl-ci-"))
        (self.directory / "bin").mkdir()
        (self.directory / "tmp").mkdir()
        (self.directory / "bin/make").write_text(MAKE)
        (self.directory / "bin/make").chmod(0o755)
        os.symlink(REAPCTL, self.directory / "bin/reapctl")
        self.mark = f"PLAY={self.directory}".encode()
        self.environment = {**{name: value for name, value in os.environ.items() if not name.startswith(("REAPCTL_OPT", "GITHUB", "CI"))},
                            **known, "PLAY": str(self.directory), "PATH": f"{self.directory}/bin:{os.environ['PATH']}",
                            "TMPDIR": str(self.directory / "tmp"), "REAPCTL_REGISTRY": str(self.directory / "registry"),
                            "GITHUB_STEP_SUMMARY": str(self.directory / "summary")}

    def check(self, condition, message):
        if not condition:
            raise AssertionError(f"{self.name}: {message}")

    def script(self, number):
        shell, _, text = self.steps[number]
        path = self.directory / f"step{number}.sh"
        path.write_text(f"#!/usr/bin/env {shell[0]}\n{text}\n")
        if shutil.which("shellcheck"):
            subprocess.run(["shellcheck", path], check=True)
        return [*shell, str(path)]

    def run_steps(self, **how):
        """All steps but the last one, then the last one, which goes on."""
        for number in range(len(self.steps) - 1):
            environment = {**self.environment, **self.steps[number][1]}
            subprocess.run(self.script(number), env=environment, check=True, timeout=60, **how)
        environment = {**self.environment, **self.steps[-1][1]}
        return subprocess.Popen(self.script(len(self.steps) - 1), env=environment, start_new_session=True, **how)

    def await_build(self):
        await_that((self.directory / "up").exists, 30, f"{self.name}: the build is up")
        (self.directory / "up").unlink()

    def leave_something(self):
        """An earlier job whose reapctl was killed."""
        earlier = subprocess.Popen(["reapctl", "run", "--report", "none", "--", "make", "yesterday"], env=self.environment,
                                   executable=REAPCTL, start_new_session=True)
        self.await_build()
        children = pathlib.Path(f"/proc/{earlier.pid}/task/{earlier.pid}/children").read_text().split()
        os.kill(earlier.pid, signal.SIGSTOP)
        for pid in [*map(int, children), earlier.pid]:
            os.kill(pid, signal.SIGKILL)
        earlier.wait()
        await_that(lambda: len(alive(self.mark)) >= 4, 20, f"{self.name}: the earlier job is complete")
        return alive(self.mark)

    def cancel(self, job):
        began = time.monotonic()
        for number, patience in self.signals:
            if self.whom == "main":
                os.kill(job.pid, number)
            elif self.whom == "group":
                os.killpg(job.pid, number)
            else:  # whoever has the job's cookie in its environment
                for pid in alive(self.mark):
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        pass
            try:
                job.wait(patience)
                break
            except subprocess.TimeoutExpired:
                pass
        took = time.monotonic() - began
        left = alive(self.mark)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.check(job.poll() is not None and not left, f"left for the SIGKILL of the host: {left}")
        return took

    def play(self):
        left = self.leave_something()
        output = open(self.directory / "output", "w+b")
        job = self.run_steps(stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.await_build()
        self.check(not left & alive(self.mark), "what the earlier job has left is still there")
        took = self.cancel(job)
        text = (self.directory / "output").read_text()
        self.check("was stopped by" in text and "nothing left" in text, f"no report: {text}")
        if self.name == "github":
            self.check("::warning title=reapctl sweep::Killed" in text, f"no annotation: {text}")
            self.check("reapctl sweep" in (self.directory / "summary").read_text(), "no summary of the step")
        else:
            self.check("of 1 orphaned run" in text, f"the sweep says nothing: {text}")
        self.check([path.name for path in (self.directory / "registry").iterdir()] == [], "something is on record")
        self.check(not list((self.directory / "tmp").iterdir()), "a directory is left")
        window = sum(patience for _, patience in self.signals)
        print(f"{self.name}: {len(left)} processes of an earlier job swept; cancelled, and gone after {took:.1f} s of {window:g} s", flush=True)


def main():
    failures = []

    def guarded(host):
        play = Play(host)
        try:
            play.play()
        except BaseException as failure:  # in a thread nobody else would hear of it
            failures.append(f"{play.name}: {failure!r}")
        finally:
            for pid in alive(play.mark):
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(play.directory)

    hosts = [threading.Thread(target=guarded, args=(host(),)) for host in (github, gitlab, jenkins, buildkite)]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    for failure in failures:
        print(failure)
    sys.exit(1 if failures else 0)


main()
