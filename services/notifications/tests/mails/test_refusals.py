"""Which refusals end a mail, which are errors of our settings, and which blame the address."""

import pytest

from notifications.mail_servers.errors import MailDeferredError, MailRejectedError
from notifications.mail_servers.models import Refusal, Step, Verdict
from notifications.mail_servers.service import MailServer

from .conftest import server_at
from .server import refuse
from .test_pool import message

DEFERRED, REJECTED, REFUSED = Verdict


@pytest.mark.parametrize(
    ("step", "code", "enhanced", "verdict"),
    [
        (Step.CONNECTION, 554, None, DEFERRED),
        (Step.CONNECTION, 535, "5.7.8", DEFERRED),
        (Step.SENDER, 550, "5.1.8", DEFERRED),
        (Step.SENDER, 530, "5.7.0", DEFERRED),
        (Step.RECIPIENT, 421, None, DEFERRED),
        (Step.RECIPIENT, 450, "4.2.1", DEFERRED),
        (Step.RECIPIENT, 452, "4.5.3", DEFERRED),
        (Step.RECIPIENT, 552, None, DEFERRED),
        (Step.RECIPIENT, 552, "5.2.2", DEFERRED),
        (Step.RECIPIENT, 554, "5.7.1", DEFERRED),
        (Step.RECIPIENT, 530, None, DEFERRED),
        (Step.RECIPIENT, 550, "5.1.7", DEFERRED),
        (Step.RECIPIENT, 550, None, REFUSED),
        (Step.RECIPIENT, 551, None, REFUSED),
        (Step.RECIPIENT, 553, None, REFUSED),
        (Step.RECIPIENT, 550, "5.1.1", REFUSED),
        (Step.RECIPIENT, 556, "5.1.10", REFUSED),
        (Step.RECIPIENT, 550, "5.2.1", REFUSED),
        (Step.RECIPIENT, 554, None, REJECTED),
        (Step.RECIPIENT, 550, "5.4.1", REJECTED),
        (Step.CONTENT, 451, "4.7.1", DEFERRED),
        (Step.CONTENT, 552, "5.2.2", DEFERRED),
        (Step.CONTENT, 552, "5.3.4", REJECTED),
        (Step.CONTENT, 550, "5.7.1", REJECTED),
        (Step.CONTENT, 550, None, REJECTED),
        (Step.CONTENT, 550, "5.1.1", REFUSED),
    ],
)
def test_the_step_and_the_codes_decide_what_a_refusal_means(step, code, enhanced, verdict):
    assert Refusal(step=step, code=code, enhanced=enhanced).verdict is verdict


@pytest.mark.parametrize(
    ("step", "response", "outcome"),
    [
        ("on_mail", "550 5.7.1 not you", MailDeferredError),
        ("on_mail", "451 later", MailDeferredError),
        ("on_rcpt", "554 5.7.1 relay access denied", MailDeferredError),
        ("on_rcpt", "550-5.1.1 no such user\r\n550 5.1.1 ask elsewhere", True),
        ("on_rcpt", "554 no", False),
        ("on_data", "554 5.6.0 no", False),
        ("on_data", "550 5.1.1 no such user", True),
    ],
)
async def test_a_response_becomes_an_error_without_the_words_of_the_server(
    step, response, outcome, mail_server
):
    setattr(mail_server, step, refuse(response))
    server = MailServer(server=server_at(mail_server.port))
    expected = outcome if isinstance(outcome, type) else MailRejectedError
    with pytest.raises(expected) as raised:
        await server.send(message(), sender="a@example.com", recipient="ada@example.com")
    await server.close()
    code = response[:3]
    assert code in str(raised.value)
    assert "user" not in str(raised.value)
    if isinstance(raised.value, MailRejectedError):
        assert raised.value.address_refused is outcome
