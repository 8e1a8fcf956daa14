"""Service level objectives, and their alerts on burn rates.

The rules follow "Alerting on SLOs", chapter 5 of Google's Site Reliability Workbook: an alert needs
a high rate of errors over a long window, so that it matters, and over a short one, so that it ends
soon after the cause. A burn rate of 1 uses up the error budget in exactly the objective's period.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.alert import Alert, Series, Severity

PERIOD_DAYS = 30
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
RECORD = "slo:error_ratio:rate"

_REQUESTS = "http_server_request_duration_seconds"
_NO_STREAM = 'route!~".*/(stream|ws|export)"'
_PASSWORDS = "/api/v1/auth/login|/api/v1/users/me/password|/api/v1/password-resets/confirm"
_LOG_INS = f'job="gateway",route=~"{_PASSWORDS}"'
_OTHERS = f'job="gateway",{_NO_STREAM},route!~"{_PASSWORDS}"'
_CLASSES = {
    "reads": f'{_OTHERS},method=~"GET|HEAD"',
    "changes": f'{_OTHERS},method!~"GET|HEAD|OPTIONS"',
    "log-ins": _LOG_INS,
}
_SAMPLES = {
    "reads": 'job="gateway",method="GET",route="/api/v1/orders"',
    "changes": 'job="gateway",method="POST",route="/api/v1/orders"',
    "log-ins": 'job="gateway",method="POST",route="/api/v1/auth/login"',
}
_FRESH = "2.0"
_WITHIN = {"reads": "0.25", "changes": "0.5", "log-ins": "1.0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One objective.

    Attributes:
        name: the value of the label ``objective``.
        text: what is promised, for a person.
        target: the share of good events in 30 days, below 1.
        errors: PromQL for the share of bad events; ``$window`` is the window of the rates.
        good: series of a system that keeps the objective, for the rules' tests.
        bad: series of a system that breaks it by more than the fastest burn rate.
        impact: what a breach means for users.
        runbook: the file and section below docs/runbooks.
    """

    name: str
    text: str
    target: float
    errors: str
    good: Series
    bad: Series
    impact: str
    runbook: str = "objectives.md#an-error-budget-burns"

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.target, 6)

    def errors_in(self, window: str) -> str:
        """Return the PromQL for the share of bad events in a window."""
        return self.errors.replace("$window", window)


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRate:
    """One row of the workbook's table.

    Attributes:
        long: the window over which the error budget burns.
        short: the window that ends the alert.
        factor: the burn rate.
        severity: whom it wakes.
        hold: how long it must hold.
    """

    long: str
    short: str
    factor: float
    severity: Severity
    hold: str


BURN_RATES = (
    BurnRate(long="1h", short="5m", factor=14.4, severity=Severity.PAGE, hold="2m"),
    BurnRate(long="6h", short="30m", factor=6, severity=Severity.PAGE, hold="15m"),
    BurnRate(long="1d", short="2h", factor=3, severity=Severity.TICKET, hold="1h"),
    BurnRate(long="3d", short="6h", factor=1, severity=Severity.TICKET, hold="3h"),
)


def _available(kind: str) -> Objective:
    matched, sample = _CLASSES[kind], _SAMPLES[kind]
    served = f"sum(rate({_REQUESTS}_count{{{matched}}}[$window]))"
    failed = f'sum(rate({_REQUESTS}_count{{{matched},status=~"5.."}}[$window]))'

    def series(failures: int) -> Series:
        return {
            f'{_REQUESTS}_count{{{sample},status="200"}}': "0+1000x240",
            f'{_REQUESTS}_count{{{sample},status="503"}}': f"0+{failures}x240",
        }

    return Objective(
        name=f"availability-of-{kind}",
        text=f"99.9 % of {kind} get no 5xx response",
        target=0.999,
        # Without any failure there is no series, which would make the ratio absent.
        errors=f"({failed} or vector(0)) / {served}",
        good=series(0),
        bad=series(50),
        impact=f"{kind.capitalize()} fail with 5xx.",
    )


def _fast(kind: str) -> Objective:
    matched, sample, within = _CLASSES[kind], _SAMPLES[kind], _WITHIN[kind]
    quick = f'sum(rate({_REQUESTS}_bucket{{{matched},le="{within}"}}[$window]))'
    served = f"sum(rate({_REQUESTS}_count{{{matched}}}[$window]))"

    def series(quick: int) -> Series:
        labels = f'{sample},status="200"'
        return {
            f'{_REQUESTS}_bucket{{{labels},le="{within}"}}': f"0+{quick}x240",
            f"{_REQUESTS}_count{{{labels}}}": "0+1000x240",
        }

    return Objective(
        name=f"latency-of-{kind}",
        text=f"99 % of {kind} are complete within {float(within):g} s",
        target=0.99,
        errors=f"1 - {quick} / {served}",
        good=series(1000),
        bad=series(700),
        impact=f"{kind.capitalize()} are slow.",
    )


def _fresh() -> Objective:
    matched, metric = 'job="notifications"', "feed_item_age_seconds"
    quick = f'sum(rate({metric}_bucket{{{matched},le="{_FRESH}"}}[$window]))'
    pushed = f"sum(rate({metric}_count{{{matched}}}[$window]))"

    def series(quick: int) -> Series:
        return {
            f'{metric}_bucket{{{matched},le="{_FRESH}"}}': f"0+{quick}x240",
            f"{metric}_count{{{matched}}}": "0+1000x240",
        }

    return Objective(
        name="freshness-of-pushes",
        text="99 % of the items of connected clients are pushed within "
        f"{float(_FRESH):g} s of the order's change, or whatever else caused them",
        target=0.99,
        errors=f"1 - {quick} / {pushed}",
        good=series(1000),
        bad=series(700),
        impact="The live feed is late: a page shows the change of an order seconds or minutes "
        "after it.",
        runbook="objectives.md#pushes-are-late-feed_item_age_seconds",
    )


OBJECTIVES = (*(make(kind) for make in (_available, _fast) for kind in _CLASSES), _fresh())


def record_of(window: str) -> str:
    """Return the name of the recording rule of a window."""
    return f"{RECORD}{window}"


def burn_alerts() -> list[Alert]:
    """Return the alerts of all objectives. Their tests burn at once over all windows."""
    return [_burn_alert(objective, rate) for objective in OBJECTIVES for rate in BURN_RATES]


def _burn_alert(objective: Objective, rate: BurnRate) -> Alert:
    limit = round(rate.factor * objective.budget, 6)
    long, short = (
        f'{record_of(window)}{{objective="{objective.name}"}} > {limit}'
        for window in (rate.long, rate.short)
    )
    name = "".join(part.capitalize() for part in objective.name.split("-"))
    return Alert(
        name=f"{name}Burns{rate.long}",
        expr=f"({long}) and ({short})",
        hold=rate.hold,
        severity=rate.severity,
        summary=f"The error budget of {{{{ $labels.objective }}}} burns {rate.factor:g} times "
        f"too fast ({rate.long}).",
        impact=objective.impact,
        runbook=objective.runbook,
        fires=objective.bad,
        quiet=objective.good,
        labels={"objective": objective.name},
        at=_EVALUATED[rate.hold],
    )


_EVALUATED: Mapping[str, str] = {"2m": "30m", "15m": "1h", "1h": "2h", "3h": "3h30m"}
"""When the tests evaluate an alert, by its hold: the rates need two samples before it begins."""
