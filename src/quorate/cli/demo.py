"""``quorate demo``: four nodes and an approval server on loopback, from nothing to signatures and back to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from quorate.cli.cluster import Cluster, ProcessFailed, Running, last_lines, launch
from quorate.cli.command import Call, command
from quorate.cli.output import Output
from quorate.cli.stopwatch import Stopwatch
from quorate.cli.story import CAREFUL, NODES, POLICY, RULES, Story
from quorate.errors import QuorateError

APPROVAL_SERVER = Path(__file__).with_name("approval_server.py")


def register(app: typer.Typer) -> None:
    @command(app, "demo")
    async def demo(call: Call) -> None:
        """Watch nodes make a key together, sign with it and hand it on, after an approval server said yes."""
        with stopped_by(signal.SIGTERM):
            await run(call.output)


@contextlib.contextmanager
def stopped_by(number: signal.Signals) -> Iterator[None]:
    """A signal ends this task as Ctrl-C does, so that everything is cleaned up."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is not None:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)


async def run(output: Output) -> None:
    root = Path(tempfile.mkdtemp(prefix="quorate-demo-"))
    keep = False
    try:
        await show(output, root)
    except QuorateError as error:
        keep = True
        logs = [root / name / "node.log" for name in NODES]
        tell_logs(output, [error.log] if isinstance(error, ProcessFailed) else logs)
        raise
    finally:
        if keep:
            output.err.print(f"everything is kept in {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)


def tell_logs(output: Output, logs: Sequence[Path]) -> None:
    """What the processes last wrote, on stderr, whatever form the results have."""
    for log in logs:
        output.err.print(str(log), style="bold", markup=False)
        for line in last_lines(log):
            output.err.print(line, style="dim", markup=False)


async def show(output: Output, root: Path) -> None:
    output.note(
        "Three nodes hold one key: [bold]alice[/] has weight 2, [bold]bob[/] 1, [bold]carol[/] 1. "
        "It takes weight 3 to sign. [bold]dave[/] joins later.\n"
    )
    clock = Stopwatch(output)
    with output.progress("starting an approval server and four nodes"):
        approver, cluster = await start(root)
    try:
        async with cluster:
            await cluster.linked()
            story = Story(output, cluster, clock)
            story.started(approver)
            await story.tell()
    finally:
        await approver.stop()
    output.note(
        f"\n[dim]{clock.total():.1f} s in all. Every process is stopped and the directory is gone.[/]"
    )


async def start(root: Path) -> tuple[Running, Cluster]:
    """The approval server, running, and the cluster, founded when entered."""
    key = root / "approver.pem"
    public = await asyncio.to_thread(public_key_of, key)
    server = (sys.executable, str(APPROVAL_SERVER), "--key", str(key), *RULES)
    approver = await launch("the approval server", server, root / "approver.log")
    url = approver.ready.rpartition(" ")[2]
    policy = root / "policy.toml"
    policy.write_text(POLICY)
    settings = {
        name: approver_settings(f"{url}/{name}", public, policy if name == CAREFUL else None)
        for name in NODES
    }
    return approver, Cluster(root, settings)


def public_key_of(key: Path) -> str:
    command = (sys.executable, str(APPROVAL_SERVER), "--key", str(key), "--print-public-key")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603


def approver_settings(url: str, public_key: str, policy: Path | None = None) -> str:
    """The server at ``url`` has to approve, and the policy, if there is one."""
    server = f'transaction_url = "{url}"\nreshare_url = "{url}"\npublic_key = """\n{public_key}"""\n'
    if policy is None:
        return f'[approver]\ntype = "webhook"\n[approver.webhook]\n{server}'
    return (
        '[approver]\ntype = "all-of"\nof = ["server", "rules"]\n'
        f'[approvers.rules]\ntype = "policy"\n[approvers.rules.policy]\nfile = "{policy}"\n'
        f'[approvers.server]\ntype = "webhook"\n[approvers.server.webhook]\n{server}'
    )
