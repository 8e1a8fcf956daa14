"""Releases that do not go through and disks that fill, as Kubernetes' own metrics show them."""

from chassis.installed import service_names
from monitoring.alert import Alert, Severity

# A failed hook keeps its job until the next attempt: `helm.sh/hook-delete-policy`.
_JOB = 'namespace="slipway",job_name="slipway-prepare"'
_ROLLOUT = 'namespace="slipway",deployment="slipway-orders"'
_WANTED = f"kube_deployment_spec_replicas{{{_ROLLOUT}}}"
_OURS = f'deployment=~".*({"|".join(["gateway", *service_names()])})(-worker)?"'
_UPDATED = f"kube_deployment_status_replicas_updated{{{_ROLLOUT}}}"
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
    Alert(
        name="RolloutStuck",
        expr=(
            f"sum by (namespace, deployment) (kube_deployment_spec_replicas{{{_OURS}}}) - sum by "
            f"(namespace, deployment) (kube_deployment_status_replicas_updated{{{_OURS}}}) > 0"
        ),
        hold="15m",
        severity=Severity.TICKET,
        summary="Pods of the new release of {{ $labels.deployment }} do not become ready.",
        impact="None while the pods of the release before serve.",
        runbook="releases.md#a-release-is-bad",
        fires={_WANTED: "3x30", _UPDATED: "1x30"},
        quiet={_WANTED: "3x30", _UPDATED: "1x10 3x20"},
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
