"""What does Kubernetes do with our pods?

The metrics are those of kube-state-metrics, of the kubelet and of its cAdvisor.
"""

from monitoring.dashboards.panels import WINDOW, rate
from monitoring.grafana import Dashboard, Panel, Query, Row

_OURS = 'namespace="$namespace"'
_CONTAINERS = f'{_OURS},container!=""'

KUBERNETES = Dashboard(
    uid="slipway-kubernetes",
    title="Slipway: Kubernetes",
    about="Pods, their limits, and volumes. It needs kube-state-metrics and the kubelets' metrics.",
    namespaces=True,
    unobserved="it needs a cluster with kube-state-metrics and cAdvisor",
    rows=[
        Row(
            title="Pods",
            panels=[
                Panel(
                    title="Ready pods",
                    queries=[
                        Query(
                            "sum by (deployment) "
                            f"(kube_deployment_status_replicas_ready{{{_OURS}}})",
                            "{{deployment}}",
                        )
                    ],
                ),
                Panel(
                    title="Wanted, and not ready",
                    queries=[
                        Query(
                            f"sum by (deployment) (kube_deployment_spec_replicas{{{_OURS}}}) - "
                            "sum by (deployment) "
                            f"(kube_deployment_status_replicas_ready{{{_OURS}}})",
                            "{{deployment}}",
                        )
                    ],
                ),
                Panel(
                    title="Restarts in an hour",
                    queries=[
                        Query(
                            "sum by (pod) "
                            f"(increase(kube_pod_container_status_restarts_total{{{_OURS}}}[1h]))",
                            "{{pod}}",
                        )
                    ],
                ),
                Panel(
                    title="Failed jobs",
                    about="A job `prepare` or `migrate`: the release's migrations failed.",
                    queries=[
                        Query(
                            f"max by (job_name) (kube_job_status_failed{{{_OURS}}})",
                            "{{job_name}}",
                        )
                    ],
                ),
            ],
        ),
        Row(
            title="CPU and memory",
            panels=[
                Panel(
                    title="CPU, in cores",
                    queries=[
                        Query(
                            rate("container_cpu_usage_seconds_total", _CONTAINERS, "pod"),
                            "{{pod}}",
                        )
                    ],
                ),
                Panel(
                    title="Share of time throttled",
                    unit="percentunit",
                    about="Above 0.1 the CPU limit slows the pod down.",
                    queries=[
                        Query(
                            "sum by (pod) "
                            f"(rate(container_cpu_cfs_throttled_periods_total{{{_CONTAINERS}}}"
                            f"{WINDOW})) / sum by (pod) "
                            f"(rate(container_cpu_cfs_periods_total{{{_CONTAINERS}}}{WINDOW}))",
                            "{{pod}}",
                        )
                    ],
                ),
                Panel(
                    title="Memory, share of the limit",
                    unit="percentunit",
                    queries=[
                        Query(
                            "sum by (pod) "
                            f"(container_memory_working_set_bytes{{{_CONTAINERS}}}) / sum by (pod) "
                            f'(kube_pod_container_resource_limits{{{_OURS},resource="memory"}})',
                            "{{pod}}",
                        )
                    ],
                ),
            ],
        ),
        Row(
            title="Scaling and volumes",
            panels=[
                Panel(
                    title="Replicas of autoscalers",
                    queries=[
                        Query(
                            "max by (horizontalpodautoscaler) "
                            f"(kube_horizontalpodautoscaler_status_current_replicas{{{_OURS}}})",
                            "{{horizontalpodautoscaler}}",
                        ),
                        Query(
                            "max by (horizontalpodautoscaler) "
                            f"(kube_horizontalpodautoscaler_spec_max_replicas{{{_OURS}}})",
                            "{{horizontalpodautoscaler}} limit",
                        ),
                    ],
                ),
                Panel(
                    title="Free share of volumes",
                    unit="percentunit",
                    queries=[
                        Query(
                            "min by (persistentvolumeclaim) "
                            f"(kubelet_volume_stats_available_bytes{{{_OURS}}} / "
                            f"kubelet_volume_stats_capacity_bytes{{{_OURS}}})",
                            "{{persistentvolumeclaim}}",
                        )
                    ],
                ),
            ],
        ),
    ],
)
