"""The connection to the mail server: encryption, certificates and log-in."""

import pytest
from pydantic import SecretStr, ValidationError

from notifications.mail_servers.errors import MailDeferredError
from notifications.mail_servers.models import Encryption
from notifications.settings import NotificationsSettings
from testkit.certificates import Certificates

from .conftest import server_at, states, verification
from .server import smtp_server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def of_server(certificates):
    return certificates.server("127.0.0.1")


@pytest.fixture(scope="module")
def trusting(certificates):
    return certificates.client()


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
