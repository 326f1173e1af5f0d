"""The examples, and the command's demonstration, run as a user would run them: as processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import asyncsctp.cli

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT = 90.0

Start = Callable[..., "subprocess.Popen[str]"]

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C for a single process here")
needs_steering = pytest.mark.skipif(sys.platform != "linux", reason="only Linux steers packets to processes")
needs_filters = pytest.mark.skipif(sys.platform != "linux", reason="the cut needs a socket filter of Linux")


def command(name: str, *arguments: str) -> list[str]:
    """With warnings as errors: an example that leaves something open fails."""
    return [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name), *arguments]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts an example in the background; it is gone when the test is over."""
    with ExitStack() as stack:

        def start_(name: str, *arguments: str) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(command(name, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            )
            stack.callback(process.kill)
            return process

        yield start_


def line_of(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The first line of its output that matches; the test fails if the process ends without one."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if found := re.search(pattern, line):
            return found
    pytest.fail(f"no line like {pattern!r} in:\n{''.join(seen)}")


def end_by_ctrl_c(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=TIMEOUT)
    return process.returncode, output


@needs_signals
def test_echo(start: Start) -> None:
    server = start("echo_server.py", "--host", "127.0.0.1", "--udp-port", "0")
    udp_port = line_of(server, r"SCTP port 5001, UDP port (\d+)")[1]
    client = run(*command("echo_client.py", "127.0.0.1", "--udp-port", udp_port, "one", "two", "three"))
    assert client.returncode == 0, client.stderr
    for stream, word in enumerate(("one", "two", "three")):
        assert f"stream {stream}, PPID 46: {word} (" in client.stdout
    assert client.stdout.endswith("shut down\n")
    line_of(server, r"^127\.0\.0\.1 port \d+: ended after 3 messages")
    assert end_by_ctrl_c(server) == (0, "stopped\n")


def test_nobody_listens() -> None:
    client = run(*command("echo_client.py", "127.0.0.1", "--udp-port", "9", "--timeout", "2"))
    assert client.returncode == 1
    assert client.stdout == ""
    assert re.fullmatch(r"echo_client: .*127\.0\.0\.1.*\n", client.stderr)


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("echo_server.py", ["--host", "192.0.2.1"]),
        ("echo_server.py", ["--port", "65536"]),
        ("echo_client.py", ["127.0.0.1", "--port", "65536"]),
        ("file_transfer.py", ["receive", "--host", "192.0.2.1"]),
        ("file_transfer.py", ["send", "there-is-no-such-file", "127.0.0.1"]),
        pytest.param("multihomed.py", ["--addresses", "127.0.0.1", "192.0.2.1"], marks=needs_filters),
        ("worker_processes.py", ["--addresses", "192.0.2.1"]),
        ("worker_processes.py", ["--workers", "0"]),
        ("earliest_deadline_first.py", ["--loss", "2"]),
    ],
)
def test_what_can_not_be_is_said_in_one_line(program: str, arguments: list[str]) -> None:
    done = run(*command(program, *arguments))
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(rf"{program.removesuffix('.py')}: .+\n", done.stderr)


def test_file_transfer_demo() -> None:
    done = run(*command("file_transfer.py", "demo", "--megabytes", "3", "--streams", "5"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"sent 3,145,728 bytes in [\d.]+ s, [\d,]+ Mbit/s, 5 streams", done.stdout)
    assert "SHA-256 verified" in done.stdout
    assert done.stderr == ""  # no bar where there is no terminal


@needs_signals
@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 1000], ids=len)
def test_file_transfer(start: Start, tmp_path: Path, content: bytes) -> None:
    source, arrived = tmp_path / "file", tmp_path / "arrived"
    source.write_bytes(content)
    arrived.mkdir()
    receiver = start(
        "file_transfer.py", "receive", "--udp-port", "0", "--host", "127.0.0.1", "--directory", str(arrived)
    )
    udp_port = line_of(receiver, r"UDP port (\d+)")[1]
    for _ in range(2):  # it goes on listening
        done = run(*command("file_transfer.py", "send", str(source), "127.0.0.1", "--udp-port", udp_port))
        assert done.returncode == 0, done.stderr
        line_of(receiver, "SHA-256 verified")
        assert [path.name for path in arrived.iterdir()] == ["file"]
        assert (arrived / "file").read_bytes() == content
    assert end_by_ctrl_c(receiver) == (130, "")


@needs_filters
def test_multihomed() -> None:
    done = run(*command("multihomed.py", "--cut-after", "0.5", "--mend-after", "3.5", "--seconds", "5.5"))
    assert done.returncode == 0, done.stdout + done.stderr
    said = iter(done.stdout.splitlines())
    for expected in (
        "127.0.0.1 is primary",
        "cut: nothing gets to 127.0.0.1",
        "path to 127.0.0.1 is inactive",
        "mended",
        "path to 127.0.0.1 is active",
        "all in order",
    ):
        assert any(expected in line for line in said), f"{expected!r} is missing, or out of order, in:\n{done.stdout}"


@needs_filters
def test_multihomed_ctrl_c(start: Start) -> None:
    process = start("multihomed.py")
    line_of(process, "is primary")
    assert end_by_ctrl_c(process) == (130, "")


@needs_steering
def test_worker_processes() -> None:
    done = run(*command("worker_processes.py", "--workers", "3", "--associations", "12", "--rounds", "3"))
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [int(count) for count in re.findall(r"worker \d, process \d+: (\d+) associations", done.stdout)]
    assert len(counts) == 3 and sum(counts) == 12
    assert f"{12 - max(counts)} associations went on, {max(counts)} were set up anew" in done.stdout
    assert done.stderr == ""


@needs_steering
def test_worker_processes_ctrl_c(start: Start) -> None:
    process = start("worker_processes.py", "--rounds", "1000000")
    line_of(process, "^4 processes at")
    assert end_by_ctrl_c(process) == (130, "")


def test_earliest_deadline_first() -> None:
    done = run(*command("earliest_deadline_first.py", "--check", "--seconds", "30"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = re.findall(r"^(\w+) +[\d.]+ s +([\d.]+)% +([\d.]+)%$", done.stdout, re.MULTILINE)
    shares = {name: (float(first_come), float(earliest)) for name, first_come, earliest in found}
    assert list(shares) == ["alarm", "position", "picture", "log"]
    for name in ("alarm", "position"):
        assert shares[name][0] < 60 and shares[name][1] > 97
    for name in ("picture", "log"):  # nobody pays for it
        assert shares[name][1] > 97


def test_demo_of_the_command() -> None:
    done = run(sys.executable, "-X", "dev", "-W", "error", "-m", "asyncsctp", "demo", "--megabytes", "2")
    assert done.returncode == 0, done.stderr
    assert asyncsctp.cli.form() in done.stdout.splitlines()[0]
    assert re.search(r"2 MiB on 4 streams in [\d.]+ s: [\d,]+ Mbit/s", done.stdout)
    assert done.stdout.endswith("SHA-256 of what arrived: that of what was sent\n")


def test_the_command_says_which_form_runs_and_what_to_do_about_plain_python() -> None:
    done = run(sys.executable, "-m", "asyncsctp", "version")
    form = done.stdout.splitlines()[0].partition(", ")[2]
    if asyncsctp.compiled:
        assert form == "compiled"
    else:
        assert form.startswith("plain Python, at about a third of the speed of the compiled form")
        assert "pip install" in form or "install it again" in form or "ASYNCSCTP_PURE" in form


def test_plain_python_that_was_asked_for_is_called_that() -> None:
    environment = {**os.environ, "ASYNCSCTP_PURE": "1"}
    command = [sys.executable, "-m", "asyncsctp", "version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True, env=environment)
    assert "plain Python" in done.stdout
    assert "ASYNCSCTP_PURE asks for it" in done.stdout


@pytest.mark.parametrize("program", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_examples_say_how_to_run_them(program: str) -> None:
    text = (EXAMPLES / program).read_text(encoding="utf-8")
    assert f"python examples/{program}" in text.split('"""')[1]
    done = run(*command(program, "--help"))
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: {program}")


def test_examples_import_nothing_from_the_folder_they_are_in() -> None:
    """They can be copied out of the repository one by one."""
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    for path in EXAMPLES.glob("*.py"):
        imported = set(re.findall(r"^(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
        assert not imported & names


def test_conversations() -> None:
    done = run(*command("conversations.py", "50"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "50 conversations, 8 streams\n", "")


def test_deadlines() -> None:
    done = run(*command("deadlines.py"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.findall(r"received: (\w+)", done.stdout) == ["greeting", "order"]
    assert set(re.findall(r"back to the sender: (\w+)", done.stdout)) == {"frame", "position", "question", "wish"}
    assert set(re.findall(r"(\w+): given up", done.stdout)) == {"frame", "position", "question", "wish"}
    assert done.stdout.endswith("withdrawn: 1, timed: 2, limited: 1, priority: 0\n")


def test_large_message() -> None:
    done = run(*command("large_message.py", "--mebibytes", "6", "--buffer", "64"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "1 message of 6 MiB, read in" in done.stdout and "the same arrived: True" in done.stdout
    found = re.search(r"at most ([\d.]+) MiB of memory", done.stdout)
    assert found is not None and float(found[1]) < 3.0, "neither side has held it whole"


def test_telemetry() -> None:
    done = run(*command("telemetry.py", "--loss", "0", "0.05", "--seconds", "4"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = [
        [float(value) for value in re.findall(r"([\d.]+)(?:%| ms)", rest)]
        for rest in re.findall(r"% lost +(.+)$", done.stdout, re.MULTILINE)
    ]
    assert [len(row) for row in rows] == [5] * 6
    (no_late, late), (_, slow), (all_arrived, arrived) = rows[0:2], rows[2:4], rows[4:6]
    assert no_late == [0.0] * 5 and all_arrived == [100.0] * 5
    one_stream, streams, unordered, _, sent_once = late
    assert one_stream > 2 * streams > 0, "one stream holds up all readings behind a lost one"
    assert streams >= unordered > sent_once == 0
    assert slow[4] < slow[0]
    assert arrived[:3] == [100.0] * 3 and arrived[4] < 100.0


def test_roaming() -> None:
    done = run(*command("roaming.py"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rates = dict(re.findall(r"^ *([\d.]+) s +([\d.]+)(?: |$)", done.stdout, re.MULTILINE))
    assert len(rates) == 46
    steady = ("1.0", "4.0", "8.0", "12.0", "16.0", "19.0")
    assert all(float(rates[when]) > 9.0 for when in steady), "the whole of the link, before and after each change"
    assert float(rates["13.5"]) == 0.0, "no network, no transfer"
    assert float(rates["22.0"]) > 5.0, "it has found out what the NAT did"
    for address, last in (
        ("192.0.2.10", "removed"),
        ("198.51.100.20", "removed"),
        ("192.0.2.77", "removed"),
        ("192.0.2.78", "confirmed"),
    ):
        states = re.findall(rf"server: {re.escape(address)} (\w+)", done.stdout)
        assert states[-1] == last
    cut = done.stdout.partition("the path to 203.0.113.1 is cut\n")[2]
    failed = re.search(r"([\d.]+) s +laptop: the path to 203\.0\.113\.1 is potentially-failed", cut)
    assert failed is not None and float(failed[1]) < 9.5, "pf_threshold 0: one time-out tells"
    assert re.search(r"sent ([\d,]+) messages, received \1, each once and in order\n$", done.stdout)


def test_roaming_with_loss_loses_nothing() -> None:
    done = run(*command("roaming.py", "--megabits", "4", "--loss", "0.02", "--seed", "7"))
    assert done.returncode == 0, done.stderr
    assert "each once and in order" in done.stdout


@needs_signals
def test_roaming_ctrl_c(start: Start) -> None:
    process = start("roaming.py")
    line_of(process, "up, from")
    code, output = end_by_ctrl_c(process)
    assert code == 130
    assert "Traceback" not in output


def test_roaming_refuses_what_makes_no_sense() -> None:
    done = run(*command("roaming.py", "--megabits", "0"))
    assert done.returncode == 1
    assert done.stderr == "roaming: --megabits must be above 0\n"


@pytest.mark.parametrize("program", ["roaming.py", "telemetry.py"])
def test_a_plot_without_matplotlib_is_a_message(program: str, tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    few = ["--loss", "0", "--seconds", "1"] if program == "telemetry.py" else []
    line = f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = sys.argv[1:]; "
    line += "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = run(sys.executable, "-c", line, str(EXAMPLES / program), *few, "--plot", str(tmp_path / "plot.svg"))
    assert done.returncode == 1
    assert done.stderr == f"{program.removesuffix('.py')}: --plot needs matplotlib\n"


def test_authenticated() -> None:
    done = run(*command("authenticated.py"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:2] == ["server: the peer has begun to use key 2", "server: nothing is sent with key 1 any more"]
    assert "client: 200 answers, in order: True; key 1 is deleted" in lines
    assert "server: 200 readings, 0 packets with a wrong key" in lines
    assert any(line.startswith("a wrong key: AssociationTimeout") for line in lines)
    assert any(line.startswith("no key: AssociationRefused") for line in lines)
    assert lines[-1] == "server: 0 associations are left"
