"""The command `orchestrator bench`: runs the loads and prints what they cost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

from orchestrator.cli.options import Connection, connected

if TYPE_CHECKING:
    from orchestrator.cli.bench.run import Burned, Measured, Report

_AT_LEAST_1 = validators.Number(gte=1)
_NOT_NEGATIVE = validators.Number(gte=0)


async def bench(
    *,
    workload: Literal["one-activity", "cpu"] = "one-activity",
    runs: Annotated[int, Parameter(validator=_AT_LEAST_1)] = 1000,
    in_flight: Annotated[int, Parameter(validator=_AT_LEAST_1)] = 100,
    idle_runs: Annotated[int, Parameter(validator=_AT_LEAST_1)] = 200,
    workers: Annotated[int, Parameter(validator=_NOT_NEGATIVE)] = 1,
    output: Annotated[Literal["table", "json"], Parameter(name=["--output", "-o"])] = "table",
    connection: Connection = Connection(),
) -> None:
    """Measure what a workflow costs on these servers, beside the raw cost of the same calls.

    Workers of its own are started and stopped. CPU is told by process; a server's only when it runs
    on this machine and its process may be looked at. What the bench leaves behind goes with
    retention; a namespace of its own (--namespace bench) keeps it apart.

    Parameters
    ----------
    workload
        one-activity: the smallest workflow that does something, first many in flight, then one
        after another. cpu: activities that each need a core, on one and on two worker processes.
    runs
        Workflows of the loaded part.
    in_flight
        How many of them at a time.
    idle_runs
        Workflows of the idle part, one after another.
    workers
        Worker processes; 0: the workers run in this process, which then also counts its calls.
    output
        table, or json for programs.
    """
    from orchestrator.cli.bench.run import Plan, burn, measure

    async with connected(connection) as client:
        if workload == "cpu":
            burned = await burn(client, (1, 2), _tell)
            print(_json(burned) if output == "json" else burned_text(burned))
            return
        plan = Plan(runs=runs, in_flight=in_flight, idle_runs=idle_runs, worker_processes=workers)
        report = await measure(client, plan, _tell)
        print(_json(report) if output == "json" else report_text(report))


def report_text(report: Report) -> str:
    """The report as lines that fit a terminal."""
    plan, names = report.plan, sorted({*report.loaded.cpu_us, *report.raw.cpu_us})
    lines = [
        f"{plan.runs} workflows of one activity, {plan.in_flight} in flight, "
        f"{plan.worker_processes or 'this'} worker process(es)",
        "",
        f"{'':24}{'per second':>12}" + "".join(f"{name:>12}" for name in (*names, "sum")),
        _row("loaded", report.loaded, names),
        _row("idle", report.idle, names),
        _row("raw calls", report.raw, names),
        "",
        "CPU is µs per workflow, by process. Raw calls: as many scripts and messages as a workflow",
        f"costs, with nothing around them. A loaded workflow costs {report.ratio:.2f} times that.",
        "",
        f"loaded, ms: {_percentiles(report.loaded_ms)}",
        f"idle, ms:   {_percentiles(report.idle_ms)}",
    ]
    if report.calls and plan.worker_processes == 0:
        calls = ", ".join(f"{name} {count:.1f}" for name, count in report.calls.items() if count)
        lines += ["", f"calls per workflow: {calls}"]
    return "\n".join(lines)


def burned_text(burned: Burned) -> str:
    """Seconds by number of processes, and how they compare to the first."""
    first = next(iter(burned.seconds.values()))
    lines = [f"{burned.activities} activities of {burned.each_ms} ms CPU each", ""]
    lines += [
        f"{count} worker process(es): {seconds:.2f} s ({first / seconds:.2f} times as fast)"
        for count, seconds in burned.seconds.items()
    ]
    return "\n".join(lines)


def _row(name: str, measured: Measured, names: list[str]) -> str:
    cpu = "".join(
        f"{measured.cpu_us[one]:>12,.0f}" if one in measured.cpu_us else f"{'-':>12}"
        for one in names
    )
    return f"{name:24}{measured.per_second:>12,.1f}{cpu}{measured.total_us:>12,.0f}"


def _percentiles(found: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.2f}" for name, value in found.items())


def _json(value: Report | Burned) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _tell(doing: str) -> None:
    sys.stderr.write(f"bench: {doing}\n")
