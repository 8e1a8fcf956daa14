"""Checks that the network policies let each process reach the servers that its settings name.

``check_edges.py FILE.yaml …``. A server without an edge would be unreachable, and only where the
cluster's network enforces policies. The pod of `helm test` must reach the gateway.
"""

import re
import sys
from collections.abc import Iterator
from ipaddress import IPv6Network, ip_network

from rendering import Resource, resources_of

PORTS = {"http": 80, "https": 443, "postgresql": 5432, "valkey": 6379, "valkeys": 6379}
URL = re.compile(r"(?P<scheme>[a-z]+)://(?:[^@/]*@)?(?P<hosts>[^/?#]+)")
NAMES_A_SERVER = re.compile(r".*_(URL|ENDPOINT|SERVER|SERVERS)")
NO_SERVER = {"PUBLIC_URL"}  # a link in mails
DNS_PORTS = {53, 5353}  # the latter is that of OpenShift's pods, to which a policy applies
NAME = "app.kubernetes.io/name"
LABEL = re.compile(r"[A-Za-z0-9-]+")  # a Service of this namespace

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: by which a pod without IPv4 reaches IPv4

type Settings = dict[str, str]


def servers(settings: Settings) -> Iterator[tuple[str, int]]:
    """Yield host and port of each server that settings name."""
    for name, value in settings.items():
        if not NAMES_A_SERVER.fullmatch(name) or name in NO_SERVER:
            continue
        url = URL.match(value)
        for place in (url["hosts"] if url else value).split(","):
            host, _, port = place.partition(":")
            yield host, int(port or PORTS[url["scheme"] if url else ""])


def selects(selector: Resource, labels: Settings) -> bool:
    """Return whether a selector of pods has pods with these labels."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())
    )


def leads_to(rule: Resource, host: str, port: int) -> bool:
    """Return whether a rule allows a connection."""
    if all(each["port"] != port for each in rule["ports"]):
        return False
    wanted = "podSelector" if LABEL.fullmatch(host) else "ipBlock"
    return "to" not in rule or any(wanted in peer for peer in rule["to"])


def refused_by_one_family(rules: list[Resource]) -> str | None:
    """Return a network of IPv4 that a rule refuses, and lets through by NAT64 or vice versa."""
    for rule in rules:
        blocks = [peer["ipBlock"] for peer in rule.get("to", ()) if "ipBlock" in peer]
        refused = {one["cidr"]: set(map(ip_network, one.get("except", ()))) for one in blocks}
        if "::/0" in refused:
            translated = {
                IPv6Network(
                    (int(NAT64.network_address) + int(one.network_address), 96 + one.prefixlen)
                )
                for one in refused["0.0.0.0/0"]
            }
            inner = {
                one
                for one in refused["::/0"]
                if one.version == NAT64.version and one.subnet_of(NAT64)
            }
            for network in translated ^ inner:
                return str(network)
    return None


def fault(name: str, rules: list[Resource], settings: Settings) -> str | None:
    """Return what a process with these settings can't reach, or None."""
    for host, port in servers(settings):
        if not any(leads_to(rule, host, port) for rule in rules):
            return f"no policy lets {name} reach {host}:{port}"
    asked = [
        {each["port"] for each in rule["ports"] if each["protocol"] == "UDP"} for rule in rules
    ]
    if not any(ports >= DNS_PORTS for ports in asked):
        return f"no policy lets {name} ask DNS at each of the ports {sorted(DNS_PORTS)}"
    if network := refused_by_one_family(rules):
        return f"the policies let {name} reach {network} by one family alone"
    blocks = {peer.get("ipBlock", {}).get("cidr") for rule in rules for peer in rule.get("to", ())}
    networks = filter(None, settings.get("WEBHOOK_ALLOWED_NETWORKS", "").split(","))
    for network in networks if "::/0" in blocks else ():  # the worker alone sends webhooks
        if str(ip_network(network.strip())) not in blocks:
            return f"no policy lets {name} reach {network}, which webhooks may call"
    return None


def processes(resources: list[Resource]) -> Iterator[tuple[str, Settings, Settings]]:
    """Yield name, labels and settings of each process, and of the test that reads traces."""
    maps = {one["metadata"]["name"]: one["data"] for one in resources if one["kind"] == "ConfigMap"}
    for one in resources:
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]
            [container] = pod["spec"]["containers"]
            for source in container.get("envFrom", ()):
                settings = maps[source["configMapRef"]["name"]]
                yield one["metadata"]["name"], pod["metadata"]["labels"], settings
        elif one["kind"] == "Pod":
            arguments = dict(
                each.partition("=")[::2] for each in one["spec"]["containers"][0]["args"]
            )
            traces = arguments.get("--traces-url")
            settings = {"TRACES_URL": traces} if traces else {}
            yield one["metadata"]["name"], one["metadata"]["labels"], settings


def shut_out(resources: list[Resource], policies: list[Resource]) -> str | None:
    """Return the name of a test that may not call the gateway, or None."""
    gateways = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in resources
        if one["kind"] == "Deployment" and one["metadata"]["labels"][NAME] == "gateway"
    ]
    rules = [
        rule
        for each in policies
        if any(selects(each["spec"]["podSelector"], labels) for labels in gateways)
        for rule in each["spec"]["ingress"]
    ]
    for test in (one["metadata"] for one in resources if one["kind"] == "Pod"):
        if rules and not any(
            "from" not in rule
            or any(
                "podSelector" in peer and selects(peer["podSelector"], test["labels"])
                for peer in rule["from"]
            )
            for rule in rules
        ):
            return str(test["name"])
    return None


def main(files: list[str]) -> str | None:
    """Return what is wrong, or None."""
    for file in files:
        resources = resources_of(file)
        policies = [one for one in resources if one["kind"] == "NetworkPolicy"]
        for name, labels, settings in processes(resources):
            own = [
                each["spec"] for each in policies if selects(each["spec"]["podSelector"], labels)
            ]
            rules = [rule for each in own for rule in each.get("egress", ())]
            if own and (found := fault(name, rules, settings)):
                return f"{file}: {found}."
        if test := shut_out(resources, policies):
            return f"{file}: the gateway's policy does not let {test} call it."
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
