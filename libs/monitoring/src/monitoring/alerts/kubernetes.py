"""Releases that do not go through and disks that fill, as Kubernetes' own metrics show them."""

from chassis.installed import service_names
from monitoring.alert import Alert, Severity

# A failed hook keeps its job until the next attempt: `helm.sh/hook-delete-policy`.
_JOB = 'namespace="slipway",job_name="slipway-prepare"'
_ROLLOUT = 'namespace="slipway",deployment="slipway-orders"'
_WANTED = f"kube_deployment_spec_replicas{{{_ROLLOUT}}}"
_OURS = f'deployment=~"(.+-)?({"|".join(["gateway", *service_names()])})(-worker)?"'
_AVAILABLE = f"kube_deployment_status_replicas_available{{{_ROLLOUT}}}"
_STALLED = f'kube_deployment_status_condition{{{_ROLLOUT},condition="Progressing",status="false"}}'
_SUM = "sum by (namespace, deployment)"
_MISSING = (
    f"{_SUM} (kube_deployment_spec_replicas{{{_OURS}}}) - "
    f"{_SUM} (kube_deployment_status_replicas_available{{{_OURS}}}) > 0"
)
_FREE, _SIZE = "kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"
_VOLUME = 'namespace="slipway",persistentvolumeclaim="data-postgres-0"'
_VOLUME_LABELS = {"namespace": "slipway", "persistentvolumeclaim": "data-postgres-0"}

KUBERNETES = (
    Alert(
        name="MigrationFailed",
        expr=(
            "max by (namespace, job_name) "
            '(kube_job_status_failed{job_name=~".*-(prepare|migrate)(-.*)?"}) > 0'
        ),
        severity=Severity.PAGE,
        summary="The job {{ $labels.job_name }} failed: the release's migrations are not applied.",
        impact="None yet: the pods of the release before go on. The new release does not start.",
        runbook="releases.md#a-migration-failed-kube_job_status_failed",
        fires={f"kube_job_status_failed{{{_JOB}}}": "1x10"},
        quiet={f"kube_job_status_failed{{{_JOB}}}": "0x10"},
        labels={"namespace": "slipway", "job_name": "slipway-prepare"},
    ),
    # `up` shows only pods that have an address: none of those that wait for a node or an image.
    Alert(
        name="ProcessUnavailable",
        expr=(
            f"{_SUM} (kube_deployment_status_replicas_available{{{_OURS}}}) == 0 and "
            f"{_SUM} (kube_deployment_spec_replicas{{{_OURS}}}) > 0"
        ),
        hold="2m",
        severity=Severity.PAGE,
        summary="No pod of {{ $labels.deployment }} is available.",
        impact="Its requests get 503, or its events wait.",
        runbook="processes.md#a-process-is-down-up",
        fires={_WANTED: "2x10", _AVAILABLE: "0x10"},
        quiet={_WANTED: "2x10", _AVAILABLE: "0 1x9"},
        labels={"namespace": "slipway", "deployment": "slipway-orders"},
    ),
    # With one replica the old pod is available and the new one counts as updated, so neither number
    # shows that the rollout does not go on. Its condition does, after `progressDeadlineSeconds`.
    Alert(
        name="RolloutStuck",
        expr=(
            f"{_SUM} (kube_deployment_status_condition"
            f'{{{_OURS},condition="Progressing",status="false"}}) > 0 or {_MISSING}'
        ),
        hold="15m",
        severity=Severity.TICKET,
        summary="Pods of {{ $labels.deployment }} do not become ready.",
        impact="None while the pods of the release before serve, or enough others.",
        runbook="releases.md#a-release-is-bad",
        fires={_STALLED: "0x10 1x20", _WANTED: "1x30", _AVAILABLE: "1x30"},
        quiet={_STALLED: "0x30", _WANTED: "3x30", _AVAILABLE: "2x10 3x20"},
        labels={"namespace": "slipway", "deployment": "slipway-orders"},
        at="30m",
    ),
    Alert(
        name="DiskFills",
        expr=(
            "min by (namespace, persistentvolumeclaim) (kubelet_volume_stats_available_bytes / "
            "kubelet_volume_stats_capacity_bytes) < 0.15"
        ),
        hold="5m",
        severity=Severity.TICKET,
        summary="The volume {{ $labels.persistentvolumeclaim }} has less than 15 % left.",
        impact="None yet. PostgreSQL and Kafka stop when their disk is full.",
        runbook="disk.md#a-disk-fills-kubelet_volume_stats_available_bytes",
        fires={f"{_FREE}{{{_VOLUME}}}": "14x10", f"{_SIZE}{{{_VOLUME}}}": "100x10"},
        quiet={f"{_FREE}{{{_VOLUME}}}": "16x10", f"{_SIZE}{{{_VOLUME}}}": "100x10"},
        labels=_VOLUME_LABELS,
    ),
    Alert(
        name="DiskFull",
        expr=(
            "min by (namespace, persistentvolumeclaim) (kubelet_volume_stats_available_bytes / "
            "kubelet_volume_stats_capacity_bytes) < 0.05"
        ),
        severity=Severity.PAGE,
        summary="The volume {{ $labels.persistentvolumeclaim }} has less than 5 % left.",
        impact="PostgreSQL stops accepting changes, or Kafka stops, when nothing is left.",
        runbook="disk.md#a-disk-is-full-kubelet_volume_stats_available_bytes",
        fires={f"{_FREE}{{{_VOLUME}}}": "4x10", f"{_SIZE}{{{_VOLUME}}}": "100x10"},
        quiet={f"{_FREE}{{{_VOLUME}}}": "6x10", f"{_SIZE}{{{_VOLUME}}}": "100x10"},
        labels=_VOLUME_LABELS,
    ),
)
