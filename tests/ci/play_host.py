#!/usr/bin/python3
"""Plays the CI hosts for the files in packaging/: takes the shell out of them, has shellcheck read it, and runs it as the host would:
in its environment, first with what an earlier job has left, then cancelled half-way with the host's signals and its patience, after
which nothing must be left. What each host does is what its source says: actions/runner (ProcessInvoker), gitlab-runner (shell
executor), jenkinsci/jenkins (ProcessTree) with the durable-task plugins, buildkite/agent (3.67 or newer).

    play_host.py REAPCTL PACKAGING"""
import os
import pathlib
import re
import shutil
import pty
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

# The build of every job: a server in a session of its own, another that hears no signal but SIGKILL, and no end. Or a failure.
MAKE = """#!/bin/sh
[ -z "$PLAY_FAILURE" ] || exit "$PLAY_FAILURE"
setsid sleep 5000 &
setsid sh -c 'trap "" INT TERM; sleep 5000 & : > "$PLAY/up"; wait; wait' &
wait
"""


class Host:
    """Who runs the steps: each is (command in front of the script, environment, script). The last one is cancelled."""

    def __init__(self, name, environment, steps, on_terminal=False):
        self.name, self.environment, self.steps, self.on_terminal = name, environment, steps, on_terminal

    def command(self, shell, script):
        return [*shell, str(script)]

    def cancel(self, play, job):
        """Signals until the job is over; False when it was not in time."""
        for number, patience in self.signals:
            self.send(job.pid, number)
            if job.is_over(patience):
                return True
        return False


def fill_in(text, inputs):
    """${{ inputs.NAME }}, as the runner of GitHub does before it starts anything."""
    return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda match: str(inputs[match.group(1)]), text)


class GitHub(Host):
    """Tells the shell of the step alone."""

    signals = [(signal.SIGINT, 7.5), (signal.SIGTERM, 2.5)]
    send = staticmethod(os.kill)


class GitLab(Host):
    """The script is the end of a pipeline in a shell, the group hears the signal, and the job is over when nobody holds its output
    any more. Its own patience of 10 minutes is more than anybody's who waits for the runner."""

    signals = [(signal.SIGTERM, 10)]
    send = staticmethod(os.killpg)

    def command(self, shell, script):
        return [*shell, "-c", ': | eval "$1"', "bash", script.read_text()]


class Buildkite(Host):
    """On a terminal, below a shell with a trap."""

    signals = [(signal.SIGTERM, 9)]
    send = staticmethod(os.killpg)

    def command(self, shell, script):
        script.chmod(0o755)
        return [*shell, "-c", f"trap 'kill -- $$' INT TERM QUIT; {script}"]


class Jenkins(Host):
    """SIGTERM to whoever carries the cookie of the step, one after the other and the children first, each with what is left of 5 s;
    nobody is killed. 20 s after the request the step is over, whatever still runs."""

    def cancel(self, play, job):
        over = time.monotonic() + 20
        parents = parents_of_all()

        def kill(pid, deadline):
            for child in sorted(each for each, parent in parents.items() if parent == pid):
                kill(child, deadline)
            pause = 0.01
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                return
            while os.path.exists(f"/proc/{pid}/status"):
                job.is_over(pause)
                pause = min(2 * pause, 1)
                if time.monotonic() >= deadline:
                    return

        for root in sorted(alive(play.mark)):
            kill(root, time.monotonic() + 5)
        return job.is_over(over - time.monotonic())


def github():
    action = yaml.safe_load((PACKAGING / "github/action.yml").read_text())
    inputs = {name: each.get("default") for name, each in action["inputs"].items()}
    inputs["run"] = "make test | cat"
    inputs["options"] = "--no-new-privs --leftovers stop"
    steps = []
    for step in action["runs"]["steps"]:
        environment = {name: fill_in(value, inputs) for name, value in step.get("env", {}).items()}
        steps.append((["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"], environment, fill_in(step["run"], inputs)))
    known = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "1", "GITHUB_JOB": "build", "CI": "true"}
    return GitHub("github", known, steps)


def gitlab():
    job = yaml.safe_load((PACKAGING / "gitlab/reapctl.gitlab-ci.yml").read_text())[".reapctl"]
    environment = dict(job["variables"], RUN="make test")
    script = "\n".join(job["before_script"] + job["script"])
    known = {"GITLAB_CI": "true", "CI": "true", "CI_JOB_NAME": "test", "CI_JOB_ID": "7", "CI_PROJECT_PATH": "o/r"}
    return GitLab("gitlab", known, [(["bash", "-eo", "pipefail"], environment, script)])


def jenkins():
    text = (PACKAGING / "jenkins/Jenkinsfile").read_text()
    environment = dict(re.findall(r"(REAPCTL_\w+) = '([^']*)'", text))
    steps = [(["sh", "-xe"], environment, script) for script in re.findall(r"sh '([^']*)'", text)]
    known = {"JENKINS_URL": "http://j/", "BUILD_TAG": "jenkins-test-3", "JOB_NAME": "test", "BUILD_NUMBER": "3"}
    return Jenkins("jenkins", known, steps)


def buildkite():
    step = yaml.safe_load((PACKAGING / "buildkite/pipeline.yml").read_text())["steps"][0]
    known = {"BUILDKITE": "true", "CI": "true", "BUILDKITE_BUILD_ID": "b", "BUILDKITE_JOB_ID": "j", "BUILDKITE_PIPELINE_SLUG": "p"}
    return Buildkite("buildkite", known, [(["bash", "-e"], step["env"], "\n".join(["set -e", *step["command"]]))], on_terminal=True)


def parents_of_all():
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(name)] = int(pathlib.Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return parents


def alive(mark):
    """All processes that carry the mark in their environment; zombies are dead."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = pathlib.Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            environ = pathlib.Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        if stat[0] not in "ZX" and mark in environ.split(b"\0"):
            found.add(int(name))
    found.discard(os.getpid())
    return found


def kill_all(mark):
    """Until there is nobody: who is killed may leave children that were just starting. Whom there was."""
    killed = set()
    while found := alive(mark):
        killed |= found
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
    return killed


def await_that(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.01)


class Job:
    """The last step. It is over when its first process has ended and nobody holds its output any more."""

    def __init__(self, command, environment, on_terminal):
        reader, writer = pty.openpty() if on_terminal else os.pipe()
        # The name of a terminal is opened by the leader of a session without one: that makes it its own.
        take_terminal = (lambda: os.close(os.open(os.ttyname(writer), os.O_RDWR))) if on_terminal else None
        self.process = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=take_terminal,
                                        stdin=writer if on_terminal else subprocess.DEVNULL, stdout=writer, stderr=writer)
        os.close(writer)
        self.pid = self.process.pid
        self.output = b""
        self.reader = threading.Thread(target=self.read, args=(reader,), daemon=True)
        self.reader.start()

    def read(self, reader):
        with open(reader, "rb", buffering=0) as stream:
            try:
                while chunk := stream.read(65536):
                    self.output += chunk
            except OSError:  # the other end of a terminal is closed
                pass

    def is_over(self, patience):
        deadline = time.monotonic() + patience
        try:
            self.process.wait(max(patience, 0))
        except subprocess.TimeoutExpired:
            return False
        self.reader.join(max(deadline - time.monotonic(), 0))
        return not self.reader.is_alive()


class Play:
    def __init__(self, host):
        self.host = host
        self.name, known, self.steps = host.name, host.environment, host.steps
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
                            "GITHUB_STEP_SUMMARY": str(self.directory / "summary"),
                            # A user's patience with his build; what bounds it is the --stop-timeout in the file.
                            "REAPCTL_OPT_LADDER": "INT/TERM:60s,KILL"}

    def check(self, condition, message):
        if not condition:
            raise AssertionError(f"{self.name}: {message}")

    def script(self, number):
        shell, _, text = self.steps[number]
        path = self.directory / f"step{number}.sh"
        path.write_text(f"#!/usr/bin/env {shell[0]}\n{text}\n")
        if shutil.which("shellcheck"):
            subprocess.run(["shellcheck", path], check=True)
        return self.host.command(shell, path)

    def fail(self):
        """The status of the last step when the build fails."""
        environment = {**self.environment, **self.steps[-1][1], "PLAY_FAILURE": "3"}
        return subprocess.run(self.script(len(self.steps) - 1), env=environment, timeout=60, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

    def run_steps(self):
        """All steps but the last one, then the last one, which goes on. What the others have said, and the last one."""
        said = b""
        for number in range(len(self.steps) - 1):
            environment = {**self.environment, **self.steps[number][1]}
            said += subprocess.run(self.script(number), env=environment, check=True, timeout=60, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
        return said, Job(self.script(len(self.steps) - 1), {**self.environment, **self.steps[-1][1]}, self.host.on_terminal)

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
        over = self.host.cancel(self, job)
        took = time.monotonic() - began
        left = kill_all(self.mark)
        self.check(over and not left, f"left when the patience of the host was over: {left}; {job.output.decode()}")
        self.check(took > 1, f"over so soon that the build cannot have been what it was to be: {job.output.decode()}")
        return took

    def play(self):
        status = self.fail()
        self.check(status == 3, f"a build that fails with 3 ends with {status}")
        left = self.leave_something()
        said, job = self.run_steps()
        self.await_build()
        self.check(not left & alive(self.mark), "what the earlier job has left is still there")
        took = self.cancel(job)
        text = (said + job.output).decode()
        self.check("the time for stopping was over" in text and "nothing left" in text, f"no report, or another one: {text}")
        if self.name == "github":
            self.check("::warning title=reapctl sweep::Killed" in text, f"no annotation: {text}")
            self.check("reapctl sweep" in (self.directory / "summary").read_text(), "no summary of the step")
        else:
            self.check("of 1 orphaned run" in text, f"the sweep says nothing: {text}")
        self.check([path.name for path in (self.directory / "registry").iterdir()] == [], "something is on record")
        self.check(not list((self.directory / "tmp").iterdir()), "a directory is left")
        print(f"{self.name}: {len(left)} processes of an earlier job swept; cancelled, and gone after {took:.1f} s", flush=True)


def main():
    failures = []

    def guarded(host):
        play = Play(host)
        try:
            play.play()
        except BaseException as failure:  # in a thread nobody else would hear of it
            failures.append(f"{play.name}: {failure!r}")
        finally:
            kill_all(play.mark)
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
