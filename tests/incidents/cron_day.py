#!/usr/bin/python3
"""Incident 2 (hermes-agent, pull request 16275) with the real cron: seven jobs a tick start servers in sessions of their
own, some are cancelled half-way by SIGKILL to both reapctl processes, and one `reapctl sweep` a tick is all that cleans up.

    cron_day.py REAPCTL FAST_CLOCK

REAPCTL_TEST_TICKS ticks (10) of REAPCTL_TEST_MINUTE_MS milliseconds each (1500): FAST_CLOCK is loaded into cron and makes
its minutes that short; with 60000 it is a real day's. Everything happens in PID and mount namespaces of its own, with an
empty /run and a sendmail that files what it gets: neither the machine's cron nor its mail is touched."""
import email
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

SKIPPED = 77
TICKS = int(os.environ.get("REAPCTL_TEST_TICKS", "10"))
MINUTE_MS = int(os.environ.get("REAPCTL_TEST_MINUTE_MS", "1500"))
RUN = pathlib.Path("/run/test")
JOBS = RUN / "jobs"
MAIL = RUN / "mail"
REGISTRY = RUN / "registry"
TMP = RUN / "tmp"
MARK = "REAPCTL_TEST_BUILD"

# What a job does: a server that is never told to stop, some work, and then its own end. It says what it has come to by files.
JOB = """#!/bin/sh
name=$1 work=$2 code=$3
setsid sleep 5000 &
echo "$REAPCTL_RUN_ID $!" > "$JOBS/$name.$$.started.new"
mv "$JOBS/$name.$$.started.new" "$JOBS/$name.$$.started"
echo "$name says what it does"
sleep "$work"
[ "$code" = 0 ] || echo "$name: out of cheese" >&2
: > "$JOBS/$name.$$.done"
exit "$code"
"""

SENDMAIL = f"""#!/bin/sh
exec cat > "$(mktemp {MAIL}/XXXXXX)"
"""

PAM = """auth required pam_permit.so
account required pam_permit.so
session required pam_permit.so
"""


def crontab(reapctl):
    run = f"* * * * * root {reapctl} run -q"
    job = f"{RUN}/job"
    return f"""SHELL=/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
MAILTO=root
REAPCTL_REGISTRY={REGISTRY}
TMPDIR={TMP}
JOBS={JOBS}
{MARK}={os.environ.get(MARK, "by-hand")}
{run} --name good-1 -- {job} good-1 0.3 0
{run} --name good-2 --tail 1k -- {job} good-2 0.5 0
{run} --name fails --report {RUN}/fails.json -- {job} fails 0.2 3
{run} --name cancelled-1 -- {job} cancelled-1 5000 0
{run} --name cancelled-2 --lock cancelled -- {job} cancelled-2 5000 0
{run} --name late -t 200ms --ok-exit 0,INT -- {job} late 5000 0
{run} --name long --lock long -- {job} long {MINUTE_MS * 2.4 / 1000} 0
{run} --name sweep --lock sweep -- {reapctl} sweep
"""


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def set_up(reapctl):
    """An empty /run, and in it all that cron gets to see of the machine."""
    mount("-t", "tmpfs", "tmpfs", "/run")
    for directory in (JOBS, MAIL, TMP, RUN / "empty", RUN / "sbin"):
        directory.mkdir(parents=True)
    for path, text in ((RUN / "job", JOB), (RUN / "sbin/sendmail", SENDMAIL)):
        path.write_text(text)
        path.chmod(0o755)
    (RUN / "crontab").write_text(crontab(reapctl))
    (RUN / "pam").write_text(PAM)
    mount("--bind", str(RUN / "crontab"), "/etc/crontab")
    mount("--bind", str(RUN / "pam"), "/etc/pam.d/cron")
    for directory in ("/etc/cron.d", "/var/spool/cron/crontabs"):
        mount("--bind", str(RUN / "empty"), directory)
    if os.path.exists("/usr/sbin/sendmail"):
        mount("--bind", str(RUN / "sbin/sendmail"), "/usr/sbin/sendmail")
    else:  # nothing to put it over: two directories, seen as one
        mount("-t", "overlay", "overlay", "-o", f"lowerdir={RUN}/sbin:/usr/sbin", "/usr/sbin")


def processes():
    """Everything alive in this PID namespace but us, as {pid: command line}."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            command = pathlib.Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = pathlib.Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found[int(name)] = command.strip()
    return found


def await_that(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"never happened: {what}\n{processes()}")
        reap()
        time.sleep(0.01)


def reap():
    """We are PID 1 here: orphans of orphans end with us."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def started(name):
    return sorted(JOBS.glob(f"{name}.*.started"))


def cancel(job):
    """SIGKILL to both reapctl processes of a run, so that neither sees the other die."""
    run_id = job.read_text().split()[0]
    record = None
    while record is None:  # it may be just being written
        try:
            record = json.loads((REGISTRY / run_id / "record.json").read_text())
        except ValueError:
            pass
    guard, supervisor = record["guard"]["pid"], record["supervisor"]["pid"]
    os.kill(guard, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGKILL)
    os.kill(guard, signal.SIGKILL)


def run_ticks(cron):
    """Until the jobs of the last tick have begun. Returns how many runs were cancelled."""
    cancelled = set()
    seen = 0
    deadline = time.monotonic() + (TICKS + 3) * max(MINUTE_MS / 1000, 1) + 60
    while len(started("good-1")) < TICKS:
        if time.monotonic() > deadline or cron.poll() is not None:
            raise SystemExit(f"cron runs no jobs, only {seen} so far: {processes()}")
        time.sleep(0.01)
        for job in started("cancelled-1") + started("cancelled-2"):
            if job not in cancelled:
                cancel(job)
                cancelled.add(job)
        seen = len(started("good-1"))
    return cancelled


def check(condition, message):
    if not condition:
        raise SystemExit(f"FAILED: {message}")


def body_of(mail):
    return mail.get_payload(decode=True).decode()


def check_mail():
    mails = [email.message_from_bytes(path.read_bytes()) for path in MAIL.iterdir()]
    by_job = {}
    for mail in mails:
        job = mail["Subject"].partition("--name ")[2].split()[0]
        by_job.setdefault(job, []).append(mail)
    # The shell of a job tells that reapctl was killed; that is a failure too.
    check(set(by_job) == {"fails", "late", "cancelled-1", "cancelled-2"}, f"mail for others than failures: {sorted(by_job)}")
    for mail in by_job["cancelled-1"] + by_job["cancelled-2"]:
        check(body_of(mail) == "Killed\n", f"a strange mail: {mail.as_string()}")
    for job in by_job:
        # One that was late may have been stopped before it could say that it had begun.
        few, many = len(started(job)), TICKS + 3 if job == "late" else len(started(job))
        check(few <= len(by_job[job]) <= many, f"{len(by_job[job])} mails for {few} failures of {job}")
    body = body_of(by_job["fails"][0])
    order = [body.find(text) for text in ("reapctl: fails (", "--- stdout", "fails says", "--- stderr", "out of cheese")]
    check(-1 not in order and order == sorted(order), f"a mail that is not in order: {body}")
    check("timed out" in body_of(by_job["late"][0]), "a command that exits well after a timeout has failed")
    check(json.loads((RUN / "fails.json").read_text())["exit_code"] == 3, "--report beside -q")
    return len(mails), by_job["fails"][0]


def day(reapctl, fast_clock):
    set_up(reapctl)
    environment = dict(os.environ, LD_PRELOAD=fast_clock, REAPCTL_TEST_MINUTE_MS=str(MINUTE_MS))
    environment.pop("REAPCTL_REGISTRY", None)
    began = time.monotonic()
    cron = subprocess.Popen(["cron", "-f"], env=environment, stdin=subprocess.DEVNULL)
    cancelled = run_ticks(cron)
    cron.terminate()
    cron.wait()
    environment = dict(os.environ, REAPCTL_REGISTRY=str(REGISTRY), TMPDIR=str(TMP))

    def only_cancelled_left():
        listed = json.loads(subprocess.run([reapctl, "list", "--json"], env=environment, check=True, stdout=subprocess.PIPE).stdout)
        for job in set(started("cancelled-1") + started("cancelled-2")) - cancelled:
            cancel(job)
            cancelled.add(job)
        return all(run["verdict"] == "orphaned" for run in listed["runs"])

    await_that(only_cancelled_left, MINUTE_MS * 3 / 1000 + 30, "the end of all active runs")
    before = {name: len(started(name)) for name in ("good-1", "good-2", "fails", "late", "long", "cancelled-1", "cancelled-2")}
    # One tick's worth of orphans at the most: every sweep has taken what the ticks before have left.
    left = [path for path in REGISTRY.iterdir() if path.name != "locks"]
    check(len(left) <= 6, f"sweeps leave too much: {left}")
    subprocess.run([reapctl, "sweep"], env=environment, check=True, stdout=subprocess.DEVNULL)
    await_that(lambda: not processes(), 20, "the end of all processes")
    check([path.name for path in REGISTRY.iterdir()] == ["locks"], f"on record: {list(REGISTRY.iterdir())}")
    check(not list(TMP.iterdir()), f"files left: {list(TMP.iterdir())}")
    for name in ("good-1", "good-2", "fails", "long"):
        check(len(list(JOBS.glob(f"{name}.*.done"))) == before[name], f"an active run of {name} was disturbed")
    check(before["long"] < before["good-1"] or TICKS < 3, "--lock lets the long job overlap itself")
    # A shell that is just starting a command loses the signal of the first rung (dash does, in its vfork), and then the
    # lock is held for the 5 s until the next rung: that may happen to one in twenty.
    slack = -(-5000 // MINUTE_MS) * max(1, TICKS // 20)
    check(before["cancelled-2"] >= TICKS - 1 - slack, f"a killed run keeps its lock: {before}")
    mails, mail = check_mail()
    print(f"{TICKS} ticks in {time.monotonic() - began:.0f} s: {sum(before.values())} jobs {before}, {len(cancelled)} cancelled by SIGKILL, "
          f"{mails} mails, all for failures; nothing left\n\n{mail.as_string()}")


def main():
    if len(sys.argv) == 4 and sys.argv[3] == "inside":
        day(sys.argv[1], sys.argv[2])
        return
    for reason, absent in (("not root", os.geteuid() != 0), ("no cron", shutil.which("cron") is None)):
        if absent:
            print(f"skipped: {reason}")
            sys.exit(SKIPPED)
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        print("skipped: no namespaces can be made here")
        sys.exit(SKIPPED)
    command = [*unshare, sys.executable, __file__, os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), "inside"]
    sys.exit(subprocess.run(command).returncode)


main()
