#!/usr/bin/python3
"""Runs the recipes of the README as its reader would, and the Python one with all that may happen to it.

    recipes.py REAPCTL README"""
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

REAPCTL = os.path.abspath(sys.argv[1])
README = pathlib.Path(sys.argv[2]).read_text()

# Says that it is there, and answers line by line; with a child in a session of its own that is never told to end. A stubborn one
# does not take the end of its input for its own.
STDIO_SERVER = """#!/bin/sh
setsid sleep 5000 </dev/null >/dev/null 2>&1 &
echo ready
while read -r line; do echo "answer to $line"; done
[ -z "$STUBBORN" ] || sleep 5000
"""


def recipe(heading):
    """The code below a heading."""
    return re.search(rf"### {re.escape(heading)}\n.*?```\w+\n(.*?)```", README, re.S).group(1)


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def await_that(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"never happened: {what}")
        time.sleep(0.01)


class Kitchen:
    """A directory with the programs that the recipes use, and a port that is free."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="reapctl-recipes-"))
        for name in ("bin", "tmp"):
            (self.directory / name).mkdir()
        os.symlink(REAPCTL, self.directory / "bin/reapctl")
        self.mark = f"KITCHEN={self.directory}"
        self.environment = {**os.environ, "KITCHEN": str(self.directory), "PATH": f"{self.directory}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                            "TMPDIR": str(self.directory / "tmp"), "REAPCTL_REGISTRY": str(self.directory / "registry")}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def write(self, name, text):
        (self.directory / name).write_text(text)
        (self.directory / name).chmod(0o755)

    def sh(self, text, **how):
        text = text.replace("8000", str(self.port))
        return subprocess.run(["sh", "-c", text], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, **how)

    def alive(self):
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                state = pathlib.Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
                mine = self.mark.encode() in pathlib.Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mine and state not in "ZX":
                found.append(int(name))
        return found

    def port_is_free(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) != 0

    def check_nothing_left(self):
        await_that(lambda: not self.alive(), f"nothing left: {self.alive()}")
        check(not list((self.directory / "tmp").iterdir()), "a directory is left")

    def clean(self):
        while found := self.alive():
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
        shutil.rmtree(self.directory)


def server_gone_after_tests(kitchen):
    kitchen.write("tests", f"#!/bin/sh\ncurl -sf http://localhost:{kitchen.port}/ >/dev/null && echo tests saw the server\n")
    done = kitchen.sh(recipe("A server that must be gone after the tests"))
    check(done.returncode == 0 and "tests saw the server" in done.stdout, done.stdout)
    check(f"port {kitchen.port} is free" in done.stdout, done.stdout)
    check(kitchen.port_is_free(), "the port is taken")


def hung_pytest(kitchen):
    if subprocess.run(["/usr/bin/python3", "-c", "import pytest"], stderr=subprocess.DEVNULL).returncode != 0:
        print("not run: python3-pytest is not installed")
        return
    kitchen.write("bin/pytest", "#!/bin/sh\nexec /usr/bin/python3 -m pytest -p no:cacheprovider \"$@\"\n")
    kitchen.write("test_hang.py", "import threading\n\ndef test_that_hangs():\n    threading.Event().wait()\n")
    text = recipe("A pytest run that hangs").replace("-t 10m", "-t 3s")
    done = kitchen.sh(text, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
    check(done.returncode == 124, f"{done.returncode}: {done.stdout}")
    check("in test_that_hangs" in done.stdout and "Fatal Python error: Aborted" in done.stdout, f"no traceback: {done.stdout}")
    check("timed out" in done.stdout, done.stdout)


def orphan(kitchen, *command):
    """Yesterday's job, whose reapctl was killed."""
    job = subprocess.Popen([REAPCTL, "run", "--report", "none", "--name", "yesterday", "--", *command], env=kitchen.environment,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    await_that(lambda: len(kitchen.alive()) > 2, "the job is up")
    if "http.server" in command:
        await_that(lambda: not kitchen.port_is_free(), "the server is up")
    children = pathlib.Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    os.kill(job.pid, signal.SIGSTOP)
    for pid in [*map(int, children), job.pid]:
        os.kill(pid, signal.SIGKILL)
    job.wait()


def port_still_taken(kitchen):
    orphan(kitchen, "python3", "-m", "http.server", str(kitchen.port), "--bind", "127.0.0.1")
    done = kitchen.sh("set -e\n" + recipe("A port that is still taken"))
    check(done.returncode == 0, done.stdout)
    for expected in ("yesterday", "Would kill 1 process", "Killed 1 process", f":{kitchen.port}"):
        check(expected in done.stdout, f"{expected}: {done.stdout}")
    check(kitchen.port_is_free(), "the port is taken")
    kitchen.sh("reapctl sweep")


def yesterdays_job(kitchen):
    orphan(kitchen, "sleep", "5000")
    done = kitchen.sh(recipe("What yesterday's job has left"))
    check("Would kill 1 process" in done.stdout and "Killed 1 process" in done.stdout, done.stdout)


def popen(kitchen, **how):
    """The server of the recipe, started by its own lines."""
    kitchen.write("stdio-server", STDIO_SERVER)
    names = {}
    start = recipe("A server on the other end of three pipes").replace("stderr=subprocess.PIPE,\n", "stderr=subprocess.PIPE, **how,\n")
    before = os.getcwd()
    saved = dict(os.environ)
    try:
        os.chdir(kitchen.directory)
        os.environ.update(kitchen.environment)
        exec(start, {"how": how}, names)
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(saved)
    server = names["server"]
    check(server.stdout.readline() == b"ready\n", "it does not begin")
    return server


def pipes_of_a_program(kitchen):
    server = popen(kitchen)
    server.stdin.write(b"one\n")
    server.stdin.flush()
    check(server.stdout.readline() == b"answer to one\n", "no answer")
    server.stdin.close()
    check(server.stdout.read() == b"" and server.stderr.read() == b"" and server.wait(20) == 0, "end of file")
    kitchen.check_nothing_left()

    server = popen(kitchen)
    server.stdout.close()
    server.stdin.write(b"one\ntwo\n")
    server.stdin.flush()
    check(server.wait(20) == 128 + signal.SIGPIPE, f"a broken pipe: {server.returncode}")
    try:
        server.stdin.write(b"three\n")
        server.stdin.flush()
        check(False, "the other way no pipe breaks")
    except BrokenPipeError:
        pass
    kitchen.check_nothing_left()

    server = popen(kitchen)
    server.terminate()
    check(server.wait(20) == 128 + signal.SIGINT, f"terminated: {server.returncode}")  # the first rung is INT
    kitchen.check_nothing_left()

    server = popen(kitchen, start_new_session=True)
    os.killpg(server.pid, signal.SIGKILL)
    check(server.wait(20) == -signal.SIGKILL, f"killpg: {server.returncode}")
    check(server.stdout.read() == b"", "end of file after killpg")
    kitchen.check_nothing_left()


def death_of_the_program(kitchen):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        kitchen.environment["STUBBORN"] = "1"
        server = popen(kitchen)
        os.write(writer, b"%d" % server.pid)
        signal.pause()
    os.close(writer)
    check(os.read(reader, 64) != b"", "the program has not started its server")
    os.close(reader)
    check(len(kitchen.alive()) >= 4, "the server is not there")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    kitchen.check_nothing_left()


def main():
    for test in (server_gone_after_tests, hung_pytest, port_still_taken, yesterdays_job, pipes_of_a_program, death_of_the_program):
        kitchen = Kitchen()
        try:
            test(kitchen)
            kitchen.check_nothing_left()
            print(f"{test.__name__}: as it should be", flush=True)
        finally:
            kitchen.clean()


main()
