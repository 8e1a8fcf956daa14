"""Each Kafka client authenticates over TLS, and rejects a broker with another CA's certificate."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from chassis.kafka_security import KafkaFilesError
from chassis.messaging import KafkaConnection
from chassis.settings import Environment, KafkaSettings
from localservers import KafkaServer
from localservers.ports import free_port

USER, PASSWORD = "orders", "orders-password"


@dataclass(frozen=True)
class Authority:
    """A certificate authority, in a directory."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @classmethod
    def make(cls, directory: Path, common_name: str) -> "Authority":
        authority = cls(directory, ec.generate_private_key(ec.SECP256R1()), named(common_name))
        certificate = authority.sign(authority.name, authority.key, ca=True)
        authority.file.write_bytes(pem(certificate))
        return authority

    @property
    def file(self) -> Path:
        return self.directory / "ca.pem"

    def sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool = False):
        now = datetime.now(UTC)
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage(ca=ca), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(here, critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        """Create a certificate and its key; return their files."""
        key = ec.generate_private_key(ec.SECP256R1())
        files = (self.directory / f"{name}.pem", self.directory / f"{name}-key.pem")
        files[0].write_bytes(pem(self.sign(named(name), key)))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files


def usage(*, ca: bool) -> x509.KeyUsage:
    """Python is strict since 3.13 (VERIFY_X509_STRICT): a certificate must state its usage."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def settings(**given: object) -> KafkaSettings:
    base = {
        "environment": Environment.DEVELOPMENT,
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "kafka_security_protocol": "SSL",
    }
    return KafkaSettings.model_validate(base | given)


@dataclass(frozen=True)
class Secured:
    """A broker that requires a password over TLS, and a certificate on a second port."""

    authority: Authority
    password_port: int
    certificate_port: int

    async def connection(self, port: int, protocol: str, **given: object) -> KafkaConnection:
        given = {
            "kafka_bootstrap_servers": f"127.0.0.1:{port}",
            "kafka_security_protocol": protocol,
            "kafka_ca_file": self.authority.file,
            **given,
        }
        # Settings read the files, which blocks; a process reads them before its loop runs.
        return KafkaConnection.of(await asyncio.to_thread(settings, **given))

    async def with_password(self, mechanism: str, password: str = PASSWORD) -> KafkaConnection:
        return await self.connection(
            self.password_port,
            "SASL_SSL",
            kafka_sasl_mechanism=mechanism,
            kafka_sasl_username=USER,
            kafka_sasl_password=SecretStr(password),
        )


@pytest.fixture(scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    authority = Authority.make(tmp_path_factory.mktemp("authority"), "Slipway tests")
    certificate, key = authority.issue("broker")
    store = authority.directory / "broker-store.pem"
    store.write_bytes(key.read_bytes() + certificate.read_bytes())
    plain, controller, password_port, certificate_port = (free_port() for _ in range(4))
    listeners = {
        "PLAINTEXT": plain,
        "PASSWORD": password_port,
        "CERTIFICATE": certificate_port,
        "CONTROLLER": controller,
    }
    addresses = [f"{name}://127.0.0.1:{port}" for name, port in listeners.items()]
    server = KafkaServer(
        directory=tmp_path_factory.mktemp("kafka"),
        port=plain,
        properties={
            "listeners": ",".join(addresses),
            "advertised.listeners": ",".join(addresses[:3]),
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,PASSWORD:SASL_SSL,CERTIFICATE:SSL,CONTROLLER:PLAINTEXT"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.file),
            "listener.name.certificate.ssl.client.auth": "required",
            "listener.name.password.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
            **{
                f"listener.name.password.{mechanism}.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                )
                for mechanism in ("scram-sha-256", "scram-sha-512")
            },
        },
        format_options=[
            f"--add-scram={mechanism}=[name={USER},password={PASSWORD}]"
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ],
    )
    await server.start()
    yield Secured(authority, password_port, certificate_port)
    await server.stop()


async def exchange(kafka: KafkaConnection, topic: str) -> bytes:
    """Create a topic, send a message, and read it in a group."""
    admin = AIOKafkaAdminClient(**kafka.options)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(**kafka.options, enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"hello")
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(
        topic, **kafka.options, group_id=topic, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        value: bytes = (await consumer.getone()).value
        return value
    finally:
        await consumer.stop()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_all_clients_work_with_a_password_over_tls(secured: Secured, mechanism: str):
    assert await exchange(await secured.with_password(mechanism), mechanism.lower()) == b"hello"


async def test_all_clients_work_with_a_certificate(secured: Secured):
    certificate, key = secured.authority.issue("client")
    kafka = await secured.connection(
        secured.certificate_port, "SSL", kafka_certificate_file=certificate, kafka_key_file=key
    )
    assert await exchange(kafka, "certificate") == b"hello"


async def test_a_wrong_password_is_said_to_be_one(
    secured: Secured, caplog: pytest.LogCaptureFixture
):
    admin = AIOKafkaAdminClient(**(await secured.with_password("SCRAM-SHA-512", "wrong")).options)
    with pytest.raises(KafkaConnectionError):
        await admin.start()
    await admin.close()
    assert "invalid credentials" in caplog.text
    assert "wrong" not in caplog.text


async def test_a_broker_of_another_authority_is_not_trusted(
    secured: Secured, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    other = Authority.make(tmp_path, "Somebody else")
    kafka = await secured.connection(
        secured.password_port,
        "SASL_SSL",
        kafka_ca_file=other.file,
        kafka_sasl_username=USER,
        kafka_sasl_password=SecretStr(PASSWORD),
    )
    admin = AIOKafkaAdminClient(**kafka.options)
    with pytest.raises(KafkaConnectionError):
        await admin.start()
    await admin.close()
    assert "unable to get local issuer certificate" in caplog.text


def test_a_file_that_holds_no_certificate_is_named(tmp_path: Path):
    file = tmp_path / "ca.pem"
    file.write_text("nonsense")
    with pytest.raises(KafkaFilesError, match="KAFKA_CA_FILE"):
        KafkaConnection.of(settings(kafka_ca_file=file))


def test_a_key_of_another_certificate_is_named(tmp_path: Path):
    authority = Authority.make(tmp_path, "Tests")
    certificate, _ = authority.issue("one")
    _, key = authority.issue("other")
    with pytest.raises(KafkaFilesError, match="KAFKA_KEY_FILE"):
        KafkaConnection.of(settings(kafka_certificate_file=certificate, kafka_key_file=key))


def test_a_key_with_a_password_is_refused_and_not_asked_for(tmp_path: Path):
    authority = Authority.make(tmp_path, "Tests")
    certificate, key_file = authority.issue("one")
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(KafkaFilesError, match="without a password"):
        KafkaConnection.of(settings(kafka_certificate_file=certificate, kafka_key_file=key_file))


def test_a_client_made_later_gets_the_password_of_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SECRETS_DIRECTORY", str(tmp_path))
    file = tmp_path / "kafka_sasl_password"
    file.write_text(PASSWORD)
    kafka = KafkaConnection.of(
        KafkaSettings(
            environment=Environment.DEVELOPMENT,
            kafka_bootstrap_servers="127.0.0.1:1",
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_username=USER,
        )
    )
    assert kafka.options["sasl_plain_password"] == PASSWORD
    file.write_text("changed")
    assert kafka.options["sasl_plain_password"] == "changed"


def test_a_client_made_later_trusts_the_authority_of_then_and_a_spoilt_file_changes_nothing(
    tmp_path: Path,
):
    def trusted(kafka: KafkaConnection) -> set[str]:
        found = kafka.options["ssl_context"].get_ca_certs()
        return {dict(part[0] for part in one["subject"])["commonName"] for one in found}

    other = tmp_path / "other"
    other.mkdir()
    authority = Authority.make(tmp_path, "Tests")
    kafka = KafkaConnection.of(settings(kafka_ca_file=authority.file))
    assert trusted(kafka) == {"Tests"}
    authority.file.write_bytes(Authority.make(other, "Others").file.read_bytes())
    assert trusted(kafka) == {"Others"}
    authority.file.write_text("half a certifi")
    assert trusted(kafka) == {"Others"}
