"""The connection to the mail server: encryption, certificates and log-in."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr, ValidationError

from notifications.mail_servers.errors import MailDeferredError
from notifications.mail_servers.models import Encryption
from notifications.settings import NotificationsSettings

from .conftest import server_at, states, verification
from .server import smtp_server

# Python is strict since 3.13 (VERIFY_X509_STRICT): a certificate must state its usage.
USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a certificate of 127.0.0.1 that signs itself; return the file with it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("certificate") / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture(scope="module")
def of_server(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture(scope="module")
def trusting(certificate):
    """Return a client's context that trusts only the server's certificate."""
    return ssl.create_default_context(cafile=certificate)


async def test_a_mail_goes_over_starttls_with_a_log_in(consume, send, db, of_server, trusting):
    await consume(verification())
    async with smtp_server(of_server, auth_required=True) as server:
        reached = server_at(
            server.port,
            encryption=Encryption.STARTTLS,
            tls_context=trusting,
            username="mailer",
            password=lambda: "right",
        )
        await send(over=reached)
        assert server.log_ins == ["mailer"]
        assert len(server.received) == 1
    assert await states(db) == [("sent", None, None, None)]


async def test_a_mail_goes_over_tls_from_the_first_byte(consume, send, db, of_server, trusting):
    await consume(verification())
    async with smtp_server(of_server, implicit=True) as server:
        await send(over=server_at(server.port, encryption=Encryption.TLS, tls_context=trusting))
        assert len(server.received) == 1
    assert await states(db) == [("sent", None, None, None)]


@pytest.mark.parametrize("encryption", [Encryption.STARTTLS, Encryption.TLS])
async def test_a_certificate_that_nobody_trusts_gets_no_mail(
    encryption, consume, send, db, of_server
):
    await consume(verification())
    async with smtp_server(of_server, implicit=encryption is Encryption.TLS) as server:
        with pytest.raises(MailDeferredError, match=r"^The connection or log-in failed: "):
            await send(over=server_at(server.port, encryption=encryption))
        assert server.received == []
    [(state, *_)] = await states(db)
    assert state == "waiting"


async def test_a_server_that_offers_no_starttls_gets_no_mail(consume, send, mail_server, trusting):
    """As it looks if somebody in between removes the offer."""
    await consume(verification())
    wanted = server_at(
        mail_server.port, encryption=Encryption.STARTTLS, tls_context=trusting, timeout=5
    )
    with pytest.raises(MailDeferredError, match=r"^The connection or log-in failed: "):
        await send(over=wanted)
    assert mail_server.received == []


async def test_a_refused_log_in_is_an_error_of_ours_and_the_mail_waits(
    consume, send, db, of_server, trusting
):
    await consume(verification())
    async with smtp_server(of_server, auth_required=True) as server:
        wrong = server_at(
            server.port,
            encryption=Encryption.STARTTLS,
            tls_context=trusting,
            username="mailer",
            password=lambda: "wrong",
        )
        with pytest.raises(MailDeferredError, match=r"connection or log-in with 535 5\.7\.8"):
            await send(over=wrong)
    [(state, *_)] = await states(db)
    assert state == "waiting"


GOOD = {"smtp_server": "mail.example.com:587", "smtp_from": "Shop <shop@example.com>"}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"smtp_from": None}, "SMTP_FROM is not set"),
        ({"smtp_from": "Shop"}, "SMTP_FROM is not a sender"),
        ({"smtp_from": "Shop <shop@example.com>\nBcc: eve@example.com"}, "SMTP_FROM is not a"),
        ({"smtp_from": "Bücher <shop@example.com>"}, "SMTP_FROM is not a sender"),
        ({"smtp_username": "mailer"}, "Only one of SMTP_USERNAME and SMTP_PASSWORD"),
        ({"smtp_password": SecretStr("x")}, "Only one of SMTP_USERNAME and SMTP_PASSWORD"),
        (
            {"smtp_username": "m", "smtp_password": SecretStr("x"), "smtp_tls": "none"},
            "SMTP_TLS=none would send SMTP_PASSWORD unencrypted",
        ),
        ({"smtp_server": "mail.example.com"}, "smtp_server"),
        ({"smtp_server": "smtp://mail.example.com:25"}, "smtp_server"),
        ({"public_url": "shop.example.com"}, "public_url"),
        ({"public_url": "https://shop.example.com/?page="}, "public_url"),
        ({"public_url": "javascript:alert(1)"}, "public_url"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changed, problem, settings):
    whole = settings.model_dump(exclude={"smtp_timeout"}) | GOOD
    NotificationsSettings.model_validate(whole | {"smtp_tls": "starttls"})
    with pytest.raises(ValidationError, match=problem):
        NotificationsSettings.model_validate(whole | {"smtp_tls": "starttls"} | changed)
