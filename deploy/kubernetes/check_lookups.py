"""Checks what the chart renders from what it finds in the cluster: ``check_lookups.py HELM``.

A small API server holds the objects that the templates look up. It shows when the job of
preparation is left out, and when a changed Secret restarts pods.
"""

import base64
import json
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from rendering import rendered_by

CREATED = "2026-11-01T10:00:00Z"
LATER = "2026-11-02T10:00:00Z"
KINDS = {"configmaps": "ConfigMap", "secrets": "Secret"}
ARGUMENTS = ("--set", "global.publicUrl=https://shop.example.com", "--kube-version", "1.34.0")
JOB = ("Job", "slipway-prepare")


class Cluster(ThreadingHTTPServer):
    """An API server that has discovery, ConfigMaps and Secrets of one namespace, to read."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}

    def add_secret(self, name: str, text: str, *, changed: bool = False, ours: bool = True) -> None:
        """Put a Secret, as its job created it or as somebody changed it later."""
        managers = [{"manager": "python-httpx", "operation": "Update", "time": CREATED}]
        if changed:
            managers.append({"manager": "kubectl", "operation": "Update", "time": LATER})
        self.objects["secrets", name] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": "default",
                "creationTimestamp": CREATED,
                "managedFields": managers,
                "labels": {"app.kubernetes.io/instance": "slipway"} if ours else {},
            },
            "data": {"keys": base64.b64encode(text.encode()).decode()},
        }


class Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    server: Cluster

    def do_GET(self) -> None:
        """Return the object at the path, or 404."""
        path = self.path.partition("?")[0].strip("/")
        parts = path.split("/")
        found: dict[str, Any] | None = None
        if path == "version":
            found = {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
        elif path == "api":
            found = {"kind": "APIVersions", "versions": ["v1"]}
        elif path == "apis":
            found = {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
        elif path == "api/v1":
            resources = [
                {"name": name, "kind": kind, "namespaced": True, "verbs": ["get"]}
                for name, kind in KINDS.items()
            ]
            found = {"kind": "APIResourceList", "groupVersion": "v1", "resources": resources}
        elif parts[:3] == ["api", "v1", "namespaces"]:
            found = self.server.objects.get((parts[-2], parts[-1]))
        body = json.dumps(
            found or {"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404}
        ).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Charts:
    """Renders the umbrella against the cluster."""

    def __init__(self, helm: str, cluster: Cluster, directory: Path) -> None:
        self._helm = helm
        self.cluster = cluster
        self._config = directory / "kubeconfig"
        address = f"http://127.0.0.1:{cluster.server_port}"
        name = {"name": "one"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "one",
            "clusters": [name | {"cluster": {"server": address}}],
            "users": [name | {"user": {}}],
            "contexts": [name | {"context": {"cluster": "one", "user": "one"}}],
        }
        self._config.write_text(yaml.safe_dump(config), encoding="utf-8")

    def render(self, *values: str, upgrade: bool = True) -> dict[tuple[str, str], dict[str, Any]]:
        """Return what Helm renders, by kind and name."""
        command = [self._helm, "template", "slipway", "helm/slipway", "--dry-run=server"]
        command += ["--kubeconfig", str(self._config), *ARGUMENTS]
        command += ["--is-upgrade"] if upgrade else []
        for value in values:
            command += ["--set", value]
        return {(each["kind"], each["metadata"]["name"]): each for each in rendered_by(command)}

    def restarts(self, *names: str) -> dict[str, str | None]:
        """Return the checksum of Secrets in the pods of Deployments."""
        rendered = self.render()
        annotations = {
            name: rendered["Deployment", name]["spec"]["template"]["metadata"]["annotations"]
            for name in names
        }
        return {name: each.get("checksum/secrets") for name, each in annotations.items()}


def expect(condition: object, message: str) -> None:
    """Exit with the message if the condition does not hold."""
    if not condition:
        sys.exit(f"helm/slipway renders something else than expected: {message}.")


def check_job(charts: Charts) -> None:
    """Check when the job of preparation is left out."""
    first = charts.render(upgrade=False)
    expect(JOB in first, "an installation must prepare the servers")
    expect(JOB in charts.render(), "without a record of a success an upgrade must prepare")
    charts.cluster.objects["configmaps", "slipway-prepare"] = first["ConfigMap", "slipway-prepare"]
    charts.cluster.add_secret("slipway-orders-database", "one")
    expect(JOB not in charts.render(), "the first upgrade has nothing to prepare")
    expect(("Role", "slipway-prepare") not in charts.render(), "without the job, no account")
    expect(JOB not in charts.render("orders.api.replicas=2"), "replicas need no preparation")
    expect(JOB in charts.render(upgrade=False), "an installation always prepares")
    expect(JOB in charts.render("jobs.skipUnchanged=false"), "skipUnchanged=false must prepare")
    expect(JOB in charts.render("global.image.tag=next"), "a new image may have migrations")
    expect(JOB in charts.render("topics.partitions.slipway\\.orders=12"), "topics must be applied")
    charts.cluster.add_secret("slipway-orders-database", "two", changed=True)
    expect(JOB in charts.render(), "a changed password must be set in the database")
    charts.cluster.objects["configmaps", "slipway-prepare"] = charts.render()[
        "ConfigMap", "slipway-prepare"
    ]
    expect(JOB not in charts.render(), "a password that was set needs nothing more")


def check_secrets_step(charts: Charts) -> None:
    """Check when the job creates Secrets, for which alone it has an account of the API server."""
    job = charts.render()[JOB]
    steps = [each["name"] for each in _pod(job)["initContainers"]]
    expect(steps == ["secrets", "bootstrap"], "missing Secrets must be created, and first")
    [arguments] = (
        each["args"] for each in _pod(job)["initContainers"] if each["name"] == "secrets"
    )
    for argument in arguments:
        option, _, value = argument.partition("=")
        if option in {"--password", "--keys"}:
            expect(
                ("Role", "slipway-prepare") in charts.render(),
                f"without the Secret of {argument} the job must have its account",
            )
            charts.cluster.add_secret(value.partition("/")[0], "one")
    complete = charts.render("jobs.skipUnchanged=false")
    steps = [each["name"] for each in _pod(complete[JOB])["initContainers"]]
    expect(steps == ["bootstrap"], "if all Secrets are there, no step must create them")
    expect("serviceAccountName" not in _pod(complete[JOB]), "nor must the job have an account")
    expect(("Role", "slipway-prepare") not in complete, "nor must there be a role for it")
    charts.cluster.objects["configmaps", "slipway-prepare"] = complete[
        "ConfigMap", "slipway-prepare"
    ]
    expect(JOB not in charts.render(), "the step that is left out must not count as a change")


def check_seed(charts: Charts) -> None:
    """Check when demo data are created again."""
    seed = ("Job", "slipway-seed")
    values = (
        "global.environment=development",
        "demoData=true",
        "users.firstAdmin.email=a@b.example",
    )
    first = charts.render(*values, upgrade=False)
    expect(seed in first, "an installation must create its demo data")
    charts.cluster.objects["configmaps", "slipway-prepare"] = first["ConfigMap", "slipway-prepare"]
    expect(seed in charts.render(*values), "without a previous release that succeeded, too")
    name = "sh.helm.release.v1.slipway.v0"
    charts.cluster.add_secret(name, "release")
    release = charts.cluster.objects["secrets", name]
    release["metadata"]["labels"] = {"status": "failed"}
    expect(seed in charts.render(*values), "after an upgrade that failed, too")
    release["metadata"]["labels"] = {"status": "deployed"}
    expect(seed not in charts.render(*values), "an upgrade must not create them again")
    expect(seed in charts.render(*values, "jobs.skipUnchanged=false"), "unless it is asked to")
    charts.cluster.objects["configmaps", "slipway-prepare"]["data"].pop("demoData")
    expect(seed in charts.render(*values), "an upgrade that switches them on must create them")


def _pod(job: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod


def check_restarts(charts: Charts) -> None:
    """Check which pods a changed Secret restarts."""
    names = ("slipway-notifications-worker", "slipway-users", "slipway-orders")
    expect(not any(charts.restarts(*names).values()), "absent Secrets must not restart pods")
    charts.cluster.add_secret("slipway-webhooks", "one")
    expect(not any(charts.restarts(*names).values()), "nor those that the job has just created")
    charts.cluster.add_secret("slipway-webhooks", "two", changed=True)
    once = charts.restarts(*names)
    expect(once["slipway-notifications-worker"], "a changed key must restart its process")
    expect(not once["slipway-users"], "and no other")
    charts.cluster.add_secret("slipway-webhooks", "three", changed=True)
    expect(charts.restarts(*names) != once, "each change must")
    charts.cluster.add_secret("slipway-orders-database", "four", changed=True)
    expect(not charts.restarts(*names)["slipway-orders"], "a password is read again: no restart")
    charts.cluster.add_secret("slipway-totp", "one", ours=False)
    expect(charts.restarts(*names)["slipway-users"], "a Secret of the user's own counts at once")


def main(helm: str) -> None:
    """Run all checks."""
    with Cluster() as cluster, tempfile.TemporaryDirectory() as directory:
        threading.Thread(target=cluster.serve_forever, daemon=True).start()
        charts = Charts(helm, cluster, Path(directory))
        for check in (check_job, check_restarts, check_secrets_step, check_seed):
            cluster.objects.clear()
            check(charts)
        cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
