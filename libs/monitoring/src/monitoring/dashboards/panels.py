"""Panels that several dashboards show."""

from monitoring.grafana import Panel, Query

REQUESTS = "http_server_request_duration_seconds"
WINDOW = "[$__rate_interval]"


def quantile(share: float, metric: str, matched: str = "", by: str = "") -> str:
    """Return the PromQL of a histogram's quantile.

    Args:
        share: e.g. 0.99.
        metric: the histogram's name.
        matched: label matchers, without braces.
        by: the labels to keep, separated by commas.
    """
    kept = f"{by}, le" if by else "le"
    rate = f"rate({metric}_bucket{{{matched}}}{WINDOW})"
    return f"histogram_quantile({share}, sum by ({kept}) ({rate}))"


def rate(metric: str, matched: str = "", by: str = "") -> str:
    """Return the PromQL of a counter's rate, in events a second."""
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({metric}{{{matched}}}{WINDOW}))"


def red(matched: str, by: str) -> tuple[Panel, Panel, Panel]:
    """Return the rate, the errors and the durations of requests.

    Args:
        matched: label matchers of the requests.
        by: the label that the requests are shown by.
    """
    legend = f"{{{{{by}}}}}"
    return (
        Panel(
            title="Requests",
            unit="reqps",
            queries=[Query(rate(f"{REQUESTS}_count", matched, by), legend)],
        ),
        Panel(
            title="5xx responses",
            unit="reqps",
            empty=True,
            about="An empty chart is a good one.",
            queries=[
                Query(rate(f"{REQUESTS}_count", f'{matched},status=~"5.."', by), legend),
            ],
        ),
        Panel(
            title="Duration, p99",
            unit="s",
            queries=[Query(quantile(0.99, REQUESTS, matched, by), legend)],
        ),
    )


def loop_delay(matched: str) -> Panel:
    """Return the delay of the event loop."""
    return Panel(
        title="Event loop delay, p99",
        unit="s",
        about="Above 0.1 s something blocks the loop, and all requests of the process wait.",
        queries=[
            Query(quantile(0.99, "event_loop_delay_seconds", matched, "job"), "{{job}}"),
        ],
    )


def memory(matched: str) -> Panel:
    """Return the resident memory of the processes."""
    return Panel(
        title="Resident memory",
        unit="bytes",
        queries=[Query(f"sum by (job) (process_resident_memory_bytes{{{matched}}})", "{{job}}")],
    )


def cpu(matched: str) -> Panel:
    """Return the CPU time of the processes."""
    return Panel(
        title="CPU",
        unit="percentunit",
        about="1 is one core. A process of Python can't use more than one.",
        queries=[Query(rate("process_cpu_seconds_total", matched, "job"), "{{job}}")],
    )
